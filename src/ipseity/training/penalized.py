"""A learner that a regularization holds back by a loss of its own, as the loop and the engines see it: one learner."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn

from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import CapabilityError
from ipseity.core.identity import Identity
from ipseity.core.penalty import Detachable, Penalty
from ipseity.core.protocols import Learner
from ipseity.core.rng import Rng
from ipseity.core.types import Batch


class Frozen:
    """The base as it was before anything was learned: the learner, who steps aside while it is asked.

    Args:
        learner: begun on the base.
    """

    def __init__(self, learner: Detachable) -> None:
        self.path, self._learner = learner.path, learner

    @torch.no_grad()
    def predict(
        self, latents: Float[Tensor, "B C h w"], t: Float[Tensor, "B"], batch: Batch
    ) -> Float[Tensor, "B C h w"]:
        """Predict with the identity detached."""
        with self._learner.detached():
            return self._learner.predict(latents, t, batch)


class Penalized(nn.Module):
    """A learner whose losses are its own and a penalty's; everything else is the learner's.

    Args:
        learner: begun, with nothing learned yet.
        penalty: the regularization.
        options: the regularization's.
    """

    def __init__(self, learner: Detachable, penalty: Penalty, options: Any) -> None:
        super().__init__()
        self.learner, self.penalty, self.options = learner, penalty, options
        self.trains_text, self.path = learner.trains_text, learner.path
        self._frozen = Frozen(learner)
        with learner.detached():  # what must be fetched for it is there before memory is forecast
            pass

    def forward(self, batch: Batch, rng: Rng) -> dict[str, Float[Tensor, "b"]]:
        """Give the losses."""
        return self.loss(batch, rng)

    def loss(self, batch: Batch, rng: Rng) -> dict[str, Float[Tensor, "b"]]:
        """Give the learner's losses and the penalty's, by name; a name of both holds the samples of both."""
        own = self.learner.loss(batch, rng)
        more = self.penalty.loss(self.learner, self._frozen, batch=batch, rng=rng.fork("penalty"), options=self.options)
        both = {name: torch.cat([own[name], more[name]]) for name in own.keys() & more.keys()}
        return {**own, **more, **both}

    def trainable(self) -> Mapping[str, nn.Parameter]:
        """Give what the learner trains."""
        return self.learner.trainable()

    def preview(self, prompts: Sequence[str], seeds: Sequence[int], options: DrawOptions) -> list[Image]:
        """Draw as the learner does."""
        return self.learner.preview(prompts, seeds, options)

    def identity(self) -> Identity:
        """Give a copy of what the learner has learned."""
        return self.learner.identity()

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Let the learner take the state of a checkpoint."""
        self.learner.restore(tensors)

    def close(self) -> None:
        """Let the learner leave the base."""
        self.learner.close()


def penalized(learner: Learner, regularization: Any, options: Any) -> Learner:
    """Give a learner with a regularization's loss added to its own, or as it is where there is none.

    Args:
        learner: begun, with nothing learned yet.
        regularization: a plug-in; one that is no `Penalty` only shows pictures.
        options: the regularization's.

    Raises:
        CapabilityError: there is a loss, and this learner cannot step aside for it.
    """
    if not isinstance(regularization, Penalty):
        return learner
    if not isinstance(learner, Detachable):
        raise CapabilityError(
            f"regularization '{options.use}' compares with the base, and this method's {type(learner).__name__} "
            "cannot step aside",
            "a method whose learner offers detached, drift and predict: full, lora, textual_inversion",
            "choose one of them, or a regularization of pictures, such as 'structured'",
        )
    return Penalized(learner, regularization, options)
