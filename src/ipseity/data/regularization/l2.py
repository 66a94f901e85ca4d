"""The trained weights are drawn back to the base's, in proportion to how far they have gone (arXiv:1802.01483)."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from jaxtyping import Float
from PIL.Image import Image
from pydantic import Field
from torch import Tensor

from ipseity.core.options import Options
from ipseity.core.options import Options as AnyOptions
from ipseity.core.penalty import Detachable, Penalty, Predictor
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Example, Request, Subject


class L2Options(Options):
    """How strongly."""

    use: Literal["l2"] = "l2"
    """A pull back to the base's weights."""
    strength: float = Field(1.0, gt=0)
    """What the squared distance counts, times `fit.prior_loss_weight`; it is a share of the changed weights' own square, so bases and ranks compare."""


class L2:
    """Holds the weights near the base's; knows neither captions nor pictures, and costs next to nothing.

    Source:
        arXiv:1802.01483, section 3, "L2-SP"; our distance is divided by the base's own squared length, which is constant.
    """

    Options: ClassVar[type[AnyOptions]] = L2Options

    @staticmethod
    def plan(subject: Subject, examples: Sequence[Example], options: L2Options, rng: Rng) -> tuple[Request, ...]:
        """Ask for no pictures."""
        return ()

    @staticmethod
    def gather(images: Sequence[tuple[Request, Image]], options: L2Options) -> tuple[Example, ...]:
        """Show nothing."""
        return ()

    @staticmethod
    def captions(subject: Subject, examples: Sequence[Example], options: L2Options) -> tuple[tuple[str, str], ...]:
        """Ask for no captions."""
        return ()

    @staticmethod
    def loss(
        learner: Detachable, frozen: Predictor, *, batch: Batch, rng: Rng, options: L2Options
    ) -> dict[str, Float[Tensor, "b"]]:
        """Give the distance, the same for each sample of the batch."""
        return {"regularization": (options.strength * learner.drift()).expand(len(batch.captions))}


PLUGIN: type[Penalty] = L2
