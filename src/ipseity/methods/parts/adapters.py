"""Low-rank layers inside a base's parts, put in by peft and taken out again without a trace."""

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ipseity.core.errors import RecipeError
from ipseity.core.rng import Rng
from ipseity.methods.parts.detaching import Place, beneath

Init = Literal["kaiming", "gaussian", "orthogonal"]


@contextmanager
def layers_put_back(part: nn.Module) -> Iterator[None]:
    """Let peft wrap layers of a part, and give each layer its place back at the end of the block."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    kept = dict(part.named_modules())
    carried = [name for name, module in kept.items() if isinstance(module, BaseTunerLayer)]
    assert not carried, f"this base carries low-rank layers already ({carried[0]}): attach all identities at once"
    trained = {name: value.requires_grad for name, value in part.named_parameters()}
    try:
        yield
    finally:
        for name, module in list(part.named_modules()):
            if isinstance(module, BaseTunerLayer):
                part.set_submodule(name, kept[name])
        if "peft_config" in vars(part):
            del part.peft_config
        for name, parameter in part.named_parameters():
            parameter.requires_grad_(trained[name])


def insert(
    part: nn.Module, adapter: str, *, rank: int, alpha: float, targets: Sequence[str]
) -> dict[str, nn.Parameter]:
    """Put low-rank layers, all of fp32, beside the layers of a part that bear one of the names.

    Torch's global stream of chance is left alone; the new layers add nothing until they are filled.

    Returns:
        The new parameters, under the names that peft saves them by.

    Raises:
        RecipeError: a name fits no layer, or one that cannot carry a low-rank layer.
    """
    from peft import LoraConfig, inject_adapter_in_model

    _check_targets(part, targets)
    settings: dict[str, Any] = {"r": rank, "lora_alpha": alpha, "target_modules": list(targets), "lora_dropout": 0.0}
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several, on purpose
        try:
            inject_adapter_in_model(LoraConfig(**settings), part, adapter)
        except ValueError as error:
            told, needed = f"method.targets = {list(targets)} ({error})", "names of linear or convolution layers"
            raise RecipeError(told, needed, "leave it out for the base's own") from error
    found = {}
    for name, parameter in part.named_parameters():
        if f".{adapter}." in name and ".lora_" in name:
            parameter.data = parameter.data.float()
            found[name.replace(f".{adapter}.", ".")] = parameter
    return found


def start(parameters: Mapping[str, nn.Parameter], init: Init, rng: Rng) -> None:
    """Fill the layers that project down with chance numbers, and those that project up with zeros.

    Args:
        parameters: as `insert` gives them.
        init: "kaiming" as peft does, "gaussian" with deviation 1 / rank, "orthogonal" with unit rows at right
            angles, so that no rank repeats another.
        rng: a place of its own; each layer's numbers depend on its name alone.
    """
    for name, parameter in parameters.items():
        if ".lora_A." not in name:
            nn.init.zeros_(parameter)
            continue
        drawn = torch.empty(parameter.shape)
        generator = rng.fork(name).generator()
        if init == "kaiming":
            nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
        elif init == "gaussian":
            nn.init.normal_(drawn, std=1 / len(drawn), generator=generator)
        else:
            nn.init.orthogonal_(drawn, generator=generator)
        with torch.no_grad():
            parameter.copy_(drawn)


def activate(part: nn.Module, scales: Mapping[str, float]) -> None:
    """Let several adapters work together, each at its own strength, none of them trained."""
    from peft.tuners.lora import LoraLayer

    for layer in part.modules():
        if isinstance(layer, LoraLayer):
            here = [name for name in scales if name in layer.lora_A]
            layer.set_adapter(here)
            for name in here:
                layer.set_scale(name, scales[name])
    for name, parameter in part.named_parameters():
        if ".lora_" in name:
            parameter.requires_grad_(False)


def adapted(parts: Iterable[nn.Module]) -> list[Place]:
    """List where layers carry low-rank ones, with the layers as they were."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return beneath(parts, BaseTunerLayer, "base_layer")


def added_power(parameters: Mapping[str, nn.Parameter]) -> Float[Tensor, ""]:
    """Give the sum of squares of all that low-rank layers add to weights, at scale 1; differentiable.

    |BA|^2 is the trace of (B'B)(AA'): matrices of the rank's size, so no weight of the base's size is ever made.

    Args:
        parameters: as `insert` gives them; convolutions count as the matrices that they are.
    """
    ups = {name.replace(".lora_B.", ".lora_A."): value.flatten(1) for name, value in parameters.items()}
    pairs = [(ups[name], value.flatten(1)) for name, value in parameters.items() if ".lora_A." in name]
    with torch.autocast(pairs[0][0].device.type, enabled=False):  # squares of small numbers are not for bf16
        return torch.stack([((up.T @ up) * (down @ down.T)).sum() for up, down in pairs]).sum()


def downward(part: nn.Module, adapter: str) -> dict[str, nn.Module]:
    """Give the layers of an adapter that project down to its ranks."""
    return {name: module for name, module in part.named_modules() if name.endswith(f".lora_A.{adapter}")}


def of_part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Give the tensors whose names begin with a part's, without it."""
    return {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}


def _check_targets(part: nn.Module, targets: Sequence[str]) -> None:
    names = [name for name, _ in part.named_modules()]
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name in names):
            raise RecipeError(
                f"no layer of the {type(part).__name__} is called '{target}'",
                "ends of layer names, such as to_q or ff.net.2",
                "change method.targets, or leave it out for the base's own",
            )
