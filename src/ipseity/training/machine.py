"""What the machine is, and how much memory is taken and free."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

GIB = 2.0**30
LIBRARIES = ("torch", "diffusers", "transformers", "peft", "accelerate", "safetensors")


def peak_gib(device: torch.device | str = "cpu") -> float:
    """Give the most memory held so far: on a CUDA card by tensors, elsewhere by this process."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / GIB
    try:
        import resource
    except ImportError:  # Windows keeps the same number under another name
        return getattr(psutil.Process().memory_info(), "peak_wset", held_bytes()) / GIB
    if own := _own_peak_kib():
        return own * 1024 / GIB
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / GIB  # bytes on macOS, KiB elsewhere


def _own_peak_kib() -> int | None:
    """Give Linux's peak of this program; `ru_maxrss` also holds what the program that started it had taken before."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def held_bytes(device: torch.device | str = "cpu") -> int:
    """Give the memory held now: on a GPU by tensors, elsewhere by this process."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    return psutil.Process().memory_info().rss


def free_gib(device: torch.device | str = "cpu") -> float:
    """Give the memory that could still be taken without driving anything out."""
    device = torch.device(device)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return (free + unused) / GIB
    return psutil.virtual_memory().available / GIB


def machine_facts() -> dict[str, Any]:
    """Describe the machine and the libraries for a manifest."""
    cards = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "gpus": cards,
        "libraries": {name: _version(name) for name in LIBRARIES},
    }


def code_version() -> str:
    """Give the version of ipseity that is running."""
    return getattr(sys.modules.get("ipseity"), "__version__", None) or _version("ipseity")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
