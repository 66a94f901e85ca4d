"""A checkpoint is a folder: what was learned, the optimizer's state, and `done.json`, which is written last.

A folder without a whole `done.json` is not there: it is ignored, and replaced when its step is saved again.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ipseity.core.errors import RunError
from ipseity.core.files import read_json, write_json, write_tensors
from ipseity.core.identity import Identity

IDENTITY, OPTIMIZER, DONE = "identity.safetensors", "optimizer.safetensors", "done.json"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    step: int
    folder: Path
    due: bool = True
    """False where it was made by an interruption and not by `save_every`."""
    events_bytes: int = 0
    """Length of `events.jsonl` when it was made."""

    @property
    def identity(self) -> Path:
        """The file that holds what was learned."""
        return self.folder / IDENTITY


def write_checkpoint(
    folder: Path, identity: Identity, optimizer: Mapping[str, Tensor], *, step: int, due: bool, events_bytes: int
) -> Checkpoint:
    """Write a checkpoint; until its last file stands it does not count.

    Args:
        folder: where; what an earlier attempt left half done there is replaced.
        identity: what was learned.
        optimizer: the optimizer's state.
        step: optimizer steps made.
        due: whether `save_every` asked for it.
        events_bytes: length of `events.jsonl` at this moment.

    Raises:
        RunError: the disk is full or the folder cannot be written.
    """
    if folder.exists():
        shutil.rmtree(folder)
    identity.save(folder / IDENTITY)
    write_tensors(folder / OPTIMIZER, optimizer)
    settle(folder)
    sizes = {name: (folder / name).stat().st_size for name in (IDENTITY, OPTIMIZER)}
    write_json(folder / DONE, {"step": step, "due": due, "events_bytes": events_bytes, "sizes": sizes})
    settle(folder)
    settle(folder.parent)
    return Checkpoint(step, folder, due, events_bytes)


def read_checkpoint(folder: Path) -> Checkpoint | None:
    """Give the checkpoint in a folder, or None where it is not complete."""
    try:
        done: Mapping[str, Any] = read_json(folder / DONE)
        whole = all((folder / name).stat().st_size == size for name, size in done["sizes"].items())
        return Checkpoint(done["step"], folder, done["due"], done["events_bytes"]) if whole else None
    except (RunError, OSError, KeyError, TypeError, AttributeError):
        return None


def list_checkpoints(root: Path) -> list[Checkpoint]:
    """List the complete checkpoints below a folder, by step."""
    found = [read_checkpoint(folder) for folder in root.iterdir() if folder.is_dir()] if root.is_dir() else []
    return sorted((checkpoint for checkpoint in found if checkpoint), key=lambda checkpoint: checkpoint.step)


def read_optimizer(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Read the optimizer's state of a checkpoint.

    Raises:
        RunError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = checkpoint.folder / OPTIMIZER
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path} cannot be read ({error})",
            "a whole safetensors file",
            f"remove {checkpoint.folder} to go on from an older one",
        ) from error


def settle(folder: Path) -> None:
    """Ask the disk to keep a folder's names; some systems do not let folders be asked."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
