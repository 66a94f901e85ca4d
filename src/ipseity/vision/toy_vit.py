"""The small vision transformer that comes with the package, trained on the toybox's world without labels.

By default it scores and never picks. How its weights are made stands in the folder `toybox/` of the repository.
"""

from typing import Any, ClassVar, Literal, Self

import torch

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.dino import DINO
from ipseity.vision.parts.folder import EncoderOptions, bundled


class ToyViTOptions(Options):
    """Nothing to choose: it is bundled."""

    use: Literal["toy_vit"] = "toy_vit"
    """The bundled encoder."""


class ToyViT(DINO):
    """The bundled encoder, read by the code that reads DINO."""

    Options: ClassVar[type[AnyOptions]] = ToyViTOptions
    name = "toy_vit"

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
        loaded = super().load(EncoderOptions(weights=bundled("toy_vit")), device)
        loaded.licence = "Apache-2.0"
        return loaded


PLUGIN: type[Encoder] = ToyViT
