"""Files that are either whole or not there: a manifest is written last, and each write replaces in one move."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ipseity.core.errors import RunError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary neighbour of `path` to write to; it takes the place of `path` when the block ends well.

    Raises:
        RunError: the disk is full, or the place cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield draft
        with draft.open("rb") as whole:
            os.fsync(whole.fileno())
        draft.replace(path)
    except OSError as error:
        raise explain(error, path) from error
    finally:
        if draft.exists():
            draft.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one move."""
    with writing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file in one move."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        RunError: it is not there or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read ({error})", "a whole JSON file", "restore it, or start a new folder"
        ) from error


def write_tensors(path: Path, tensors: Mapping[str, Any], header: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in one move, with plain strings in its header."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with writing(path) as draft:
        try:
            save_file(whole, draft, dict(header or {}))
        except SafetensorError as error:  # the library tells the system's refusal in words only
            code = re.search(r"os error (\d+)", str(error))
            raise OSError(int(code.group(1)) if code else 0, str(error)) from error


def sha256_of_file(path: Path) -> str:
    """Hash a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(parts: Iterable[object]) -> str:
    """Hash plain values, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part, sort_keys=True, default=str).encode() + b"\x1e")
    return digest.hexdigest()


def explain(error: OSError, path: Path) -> RunError:
    """Turn an operating system's refusal to write into a sentence."""
    if error.errno == errno.ENOSPC:
        return RunError(
            f"the disk is full at {path}",
            "room for it",
            "free some space and repeat the command; what is complete is kept",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return RunError(
            f"{path} cannot be written",
            "a folder that may be written",
            "choose another with --out, or change its permissions",
        )
    return RunError(
        f"{path} cannot be written ({error.strerror or error})", "a writable place", "choose another folder with --out"
    )
