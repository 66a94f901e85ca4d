"""The small CLIP that comes with the package, trained on the toybox's world.

By default it picks checkpoints and never scores. How its weights are made stands in the folder `toybox/` of the
repository.
"""

from typing import ClassVar, Literal

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Encoder
from ipseity.vision.clip import CLIP
from ipseity.vision.parts.published import Bundled


class ToyCLIPOptions(Options):
    """Nothing to choose: it is bundled."""

    use: Literal["toy_clip"] = "toy_clip"
    """The bundled encoder."""


class ToyCLIP(Bundled, CLIP):
    """The bundled encoder, read by the code that reads CLIP."""

    Options: ClassVar[type[AnyOptions]] = ToyCLIPOptions
    name = "toy_clip"


PLUGIN: type[Encoder] = ToyCLIP
