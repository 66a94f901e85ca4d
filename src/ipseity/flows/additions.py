"""What stands beside an identity while a portrait is drawn, and is gone afterwards: LoRAs, few steps, softer guidance."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipseity.core.errors import CapabilityError, WeightsError
from ipseity.core.weights import check_file, quiet, unreadable
from ipseity.data.photos import read_photo
from ipseity.flows.commission import ControlWish, LoraWish
from ipseity.methods.instantid import load_net
from ipseity.methods.parts.portrait import Control

KINDS = ("text", "image", "inpaint")


@contextmanager
def loras_on(base: Any, loras: Sequence[LoraWish]) -> Iterator[None]:
    """Load LoRAs into a base for the length of a block, by diffusers' own loader, and take all of them out again.

    Args:
        base: with no adapter inside yet; identities are attached within the block.
        loras: files in any layout that diffusers reads (diffusers, kohya).

    Raises:
        WeightsError: a file is not there, is no safetensors file, or fits nothing in this base.
    """
    if not loras:
        yield
        return
    loader = base.pipeline("text")
    names = [f"beside_{index}" for index in range(len(loras))]
    before = [(part, frozenset(vars(part))) for part in base.parts().values()]
    try:
        for name, lora in zip(names, loras, strict=True):
            _load(loader, lora.file, name, base.name)
        loader.set_adapters(names, [lora.scale for lora in loras])
        yield
    finally:
        loader.unload_lora_weights()
        for part, known in before:
            for name in vars(part).keys() - known:  # notes of the library that it had adapters
                delattr(part, name)


@contextmanager
def few_steps(base: Any) -> Iterator[None]:
    """Let a base draw in four to eight steps for the length of a block; its LCM-LoRA is loaded by `loras_on`.

    Source:
        arXiv:2311.05556: the LoRA goes with the LCM sampler.
    """
    from diffusers.schedulers.scheduling_lcm import LCMScheduler

    maker: Any = LCMScheduler
    pipelines = [base.pipeline(kind) for kind in KINDS]
    before = [pipeline.scheduler for pipeline in pipelines]
    try:
        for pipeline in pipelines:
            pipeline.scheduler = maker.from_config(pipeline.scheduler.config)
        yield
    finally:
        for pipeline, scheduler in zip(pipelines, before, strict=True):
            pipeline.scheduler = scheduler


@contextmanager
def rescaled(denoiser: Any, guidance: float, share: float) -> Iterator[None]:
    """Bring guided predictions back to the spread of the unguided-by-nothing one, whatever pipeline asks the denoiser.

    Both halves of the denoiser's answer become the guided, rescaled prediction, so that the pipeline's own guidance, which
    adds a multiple of their difference, leaves it as it is.

    Args:
        denoiser: is asked for both halves at once, the unguided one first.
        guidance: scale that the pipeline is told, above 1.
        share: how much of the rescaled prediction is taken, in [0, 1]; 0 changes nothing.

    Source:
        arXiv:2305.08891, section 3.4.
    """
    if share == 0 or guidance <= 1:
        yield
        return

    def change(module: Any, args: Any, out: Any) -> Any:
        answer: Tensor = out[0]
        bare, told = answer.chunk(2)
        guided = bare + guidance * (told - bare)
        rest = tuple(range(1, guided.ndim))
        even = guided * (told.std(dim=rest, keepdim=True) / guided.std(dim=rest, keepdim=True))
        mixed = share * even + (1 - share) * guided
        return (torch.cat([mixed, mixed]), *out[1:])

    hook = denoiser.register_forward_hook(change)
    try:
        yield
    finally:
        hook.remove()


def read_controls(base: Any, wishes: Sequence[ControlWish]) -> list[Control]:
    """Load other ControlNets and their pictures; they go on hearing the text.

    Raises:
        WeightsError: a folder holds none, or one of another base.
        SubjectError: a picture cannot be read.
    """
    return [
        Control(
            load_net(_folder(wish), base, what=f"the ControlNet '{wish.name}'"),
            read_photo(wish.picture).photo.image,
            wish.scale,
        )
        for wish in wishes
    ]


def heard_by(pipeline: Any, controls: Sequence[Control], method: str) -> dict[str, Any]:
    """Tell a pipeline of other ControlNets.

    Raises:
        CapabilityError: the method's pipelines take none.
    """
    if not controls:
        return {}
    if not getattr(pipeline, "takes_controls", False):
        raise CapabilityError(
            f"method '{method}' draws without ControlNets, and {len(controls)} are asked for",
            "a method that takes them",
            "leave --control out, or draw with --method instantid",
        )
    return {"controls": list(controls)}


def _folder(wish: ControlWish) -> Path:
    if not wish.folder.is_dir():
        raise WeightsError(f"{wish.folder} is no folder", f"the ControlNet '{wish.name}' in the diffusers layout", "check the path")  # fmt: skip
    return wish.folder


def _load(loader: Any, file: Path, name: str, base: str) -> None:
    check_file(file)
    try:
        with quiet():
            loader.load_lora_weights(str(file), adapter_name=name, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise unreadable(file, error) from error
    if name not in {one for found in loader.get_list_adapters().values() for one in found}:
        raise WeightsError(f"{file.name} fits no layer of base '{base}'", "a LoRA for this base", "choose the base that its card names")  # fmt: skip
