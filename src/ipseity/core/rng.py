"""Chance as a function of progress: `(seed, step, rank, purpose)` in, numbers out. Nothing about it is ever saved."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Rng:
    """A place in the stream of chance. Two equal places always give equal numbers.

    Numbers are drawn on the processor and moved, so that a run draws the same ones on every device.
    """

    seed: int
    path: tuple[int | str, ...] = ()

    def fork(self, *purpose: int | str) -> "Rng":
        """Go to a place of its own: `rng.fork("noise", step, rank)`."""
        return Rng(self.seed, (*self.path, *purpose))

    def generator(self) -> torch.Generator:
        """Make a fresh processor generator for this place; calling twice gives the same numbers twice."""
        return torch.Generator("cpu").manual_seed(self.integer(2**63 - 1))

    def integer(self, below: int) -> int:
        """Give the whole number in [0, below) that belongs to this place."""
        words = "\x1f".join([str(self.seed), *(f"{type(part).__name__}:{part}" for part in self.path)])
        return int.from_bytes(hashlib.sha256(words.encode()).digest()[:16], "big") % below

    def normal(self, shape: Sequence[int], *, like: Tensor | None = None) -> Tensor:
        """Draw standard normal numbers, on the device and in the dtype of `like`."""
        drawn = torch.randn(tuple(shape), generator=self.generator())
        return drawn if like is None else drawn.to(like.device, like.dtype)

    def uniform(self, shape: Sequence[int]) -> Tensor:
        """Draw numbers in [0, 1) as fp32 on the processor."""
        return torch.rand(tuple(shape), generator=self.generator())

    def permutation(self, count: int) -> list[int]:
        """Shuffle `range(count)`."""
        return torch.randperm(count, generator=self.generator()).tolist()

    def choice(self, items: Sequence[T]) -> T:
        """Pick the item that belongs to this place."""
        assert items, "nothing to choose from"
        return items[self.integer(len(items))]
