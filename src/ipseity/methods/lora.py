"""Low-rank layers beside the base's attention layers (arXiv:2106.09685), of one rank or one that follows the noise."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ipseity.core.errors import CapabilityError, Refusal
from ipseity.core.identity import Attachment, Identity
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import ExportForm, Method
from ipseity.core.rng import Rng
from ipseity.core.types import Subject
from ipseity.methods.parts import adapters, export
from ipseity.methods.parts.denoising import DenoisingOptions
from ipseity.methods.parts.detaching import Place
from ipseity.methods.parts.learner import (
    DenoisingLearner,
    denoiser,
    fill,
    freeze_unheard,
    mismatch,
    text_encoders,
    training,
    unfit,
)
from ipseity.methods.parts.ranks import ranks_following_noise

TEXT_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")
"""Attention layers of CLIP's text encoders."""


class LoRAOptions(DenoisingOptions):
    """Where low-rank layers go and how large they are."""

    use: Literal["lora"] = "lora"
    """Low-rank layers."""
    rank: int = Field(16, ge=1)
    """Width of the low-rank layers; more holds more detail and overfits sooner."""
    alpha: float | None = Field(None, gt=0)
    """The layers count alpha / rank; unset means alpha = rank."""
    targets: tuple[str, ...] | None = Field(None, min_length=1)
    """Ends of the names of the denoiser's layers that are adapted; unset means the base's own choice."""
    train_text_encoder: bool = False
    """Whether the text encoders' attention is adapted too."""
    init: adapters.Init = "kaiming"
    """How the layers start; "orthogonal" suits the rank schedule "t-lora"."""
    rank_schedule: Literal["constant", "t-lora"] = "constant"
    """"t-lora" uses fewer ranks at high noise (arXiv:2507.05964), in training and in drawing."""
    min_rank: int | None = Field(None, ge=0)
    """Ranks left at the highest noise with "t-lora"; unset means half of them."""
    seed: int = Field(0, ge=0)
    """Decides the numbers that the layers start with."""

    def resolved(self, base: Any) -> "LoRAOptions":
        """Give the same options with every default written out for a base."""
        return self.model_copy(
            update={
                "alpha": float(self.rank if self.alpha is None else self.alpha),
                "targets": tuple(base.targets if self.targets is None else self.targets),
                "min_rank": min(self.rank, max(1, self.rank // 2) if self.min_rank is None else self.min_rank),
            }
        )


class LoRALearner(DenoisingLearner):
    """Learns the low-rank layers."""

    method = "lora"

    @cached_property
    def originals(self) -> Sequence[Place]:
        """The layers that the low-rank ones lie beside."""
        return adapters.adapted(self.base.parts().values())

    def drift(self) -> Float[Tensor, ""]:
        """Give the squared length of what is added to the adapted weights, as a share of theirs.

        It is that of the products and not of the factors: a factor may grow while the other shrinks, or both turn, and
        the base draws the same; and the factors that start from chance would be drawn to zero, or to that chance.
        """
        told: LoRAOptions = self.options
        assert told.alpha is not None, "options must be resolved"
        return adapters.added_power(self._named) * (told.alpha / told.rank) ** 2 / self._adapted_power

    @cached_property
    def _adapted_power(self) -> float:
        return sum(float(layer.weight.detach().float().square().sum()) for _, _, layer in self.originals)


class LoRA:
    """Adapts attention with few parameters; identities are small and compose."""

    Options: ClassVar[type[AnyOptions]] = LoRAOptions
    needs: ClassVar[frozenset[str]] = frozenset({"text"})
    needs_encoders: ClassVar[frozenset[str]] = frozenset()
    exports: ClassVar[frozenset[str]] = frozenset({"diffusers", "kohya"})

    @staticmethod
    def begin(base: Any, subject: Subject, encoders: Mapping[str, Any], options: LoRAOptions) -> LoRALearner:
        """Put fresh layers into a base; they change nothing until they are trained.

        Raises:
            RecipeError: `targets` names no layer.
        """
        told, drawing = options.resolved(base), denoiser(base)
        heard = text_encoders(base) if told.train_text_encoder else {}
        with ExitStack() as undo:
            undo.enter_context(training([base.parts()[drawing], *heard.values()]))
            parameters = _insert(base, "default", told, (drawing, *heard), undo)
            adapters.start(parameters, told.init, Rng(told.seed, ("lora",)))
            freeze_unheard(base, {name: value for name, value in parameters.items() if name.startswith("text_encoder")})
            if told.rank_schedule == "t-lora":
                undo.enter_context(_scheduled(base, "default", told))
            return LoRALearner(
                base, subject, options=told, parameters=parameters, undo=undo.pop_all(), trains_text=bool(heard)
            )

    @staticmethod
    @contextmanager
    def attach(base: Any, attachments: Sequence[Attachment]) -> Iterator[Any]:
        """Put identities into a base for the length of a block, each at its own scale.

        Raises:
            CapabilityError: an identity belongs to another base and does not fit.
            WeightsError: an identity does not fit these weights.
        """
        strong = {f"identity_{number}": one for number, one in enumerate(attachments) if one.scale != 0}
        with ExitStack() as undo:
            _attach(base, strong, undo)
            yield base

    @staticmethod
    def export(identity: Identity, base: Any, form: ExportForm, folder: Path) -> list[Path]:
        """Write `pytorch_lora_weights.safetensors` (diffusers) or `lora_kohya.safetensors` (kohya, ComfyUI, A1111).

        Raises:
            CapabilityError: the rank follows the noise, which no other program does; or the base is a transformer, whose
                layers kohya's form fuses and no library writes.
        """
        told = LoRAOptions(**identity.options)
        if told.rank_schedule != "constant":
            raise CapabilityError(
                f"the identity was learned with rank_schedule = '{told.rank_schedule}'",
                "a constant rank: other programs would use all ranks at all noise levels, and draw something else",
                "draw with `ipseity generate`, or train again with method.rank_schedule = 'constant'",
            )
        assert told.alpha is not None, "identities hold resolved options"
        if form == "kohya" and denoiser(base) != "unet":
            raise CapabilityError(
                f"base '{base.name}' draws with a transformer",
                "a U-Net: for transformers diffusers has no converter to kohya's form, which fuses q, k and v",
                "choose --to diffusers, which diffusers itself and others read",
            )
        if form == "kohya":
            return [export.write_kohya(identity.tensors, told.alpha, folder)]
        with ExitStack() as undo:
            _attach(base, {"default": Attachment(identity)}, undo)
            return [export.write_diffusers_lora(base, _parts_of(identity), folder)]


def _insert(
    base: Any, adapter: str, told: LoRAOptions, parts: Sequence[str], undo: ExitStack | None
) -> dict[str, nn.Parameter]:
    """Insert an adapter into parts; with `undo`, arrange for the layers to be put back."""
    assert told.targets is not None and told.alpha is not None, "options must be resolved"
    parameters = {}
    for part in parts:
        if undo is not None:
            undo.enter_context(adapters.layers_put_back(base.parts()[part]))
        targets = TEXT_TARGETS if part.startswith("text_encoder") else told.targets
        inside = adapters.insert(base.parts()[part], adapter, rank=told.rank, alpha=told.alpha, targets=targets)
        parameters |= {f"{part}.{name}": value for name, value in inside.items()}
    return parameters


def _attach(base: Any, attachments: Mapping[str, Attachment], undo: ExitStack) -> None:
    parts = {part for one in attachments.values() for part in _parts_of(one.identity)}
    for part in sorted(parts & base.parts().keys()):
        undo.enter_context(adapters.layers_put_back(base.parts()[part]))
    for adapter, one in attachments.items():
        told, tensors = LoRAOptions(**one.identity.options).resolved(base), one.identity.tensors
        try:
            parameters = _insert(base, adapter, told, _parts_of(one.identity), None)
        except (KeyError, Refusal) as error:
            raise unfit(one.identity, base, f"it adapts what is not there: {error}") from error
        if problem := mismatch(parameters, tensors):
            raise unfit(one.identity, base, problem)
        fill(parameters, tensors, where="the identity")
        if told.rank_schedule == "t-lora":
            undo.enter_context(_scheduled(base, adapter, told))
    for part in parts:
        adapters.activate(base.parts()[part], {name: one.scale for name, one in attachments.items()})


def _parts_of(identity: Identity) -> list[str]:
    return sorted({name.split(".")[0] for name in identity.tensors})


def _scheduled(base: Any, adapter: str, told: LoRAOptions) -> AbstractContextManager[None]:
    assert told.min_rank is not None, "options must be resolved"
    part = base.parts()[denoiser(base)]
    downs = adapters.downward(part, adapter)
    return ranks_following_noise(part, downs, levels=base.path.levels, min_rank=told.min_rank)


PLUGIN: type[Method] = LoRA
