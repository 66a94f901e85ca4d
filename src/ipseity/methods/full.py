"""All of the denoiser's weights, as DreamBooth trains them (arXiv:2208.12242)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn
from torch.nn.functional import mse_loss as squared_distance  # for the backward pass it keeps only what it is given

from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import CapabilityError
from ipseity.core.identity import Attachment, Identity
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import ExportForm, Method
from ipseity.core.types import Subject
from ipseity.methods.parts.denoising import DenoisingOptions
from ipseity.methods.parts.detaching import Place, places_of
from ipseity.methods.parts.export import writing_folder
from ipseity.methods.parts.learner import DenoisingLearner, denoiser, freeze_unheard, text_encoders, training, unfit


class FullOptions(DenoisingOptions):
    """What is trained beside the denoiser."""

    use: Literal["full"] = "full"
    """All weights."""
    train_text_encoder: bool = False
    """Whether the text encoders are trained too."""


class FullLearner(DenoisingLearner):
    """Learns the weights themselves, in fp32 whatever format the base is held in."""

    method = "full"

    def __init__(self, base: Any, subject: Subject, *, kept: Mapping[nn.Parameter, Tensor], **more: Any) -> None:
        super().__init__(base, subject, **more)
        self._kept = kept

    @cached_property
    def originals(self) -> Sequence[Place]:
        """The weights as they were, fetched to the base's device once: another base's worth of memory."""
        return places_of(self.base.parts().values(), self._originals)

    def drift(self) -> Float[Tensor, ""]:
        """Give the squared distance of the trained weights from the base's, as a share of these' squared length."""
        trained = list(self.trainable().values())
        parts = [squared_distance(one, self._originals[one], reduction="sum") for one in trained]
        return torch.stack(parts).sum() / self._power

    def close(self) -> None:
        """Leave the base as it was, bit for bit, and let go of what was kept of it."""
        super().close()
        self._kept = {}
        for fetched in ("originals", "_originals"):
            vars(self).pop(fetched, None)

    @cached_property
    def _originals(self) -> dict[nn.Parameter, nn.Parameter]:
        device = self.base.device
        return {one: nn.Parameter(data.to(device), requires_grad=False) for one, data in self._kept.items()}

    @cached_property
    def _power(self) -> float:
        return sum(float(self._originals[one].float().square().sum()) for one in self.trainable().values())

    def preview(self, prompts: Sequence[str], seeds: Sequence[int], options: DrawOptions) -> list[Image]:
        """Draw with the weights rounded to the base's format, as they will be when the identity is attached."""
        with _weights_kept(self._named.values()):
            for parameter in self._named.values():
                parameter.data = parameter.data.to(self.base.dtype)
            return super().preview(prompts, seeds, options)


class Full:
    """Adapts every weight: the most faithful and the largest identity, as big as the denoiser in fp32."""

    Options: ClassVar[type[AnyOptions]] = FullOptions
    needs: ClassVar[frozenset[str]] = frozenset({"text"})
    needs_encoders: ClassVar[frozenset[str]] = frozenset()
    exports: ClassVar[frozenset[str]] = frozenset({"diffusers"})

    @staticmethod
    def begin(base: Any, subject: Subject, encoders: Mapping[str, Any], options: FullOptions) -> FullLearner:
        """Make a base's weights trainable; the originals are kept on the processor."""
        heard = text_encoders(base) if options.train_text_encoder else {}
        drawing = denoiser(base)
        parts = {drawing: base.parts()[drawing], **heard}
        named = {f"{part}.{name}": value for part, module in parts.items() for name, value in module.named_parameters()}
        with ExitStack() as undo:
            undo.enter_context(training(list(parts.values())))
            kept = dict(zip(named.values(), undo.enter_context(_weights_kept(named.values(), aside=True)), strict=True))
            undo.enter_context(_told_in_own_format(parts[drawing]))
            for parameter in named.values():
                parameter.data = parameter.data.to(torch.float32, copy=True)
                parameter.requires_grad_(True)
            freeze_unheard(base, {name: value for name, value in named.items() if name.startswith("text_encoder")})
            trained = {name: value for name, value in named.items() if value.requires_grad}
            return FullLearner(
                base, subject, options=options, parameters=trained, undo=undo.pop_all(), trains_text=bool(heard),
                kept=kept,
            )  # fmt: skip

    @staticmethod
    @contextmanager
    def attach(base: Any, attachments: Sequence[Attachment]) -> Iterator[Any]:
        """Swap weights for the length of a block; a scale between 0 and 1 lies on the line between old and new.

        Raises:
            CapabilityError: more than one identity, or one of another base that does not fit.
            WeightsError: the identity does not fit these weights.
        """
        strong = [one for one in attachments if one.scale != 0]
        if len(strong) > 1:
            raise CapabilityError(
                f"{len(strong)} identities of method 'full'",
                "one: each replaces all weights",
                "attach one, or train with method 'lora', whose identities compose",
            )
        with ExitStack() as undo:
            for one in strong:
                named = _named(base, one.identity)
                undo.enter_context(_weights_kept(named.values(), aside=True))
                for name, parameter in named.items():
                    parameter.data = _between(parameter.data, one.identity.tensors[name], one.scale)
            yield base

    @staticmethod
    def export(identity: Identity, base: Any, form: ExportForm, folder: Path) -> list[Path]:
        """Write a whole checkpoint in the diffusers layout, in the base's number format."""
        with Full.attach(base, [Attachment(identity)]), writing_folder(folder):
            base.pipeline("text").save_pretrained(folder)
        return [folder / "model_index.json"]


def _named(base: Any, identity: Identity) -> dict[str, nn.Parameter]:
    parts = base.parts()
    known = {f"{part}.{name}": value for part, module in parts.items() for name, value in module.named_parameters()}
    for name, value in identity.tensors.items():
        if name not in known:
            raise unfit(identity, base, f"it changes {name}, which is not there")
        if known[name].shape != value.shape:
            raise unfit(identity, base, f"{name} is {tuple(value.shape)} there and {tuple(known[name].shape)} here")
    return {name: known[name] for name in identity.tensors}


def _between(old: Tensor, new: Tensor, scale: float) -> Tensor:
    new = new.to(old.device)
    if scale != 1:
        new = torch.lerp(old.float(), new.float(), scale)
    return new.to(old.dtype, copy=True)


@contextmanager
def _weights_kept(parameters: Iterable[nn.Parameter], *, aside: bool = False) -> Iterator[list[Tensor]]:
    """Give parameters back their data, which is lent, at the end of a block; `aside` keeps it on the processor."""
    kept = [(one, one.data.cpu() if aside else one.data, one.device, one.requires_grad) for one in parameters]
    try:
        yield [data for _, data, _, _ in kept]
    finally:
        for parameter, data, device, trained in kept:
            parameter.data = data.to(device)
            parameter.requires_grad_(trained)
            parameter.grad = None if aside else parameter.grad


@contextmanager
def _told_in_own_format(denoising: nn.Module) -> Iterator[None]:
    """Let a denoiser whose weights are fp32 take what a base of fewer bits tells it."""

    def turn(value: Any, dtype: torch.dtype) -> Any:
        if isinstance(value, dict):
            return {key: turn(one, dtype) for key, one in value.items()}
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    def turn_all(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        dtype = next(denoising.parameters()).dtype
        return tuple(turn(value, dtype) for value in args), turn(kwargs, dtype)

    handle = denoising.register_forward_pre_hook(turn_all, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


PLUGIN: type[Method] = Full
