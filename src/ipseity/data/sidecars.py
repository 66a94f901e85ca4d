"""What the user wrote beside the photos: `.txt` files, `metadata.jsonl` or `metadata.csv`, and masks."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ipseity.core.errors import SubjectError
from ipseity.data.grammar import SLOTS

MAX_BYTES = 16 * 2**20
"""Largest text file that is read."""
_NAMES = ("file_name", "filename", "image", "file")
_TEXTS = ("text", "caption", "prompt")
_OPEN_SLOTS = tuple(slot for slot in SLOTS if slot != "token")


@dataclass(frozen=True)
class Words:
    """What is said of one photo."""

    caption: str | None = None
    slots: Mapping[str, str] = field(default_factory=dict)


def read_words(folder: Path) -> dict[str, Words]:
    """Read what is said of the photos, by file name.

    A `.txt` file beside a photo (`03.txt` for `03.jpg`) wins over a table.

    Returns:
        Words by file name for tables, by file name without ending plus `.*` for `.txt` files; see `words_for`.

    Raises:
        SubjectError: a table or text file cannot be read; the message names file and line.
    """
    found: dict[str, Words] = {}
    for name in ("metadata.csv", "metadata.jsonl"):
        if (folder / name).is_file():
            found.update(_table(folder / name))
    for path in sorted(folder.glob("*.txt")):
        if text := " ".join(_text(path).split()):
            found[f"{path.stem}.*"] = Words(caption=text)
    return found


def words_for(path: Path, words: Mapping[str, Words]) -> Words:
    """Give what is said of one photo; nothing if nothing is said."""
    table, beside = words.get(path.name, Words()), words.get(f"{path.stem}.*", Words())
    return Words(beside.caption or table.caption, table.slots)


def mask_for(path: Path) -> Path | None:
    """Find a photo's mask: a picture of the same name in a `masks` folder beside it."""
    masks = path.parent / "masks"
    if not masks.is_dir():
        return None
    found = [masks / path.name, *(masks / f"{path.stem}{ending}" for ending in (".png", ".jpg", ".webp"))]
    return next((mask for mask in found if mask.is_file()), None)


def _table(path: Path) -> dict[str, Words]:
    rows = _json_rows(path) if path.suffix == ".jsonl" else _csv_rows(path)
    found: dict[str, Words] = {}
    for number, row in rows:
        name = next((row[key] for key in _NAMES if row.get(key)), None)
        if not isinstance(name, str):
            raise SubjectError(
                f"{path}, line {number}: there is no file_name",
                'a row like {"file_name": "03.jpg", "text": "..."}',
                "add it, or take the line out",
            )
        if Path(name).name != name:
            raise SubjectError(
                f"{path}, line {number}: '{name}' names another folder",
                "a file name without folders",
                "write the photo's own name",
            )
        plain = {
            key: str(value).strip()
            for key, value in row.items()
            if isinstance(key, str) and isinstance(value, str | int | float)
        }
        caption = next((plain[key] for key in _TEXTS if plain.get(key)), None)
        found[name] = Words(caption, {slot: plain[slot] for slot in _OPEN_SLOTS if plain.get(slot)})
    return found


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SubjectError(
                f"{path}, line {number} is not JSON ({error})", "one JSON object a line", "mend that line"
            ) from error
        if not isinstance(row, dict):
            raise SubjectError(
                f"{path}, line {number} is {type(row).__name__}", "one JSON object a line", "mend that line"
            )
        yield number, row


def _csv_rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    try:
        reader = csv.DictReader(_text(path).splitlines(), strict=True)
        for row in reader:
            yield reader.line_num, dict(row)
    except csv.Error as error:
        raise SubjectError(
            f"{path} is not a table ({error})", "comma-separated lines below a line of column names", "mend it"
        ) from error


def _text(path: Path) -> str:
    try:
        if not path.resolve().is_relative_to(path.parent.resolve()):
            raise SubjectError(
                f"{path} is a link out of the folder",
                "files that lie in the folder itself",
                "copy the file there, or remove the link",
            )
        if path.stat().st_size > MAX_BYTES:
            raise SubjectError(
                f"{path} has {path.stat().st_size / 2**20:.0f} MiB",
                f"a text file of at most {MAX_BYTES // 2**20} MiB",
                "take it out of the folder",
            )
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SubjectError(
            f"{path} cannot be read as text ({error})",
            "a UTF-8 text file",
            "save it as UTF-8, or take it out of the folder",
        ) from error
