"""The small CLIP that comes with the package, trained on the toybox's world.

By default it picks checkpoints and never scores. How its weights are made stands in the folder `toybox/` of the
repository.
"""

from typing import Any, ClassVar, Literal, Self

import torch

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.clip import CLIP
from ipseity.vision.parts.folder import EncoderOptions, bundled


class ToyCLIPOptions(Options):
    """Nothing to choose: it is bundled."""

    use: Literal["toy_clip"] = "toy_clip"
    """The bundled encoder."""


class ToyCLIP(CLIP):
    """The bundled encoder, read by the code that reads CLIP."""

    Options: ClassVar[type[AnyOptions]] = ToyCLIPOptions
    name = "toy_clip"

    @classmethod
    def missing(cls) -> str | None:
        """Give None: it comes with the package."""
        return None

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self:
        """Read the bundled encoder.

        Args:
            options: nothing to choose.
            device: where it shall live.
        """
        loaded = super().load(EncoderOptions(weights=bundled("toy_clip")), device)
        loaded.licence = "Apache-2.0"
        return loaded


PLUGIN: type[Encoder] = ToyCLIP
