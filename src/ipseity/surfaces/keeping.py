"""The verbs that keep faith with people: `inspect` says what a picture or an identity is, `forget` deletes a subject."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipseity.surfaces.edge import tell
from ipseity.surfaces.flags import Debug, Json

PANEL = "Keep faith with people"


def register(app: typer.Typer) -> None:
    """Add the verbs to a command line."""
    app.command("inspect", rich_help_panel=PANEL)(inspect)
    app.command("forget", rich_help_panel=PANEL)(forget)


def inspect(
    path: Annotated[Path, typer.Argument(help="A picture, an identity file or a run folder.")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what made a picture and whether that still holds, or what an identity is. Changes nothing."""
    from ipseity import api

    def answer() -> tuple[dict[str, Any], Any]:
        data = api.inspect_file(path)
        return data, lambda console: _show_inspected(console, data)

    tell(answer, as_json=as_json, debug=debug)


def forget(
    path: Annotated[Path, typer.Argument(help="An identity file, a run folder, or a folder of runs.")],
    *,
    token: Annotated[str | None, typer.Option(help="Of a folder of runs: those with this token.")] = None,
    name: Annotated[str | None, typer.Option(help="Of a folder of runs: those of the subject called so.")] = None,
    keep_pictures: Annotated[
        bool, typer.Option("--keep-pictures", help="Leave the pictures that were drawn into RUN/generated.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only list what would go.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Delete what was learned of one subject: identities, checkpoints, cached latents, previews, pictures."""
    from ipseity import api

    def answer() -> tuple[dict[str, Any], Any]:
        data = api.forget(path, token=token, name=name, pictures=not keep_pictures, sure=yes)
        return data, lambda console: _show_forgotten(console, data)

    tell(answer, as_json=as_json, debug=debug)


def _show_inspected(console: Console, data: Mapping[str, Any]) -> None:
    console.print(_clean(data["file"], style="bold"))
    for sentence in data["verdict"]:
        console.print(_clean(f"· {sentence}"))
    table = Table(show_header=False, show_edge=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in _rows(data):
        table.add_row(_clean(key), _clean(value))
    if table.row_count:
        console.print()
        console.print(table)


def _rows(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lay plain data out as rows, tables within it with their key before each; what is empty or said twice is left out."""
    said_twice = {"words"} if data.get("facts") else set[str]()  # other programs' chunks hold the same once more
    told = {key: value for key, value in data.items() if key not in {"kind", "file", "verdict", *said_twice}}
    return [row for key, value in told.items() for row in _flat(value if key == "facts" else {key: value})]


def _flat(data: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        several = isinstance(value, list) and len(value) > 1
        for number, one in enumerate(value if isinstance(value, list) else [value]):
            name = f"{above}{key}" + (f" {number + 1}" if several else "")
            if isinstance(one, Mapping):
                yield from _flat(one, f"{name}.")
            elif one not in (None, ""):
                yield name, _words(one)


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _show_forgotten(console: Console, data: Mapping[str, Any]) -> None:
    deleted = data["deleted"]
    files, size = sum(one["files"] for one in data["goes"]), sum(one["bytes"] for one in data["goes"])
    head = "Deleted" if deleted else "Would be deleted (nothing is yet; repeat with --yes)"
    console.print(_clean(f"{head}, of {data['subject']}: {_files(files)}, {size / 2**20:.1f} MiB", style="bold"))
    for one in data["goes"]:
        console.print(_clean(f"  {one['path']}  ({one['what']}, {_files(one['files'])})"), soft_wrap=True)
    if data["stays"]:
        console.print(_clean("Left" if deleted else "Would be left", style="bold"))
    for one in data["stays"]:
        console.print(_clean(f"  {one['path']}  ({one['why']})"), soft_wrap=True)
    console.print(_clean("Copies made elsewhere, backups and snapshots of the disk are out of reach.", style="dim"))


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def _clean(words: str, style: str = "") -> Text:
    """Give words of a stranger's file as they may go to a terminal: no markup, and nothing that steers it."""
    return Text(
        "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in words), style=style
    )
