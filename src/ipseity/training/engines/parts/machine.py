"""Which device and which number format this machine is good at."""

from pathlib import Path
from typing import Literal

import torch

from ipseity.core.errors import RecipeError
from ipseity.core.options import Options

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "no", "bf16"]


class DeviceOptions(Options):
    """Where to compute, and in which number format."""

    device: Device = "auto"
    """Where to compute; `auto` takes CUDA, then Apple's GPU, then the processor."""
    mixed_precision: Precision = "auto"
    """bf16 computes in half the bits while what is learned stays whole; `auto` uses it on CUDA cards that have it."""


def pick_device(wanted: Device) -> torch.device:
    """Give the device that was asked for; `auto` takes CUDA, then Apple's GPU, then the processor.

    Raises:
        RecipeError: this machine has no such device.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[wanted]:
        usable = ", ".join(name for name, there in present.items() if there)
        raise RecipeError(
            f"engine.device is '{wanted}', which torch {torch.__version__} does not find here",
            f"one of: auto, {usable}",
            "set engine.device, or install a torch that was built for this device",
        )
    return torch.device(wanted)


def pick_precision(wanted: Precision, device: torch.device) -> Literal["no", "bf16"]:
    """Give the number format to compute in.

    `auto` is bf16 on CUDA cards that have it, and fp32 elsewhere: on processors fp32 repeats from machine to machine.

    Raises:
        RecipeError: bf16 was asked for and this device has no arithmetic for it.
    """
    able = has_bf16(device)
    if wanted == "auto":
        return "bf16" if able and device.type == "cuda" else "no"
    if wanted == "bf16" and not able:
        raise RecipeError(
            f"engine.mixed_precision is 'bf16', for which this {device.type} has no arithmetic; it would be slow",
            "'auto' or 'no'",
            "set engine.mixed_precision = 'auto'",
        )
    return wanted


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bf16 itself."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _processor_has_bf16()


def _processor_has_bf16() -> bool:
    listing = Path("/proc/cpuinfo")  # Linux only; elsewhere nothing is claimed
    words = set(listing.read_text().split()) if listing.is_file() else set()
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
