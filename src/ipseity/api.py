"""The verbs of ipseity as functions: what the command line calls, and what a program may call.

Each working verb gives a generator of events (`ipseity.core.events`); its return value is the result.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ipseity.core import events as events
from ipseity.core.errors import Failure as Failure
from ipseity.core.errors import IpseityError as IpseityError
from ipseity.core.errors import RecipeError, RunError
from ipseity.core.errors import Refusal as Refusal
from ipseity.core.events import Event, Noticed, Wrote
from ipseity.core.files import write_text
from ipseity.data.inquiry import InquiryOptions
from ipseity.evaluation.dreambench import SOURCE
from ipseity.evaluation.toybench import toys_folder
from ipseity.flows import inventory as shelves
from ipseity.flows.bench import dreambench_flow
from ipseity.flows.captions import captions_flow
from ipseity.flows.cases import BenchWish as BenchWish
from ipseity.flows.commission import PortraitWish as PortraitWish
from ipseity.flows.commission import commission
from ipseity.flows.commission import make_wish as make_wish
from ipseity.flows.doctor import doctor_flow
from ipseity.flows.evaluate import evaluate_flow
from ipseity.flows.export import export_flow
from ipseity.flows.forget import forget as forget
from ipseity.flows.generate import Wish, generate_flow, read_run
from ipseity.flows.inspect import inspect_file as inspect_file
from ipseity.flows.licences import before_fetching
from ipseity.flows.personalize import PersonalizeWish as PersonalizeWish
from ipseity.flows.personalize import derive as derive
from ipseity.flows.personalize import find_run, whole_flow
from ipseity.flows.personalize import tour_recipe as tour_recipe
from ipseity.flows.phrases import phrases_flow
from ipseity.flows.portrait import portrait_flow
from ipseity.flows.setting import set_out, start_engine
from ipseity.flows.styles import styles
from ipseity.flows.synthesize import synthesize_flow
from ipseity.flows.toybench import toybox_flow
from ipseity.flows.train import forecast_flow, train_flow
from ipseity.recipe import Recipe, change, check_options, make_recipe, read_text
from ipseity.recipe import read_recipe as read_recipe
from ipseity.training.launch import launched, relaunch
from ipseity.training.run import Run

Told = Generator[Event, None, Any]
Answer = tuple[Any, Callable[[Console], None]]
"""Plain data, and a function that prints it for people."""


def tour(*, out: Path = Path("runs"), settings: Iterable[str] = ()) -> Told:
    """Run the main job on the example subject with the built-in base; gives the report's path."""
    return (
        yield from whole_flow(
            tour_recipe(out, settings), ["The tour: six photos of one thing, and a small model that learns it."]
        )
    )


def personalize(wish: PersonalizeWish, *, settings: Iterable[str] = (), dry_run: bool = False) -> Told:
    """From photos to a checked identity: set, training, picking, scores and report; gives the report's path."""
    recipe, told = derive(wish, settings)
    return (yield from whole_flow(recipe, told, dry_run=dry_run))


def portrait(wish: PortraitWish, *, settings: Iterable[str] = (), dry_run: bool = False) -> Told:
    """Draw one face, or several people, in new pictures without training; gives the pictures' folder."""
    recipe, told = commission(wish, settings)
    return (yield from portrait_flow(wish, recipe, told, dry_run=dry_run))


def list_styles() -> Answer:
    """List the styles that a portrait may have."""
    rows = [{"name": one.name, "words": one.words, "negative": one.negative} for one in styles().values()]
    return rows, lambda console: _table(console, "styles", rows)


def doctor(photos: Path | None = None, *, base: str = "toybox") -> Told:
    """Say what is wrong with this machine, or with these photos, and how to mend it."""
    yield from doctor_flow(photos, base=base)


def new_recipe(path: Path, source: str) -> Told:
    """Write a copy of a recipe from the shelf."""
    if path.exists():
        raise RunError(f"{path} exists already", "a new file", "name another, or move that one away")
    write_text(path, read_text(Path(source)))
    yield Wrote(f"copy of '{source}'", path)


def phrases(class_noun: str, *, out: Path, given: dict[str, Any], settings: Iterable[str] = ()) -> Told:
    """Ask a language model for the phrases of a class and write them as a bank; gives the bank's path.

    Args:
        class_noun: what the subject is.
        out: folder of the bank, with the answers beside it.
        given: options of `ipseity.data.inquiry.InquiryOptions`.
        settings: more of them as `KEY=VALUE`.
    """
    options = check_options(InquiryOptions, change(given, settings), "the command line", "")
    return (yield from phrases_flow(class_noun, options, out))


def synthesize_recipe(path: Path, settings: Iterable[str] = ()) -> Told:
    """Make the regularization set of a recipe; gives the set's folder."""
    recipe = read_recipe(path, settings)
    yield from (Noticed(line) for line in before_fetching(recipe))
    return (yield from synthesize_flow(set_out(recipe, alone=True)))


def show_requests(path: Path, settings: Iterable[str] = ()) -> Answer:
    """List the prompts that a recipe's regularization set asks for, and the training captions beside them."""
    setting = set_out(read_recipe(path, settings), alone=True)
    data = {
        "captions": [example.captions[0] for example in setting.examples],
        "requests": [{"prompt": request.prompt, "seed": request.seed} for request in setting.requests],
    }

    def render(console: Console) -> None:
        _table(console, "training captions", [{"caption": caption} for caption in data["captions"]])
        _table(console, "regularization set", data["requests"])

    return data, render


def write_captions(path: Path, settings: Iterable[str] = ()) -> Told:
    """Write what a recipe says of each photo beside the photos, to be read and edited; gives the file's path."""
    return (yield from captions_flow(read_recipe(path, settings)))


def train_recipe(
    path: Path, settings: Iterable[str] = (), *, folder: Path | None = None, dry_run: bool = False
) -> Told:
    """Train as a recipe says, or go on where it was left; gives the picked checkpoint."""
    recipe = read_recipe(path, settings)
    yield from (Noticed(line) for line in before_fetching(recipe))
    setting = set_out(recipe, alone=dry_run)
    if dry_run:
        return (yield from forecast_flow(setting))
    run = find_run(recipe, folder)
    yield Wrote("run folder", run.folder)
    return (yield from train_flow(setting, run))


def bench(what: str, wish: BenchWish) -> Told:
    """Run a benchmark, or go on where it was left; gives the folder of its tables.

    Args:
        what: a key of `BENCHMARKS`.
        wish: what the user says; its data is what `bench_data` gives.
    """
    _known_benchmark(what)
    if wish.split and what != "toybox":
        raise RecipeError(f"--split {wish.split} with {what}", "the toybox, which has splits", "leave it out, or run `ipseity bench toybox`")  # fmt: skip
    return (yield from BENCHMARKS[what](replace(wish, what=what)))


def bench_data(what: str, data: Path | None) -> Path:
    """Give the folder of a benchmark's subjects.

    Raises:
        RecipeError: there is no such benchmark, or `data` is named where it ships, or is missing where it does not.
    """
    _known_benchmark(what)
    if what == "toybox":
        if data is not None:
            raise RecipeError(f"--data {data} with the toybox", "no data: its subjects are shipped", "leave it out")
        return toys_folder()
    if data is None:
        raise RecipeError(
            "the data set is not named",
            f"a copy of DreamBench ({SOURCE})",
            "name its folder with --data, or run `ipseity bench toybox`",
        )
    return data


def _known_benchmark(what: str) -> None:
    if what not in BENCHMARKS:
        raise RecipeError(
            f"there is no benchmark '{what}'", f"one of: {', '.join(BENCHMARKS)}", "write `ipseity bench toybox`"
        )


BENCHMARKS: Mapping[str, Callable[[BenchWish], Told]] = {"dreambench": dreambench_flow, "toybox": toybox_flow}
"""Name -> flow."""


def relaunch_for(recipe: Recipe, argv: Sequence[str]) -> int | None:
    """Start the same command again in as many processes as the recipe's engine wants.

    Returns:
        Their exit code, or None where this process shall do the work itself.
    """
    wanted = getattr(recipe.engine.options, "num_processes", 1)
    return relaunch(["-m", "ipseity.surfaces.cli", *argv], wanted) if wanted > 1 and not launched() else None


def generate_run(
    folder: Path, prompts: Sequence[str], *, count: int = 4, seed: int = 0, scale: float = 1.0, out: Path | None = None
) -> Told:
    """Draw a learned subject in new scenes; gives the pictures' paths."""
    recipe, identity = read_run(folder)
    yield from (Noticed(line) for line in before_fetching(recipe))
    base = recipe.base.plugin.load(recipe.base.options, start_engine(recipe.engine, alone=True).device)
    wish = Wish(tuple(prompts), count, seed, scale)
    return (yield from generate_flow(base, identity, wish, options=recipe.draw, folder=out or folder / "generated"))


def evaluate_run(folder: Path, *, paraphrases: bool = False) -> Told:
    """Score a run with the evaluators that did not pick it, and write its report; gives the report's path.

    Args:
        folder: the run's.
        paraphrases: whether the scored scenes are asked for in other words too, whatever the recipe says.
    """
    recipe, _ = read_run(folder)
    if paraphrases:  # read again and not merely replaced, so that the options are checked
        recipe = make_recipe(change(recipe.plain(), ["evaluate.paraphrases=true"]), origin=str(folder))
    return (yield from evaluate_flow(set_out(recipe, alone=True), Run(folder)))


def export_run(folder: Path, form: str, *, out: Path | None = None) -> Told:
    """Write a run's identity as other programs read it; gives the files' paths."""
    recipe, identity = read_run(folder)
    base = recipe.base.plugin.load(recipe.base.options, "cpu")
    return (yield from export_flow(base, identity, form, out or folder / "export"))


def inventory(what: str | None = None, *, runs: Path = Path("runs")) -> Answer:
    """List what is in the house."""
    data = shelves.inventory(what, runs=runs)

    def render(console: Console) -> None:
        for shelf, rows in data.items():
            _table(console, shelf, rows)

    return data, render


def _table(console: Console, title: str, rows: Sequence[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key, value in row.items() if value not in (None, [], "")))
    table = Table(title=title, title_justify="left", title_style="bold", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, style="cyan" if column == "name" else None, overflow="fold")
    for row in rows:
        cells = (row.get(column) for column in columns)
        table.add_row(
            *(", ".join(cell) if isinstance(cell, list) else "" if cell is None else str(cell) for cell in cells)
        )
    console.print(table if rows else f"[bold]{title}[/]: none")
    console.print()


__all__ = [
    "BenchWish", "Failure", "IpseityError", "PersonalizeWish", "PortraitWish", "Refusal", "bench", "bench_data", "derive", "doctor", "evaluate_run", "events",
    "export_run", "forget", "generate_run", "inspect_file", "inventory", "list_styles", "make_wish", "new_recipe", "Noticed", "personalize", "portrait",
    "read_recipe", "relaunch_for", "show_requests", "synthesize_recipe", "tour", "tour_recipe", "train_recipe", "write_captions",
]  # fmt: skip
