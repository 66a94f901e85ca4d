"""A rank that falls as noise grows (arXiv:2507.05964): high noise decides the layout and need not know the photos."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def ranks_at(t: Float[Tensor, "B"], *, rank: int, min_rank: int) -> Tensor:
    """Give the number of ranks in use at noise level `t`.

    Args:
        t: noise level in [0, 1]; 0 uses all ranks.
        rank: how many there are.
        min_rank: how many are left at `t = 1`.

    Source:
        arXiv:2507.05964, section 3.2: r(t) = floor((r - r_min) (T - t) / T) + r_min; our t is the paper's t / T.
    """
    used = (rank - min_rank) * (1 - t.float()) + 1e-4  # rounding must not cost a rank; levels are 1 / 1000 apart
    return used.floor().long().add(min_rank).clamp(min_rank, rank)


def rank_mask(t: Float[Tensor, "B"], *, rank: int, min_rank: int) -> Bool[Tensor, "B r"]:
    """Tell which ranks are in use, sample by sample: always the first ones."""
    return torch.arange(rank, device=t.device)[None] < ranks_at(t, rank=rank, min_rank=min_rank)[:, None]


@contextmanager
def ranks_following_noise(
    denoiser: nn.Module, downs: Mapping[str, nn.Module], *, levels: Callable[[Tensor], Tensor], min_rank: int
) -> Iterator[None]:
    """Silence the higher ranks at high noise for the length of a block, in training and in stock pipelines alike.

    The denoiser is told its timestep by whoever calls it, and that is where the noise level is read.

    Args:
        denoiser: the network that holds the low-rank layers.
        downs: the layers that project down to the ranks.
        levels: turns the checkpoint's timesteps into noise levels, as the base's path does.
        min_rank: ranks left at the highest noise.
    """
    now: dict[str, Tensor] = {}
    masks: dict[tuple[int, torch.device], Tensor] = {}

    def listen(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        step = torch.as_tensor(kwargs["timestep"] if "timestep" in kwargs else args[1])
        now["t"] = levels(step.detach().reshape(-1))
        masks.clear()

    def silence(_: nn.Module, __: tuple[Any, ...], projected: Tensor) -> Tensor:
        is_picture = projected.ndim == 4  # (B, r, h, w) from a convolution, else (B, ..., r)
        rank = projected.shape[1] if is_picture else projected.shape[-1]
        key = (rank, projected.device)
        if key not in masks:
            masks[key] = rank_mask(now["t"].to(projected.device), rank=rank, min_rank=min_rank)
        mask = masks[key]
        inner = (1,) * (projected.ndim - 2)
        shaped = mask.view(len(mask), rank, *inner) if is_picture else mask.view(len(mask), *inner, rank)
        return projected * shaped.to(projected.dtype)

    handles = [denoiser.register_forward_pre_hook(listen, with_kwargs=True)]
    handles += [down.register_forward_hook(silence) for down in downs.values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
