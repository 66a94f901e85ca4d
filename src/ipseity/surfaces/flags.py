"""Options that verbs share, each said in one place."""

from typing import Annotated

import typer

FIRST, RECIPES = "Start here", "Work with recipes and runs"
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line instead of bars and colors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Change one value: table.key=value. May be repeated.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Every random number follows from it.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Check everything, forecast memory, make nothing.")]
