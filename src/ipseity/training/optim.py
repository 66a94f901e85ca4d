"""The optimizer, its learning rate as a pure function of the step, and its state as plain named tensors."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from ipseity.core.errors import RunError

Schedule = Literal["constant", "cosine", "linear"]


def make_optimizer(
    parameters: Mapping[str, nn.Parameter], *, learning_rate: float, betas: tuple[float, float], weight_decay: float
) -> torch.optim.Optimizer:
    """Make a fused AdamW over all parameters, in the mapping's order.

    Source:
        arXiv:1711.05101, algorithm 2, as torch implements it.
    """
    return torch.optim.AdamW(
        list(parameters.values()), lr=learning_rate, betas=betas, weight_decay=weight_decay, fused=True
    )


def rate_at(step: int, schedule: Schedule, *, learning_rate: float, warmup: int, total: int) -> float:
    """Give the learning rate of a step.

    Args:
        step: 0 for the first optimizer step.
        schedule: `constant`, or falling to zero at `total` along a `linear` or half a `cosine` wave.
        learning_rate: the highest rate.
        warmup: steps over which the rate rises in equal parts to the highest.
        total: optimizer steps of the whole run.
    """
    if step < warmup:
        return learning_rate * (step + 1) / (warmup + 1)
    gone = (step - warmup) / max(1, total - warmup)
    if schedule == "linear":
        return learning_rate * max(0.0, 1 - gone)
    if schedule == "cosine":
        return learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, gone)))
    return learning_rate


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let the optimizer's next step use `rate`."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def pack_state(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Give the optimizer's state as tensors named `<what>/<parameter>`, exactly as they are."""
    return {
        f"{what}/{name}": torch.as_tensor(value)
        for name, parameter in parameters.items()
        for what, value in optimizer.state.get(parameter, {}).items()
    }


def unpack_state(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Give the optimizer the state that `pack_state` wrote.

    Raises:
        RunError: it is the state of other parameters.
    """
    packed: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        what, _, name = key.partition("/")
        packed.setdefault(name, {})[what] = tensor
    strange = sorted(set(packed) ^ set(parameters))
    strange += [name for name in packed if name in parameters and _misshapen(packed[name], parameters[name])]
    if strange:
        raise RunError(
            f"the checkpoint's optimizer state does not fit what is trained ({len(strange)} differ, as '{strange[0]}')",
            "the state of the same parameters",
            "start a new run folder",
        )
    state = {index: packed[name] for index, name in enumerate(parameters)}
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _misshapen(state: Mapping[str, Tensor], parameter: nn.Parameter) -> bool:
    return any(value.ndim and value.shape != parameter.shape for value in state.values())
