"""Makes the derived pages: the command line, the plug-in tables and the recipe reference. `--check` fails when stale."""

import argparse
import sys
from pathlib import Path

import typer
from typer.testing import CliRunner

from ipseity.core.options import Options
from ipseity.core.registry import ROOMS, find, names
from ipseity.recipe import PLUGINS, TABLES, General, shelf
from ipseity.surfaces.cli import app

HERE = Path(__file__).parent
HEAD = "<!-- Made by `make docs` from the code; edits here are lost. -->\n\n"


def command_line() -> str:
    """Give the help of every verb, as a terminal of 100 columns shows it."""
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    verbs = [command.name or command.callback.__name__ for command in typer.main.get_group(app).commands.values()]
    pages = [("ipseity", runner.invoke(app, ["--help"]).output)]
    pages += [(f"ipseity {verb}", runner.invoke(app, [verb, "--help"]).output) for verb in verbs]
    blocks = [f"## {name}\n\n```text\n{_trim(page)}\n```\n" for name, page in pages]
    return HEAD + "# The command line\n\n" + "\n".join(blocks)


def plug_ins() -> str:
    """Give one table a room, from the files in it."""
    parts = [HEAD, "# What is in the house\n"]
    for room in ROOMS:
        parts.append(f"\n## {room}\n\n| name | what it is | offers or needs |\n|---|---|---|\n")
        for name in names(room):
            plugin = find(room, name)
            abilities = ", ".join(sorted(getattr(plugin, "offers", getattr(plugin, "needs", ()))))
            parts.append(f"| `{name}` | {_first(plugin)} | {abilities} |\n")
    parts.append("\n## recipes\n\n| name | what it is |\n|---|---|\n")
    parts += [f"| `{name}` | {path.read_text().splitlines()[0].lstrip('# ')} |\n" for name, path in shelf().items()]
    return "".join(parts)


def recipe_reference() -> str:
    """Give every key of a recipe with its default and meaning, from the options classes."""
    parts = [
        HEAD,
        "# Recipe reference\n\nDefaults < recipe file < `--set table.key=value`.\n",
        _keys("before the first table", General),
    ]
    parts += [_keys(f"[{table}]", kind) for table, kind in TABLES.items()]
    for table, room in PLUGINS.items():
        parts += [_keys(f'[{table}] use = "{name}"', find(room, name).Options) for name in names(room)]
    return "".join(parts)


def _keys(title: str, kind: type[Options]) -> str:
    rows = []
    for name, field in kind.model_fields.items():
        if name != "use":
            default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
            rows.append(f"| `{name}` | {default} | {' '.join((field.description or '').split())} |\n")
    table = "".join(rows) or "| | | no keys |\n"
    return f"\n## {title}\n\n| key | default | meaning |\n|---|---|---|\n{table}"


def _first(plugin: object) -> str:
    return (plugin.__doc__ or "").strip().split("\n")[0]


def _trim(page: str) -> str:
    return "\n".join(line.rstrip() for line in page.strip("\n").splitlines())


PAGES = {"command-line.md": command_line, "plug-ins.md": plug_ins, "recipes.md": recipe_reference}


def main() -> int:
    """Write the pages, or say which are stale."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, make in PAGES.items():
        path, text = HERE / name, make()
        if check and (not path.exists() or path.read_text() != text):
            stale.append(name)
        elif not check:
            path.write_text(text)
    if stale:
        print(f"stale: {', '.join(stale)}. Run `make docs` and commit what it changes.")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
