"""What a plug-in of each kind must say (facts) and do (verbs). The name of a plug-in is its file's name.

Abilities of bases are `text`, `pooled_text`, `token_table`, `cross_attention`, `joint_attention`, `image_tokens`,
`control`; of encoders `image`, `text`, `patches`, `face`. A base or an encoder *offers*, a method or a metric *needs*.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor, nn

from ipseity.core.drawing import DrawOptions
from ipseity.core.identity import Attachment, Identity
from ipseity.core.noise import NoisePath
from ipseity.core.options import Options as AnyOptions
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Cond, Example, Gallery, References, Request, Subject

PipelineKind = Literal["text", "image", "inpaint", "control"]
ExportForm = Literal["diffusers", "kohya"]


class Base(Protocol):
    """A generative model: text and pixels in, prediction out."""

    Options: ClassVar[type[AnyOptions]]
    offers: ClassVar[frozenset[str]]
    targets: ClassVar[tuple[str, ...]]
    """Names of the modules inside the denoiser where adapters go unless told otherwise."""
    native_resolution: ClassVar[int]
    """Side in pixels that published weights of this kind draw, known before any is loaded."""

    name: str
    licence: str
    resolution: int
    """Native side in pixels."""
    latent_stride: int
    latent_channels: int
    path: NoisePath
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self: ...
    @classmethod
    def tiny(cls, seed: int = 0, device: torch.device | str = "cpu") -> Self: ...

    def encode_text(self, prompts: Sequence[str]) -> Cond:
        """Encode prompts; the empty string gives what the stock pipeline uses as its unconditional side."""
        ...

    def size_hints(
        self, original: Sequence[tuple[int, int]], crop: Sequence[tuple[int, int]]
    ) -> Float[Tensor, "B 6"] | None:
        """Give SDXL's hints for pictures of `original` (height, width) cut at `crop` (top, left); None where unused."""
        ...

    def encode_image(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]: ...
    def decode(self, latents: Float[Tensor, "B C h w"]) -> Float[Tensor, "B 3 H W"]: ...
    def predict(self, latents: Float[Tensor, "B C h w"], t: Float[Tensor, "B"], cond: Cond) -> Float[Tensor, "B C h w"]:
        """Give the network's own prediction (see `path.prediction_type`) for noisy latents at level `t`."""
        ...

    def pipeline(self, kind: PipelineKind = "text") -> Any:
        """Give a stock diffusers pipeline over the very same modules."""
        ...

    @property
    def few_step(self) -> str | None:
        """Hash of the few-step LoRA that the checkpoint ships; None where it ships none."""
        ...

    def quick(self, kind: PipelineKind = "text") -> Any:
        """Give a pipeline that draws in a few steps without guidance; refuses where `few_step` is None."""
        ...

    def parts(self) -> Mapping[str, nn.Module]:
        """Give the modules by diffusers' names: `unet` or `transformer`, `vae`, `text_encoder`, `text_encoder_2`."""
        ...

    def tokenizers(self) -> Mapping[str, Any]:
        """Give the tokenizer of each text encoder that can learn words, under the text encoder's name."""
        ...

    def fingerprint(self) -> str:
        """Hash the weights as loaded."""
        ...


class Encoder(Protocol):
    """A frozen network that looks at pictures."""

    Options: ClassVar[type[AnyOptions]]
    offers: ClassVar[frozenset[str]]
    name: str
    licence: str
    width: int

    @classmethod
    def missing(cls) -> str | None:
        """Say what is not installed, or None when it can be loaded here without asking anybody."""
        ...

    @classmethod
    def load(cls, options: Any, device: torch.device | str = "cpu") -> Self: ...
    def embed(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Give one unit vector a picture, of any picture size."""
        ...

    def embed_text(self, prompts: Sequence[str]) -> Float[Tensor, "B D"]:
        """Give one unit vector a prompt, comparable with `embed` (offers `text`)."""
        ...

    def patches(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B h w D"]:
        """Give one unit vector a patch (offers `patches`)."""
        ...


class Captioner(Protocol):
    """A way of writing training captions."""

    Options: ClassVar[type[AnyOptions]]

    @staticmethod
    def examples(subject: Subject, options: Any) -> tuple[Example, ...]:
        """Give each photo its caption variants; the first is the full one and each holds the token."""
        ...


class Regularization(Protocol):
    """What preserves the rest of what the base knows."""

    Options: ClassVar[type[AnyOptions]]

    @staticmethod
    def plan(subject: Subject, examples: Sequence[Example], options: Any, rng: Rng) -> tuple[Request, ...]:
        """List the pictures that the frozen base shall make; may be empty."""
        ...

    @staticmethod
    def gather(images: Sequence[tuple[Request, Image]], options: Any) -> tuple[Example, ...]:
        """Turn the pictures made into what is shown beside the subject."""
        ...


@runtime_checkable
class Learner(Protocol):
    """What learns a subject on a base. Also a `torch.nn.Module` whose `forward(batch, rng)` is `loss`."""

    trains_text: bool
    """Whether text must be encoded anew in each step, so that it cannot be cached."""

    def trainable(self) -> Mapping[str, nn.Parameter]: ...
    def loss(self, batch: Batch, rng: Rng) -> dict[str, Float[Tensor, "b"]]:
        """Give losses per sample and by name ("subject", "regularization"), unreduced; a name may be absent."""
        ...

    def preview(self, prompts: Sequence[str], seeds: Sequence[int], options: DrawOptions) -> list[Image]: ...
    def identity(self) -> Identity: ...
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the state of a checkpoint's identity tensors."""
        ...

    def close(self) -> None:
        """Leave the base as it was, bit for bit."""
        ...


class Method(Protocol):
    """A way of putting an identity into a base."""

    Options: ClassVar[type[AnyOptions]]
    needs: ClassVar[frozenset[str]]
    needs_encoders: ClassVar[frozenset[str]]
    exports: ClassVar[frozenset[str]]
    """Forms of `ExportForm` that an identity of this method can be written in."""

    @staticmethod
    def begin(base: Any, subject: Subject, encoders: Mapping[str, Encoder], options: Any) -> Learner: ...
    @staticmethod
    def attach(base: Any, attachments: Sequence[Attachment]) -> AbstractContextManager[Any]:
        """Put identities into a base for the length of a block; leaving restores the base bit for bit."""
        ...

    @staticmethod
    def export(identity: Identity, base: Any, form: ExportForm, folder: Path) -> list[Path]: ...


class Engine(Protocol):
    """What the loop runs on."""

    Options: ClassVar[type[AnyOptions]]
    rank: int
    world: int
    is_main: bool
    device: torch.device

    @classmethod
    def start(cls, options: Any) -> Self: ...
    def prepare(self, learner: Learner, optimizer: torch.optim.Optimizer) -> tuple[Any, torch.optim.Optimizer]:
        """Give a callable `(batch, rng) -> losses` whose gradients are shared between processes, and the optimizer."""
        ...

    def micro_step(self, *, last: bool) -> AbstractContextManager[None]: ...
    def backward(self, loss: Tensor) -> None: ...
    def clip(self, parameters: Sequence[nn.Parameter], max_norm: float) -> float:
        """Clip the gradient and give its norm before clipping."""
        ...

    def gather(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average numbers over processes."""
        ...

    def barrier(self) -> None: ...


class Metric(Protocol):
    """A score of each image of a gallery."""

    title: ClassVar[str]
    unit: ClassVar[str]
    better: ClassVar[Literal["higher", "lower"]]
    needs: ClassVar[frozenset[str]]
    """What the encoder must offer."""

    @staticmethod
    def score(gallery: Gallery, references: References, encoder: Encoder) -> Float[Tensor, "N"] | None:
        """Score each image; None where the references do not allow it (no mask, no bare-base pictures)."""
        ...
