"""From photos to a checked identity in one go: what was not said is derived and told with its reason."""

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from ipseity.core.errors import RecipeError
from ipseity.core.events import Event, Noticed, Wrote
from ipseity.core.files import read_json
from ipseity.flows.evaluate import evaluate_flow
from ipseity.flows.judge import need_picker
from ipseity.flows.licences import before_fetching
from ipseity.flows.setting import set_out
from ipseity.flows.synthesize import synthesize_flow
from ipseity.flows.train import forecast_flow, train_flow
from ipseity.recipe import Recipe, change, make_recipe, parse, read_text
from ipseity.training.run import Run

QUALITIES: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "toybox": {"quick": (100, 24), "standard": (300, 64), "thorough": (1200, 200)},
    "real": {"quick": (400, 50), "standard": (1000, 200), "thorough": (2500, 1000)},
}
"""Steps and regularization pictures, for the toybox and for published bases."""
TOUR_SUBJECT = "tour"


@dataclass(frozen=True)
class PersonalizeWish:
    """What a user says; everything else is derived."""

    photos: Path
    class_noun: str
    token: str | None = None
    base: str = "toybox"
    weights: str | None = None
    quality: str = "standard"
    seed: int | None = None
    out: Path = Path("runs")
    consent: str | None = None
    """Who agreed to being learned and drawn, when, and to what."""


def derive(wish: PersonalizeWish, settings: Iterable[str] = ()) -> tuple[Recipe, list[str]]:
    """Make the recipe for a wish, with a sentence for each value that was derived.

    Raises:
        RecipeError: an unknown quality, base or key.
    """
    table = QUALITIES["toybox" if wish.base == "toybox" else "real"]
    if wish.quality not in table:
        raise RecipeError(f"--quality {wish.quality!r}", f"one of: {', '.join(table)}", "choose one of them")
    steps, images = table[wish.quality]
    shelf = "data-centric" if wish.base == "toybox" else f"data-centric-{wish.base}"
    data: dict[str, Any] = (
        parse(read_text(Path(shelf)), shelf)
        if wish.base in ("toybox", "sdxl", "sd15", "sd3")
        else {"base": {"use": wish.base}}
    )
    saves = max(1, steps // 5)
    told = [
        f"Base: {wish.base}"
        + (" (small, built in, runs anywhere; --base sdxl for published weights)." if wish.base == "toybox" else "."),
        f"Steps: {steps}, with {images} regularization pictures, because the quality is '{wish.quality}'.",
        f"A checkpoint every {saves} steps is scored, and the best one is kept.",
    ]
    subject = {"photos": str(wish.photos), "class_noun": wish.class_noun}
    if wish.consent:
        subject["consent"] = wish.consent
    if wish.token:
        subject["token"] = wish.token
    else:
        told.append("Token: sks, a rare word that prompts will use for the subject (--token for another).")
    data["name"] = wish.photos.resolve().name.replace(" ", "-") or "subject"
    data["runs"], data["sets"] = str(wish.out), str(wish.out.parent / "sets")
    data["subject"] = {**data.get("subject", {}), **subject}
    data["fit"] = {**data.get("fit", {}), "max_train_steps": steps, "save_every": saves}
    data["regularization"] = {**data.get("regularization", {"use": "structured"}), "images": images}
    if wish.weights:
        data["base"] = {**data.get("base", {}), "weights": wish.weights}
    if wish.seed is not None:
        data["seed"] = wish.seed
    return make_recipe(change(data, settings), origin="personalize"), told


def find_run(recipe: Recipe, folder: Path | None = None) -> Run:
    """Give the run folder of a recipe: the one named, the one that was begun with it, or a new one."""
    if folder is not None:
        return Run(folder)
    mark = recipe.hash()[:8]
    begun = sorted(recipe.general.runs.glob(f"*-{mark}")) if recipe.general.runs.is_dir() else []
    name = f"{date.today():%Y-%m-%d}-{recipe.general.name}-{recipe.base.name}-{recipe.method.name}-{mark}"
    return Run(begun[-1] if begun else recipe.general.runs / name)


def whole_flow(recipe: Recipe, told: Iterable[str], *, dry_run: bool = False) -> Generator[Event, None, Path | None]:
    """Set, training, picking, scores and report, in this order; gives the report's path.

    Several processes train together; the rest is the main one's, and only it has a path to give.
    """
    yield from (Noticed(line) for line in (*told, *before_fetching(recipe)))
    need_picker(recipe)
    setting = set_out(recipe, alone=dry_run)
    run = find_run(recipe)
    if dry_run:
        yield from forecast_flow(setting)
        return None
    yield Wrote("run folder", run.folder)
    yield from synthesize_flow(setting)
    choice = yield from train_flow(setting, run)
    if not setting.engine.is_main:
        return None
    return (yield from evaluate_flow(setting, run, choice=choice))


def example_subject() -> tuple[Path, Mapping[str, Any]]:
    """Give the folder and the facts of the subject that the tour shows."""
    folder = Path(str(files("ipseity") / "assets" / "subjects"))
    name = read_json(folder / "index.json")[TOUR_SUBJECT]
    return folder / name, read_json(folder / name / "subject.json")


def tour_recipe(out: Path, settings: Iterable[str] = ()) -> Recipe:
    """Make the tour's recipe: the shelf's `tour` with the example subject's photos."""
    photos, facts = example_subject()
    data = parse(read_text(Path("tour")), "tour")
    data["runs"], data["sets"] = str(out), str(out.parent / "sets")
    data["name"] = photos.name
    data["subject"] = {**data.get("subject", {}), "photos": str(photos), "class_noun": facts["class_noun"]}
    return make_recipe(change(data, settings), origin="tour")
