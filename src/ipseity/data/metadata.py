"""Writes what is said of photos into the `metadata.jsonl` beside them, where people read and change it."""

import json
from collections.abc import Mapping
from pathlib import Path

from ipseity.core.errors import SubjectError
from ipseity.core.files import write_text

NAME = "metadata.jsonl"
Row = Mapping[str, str]
"""Columns of one photo without its file name: slots, or `text` for a whole caption."""


def write_rows(folder: Path, rows: Mapping[str, Row]) -> Path:
    """Put a line for each photo into a folder's table; every other line stays as it stands.

    A photo that has a line already keeps every column that says something there; the new values fill what is empty or
    missing.

    Args:
        folder: the photos'.
        rows: columns by file name.

    Returns:
        The table's path.

    Raises:
        SubjectError: the table cannot be read, or is a link out of the folder.
        RunError: it cannot be written.
    """
    path, found = folder / NAME, set[str]()
    lines = [_filled(line, rows, found) for line in _lines(path)]
    lines += [json.dumps({"file_name": name, **rows[name]}, ensure_ascii=False) for name in rows if name not in found]
    write_text(path, "".join(f"{line}\n" for line in lines))
    return path


def _lines(path: Path) -> list[str]:
    if not path.exists() and not path.is_symlink():
        return []
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise SubjectError(
            f"{path} is a link out of the folder", "a file that lies in the folder itself", "remove the link"
        )
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SubjectError(
            f"{path} cannot be read as text ({error})", "a UTF-8 text file", "save it as UTF-8, or move it away"
        ) from error


def _filled(line: str, rows: Mapping[str, Row], found: set[str]) -> str:
    """Fill what is empty in a line whose photo is asked for, and count the photo as found."""
    try:
        given = json.loads(line) if line.strip() else None
    except (ValueError, RecursionError):  # not for this function to judge: reading the photos says so with its number
        return line
    if not isinstance(given, dict):
        return line
    name = next((value for value in given.values() if isinstance(value, str) and value in rows), None)
    if name is None:
        return line
    found.add(name)
    new = {column: value for column, value in rows[name].items() if given.get(column) in (None, "")}
    return json.dumps({**given, **new}, ensure_ascii=False)
