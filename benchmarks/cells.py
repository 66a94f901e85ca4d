"""Cells of a comparison: a recipe run to its end, or found finished, and the numbers of its report.

`run_cells` keeps `--jobs` processes busy, one cell a process, and has the page written anew after each finished cell. A
repeated command finds what is finished and goes on with the rest. Runs share one pool of regularization pictures: each
picture and each manifest is moved into place whole, so two cells that draw the same one waste time and nothing else.
"""

import argparse
import json
import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ipseity.core.files import read_json, sha256_of, sha256_of_file, write_json
from ipseity.core.rng import Rng
from ipseity.flows.personalize import find_run, whole_flow
from ipseity.recipe import change, make_recipe, parse, read_text

RESAMPLES = 4000
SHELF = "data-centric"
"""The recipe that every arm starts from."""
KEYS = ("identity/efficientnet_lite2", "identity/toy_vit", "prompt_fidelity/minilm_conse")
Row = dict[str, Any]
Arm = tuple[str, str]
"""Way of captioning and regularization."""


@dataclass(frozen=True)
class Cell:
    """One run of a comparison."""

    labels: Mapping[str, str | int]
    """What it stands for in the table."""
    recipe: Mapping[str, Any]
    weight: float = 1.0
    """How long it takes beside the others; only ratios count."""

    @property
    def name(self) -> str:
        """Say which one it is."""
        return ", ".join(f"seed {value}" if key == "seed" else str(value) for key, value in self.labels.items())


@dataclass(frozen=True)
class Work:
    """What runs a cell, and what reads its numbers."""

    module: str
    """Runs the recipe that comes as JSON on the standard input."""
    read: Callable[[Cell], Row | None]
    """Gives None where the cell has not ended."""


@dataclass(frozen=True)
class Standing:
    """How far a comparison has come."""

    rows: list[Row]
    """Finished cells, in the order of the cells."""
    left: list[str]
    """Cells without numbers, each with the reason where it failed."""
    total: int


def add_options(parser: argparse.ArgumentParser, *, work: str) -> None:
    """Add what both comparisons can be told."""
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps of each run (%(default)s)")
    parser.add_argument("--images", type=int, default=64, help="pictures in each regularization set (%(default)s)")
    parser.add_argument("--inference-steps", type=int, default=25, help="denoising steps of each picture (%(default)s)")
    parser.add_argument("--save-every", type=int, default=None, help="steps between saves (a fifth of the steps)")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="further settings of every run's recipe"
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; more than one get one core each")
    parser.add_argument(
        "--hours", type=float, default=3.0, help="begin no run that would not end in them (%(default)s)"
    )
    parser.add_argument("--work", type=Path, default=Path(work), help="where runs and sets are kept (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("docs/results"), help="where the page is written (%(default)s)"
    )


@cache
def weights_mark() -> str:
    """Hash weights and settings of the toybox and its evaluators: runs of older ones must not pass for finished."""
    folder = Path(str(files("ipseity") / "assets" / "toybox"))
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".safetensors", ".json"))
    return sha256_of([sha256_of_file(path) for path in paths])[:8]


def arm_recipe(photos: Path, noun: str, arm: Arm, chosen: argparse.Namespace, *, seed: int = 0) -> dict[str, Any]:
    """Give a cell's recipe: of one subject, all arms differ in captions and regularization and in nothing else."""
    captions, regularization = arm
    size = {"images": chosen.images}
    options = {
        "none": {},
        "class_images": size,
        "structured": {**size, "bank": "toybox"},
        "output_preservation": {"captions": chosen.images, "bank": "toybox"},
        "l2": {},
    }
    data = parse(read_text(Path(SHELF)), SHELF)
    made = {
        **data,
        "name": f"{photos.name}-{captions}-{regularization}",
        "seed": seed,
        "runs": str(chosen.work / weights_mark() / "runs"),
        "sets": str(chosen.work / weights_mark() / "sets"),
        "subject": {"photos": str(photos), "class_noun": noun},
        "captions": {"use": captions},
        "regularization": {"use": regularization, **options[regularization]},
        "fit": {
            **data["fit"],
            "max_train_steps": chosen.steps,
            "save_every": chosen.save_every or max(1, chosen.steps // 5),
        },
        "draw": {"num_inference_steps": chosen.inference_steps},
    }
    return change(made, chosen.set)


class Board:
    """What is known of each cell while they run.

    Args:
        cells: in the order of need.
        work: what runs and reads them.
    """

    def __init__(self, cells: Sequence[Cell], work: Work) -> None:
        self.cells, self.work, self.began = cells, work, time.monotonic()
        self.rows = {number: row for number, cell in enumerate(cells) if (row := work.read(cell)) is not None}
        self.failed: dict[int, str] = {}
        self.took: list[float] = []
        """Seconds of the cells that ran now, each divided by its weight."""
        self.found = len(self.rows)

    @property
    def usual(self) -> float:
        """Give the seconds of a cell of weight 1, as far as is known."""
        return statistics.median(self.took) if self.took else 0.0

    def fits(self, number: int, hours: float) -> bool:
        """Whether a cell would end within the hours, if it runs like those before it."""
        return time.monotonic() - self.began + self.usual * self.cells[number].weight < hours * 3600

    def rest(self) -> float:
        """Give the hours that the cells without numbers would take, one after the other."""
        there = self.rows.keys() | self.failed.keys()
        return self.usual * sum(cell.weight for number, cell in enumerate(self.cells) if number not in there) / 3600

    def forecast(self, jobs: int, hours: float) -> str:
        """Say, from what has been measured, how long everything takes."""
        weights = [cell.weight for number, cell in enumerate(self.cells) if number not in self.rows]
        room, held = jobs * (hours * 3600 - (time.monotonic() - self.began)), 0
        for weight in weights:
            room -= self.usual * weight
            held += room >= 0
        total = self.usual * sum(cell.weight for cell in self.cells) / 3600
        return (
            f"Measured: all {len(self.cells)} cells from nothing would take {total / jobs:.2f} h with --jobs {jobs}; the "
            f"{len(weights)} that are left {self.rest() / jobs:.2f} h, of which --hours {hours:g} holds about {held}."
        )

    def enter(self, number: int, error: str, seconds: float) -> str:
        """Take down how a cell ended, and say it."""
        row, name = self.work.read(self.cells[number]), self.cells[number].name
        if row is None:
            where = str(Path(self.cells[number].recipe["subject"]["photos"]).parent)
            # a page tells no one's folders, nor the module an error comes from
            told = re.sub(r"^(\w+\.)+", "", error.replace(f"{where}{os.sep}", ""))
            self.failed[number] = told or "no report was written"
            return f"[{name}] failed: {self.failed[number]}"
        self.rows[number] = row
        self.took.append(seconds / self.cells[number].weight)
        return f"[{name}] {seconds:.0f} s; the rest would take {self.rest():.2f} h, divided by the number of jobs"

    def standing(self) -> Standing:
        """Say how far the comparison has come."""
        left = [
            cell.name + (f" (failed: {self.failed[number]})" if number in self.failed else "")
            for number, cell in enumerate(self.cells)
            if number not in self.rows
        ]
        return Standing([self.rows[number] for number in sorted(self.rows)], left, len(self.cells))


def run_cells(
    cells: Sequence[Cell], *, jobs: int, hours: float, show: Callable[[Standing], None], work: Work | None = None
) -> str:
    """Run what time allows, in order; finished cells are read, not run.

    Args:
        cells: in the order of need: the first are the ones to have when time runs out.
        jobs: processes at once.
        hours: a cell is begun only when one like those before it would end within them.
        show: told how things stand after each finished cell, and at the end.
        work: what runs and reads a cell; unset means an ordinary run with its report.

    Returns:
        A sentence on the time.
    """
    board = Board(cells, work or Work("benchmarks.cells", read_row))
    print(f"{len(cells)} cells; {board.found} are finished already.", flush=True)
    try:
        _run_missing(board, jobs, hours, show)
    except KeyboardInterrupt:
        print("Interrupted; what was running has saved where it stood. Repeat the command to go on.", flush=True)
    show(board.standing())
    minutes = (time.monotonic() - board.began) / 60
    return f"{len(board.took)} ran now in {minutes:.0f} minutes with --jobs {jobs}; {board.found} were there."


def _run_missing(board: Board, jobs: int, hours: float, show: Callable[[Standing], None]) -> None:
    waiting = [number for number in range(len(board.cells)) if number not in board.rows]
    running: dict[Future[str], tuple[int, float]] = {}
    told = False
    with _processes(jobs, board.work.module) as begin:
        while True:
            while waiting and len(running) < jobs and board.fits(waiting[0], hours):
                number = waiting.pop(0)
                running[begin(board.cells[number])] = (number, time.monotonic())
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, since = running.pop(future)
                print(board.enter(number, future.result(), time.monotonic() - since), flush=True)
                if board.took and not told:
                    print(board.forecast(jobs, hours), flush=True)
                    told = True
                show(board.standing())


@contextmanager
def _processes(jobs: int, module: str) -> Iterator[Callable[[Cell], "Future[str]"]]:
    """Give what begins a cell in a process of its own; at an interrupt each one saves where it stands and ends."""
    alive: set[subprocess.Popen[str]] = set()
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if jobs > 1 else {}
    root = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    env = {**os.environ, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", **threads}

    def work(cell: Cell) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", module], env=env, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        alive.add(process)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(cell.recipe))
        process.stdin.close()
        said = ""
        with process.stdout:
            for line in process.stdout:
                said = line.strip() or said
                if line.startswith(("{", "Error")):
                    print(f"[{cell.name}] {line.rstrip()}", flush=True)
        alive.discard(process)
        return "" if process.wait() == 0 else f"{said} (exit {process.returncode})"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        with ThreadPoolExecutor(jobs) as pool:
            try:
                yield lambda cell: pool.submit(work, cell)
            finally:
                for process in list(alive):
                    process.send_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, before)


def read_row(cell: Cell) -> Row | None:
    """Give a finished cell's numbers: `metric/evaluator` -> mean, with `before/` and `real/`; None where it has not ended."""
    run = find_run(make_recipe(cell.recipe))
    report = run.folder / "report" / "scores.json"
    if not report.is_file():
        return None
    found = read_json(report)
    scores: dict[str, float] = {}
    for row in found["rows"]:
        key = f"{row['metric']}/{row['evaluator']}"
        kinds = (("", "after"), ("before/", "before"), ("real/", "real"), ("reach/", "reach"))
        scores |= {head + key: row[kind]["mean"] for head, kind in kinds if row[kind] and row[kind]["mean"] is not None}
    measured = [event for event in run.events() if event["event"] == "Measured"]
    return {
        **cell.labels,
        "picked": found["choice"]["step"],
        "scores": scores,
        "flags": {flag["name"]: flag["message"] for flag in found["flags"] if flag["raised"]},
        "train_seconds": sum(event["seconds"] for event in measured),
        "peak_gib": max((event["peak_gib"] for event in measured), default=None),
        "forecast_gib": max((event["forecast_gib"] for event in measured), default=None),
    }


def interval(differences: Sequence[float], *, seed: int = 0) -> tuple[float, float, float]:
    """Give the mean of paired differences, one a subject, and its 95 % bootstrap interval over subjects."""
    values = np.asarray(differences)
    rows = np.random.default_rng(Rng(seed, ("interval",)).integer(2**32)).integers(
        0, len(values), (RESAMPLES, len(values))
    )
    low, high = np.percentile(values[rows].mean(1), (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def command(name: str, chosen: argparse.Namespace, *, told: Sequence[str]) -> str:
    """Write the command that repeats a page; where things lie and how many ran at once is left out."""
    words = [f"python -m benchmarks.{name}"]
    for key in (*told, "steps", "images", "inference_steps", "save_every"):
        if (value := getattr(chosen, key)) is not None:
            words.append(f"--{key.replace('_', '-')} {' '.join(value) if isinstance(value, list) else value}")
    words += ["--set", *map(shlex.quote, chosen.set)] if chosen.set else []
    return " ".join(words)


def closing(standing: Standing) -> list[str]:
    """Give the last lines of a page: memory, and what did not run."""
    peaks = [(row["peak_gib"], row["forecast_gib"]) for row in standing.rows if row["peak_gib"] is not None]
    lines = []
    if peaks:
        peak, forecast = max(peaks)
        lines.append(f"Highest memory peak of training: {peak:.2f} GiB (forecast for that run: {forecast:.2f}).\n")
    left = "; ".join(standing.left) if standing.left else "nothing"
    return [
        *lines,
        f"{len(standing.rows)} of {standing.total} runs are in (weights {weights_mark()}). Not run: {left}.",
    ]


def write_page(out: Path, name: str, page: str, rows: Sequence[Row]) -> None:
    """Write a page and its rows."""
    write_json(out / f"{name}.json", list(rows))
    (out / f"{name}.md").write_text(page, encoding="utf-8")


def number(value: float | None) -> str:
    """Write a score for a table."""
    return "-" if value is None else f"{value:.3f}"


def main() -> None:
    """Run the recipe that comes as JSON on the standard input: one cell, in this process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for event in whole_flow(make_recipe(json.load(sys.stdin)), []):
        if type(event).__name__ in ("Picked", "Measured", "Wrote"):
            print(json.dumps(event.record()), flush=True)


if __name__ == "__main__":
    main()
