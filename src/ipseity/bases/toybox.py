"""The small trained base that comes with the package: the SDXL layout in miniature, drawing a small world at 128 px.

How its weights are made stands in the folder `toybox/` of the repository; what it can and cannot do, in its model card.
"""

from importlib.resources import files
from typing import Any, ClassVar, Literal, Self

import torch

from ipseity.bases.parts.checkpoint import CheckpointOptions
from ipseity.bases.sdxl import SDXL
from ipseity.core.errors import WeightsError
from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Base


class ToyboxOptions(Options):
    """How the bundled base is held; nothing has to be fetched."""

    use: Literal["toybox"] = "toybox"
    """The small base that comes with the package."""
    dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """Number format of the frozen weights; auto is fp32 on a processor and bf16 (or fp16) on an accelerator."""


class Toybox(SDXL):
    """The bundled checkpoint, read by the code that reads SDXL."""

    Options: ClassVar[type[AnyOptions]] = ToyboxOptions
    name = "toybox"
    native_resolution: ClassVar[int] = 128
    licence = "Apache-2.0"

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the bundled checkpoint.

        Raises:
            WeightsError: the package was installed without it.
        """
        folder = str(files("ipseity") / "assets" / "toybox")
        try:
            base = super().load(CheckpointOptions(weights=folder, dtype=options.dtype), device)
        except WeightsError as error:
            raise WeightsError(
                error.found,
                "the toybox's weights inside the package",
                "install ipseity again, from a wheel or a full checkout",
            ) from error
        base.licence = cls.licence
        return base


PLUGIN: type[Base] = Toybox
