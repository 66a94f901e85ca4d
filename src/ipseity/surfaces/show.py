"""Events on a terminal: a bar and a few lines, or one JSON object a line."""

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

Result = TypeVar("Result")
STAGES = {
    "synthesize": "regularization set",
    "cache latents": "caching latents",
    "cache regularization latents": "caching regularization latents",
    "cache text": "caching text",
    "draw": "pictures",
}


PATIENCE_S = 5.0
"""How long another process than the first holds its complaint back: mostly the first has the same one."""


def is_first() -> bool:
    """Whether this is the one process that speaks, where several run the same command."""
    return os.environ.get("RANK", "0") == "0"


class Interrupted(Exception):
    """Somebody stopped the work."""


class Unforeseen(Exception):
    """Something broke that no message was written for."""


class Screen:
    """Shows one flow. Keeps a bar for each stage and prints what deserves a line of its own."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: dict[str, TaskID] = {}
        self.progress = Progress(
            SpinnerColumn(), TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)), BarColumn(12),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"), TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, ratio=1)),
            console=console, transient=False, expand=True, disable=not console.is_terminal,  # bars in a log are noise
        )  # fmt: skip

    def show(self, event: Any) -> None:
        """Show one event."""
        verb: Callable[[Any], None] | None = getattr(self, f"_{type(event).__name__.lower()}", None)
        if verb is not None:
            verb(event)

    def _bar(self, name: str, done: int, total: int, note: str = "") -> None:
        if name not in self.bars:
            self.bars[name] = self.progress.add_task(STAGES.get(name, name), total=total, note="")
        self.progress.update(self.bars[name], completed=done, total=total, note=note)

    def _line(self, mark: str, words: str) -> None:
        self.progress.console.print(f"{mark} {words}", highlight=False)

    def _noticed(self, event: Any) -> None:
        self._line("[dim]·[/]", f"[dim]{_safe(event.message)}[/]")

    def _forecast(self, event: Any) -> None:
        parts = ", ".join(f"{name} {value:.2f}" for name, value in event.parts.items())
        self._line(
            "[dim]·[/]",
            f"[dim]Memory forecast: {event.peak_gib:.2f} GiB at the peak ({parts}); {event.free_gib:.1f} GiB are free.[/]",
        )

    def _progressed(self, event: Any) -> None:
        self._bar(event.stage, event.done, event.total)

    def _stepped(self, event: Any) -> None:
        loss = "  ".join(f"{name} {value:.4f}" for name, value in event.losses.items())
        self._bar(
            "training",
            event.step,
            event.total,
            f"[dim]{loss}  {1 / max(event.seconds, 1e-9):.1f} steps/s  {event.memory_gib:.1f} GiB[/]",
        )

    def _scored(self, event: Any) -> None:
        values = {key.partition("/")[0]: value for key, value in event.scores.items() if not key.startswith("flag/")}
        raised = [key.partition("/")[2] for key, value in event.scores.items() if key.startswith("flag/") and value]
        warned = f"  [yellow]beware: {', '.join(raised)}[/]" if raised else ""
        self._line("[cyan]≡[/]", f"step {event.step}: " + "  ".join(f"{k} {v:.3f}" for k, v in values.items()) + warned)

    def _picked(self, event: Any) -> None:
        self._line("[green]✓[/]", f"[bold]Picked step {event.step}.[/] {_safe(event.reason)}")

    def _measured(self, event: Any) -> None:
        self._line(
            "[dim]·[/]",
            f"[dim]Trained in {event.seconds:.0f} s ({event.images_per_second:.1f} images/s); memory peak {event.peak_gib:.2f} GiB, forecast {event.forecast_gib:.2f}.[/]",
        )

    def _tabulated(self, event: Any) -> None:
        table = Table(
            title=_safe(event.title), title_justify="left", title_style="bold", show_edge=False, pad_edge=False
        )
        for name in event.head:
            table.add_column(_safe(name), overflow="fold")
        for row in event.rows:
            table.add_row(*(_safe(cell) for cell in row))
        self.progress.console.print(table)

    def _wrote(self, event: Any) -> None:
        self._line("[green]✓[/]", f"{event.what}: [bold]{_safe(str(event.path))}[/]")


def follow(flow: Generator[Any, None, Result], *, as_json: bool) -> Result:
    """Run a flow to its end, showing its events, and give its result."""
    if not is_first():
        return _drain(flow, lambda event: None)
    if as_json:
        return _drain(flow, lambda event: print(json.dumps(event.record()), flush=True))
    screen = Screen(Console())
    with screen.progress:
        return _drain(flow, screen.show)


def say(data: Any, *, as_json: bool, render: Callable[[Console], None]) -> None:
    """Print a result that is no flow: plain data as JSON, or what `render` prints."""
    if as_json:
        print(json.dumps(data, indent=2, default=str))
    else:
        render(Console())


def complain(error: Exception, *, as_json: bool) -> None:
    """Print an error without a traceback.

    Of several processes another than the first waits, since the launcher ends it when the first has failed too.
    """
    if not is_first():
        time.sleep(PATIENCE_S)
    if as_json:
        facts: Mapping[str, Any] = {
            key: getattr(error, key) for key in ("found", "needed", "todo") if hasattr(error, key)
        }
        print(json.dumps({"error": type(error).__name__, "message": str(error), **facts}), file=sys.stderr)
        return
    console = Console(stderr=True)
    if hasattr(error, "found"):
        console.print(f"[red]✗ {_safe(error.found)}[/]", highlight=False)  # type: ignore[attr-defined] # guarded by hasattr
        console.print(f"  [dim]needed[/]  {_safe(error.needed)}", highlight=False)  # type: ignore[attr-defined] # guarded by hasattr
        console.print(f"  [dim]to do [/]  {_safe(error.todo)}", highlight=False)  # type: ignore[attr-defined] # guarded by hasattr
    else:
        console.print(f"[red]✗ {_safe(str(error))}[/]", highlight=False)


def _drain(flow: Generator[Any, None, Result], show: Callable[[Any], None]) -> Result:
    while True:
        try:
            event = next(flow)
        except StopIteration as end:
            return end.value
        show(event)


def _safe(words: str) -> str:
    return words.replace("[", r"\[")
