"""Losses as pure functions `(prediction, target, mask) -> (B,)`, unreduced over the batch."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def squared_error(
    prediction: Float[Tensor, "B C h w"], target: Float[Tensor, "B C h w"], mask: Float[Tensor, "B 1 h w"] | None = None
) -> Float[Tensor, "B"]:
    """Average the squared difference over a sample's channels and places, weighted by `mask` where one is given.

    The mask's weights are normalized per sample, so that a small subject counts as much as a large one.
    """
    error = (prediction.float() - target.float()) ** 2
    if mask is None:
        return error.flatten(1).mean(1)
    weight = mask.float().expand_as(error)
    return (error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6)


def multiscale_error(
    prediction: Float[Tensor, "B C h w"],
    target: Float[Tensor, "B C h w"],
    mask: Float[Tensor, "B 1 h w"] | None = None,
    *,
    scales: Mapping[int, float],
) -> Float[Tensor, "B"]:
    """Average the squared error of the difference pooled over square cells, several sizes of cells together.

    Args:
        prediction: what the network gave.
        target: what it should have given.
        mask: weights of places, pooled as the difference is.
        scales: side of the cells in latents -> what that size counts; 1 is the plain squared error. Counts are normalized. A
            side that does not divide the latents' leaves the last rows and columns out.

    Source:
        arXiv:2301.11093, section 3.2 (multiscale training loss).
    """
    difference = prediction.float() - target.float()
    total = torch.zeros(len(difference), device=difference.device)
    for side, count in scales.items():
        pooled = difference if side == 1 else F.avg_pool2d(difference, side)
        weights = mask if mask is None or side == 1 else F.avg_pool2d(mask.float(), side)
        total = total + count * squared_error(pooled, torch.zeros_like(pooled), weights)
    return total / sum(scales.values())


def huber(
    prediction: Float[Tensor, "B C h w"],
    target: Float[Tensor, "B C h w"],
    mask: Float[Tensor, "B 1 h w"] | None = None,
    *,
    delta: float = 0.1,
) -> Float[Tensor, "B"]:
    """Average the pseudo-Huber difference: quadratic below `delta`, linear above.

    Source:
        arXiv:2403.16728, eq. 8, times 2 delta so that it meets the squared error near zero.
    """
    error = (prediction.float() - target.float()) ** 2
    rooted = 2 * delta * (torch.sqrt(error + delta**2) - delta)
    return squared_error(rooted.clamp(min=0).sqrt(), torch.zeros_like(rooted), mask)
