"""Nothing is shown beside the subject."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from PIL.Image import Image

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Regularization
from ipseity.core.rng import Rng
from ipseity.core.types import Example, Request, Subject


class NoneOptions(Options):
    """No options."""

    use: Literal["none"] = "none"
    """No regularization."""
    images: int = 0
    """Always 0 here: a number that other regularizations use is passed over."""


class NoRegularization:
    """Shows the subject alone; fastest, and quickest to forget the rest."""

    Options: ClassVar[type[AnyOptions]] = NoneOptions

    @staticmethod
    def plan(subject: Subject, examples: Sequence[Example], options: NoneOptions, rng: Rng) -> tuple[Request, ...]:
        """Ask for no pictures."""
        return ()

    @staticmethod
    def gather(images: Sequence[tuple[Request, Image]], options: NoneOptions) -> tuple[Example, ...]:
        """Show nothing."""
        return ()


PLUGIN: type[Regularization] = NoRegularization
