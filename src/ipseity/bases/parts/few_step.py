"""A LoRA that lets a base draw in a few steps without guidance, lent to its pipelines for the length of a call.

Such a LoRA lies beside the weights in a folder of its own, in the form that `load_lora_weights` reads, and with the scheduler
that it was made for; where none is named it is `LCMScheduler` (arXiv:2311.05556).
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ipseity.core.errors import WeightsError
from ipseity.core.files import read_json, sha256_of, sha256_of_file
from ipseity.core.weights import check_file, quiet, unreadable

FOLDER = "few_step"
"""Of a checkpoint: where its few-step LoRA lies."""
FILE = "pytorch_lora_weights.safetensors"
ADAPTER = "few_step"
"""What the LoRA is called while it is read."""


@dataclass(frozen=True)
class Beside:
    """What lies beside one layer: peft's own modules, which project to the ranks and back."""

    part: str
    """Part of the base, by diffusers' name."""
    layer: str
    """Name of the layer inside the part."""
    down: nn.Module
    up: nn.Module
    scale: float

    def __call__(self, layer: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
        """Add to what a layer gives, as a forward hook of torch."""
        return output + (self.up(self.down(given[0].to(output.dtype))) * self.scale).to(output.dtype)


@dataclass(frozen=True)
class FewStep:
    """A few-step LoRA, read and ready."""

    layers: tuple[Beside, ...]
    scheduler: Callable[[Any], Any]
    """Makes the scheduler that it draws with, on the path of the base's own."""


class Quick:
    """A pipeline that draws in few steps: the LoRA is in the base for the length of a call. What else it is asked, it passes on.

    So nothing of it is left where a drawing is given up between two calls, or where others use the modules meanwhile.

    Args:
        pipeline: what draws; a stock pipeline, or one that stands before it.
        lend: puts LoRA and scheduler in, see `in_few_steps`.
    """

    in_few_steps = True
    """Tells it from pipelines that need all their steps."""

    def __init__(self, pipeline: Any, lend: Callable[[], AbstractContextManager[None]]) -> None:
        self._pipeline, self._lend = pipeline, lend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def __call__(self, *given: Any, **asked: Any) -> Any:
        """Draw: the arguments and results of the pipeline itself."""
        with self._lend():
            return self._pipeline(*given, **asked)


def find_few_step(checkpoint: Path) -> Path | None:
    """Give the folder of a checkpoint's few-step LoRA, or None where it ships none."""
    folder = checkpoint / FOLDER
    return folder if (folder / FILE).is_file() else None


def few_step_hash(folder: Path) -> str:
    """Hash what turns a base into one that draws in a few steps: LoRA and scheduler."""
    return sha256_of([sha256_of_file(path) for path in (folder / FILE, *sorted(folder.glob("scheduler_config.json")))])


@contextmanager
def in_few_steps(parts: Mapping[str, nn.Module], pipelines: Iterable[Any], few: FewStep) -> Iterator[None]:
    """Let pipelines draw with a few-step LoRA, beside whatever other low-rank layers their modules carry.

    It is added to what layers give, whether they are bare or carry layers that are being learned: no module is exchanged, no
    adapter's name is taken and nothing is frozen, so coming and going costs nothing and leaves no trace.

    Args:
        parts: modules of the base by diffusers' names.
        pipelines: stock pipelines over these modules, whose schedulers are exchanged.
        few: what `read_few_step` gave for these parts.
    """
    with ExitStack() as undo:
        for one in few.layers:
            undo.callback(parts[one.part].get_submodule(one.layer).register_forward_hook(one).remove)
        for pipeline in pipelines:
            undo.callback(setattr, pipeline, "scheduler", pipeline.scheduler)
            pipeline.scheduler = few.scheduler(pipeline.scheduler)
        yield


def read_few_step(parts: Mapping[str, nn.Module], pipeline: Any, folder: Path) -> FewStep:
    """Read a few-step LoRA by the stock loader, which knows all forms that such files come in.

    The loader wants to put it into a base. It may, and what it put there is taken out again: other adapters, what is trained
    and every module are the very same afterwards, so this can be done in the midst of a training.

    Args:
        parts: modules of the base by diffusers' names.
        pipeline: a stock pipeline over these modules.
        folder: with the LoRA, and with `scheduler_config.json` where it was not made for `LCMScheduler`.

    Raises:
        WeightsError: the file cannot be trusted or does not fit the base, or the scheduler is unknown.
    """
    check_file(folder / FILE)
    with ExitStack() as undo:
        for part in parts.values():
            undo.enter_context(_adapters_put_back(part))
        with quiet(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # several, on purpose
            try:
                pipeline.load_lora_weights(str(folder), weight_name=FILE, adapter_name=ADAPTER, local_files_only=True)
            except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
                raise unreadable(folder / FILE, error) from error
        layers = tuple(one for name, part in parts.items() for one in _found(name, part))
    if not layers:
        raise WeightsError(
            f"{folder / FILE} fits no layer of this base", "a LoRA made for these weights", "take one that names them"
        )
    return FewStep(layers, _scheduler(folder))


def _found(name: str, part: nn.Module) -> Iterator[Beside]:
    from peft.tuners.lora import LoraLayer

    for place, layer in part.named_modules():
        if isinstance(layer, LoraLayer) and ADAPTER in layer.lora_A:
            down, up = layer.lora_A[ADAPTER], layer.lora_B[ADAPTER]
            yield Beside(name, place, *(one.requires_grad_(False) for one in (down, up)), scale=layer.scaling[ADAPTER])


def _held(layer: Any) -> set[str]:
    """List the adapters that a layer carries."""
    return {name for kind in layer.adapter_layer_names for name in getattr(layer, kind)}


@contextmanager
def _adapters_put_back(part: nn.Module) -> Iterator[None]:
    """Take the LoRA out of a part at the end of the block, and let all else be what it was."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    kept = dict(part.named_modules())
    in_force = {name: list(one.active_adapters) for name, one in kept.items() if isinstance(one, BaseTunerLayer)}
    trained = {name: value.requires_grad for name, value in part.named_parameters()}
    loaded = vars(part).get("_hf_peft_config_loaded")
    try:
        yield
    finally:
        for name, module in list(part.named_modules()):
            if isinstance(module, BaseTunerLayer) and name not in in_force:
                part.set_submodule(name, kept[name])
            elif isinstance(module, BaseTunerLayer):
                module.set_adapter(in_force[name])  # the loader puts its own in force alone, in all layers
                if ADAPTER in _held(module):
                    module.delete_adapter(ADAPTER)
        _forget(part, loaded)
        for name, parameter in part.named_parameters():
            parameter.requires_grad_(trained[name])


def _forget(part: Any, loaded: bool | None) -> None:
    """Take the LoRA's name out of what a part says that it carries."""
    carried = vars(part).get("peft_config", {})
    carried.pop(ADAPTER, None)
    if not carried and "peft_config" in vars(part):
        del part.peft_config
    if loaded is not None:
        part._hf_peft_config_loaded = loaded
    elif "_hf_peft_config_loaded" in vars(part):
        del part._hf_peft_config_loaded


def _scheduler(folder: Path) -> Callable[[Any], Any]:
    """Read which scheduler the LoRA was made for."""
    import diffusers

    place = folder / "scheduler_config.json"
    told: dict[str, Any] = dict(read_json(place)) if place.is_file() else {"_class_name": "LCMScheduler"}
    name = str(told.pop("_class_name", None))
    maker: Any = getattr(diffusers, name, None)
    if not (isinstance(maker, type) and hasattr(maker, "add_noise")):
        raise WeightsError(
            f"{place} names the scheduler '{name}'",
            "a scheduler of diffusers that adds noise",
            f"take the LoRA's folder again from where it came, or remove {place.name} to draw with LCMScheduler",
        )
    make: Any = maker
    return lambda own: make.from_config({**own.config, **told})
