"""Weights that somebody else made: where they are, whether they can be trusted, and in what words to refuse them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ipseity.core.errors import WeightsError

PICKLES = frozenset({".bin", ".ckpt", ".pkl", ".pt", ".pth"})
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_HOW = (
    "convert them once (`pipeline.save_pretrained(folder, safe_serialization=True)` in diffusers), "
    "or choose a checkpoint that has safetensors files"
)


def locate(
    weights: str, *, allow: Sequence[str], revision: str | None = None, download: bool = False, licence: str = ""
) -> Path:
    """Find a folder or file, or the copy of a Hub repository; the network is asked only when `download` says so.

    Args:
        weights: path, or Hub id ("owner/name").
        allow: file patterns that are needed of a Hub repository.
        revision: branch, tag or commit of a Hub repository.
        download: whether fetching is allowed.
        licence: what the weights may be used for, told where they would have to be fetched.

    Raises:
        WeightsError: nothing is there, or it may not or cannot be fetched.
    """
    path = Path(weights).expanduser()
    if path.exists():
        return path
    if not _HUB_ID.fullmatch(weights) or path.suffix in PICKLES | {".safetensors"}:
        raise WeightsError(f"{weights} is not there", "a folder or a .safetensors file", "check the path of `weights`")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(weights, revision=revision, allow_patterns=list(allow), local_files_only=not download)
        )
    except (OSError, ValueError, RuntimeError) as error:  # huggingface_hub's own errors stand on these
        if download:
            raise WeightsError(
                f"{weights} could not be fetched ({_first_line(error)})",
                "a Hub repository that may be read from here",
                "check the name, the network and your access, or name a local folder as `weights`",
            ) from error
        terms = f"; their licence: {licence}" if licence else "; their licence stands on their Hub page"
        raise WeightsError(
            f"the weights {weights} are not on this machine",
            f"a copy of them{terms}",
            "set `download = true` beside `weights` if you accept that licence, or name a local folder as `weights`",
        ) from error


def check_file(path: Path) -> dict[str, tuple[int, ...]]:
    """Read a weight file's table of contents without its tensors.

    Returns:
        Shape of each tensor.

    Raises:
        WeightsError: it is a pickle, which can run code when opened, or it is cut short.
    """
    from safetensors import SafetensorError, safe_open

    if path.suffix in PICKLES:
        raise WeightsError(f"{path} is a pickle, which can run code when it is opened", "safetensors", _HOW)
    if path.suffix != ".safetensors":
        raise WeightsError(
            f"{path} is no weight file", "a .safetensors file or a folder of them", "check the path of `weights`"
        )
    try:
        with safe_open(path, "pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} is damaged or cut short ({error})", "a whole safetensors file", "fetch or copy it again"
        ) from error


def weight_files(folder: Path, variant: str | None = None) -> list[Path]:
    """List a part's weight files, each checked to be whole.

    Args:
        folder: of one model, in the layout of diffusers or transformers.
        variant: middle part of the names ("fp16").

    Raises:
        WeightsError: there are none, or only such as cannot be trusted.
    """
    middle = rf"\.{re.escape(variant)}" if variant else ""
    name = re.compile(rf"(model|diffusion_pytorch_model){middle}(-\d+-of-\d+)?\.safetensors")
    found = sorted(path for path in folder.glob("*") if name.fullmatch(path.name))
    if not found:
        raise _no_files(folder, variant)
    for path in found:
        check_file(path)
    return found


def check_loaded(where: str, module: nn.Module, told: Mapping[str, Any]) -> None:
    """Refuse a module that its files did not fill, or filled with what is no number.

    Args:
        where: names the files in the message.
        module: as loaded.
        told: the library's loading report (`output_loading_info=True`).

    Raises:
        WeightsError: tensors are missing, or hold NaN or infinite values.
    """
    missing = sorted(str(name) for name in (*told.get("missing_keys", ()), *told.get("mismatched_keys", ())))
    if missing:
        raise WeightsError(
            f"{where} lacks {len(missing)} tensors, the first of them {missing[0]}",
            f"all that its config.json asks for ({type(module).__name__})",
            "check that the configuration and the weights belong together, or fetch them again",
        )
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise WeightsError(
                f"{where} lacks the tensor {name}", "all that its configuration asks for", "fetch it again"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(
                f"{where} holds NaN or infinite numbers in {name}",
                "finite weights",
                "fetch them again; if they come from a training, it diverged; with dtype = 'fp16' try 'bf16' or 'fp32'",
            )


def unreadable(where: object, error: Exception) -> WeightsError:
    """Say in one sentence what a library said on several pages when it could not load a model."""
    return WeightsError(
        f"{where} cannot be loaded ({_first_line(error)})",
        "configuration and weights of the same model",
        "check that all its files come from one checkpoint, or fetch it again",
    )


def licence_of(folder: Path) -> str | None:
    """Read the licence that a model card's head names, if there is a card; one of a publisher's own is called by its name."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    head = card.read_text(encoding="utf-8", errors="replace")[:4000]
    named = dict(re.findall(r"^(license|license_name):\s*(\S.*?)\s*$", head, re.MULTILINE))
    usual = named.get("license")
    return named.get("license_name", usual) if usual in (None, "other") else usual


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' progress bars and loading reports off the screen; what matters is raised or returned."""
    import diffusers.utils.logging as diffusing
    import transformers.utils.logging as transforming

    kept = [
        (library, library.get_verbosity(), library.is_progress_bar_enabled()) for library in (diffusing, transforming)
    ]
    try:
        for library, _, _ in kept:
            library.set_verbosity(50)
            library.disable_progress_bar()
        yield
    finally:
        for library, level, shown in kept:
            library.set_verbosity(level)
            (library.enable_progress_bar if shown else library.disable_progress_bar)()


def _no_files(folder: Path, variant: str | None) -> WeightsError:
    names = [path.name for path in folder.glob("*")] if folder.is_dir() else []
    pickles = sorted(name for name in names if Path(name).suffix in PICKLES)
    others = sorted(
        {found.group(1) for name in names if (found := re.search(r"\.(\w+)(?:-\d+-of-\d+)?\.safetensors$", name))}
    )
    if others and variant is None:
        return WeightsError(
            f"{folder} holds the variant '{others[0]}' only",
            "a choice of it",
            f"set `variant = '{others[0]}'` beside `weights`",
        )
    if pickles:
        return WeightsError(
            f"{folder} holds only a pickle ({pickles[0]}), which can run code when it is opened", "safetensors", _HOW
        )
    kind = f"of the variant '{variant}'" if variant else ""
    return WeightsError(
        f"{folder} holds no weights {kind}".strip(),
        "a safetensors file",
        "fetch the checkpoint again, or choose another variant",
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
