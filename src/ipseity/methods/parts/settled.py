"""What methods share that look at photos once and have nothing to learn: their learner, and coming and going."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn

from ipseity.core.drawing import DrawOptions, draw_all, pipeline_for
from ipseity.core.errors import CapabilityError, WeightsError
from ipseity.core.identity import Attachment, Identity
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Subject


class SettledLearner(nn.Module):
    """Holds what `begin` saw; the base stays as it is.

    Args:
        method: whose `attach` draws it.
        base: what it will be drawn with.
        subject: whom it shows.
        options: the method's, with every default that `begin` settled written out.
        tensors: what the identity is made of, in fp32 on the processor.
        facts: what else is worth keeping.
    """

    trains_text = False

    def __init__(
        self,
        method: Any,
        base: Any,
        subject: Subject,
        *,
        options: Any,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._method, self.base, self.subject, self.options = method, base, subject, options
        self._seen = {name: value.detach().float().cpu() for name, value in tensors.items()}
        self._facts = dict(facts)

    @property
    def notes(self) -> Sequence[str]:
        """What was remarkable about the photos, a sentence each."""
        return self._facts.get("notes", ())

    def trainable(self) -> Mapping[str, nn.Parameter]:
        """Give nothing: no step changes what was seen."""
        return {}

    def forward(self, batch: Batch, rng: Rng) -> dict[str, Float[Tensor, "b"]]:
        """Give `loss`."""
        return self.loss(batch, rng)

    def loss(self, batch: Batch, rng: Rng) -> dict[str, Float[Tensor, "b"]]:
        """Give a zero for each sample, by name."""
        count = int(batch.is_subject.sum())
        sizes = {"subject": count, "regularization": len(batch.captions) - count}
        return {name: torch.zeros(size, device=batch.latents.device) for name, size in sizes.items()}

    def preview(self, prompts: Sequence[str], seeds: Sequence[int], options: DrawOptions) -> list[Image]:
        """Draw what anybody will draw with the identity."""
        with torch.no_grad(), self._method.attach(self.base, [Attachment(self.identity())]):
            return draw_all(pipeline_for(self.base, options), prompts, seeds, options)

    def identity(self) -> Identity:
        """Give a copy of what was seen."""
        told = self.options.model_dump(mode="json")
        named = (self.base.name, self.base.fingerprint(), told["use"], self.subject.token, self.subject.class_noun)
        seen = {name: value.clone() for name, value in self._seen.items()}
        return Identity(seen, *named, options=told, facts=dict(self._facts))

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what a checkpoint holds.

        Raises:
            WeightsError: its tensors bear other names or shapes.
        """
        own, given = ({name: tuple(value.shape) for name, value in some.items()} for some in (self._seen, tensors))
        if own != given:
            raise WeightsError(
                f"the checkpoint was made of {given}, and these photos give {own}",
                "the photos, the encoders and the options of its own run",
                "name the run that it belongs to",
            )
        self._seen = {name: value.detach().clone() for name, value in tensors.items()}

    def close(self) -> None:
        """Leave: nothing was put into the base."""


@contextmanager
def attached(
    base: Any, attachments: Sequence[Attachment], put: Callable[[Any, Sequence[Attachment], ExitStack], None]
) -> Iterator[Any]:
    """Put identities into a base for the length of a block; those at scale 0 stay out.

    Args:
        base: what draws them.
        attachments: identities of one method.
        put: puts those with a scale in, and tells the stack how to take them out again; not called where none has one.
    """
    strong = [one for one in attachments if one.scale != 0]
    with ExitStack() as undo:
        if strong:
            put(base, strong, undo)
        yield base


def no_export(method: str, what: str) -> CapabilityError:
    """Say that an identity is nothing that other programs' formats hold; `what` it is instead."""
    found = f"an identity of method '{method}' is {what}"
    return CapabilityError(found, "a method that trains weights", "draw with `ipseity generate`")
