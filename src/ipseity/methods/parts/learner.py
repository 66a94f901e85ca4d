"""What learners that train parts of a base have in common: the loss, the pictures, and a base left as it was found."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn

from ipseity.core.drawing import DrawOptions, draw_all, pipeline_for
from ipseity.core.errors import CapabilityError, Refusal, WeightsError
from ipseity.core.identity import Identity
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Subject
from ipseity.methods.parts.denoising import DenoisingOptions, condition, denoising_loss
from ipseity.methods.parts.detaching import Place, standing_in


class DenoisingLearner(nn.Module):
    """Learns a subject by denoising its photos, with parameters that live inside the base.

    Args:
        base: what is personalized; it carries the parameters until `close`.
        subject: whom they shall stand for.
        options: the method's options, all defaults resolved.
        parameters: what is trained, under the names it is saved by.
        undo: what puts the base back; closed by `close`.
        trains_text: whether what is trained changes how texts are encoded.
    """

    method: ClassVar[str]

    def __init__(
        self,
        base: Any,
        subject: Subject,
        *,
        options: Any,
        parameters: Mapping[str, nn.Parameter],
        undo: ExitStack,
        trains_text: bool,
    ) -> None:
        super().__init__()
        self.base, self.subject, self.options, self.trains_text = base, subject, options, trains_text
        self.path = base.path
        self._named = dict(parameters)
        self._undo = undo
        self.trained = nn.ParameterList(self.trainable().values())  # for wrappers to find; the base stays outside

    def trainable(self) -> Mapping[str, nn.Parameter]:
        """Give what is trained, by name."""
        return {name: value for name, value in self._named.items() if value.requires_grad}

    def forward(self, batch: Batch, rng: Rng) -> dict[str, Float[Tensor, "b"]]:
        """Give the loss."""
        return self.loss(batch, rng)

    def loss(self, batch: Batch, rng: Rng) -> dict[str, Float[Tensor, "b"]]:
        """Give squared errors per sample, by name."""
        options: DenoisingOptions = self.options
        return denoising_loss(self.base, batch, rng, options)

    def predict(
        self, latents: Float[Tensor, "B C h w"], t: Float[Tensor, "B"], batch: Batch
    ) -> Float[Tensor, "B C h w"]:
        """Predict with what was learned so far, under the captions of a batch."""
        return self.base.predict(latents, t, condition(self.base, batch))

    def detached(self) -> AbstractContextManager[None]:
        """Take what is learned out of the base for the length of a block."""
        return standing_in(self.originals)

    @cached_property
    def originals(self) -> Sequence[Place]:
        """What stands in the untouched base wherever this learner has put something of its own."""
        raise NotImplementedError

    def drift(self) -> Float[Tensor, ""]:
        """Give the squared distance of what is trained from where it began, as a share of what it changes."""
        raise NotImplementedError

    def preview(self, prompts: Sequence[str], seeds: Sequence[int], options: DrawOptions) -> list[Image]:
        """Draw with the stock pipeline over the very modules that are being trained."""
        with evaluating(self.base.parts().values()), torch.no_grad():
            return draw_all(pipeline_for(self.base, options), prompts, seeds, options)

    def identity(self) -> Identity:
        """Give a copy of what was learned so far."""
        return Identity(
            {name: value.detach().cpu().clone() for name, value in self._named.items()},
            base=self.base.name,
            base_fingerprint=self.base.fingerprint(),
            method=self.method,
            token=self.subject.token,
            class_noun=self.subject.class_noun,
            options=self.options.model_dump(mode="json"),
        )

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the state of a checkpoint, in place, so that optimizers keep their hold on the parameters.

        Raises:
            WeightsError: names or shapes are not those of this learner.
        """
        fill(self._named, tensors, where="the checkpoint")

    def close(self) -> None:
        """Leave the base as it was, bit for bit; a second call does nothing."""
        self._undo.close()


def fill(parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Copy tensors into parameters of the same names and shapes.

    Raises:
        WeightsError: a name is missing or too many, or a shape differs.
    """
    if problem := mismatch(parameters, tensors):
        needed = "the base and the method's options it was made with"
        raise WeightsError(f"{where} does not fit: {problem}", needed, "name the run that it belongs to")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def mismatch(parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str | None:
    """Say in which names or shapes two sets of tensors differ, or None where they agree."""
    if lacking := sorted(parameters.keys() - tensors.keys()):
        return f"{len(lacking)} tensors are missing ({lacking[0]})"
    if extra := sorted(tensors.keys() - parameters.keys()):
        return f"{len(extra)} tensors are unknown ({extra[0]})"
    wrong = [name for name, value in parameters.items() if value.shape != tensors[name].shape]
    if wrong:
        return f"{wrong[0]} is {tuple(tensors[wrong[0]].shape)} and should be {tuple(parameters[wrong[0]].shape)}"
    return None


def unfit(identity: Identity, base: Any, problem: str) -> Refusal:
    """Say that an identity cannot be attached to a base."""
    if identity.base != base.name:
        return CapabilityError(
            f"the identity was learned on '{identity.base}' and does not fit '{base.name}' ({problem})",
            f"base '{identity.base}'",
            f"choose --base {identity.base}, or train on '{base.name}'",
        )
    return WeightsError(
        f"the identity does not fit these weights of '{base.name}' ({problem})",
        "weights of the size it was learned on",
        "choose the weights that the run's manifest names",
    )


@contextmanager
def evaluating(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Put modules into evaluation mode for a while; each part goes back to the mode that it was in."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def training(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Put modules into training mode for a while, and back."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.train()
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def denoiser(base: Any) -> str:
    """Give the name of the part that denoises: `unet` or `transformer`, as diffusers calls it."""
    return "transformer" if "transformer" in base.parts() else "unet"


def text_encoders(base: Any) -> dict[str, nn.Module]:
    """Give the base's text encoders that have a table of tokens to learn in, by diffusers' names."""
    return {name: base.parts()[name] for name in base.tokenizers()}


def freeze_unheard(base: Any, parameters: Mapping[str, nn.Parameter]) -> None:
    """Freeze what no text reaches: encoders have layers behind the one that the base listens to.

    Left trainable, such parameters would never get a gradient, which data-parallel engines take for an error.

    Args:
        base: the base, in whose text encoders they live.
        parameters: those of the text encoders.
    """
    if not parameters:
        return
    with torch.enable_grad():
        heard = base.encode_text(["a"])
        total = torch.stack([slot.float().sum() for slot in (heard.text, heard.pooled) if slot is not None]).sum()
        found = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    for parameter, gradient in zip(parameters.values(), found, strict=True):
        parameter.requires_grad_(gradient is not None)
