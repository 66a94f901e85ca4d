"""What every training stage shares: device, clock-driven schedule, averaged weights, checkpoints, logs."""

import ctypes
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "toybox"


def keep_memory() -> None:
    """Asks glibc to keep freed memory instead of giving each large block back to the system.

    Without it half the time of a round trip through the autoencoder goes into fresh pages. Other systems are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold, most = -1, -3, 2**30
        mallopt(mmap_threshold, most)
        mallopt(trim_threshold, most)


def small_clock() -> Callable[[], float]:
    """Returns the clock of small runs: processor seconds on one thread, wall seconds where a GPU does the work."""
    return time.monotonic if torch.cuda.is_available() else time.process_time


def device() -> torch.device:
    """Returns CUDA where there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(where: torch.device) -> torch.autocast:
    """Returns the bf16 context that all training forwards run in."""
    return torch.autocast(where.type, torch.bfloat16)


@dataclass
class Clock:
    """Progress measured in training seconds, so that a run ends when it was promised to end on any machine.

    The elapsed seconds are saved with the checkpoint; a resumed run goes on from there. `read` may count processor
    seconds instead (`time.process_time`), which is right for a small run that shares its cores.
    """

    total: float
    elapsed: float = 0.0
    read: Callable[[], float] = time.monotonic
    _mark: float = 0.0

    def start(self) -> None:
        """Begins to count from now."""
        self._mark = self.read() - self.elapsed

    def tick(self) -> float:
        """Returns progress in [0, 1]."""
        self.elapsed = self.read() - self._mark
        return min(1.0, self.elapsed / self.total)


def rate(progress: float, step: int, *, warmup: int = 200, hold: float = 0.6, floor: float = 0.02) -> float:
    """Returns the factor on the learning rate: warm-up, plateau, then a cosine tail in which details sharpen."""
    ramp = min(1.0, (step + 1) / warmup)
    tail = max(0.0, (progress - hold) / (1 - hold))
    return ramp * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * tail)))


class Average:
    """Exponential moving average of weights; the decay grows from zero, so early steps do not haunt it."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.live = list(parameters)
        self.kept = [p.detach().clone().float() for p in self.live]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Moves the averages towards the live weights."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.kept, [p.detach() for p in self.live], 1 - decay)

    def state(self, module: torch.nn.Module, offset: int = 0) -> dict[str, torch.Tensor]:
        """Returns `module`'s state with averaged parameters; `offset` is its first place among the parameters."""
        names = [n for n, _ in module.named_parameters()]
        return {**module.state_dict(), **dict(zip(names, self.kept[offset:], strict=False))}


def adamw(parameters: Iterable[torch.nn.Parameter], lr: float, *, decay: float = 0.01) -> torch.optim.AdamW:
    """Returns fused AdamW with decay on matrices only (vectors and tables of tokens are left alone)."""
    every = list(parameters)
    matrices = [p for p in every if p.ndim > 1]
    vectors = [p for p in every if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-8, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Sets the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = value


def save_state(state: dict, path: Path) -> None:
    """Writes a checkpoint beside its place, flushes it, then moves it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def load_state(path: Path) -> dict | None:
    """Reads a checkpoint, or returns None where there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def weights_path(build: Path, name: str) -> Path:
    """Returns where the weights of a finished or running network are kept for packaging."""
    return build / "weights" / f"{name}.pt"


def read_weights(build: Path, name: str) -> dict | None:
    """Reads `{"weights": ..., ...}` of one network, or None."""
    return load_state(weights_path(build, name))


def done_path(build: Path, stage: str) -> Path:
    """Returns the file that a stage writes last."""
    return build / f"{stage}.done"


def note(build: Path, stage: str, **facts: float | int | str) -> None:
    """Prints one line of facts and appends it to the stage's log."""
    row = {
        "time": time.strftime("%H:%M:%S"),
        **{k: round(v, 5) if isinstance(v, float) else v for k, v in facts.items()},
    }
    print(stage, *(f"{k}={v}" for k, v in row.items()), flush=True)
    build.mkdir(parents=True, exist_ok=True)
    with (build / f"{stage}.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
