"""What is wrong with this machine, or with these photos, and how to mend it. Changes nothing."""

import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
import torch

from ipseity.core.errors import SubjectError
from ipseity.core.events import Event, Noticed
from ipseity.core.registry import find, names
from ipseity.data.doctor import inspect_photos

LIBRARIES = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors", "pillow")
ROOM_GIB = 2.0
"""Free disk that a toybox run with its set needs at most."""


def doctor_flow(photos: Path | None, *, base: str) -> Iterator[Event]:
    """Look at the machine, or at a folder of photos.

    Raises:
        SubjectError: the photos cannot be used as they are.
    """
    if photos is None:
        yield from (Noticed(line) for line in _machine())
        return
    findings = inspect_photos(photos, resolution=find("bases", base).native_resolution)
    for finding in findings:
        yield Noticed(finding.message)
    stops = [finding for finding in findings if finding.level == "stop"]
    if stops:
        more = f" and {len(stops) - 1} more" if len(stops) > 1 else ""
        raise SubjectError(
            f"{stops[0].message}{more}",
            "photos that can be read and trained on",
            "mend or take out what is named above; nothing was changed",
        )
    yield Noticed(f"The photos can be used: ipseity personalize {photos} --class ...")


def _machine() -> Iterator[str]:
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(Path.cwd())
    cores, held, free = psutil.cpu_count() or 1, memory.total / 2**30, memory.available / 2**30
    yield f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {cores} cores, {held:.0f} GiB of memory, {free:.0f} free."
    yield _accelerator()
    yield "Libraries: " + ", ".join(f"{name} {_version(name)}" for name in LIBRARIES) + "."
    for name in names("encoders"):
        if reason := find("encoders", name).missing():
            yield f"Evaluator {name} is not installed: {reason}"
    if disk.free < ROOM_GIB * 2**30:
        yield f"Only {disk.free / 2**30:.1f} GiB of disk are free here; a run wants {ROOM_GIB:.0f}. Free some, or choose another place with --out."
    yield "This machine can run the toybox: ipseity tour"


def _accelerator() -> str:
    if torch.cuda.is_available():
        facts = torch.cuda.get_device_properties(0)
        return f"GPU: {facts.name}, {facts.total_memory / 2**30:.0f} GiB; SDXL LoRA wants about 10 GiB."
    if torch.backends.mps.is_available():
        return "GPU: Apple, through mps."
    return "No GPU: the toybox runs here in minutes; published bases such as SDXL would take days. Use a machine with a GPU of 10 GiB or more for them."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"
