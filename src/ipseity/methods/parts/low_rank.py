"""Low-rank layers that a checkpoint brings along, added beside layers for the length of a block.

They are hooks on the layers' outputs: no name is taken, no other low-rank layer is switched off, and whether the layer they
lie beside is bare, wrapped before or wrapped afterwards makes no difference.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from ipseity.core.errors import WeightsError


@dataclass(frozen=True)
class LowRank:
    """One pair of factors."""

    down: Float[Tensor, "R I"]
    up: Float[Tensor, "O R"]
    alpha: float | None = None
    """The product counts alpha / R; None counts 1."""

    @property
    def weight(self) -> float:
        """What the product is multiplied with at strength 1."""
        return 1.0 if self.alpha is None else self.alpha / len(self.down)


def read_low_rank(tensors: Mapping[str, Tensor], *, where: str) -> dict[str, LowRank]:
    """Pair factors up, whichever of diffusers' ways of naming them a checkpoint follows.

    Args:
        tensors: of a U-Net's linear layers.
        where: what messages call their file.

    Returns:
        The factors by the layer's name inside the U-Net.

    Raises:
        WeightsError: a factor lacks its partner, is no matrix, or bears a name that is not understood.
    """
    from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

    named: Any = convert_unet_state_dict_to_peft
    factors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in named(dict(tensors)).items():
        found = re.fullmatch(r"(?:unet\.)?(.+)\.(?:(lora_A|lora_B)\.weight|(alpha))", name)
        if found is None or (found.group(2) and tensor.ndim != 2):
            raise _odd(where, f"a tensor {name} of shape {tuple(tensor.shape)}")
        factors.setdefault(found.group(1), {})[found.group(2) or "alpha"] = tensor
    for layer, pair in factors.items():
        if not {"lora_A", "lora_B"} <= pair.keys() or len(pair["lora_A"]) != pair["lora_B"].shape[1]:
            raise _odd(where, f"no fitting pair of factors for {layer}")
    return {
        layer: LowRank(pair["lora_A"], pair["lora_B"], float(pair["alpha"]) if "alpha" in pair else None)
        for layer, pair in factors.items()
    }


@contextmanager
def added_beside(part: nn.Module, factors: Mapping[str, LowRank], scale: float, *, where: str) -> Iterator[None]:
    """Let layers of a part give what they give and the product of the factors besides.

    Args:
        part: whose layers they are.
        factors: by the layer's name inside the part.
        scale: strength; 0 adds nothing.
        where: what messages call the checkpoint.

    Raises:
        WeightsError: a layer is not there, or of another size.
    """
    with ExitStack() as undo:
        for name, pair in factors.items() if scale else ():
            layer = _layer(part, name, pair, where)
            weight = getattr(layer, "base_layer", layer).weight
            down, up = (factor.to(weight.device, weight.dtype) for factor in (pair.down, pair.up))
            undo.callback(layer.register_forward_hook(_adding(down, up, scale * pair.weight)).remove)
        yield


def _adding(down: Tensor, up: Tensor, scale: float) -> Any:
    def add(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        return output + scale * linear(linear(args[0].to(down.dtype), down), up).to(output.dtype)

    return add


def _layer(part: nn.Module, name: str, pair: LowRank, where: str) -> Any:
    try:
        layer: Any = part.get_submodule(name)
        shape = tuple(getattr(layer, "base_layer", layer).weight.shape)
    except AttributeError as error:
        raise _odd(where, f"factors for {name}, which this base does not have") from error
    if shape != (len(pair.up), pair.down.shape[1]):
        raise _odd(
            where, f"factors for {name} of size {(len(pair.up), pair.down.shape[1])}, which is {shape} in this base"
        )
    return layer


def _odd(where: str, problem: str) -> WeightsError:
    return WeightsError(
        f"{where} holds {problem}",
        "low-rank factors of this base's linear layers",
        "choose the base that the checkpoint's card names",
    )


@torch.no_grad()
def attention_factors(tensors: Mapping[str, Tensor], processors: Mapping[str, Any]) -> dict[str, Tensor]:
    """Name the low-rank factors of a FaceID file, which counts attention layers, by the layers' own names.

    Args:
        tensors: "0.to_q_lora.down.weight" and so on; others are left out.
        processors: of the bare denoiser; their order is what is counted.
    """
    places = [name.removesuffix(".processor") for name in processors]
    numbered = (
        (re.fullmatch(r"(\d+)\.(to_\w+_lora\.(?:down|up)\.weight)", name), tensor) for name, tensor in tensors.items()
    )
    known = [(int(found.group(1)), found.group(2), tensor) for found, tensor in numbered if found]
    return {f"{places[index] if index < len(places) else index}.{rest}": tensor for index, rest, tensor in known}
