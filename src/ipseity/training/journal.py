"""`events.jsonl`: one fact a line, appended as it happens, cut back to a checkpoint when a run is taken up again."""

import json
import os
from pathlib import Path
from typing import Any

from ipseity.core.events import Event
from ipseity.core.files import explain, writing

TOLD_OF_A_CHECKPOINT = ("Saved", "Scored", "Previewed")
"""Facts about a checkpoint that are told after it was written and will not happen again."""


class Journal:
    """The lines of one run.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Event) -> None:
        """Add one line, whole or (when the disk is full) not counted by any checkpoint.

        Raises:
            RunError: the disk is full or the file cannot be written.
        """
        try:
            with self.path.open("ab", buffering=0) as file:
                file.write(_line(event.record()))
        except OSError as error:
            raise explain(error, self.path) from error

    def read(self) -> list[dict[str, Any]]:
        """Give all records; a line that was cut by a crash is left out."""
        if not self.path.is_file():
            return []
        return _records(self.path.read_bytes())

    def settled_length(self) -> int:
        """Give the length in bytes, once the disk holds them."""
        try:
            with self.path.open("ab") as file:
                os.fsync(file.fileno())
                return file.tell()
        except OSError as error:
            raise explain(error, self.path) from error

    def cut(self, length: int, step: int, saved: Event | None) -> None:
        """Cut back to what a checkpoint counts: what came later will happen again.

        Args:
            length: bytes that the checkpoint counts.
            step: the checkpoint's step.
            saved: the line that tells of it, added where the crash came before it was written.
        """
        whole = self.path.read_bytes() if self.path.is_file() else b""
        later = [
            record
            for record in _records(whole[length:])
            if record["event"] in TOLD_OF_A_CHECKPOINT and record["step"] <= step
        ]
        if saved is not None and not any(record["event"] == "Saved" and record["step"] == step for record in later):
            later.insert(0, saved.record())
        kept = whole[:length] + b"".join(map(_line, later))
        if kept != whole:
            with writing(self.path) as draft:
                draft.write_bytes(kept)


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _records(text: bytes) -> list[dict[str, Any]]:
    records = []
    for line in text.splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records
