"""What a portrait's weights take in memory, counted from their files before any is loaded."""

import math
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ipseity.core.errors import WeightsError
from ipseity.core.events import Event, Forecast, Noticed
from ipseity.core.weights import check_file, locate, weight_files
from ipseity.flows.commission import PortraitWish
from ipseity.recipe import Recipe
from ipseity.training.machine import GIB, free_gib


def weigh(wish: PortraitWish, recipe: Recipe, device: Any) -> Generator[Event, None, None]:
    """Forecast memory as the sum of the weights at the number format that they are held in.

    Raises:
        WeightsError: a file is not here, or cannot be trusted.
    """
    base, method = recipe.base.options, recipe.method
    if not hasattr(base, "torch_dtype"):
        yield Noticed("The built-in base is small; its weights are not counted.")
        return
    each = base.torch_dtype(device).itemsize
    layout = recipe.base.plugin.layout
    folder = locate(base.weights, allow=("*",), revision=base.revision, licence=layout.licences.get(base.weights, ""))
    parts = {"base": _numbers(_chosen(folder, layout.modules, base.variant)) * each / GIB}
    own = getattr(method.options, "weights", None)
    if own is not None:
        place = locate(own, allow=("*",), revision=getattr(method.options, "revision", None), licence=getattr(method.plugin, "licence", ""))  # fmt: skip
        file = getattr(method.options, "file", None)
        parts["adapter and its nets"] = _numbers(_all(place / file if file else place), stored=each) * each / GIB
    beside = [*(one.folder for one in wish.controls), *(one.file for one in wish.loras), *([wish.few_step] if wish.few_step else [])]  # fmt: skip
    if beside:
        parts["beside them"] = sum(_numbers(_all(one), stored=each) for one in beside) * each / GIB
    yield Noticed("Counted: weights as they are held. Not counted: face encoders, and what drawing takes beside them.")
    yield Forecast(sum(parts.values()), free_gib(device), parts)


def _chosen(place: Path, modules: Mapping[str, str], variant: str | None) -> list[Path]:
    return [place] if place.is_file() else [file for part in modules for file in weight_files(place / part, variant)]


def _all(place: Path) -> list[Path]:
    if not place.exists():
        raise WeightsError(f"{place} is not there", "a file or folder of weights", "check the path")
    return (
        [place]
        if place.is_file()
        else sorted(path for path in place.rglob("*") if path.suffix in (".safetensors", ".bin"))
    )


def _numbers(files: Sequence[Path], *, stored: int = 4) -> int:
    """Count the numbers in weight files; of a pickle, by its size, as if each took `stored` bytes."""
    count = 0
    for path in files:
        if path.suffix == ".safetensors":
            for shape in check_file(path).values():
                count += math.prod(shape)
        else:
            count += path.stat().st_size // stored
    return count
