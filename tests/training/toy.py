"""A small learner and its batches: what the loop needs of a method and of the data, and nothing more."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor, nn

from ipseity.core.drawing import DrawOptions
from ipseity.core.identity import Identity
from ipseity.core.noise import NoisePath
from ipseity.core.rng import Rng
from ipseity.core.types import Batch
from ipseity.methods.parts.detaching import standing_in
from ipseity.training.engines.single import Single, SingleOptions


class ToyLearner(nn.Module):
    """Learns to take noise away with two matrices and biases; a frozen one stands for the base."""

    trains_text = False

    def __init__(self, width: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(0)
        self.frozen = nn.Linear(64, width).requires_grad_(False)
        self.down = nn.Linear(width, width)
        self.up = nn.Linear(width, 64)
        self.dropout = nn.Dropout(dropout)  # draws from torch's global stream, as adapters' dropout does
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=made) * 0.1

    def trainable(self) -> Mapping[str, nn.Parameter]:
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def forward(self, batch: Batch, rng: Rng) -> dict[str, Tensor]:
        return self.loss(batch, rng)

    def loss(self, batch: Batch, rng: Rng) -> dict[str, Tensor]:
        clean = batch.latents.flatten(1)
        noise = rng.fork("noise").normal(clean.shape, like=clean)
        guess = self.up(self.dropout(self.down(self.frozen(clean + noise)).tanh()))
        each = ((guess - clean) ** 2).mean(1)
        return {"subject": each[batch.is_subject], "regularization": each[~batch.is_subject]}

    def preview(self, prompts: Sequence[str], seeds: Sequence[int], options: DrawOptions) -> list[Image]:
        return [
            Pillow.new("RGB", (8, 8), (seed % 256, len(prompt), 0)) for prompt, seed in zip(prompts, seeds, strict=True)
        ]

    def identity(self) -> Identity:
        tensors = {name: value.detach().clone() for name, value in self.trainable().items()}
        return Identity(tensors, "toy", "0" * 8, "toy", "sks", "mug")

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self.trainable().items():
            parameter.data.copy_(tensors[name])

    def close(self) -> None:
        pass


class HeldLearner(ToyLearner):
    """A toy learner that can step aside and tell how far it has gone, as regularizations with a loss ask."""

    def __init__(self) -> None:
        super().__init__()
        self.path = NoisePath(torch.linspace(0.99, 0.005, 50), "epsilon")
        self.began = copy.deepcopy({"down": self.down, "up": self.up})  # in a dictionary, so not among its modules
        for module in self.began.values():
            module.requires_grad_(False)

    def predict(self, latents: Tensor, t: Tensor, batch: Batch) -> Tensor:
        return self.up(self.down(self.frozen(latents.flatten(1))).tanh()).view_as(latents)

    def detached(self) -> AbstractContextManager[None]:
        return standing_in([(self, name, module) for name, module in self.began.items()])

    def drift(self) -> Tensor:
        pairs = [(getattr(self, name).weight, module.weight) for name, module in self.began.items()]
        return torch.stack([(now - then).square().sum() for now, then in pairs]).sum()


class SettledLearner(ToyLearner):
    """Learns nothing: everything was known from the start."""

    def trainable(self) -> Mapping[str, nn.Parameter]:
        return {}

    def identity(self) -> Identity:
        return Identity({"face": torch.ones(3)}, "toy", "0" * 8, "toy", "sks", "mug")


@dataclass
class ToyBatches:
    """Two subjects and two regularization rows, a function of (seed, step, rank, micro)."""

    seed: int = 0
    rows: int = 4
    poison_at: int | None = None
    asked: list[tuple[int, int, int]] = field(default_factory=list)

    def at(self, step: int, accumulate: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for micro in range(accumulate):
            self.asked.append((step, micro, rank))
            latents = Rng(0).fork("subject").normal((1, 4, 4, 4)).repeat(self.rows, 1, 1, 1)
            latents += 0.2 * Rng(self.seed).fork("toy", step, rank, micro).normal(latents.shape)
            if step == self.poison_at:
                latents = latents * math.nan
            is_subject = torch.arange(self.rows) % 2 == 0
            yield Batch(latents, tuple("a photo of sks mug" for _ in range(self.rows)), is_subject)


def single() -> Single:
    return Single.start(SingleOptions(device="cpu"))


FACTS = {"recipe_hash": "abc", "seed": 0, "photos": {"a.png": "1"}, "base_fingerprint": "f"}
RECIPE = 'name = "toy"\n\n[fit]\nmax_train_steps = 12\n'
