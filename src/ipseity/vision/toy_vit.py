"""The small vision transformer that comes with the package, trained on the toybox's world without labels.

By default it scores and never picks. How its weights are made stands in the folder `toybox/` of the repository.
"""

from typing import ClassVar, Literal

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.dino import DINO
from ipseity.vision.parts.published import Bundled


class ToyViTOptions(Options):
    """Nothing to choose: it is bundled."""

    use: Literal["toy_vit"] = "toy_vit"
    """The bundled encoder."""


class ToyViT(Bundled, DINO):
    """The bundled encoder, read by the code that reads DINO."""

    Options: ClassVar[type[AnyOptions]] = ToyViTOptions
    name = "toy_vit"


PLUGIN: type[Encoder] = ToyViT
