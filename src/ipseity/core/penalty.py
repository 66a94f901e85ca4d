"""What a regularization with a loss of its own must say, and what it asks of a learner that it holds back."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from ipseity.core.noise import NoisePath
from ipseity.core.protocols import Learner, Regularization
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Example, Subject


class Predictor(Protocol):
    """What predicts: a learner with what it has learned, or the frozen base, from which the identity is detached."""

    path: NoisePath

    def predict(
        self, latents: Float[Tensor, "B C h w"], t: Float[Tensor, "B"], batch: Batch
    ) -> Float[Tensor, "B C h w"]:
        """Predict as `Base.predict` does, under the captions of a batch; its own latents are not looked at."""
        ...


@runtime_checkable
class Detachable(Learner, Predictor, Protocol):
    """A learner that can step aside, and can tell how far it has gone."""

    def detached(self) -> AbstractContextManager[None]:
        """Take what is learned out of the base for the length of a block; what is trained stays the same objects.

        In the block the base is the untouched one: its modules, weights and words, in its own number format.
        """
        ...

    def drift(self) -> Float[Tensor, ""]:
        """Give the squared distance of what is trained from where it began, as a share of what it changes.

        Zero where nothing is learned yet; gradients reach what is trained.
        """
        ...


@runtime_checkable
class Penalty(Regularization, Protocol):
    """A regularization with a loss of its own, beside pictures or instead of them."""

    @staticmethod
    def captions(subject: Subject, examples: Sequence[Example], options: Any) -> tuple[tuple[str, str], ...]:
        """List captions without the token, each for wide cuts and for close-ups; may be empty.

        The subject's latents come once more under them, as `batch.tokenless`.
        """
        ...

    @staticmethod
    def loss(
        learner: Detachable, frozen: Predictor, *, batch: Batch, rng: Rng, options: Any
    ) -> dict[str, Float[Tensor, "b"]]:
        """Give losses per sample and by name, unreduced; empty where the batch has nothing for it.

        A name that learners use ("regularization") is weighed as theirs is.
        """
        ...
