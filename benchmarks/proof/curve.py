"""One run whose every checkpoint is scored afterwards: the same prompts and seeds at each step, in each arm.

    echo RECIPE_AS_JSON | python -m benchmarks.proof.curve

Training is an ordinary run without an early stop. The evaluator that picks looks at each save on its own prompts, seeds and
photo, as ever; then the evaluators that score, and the checks of `ipseity bench toybox`, look at each save on theirs. What a
checkpoint scored is a file of its own in the run's folder, written whole, so that an interrupted curve goes on where it was:

    curve/levels.json         the untrained base, the photos, and the photos as the base's autoencoder leaves them
    curve/000200.json         one checkpoint
    curve/000200/00.png ...   its pictures of the subject
    curve/seconds.json        what was measured while it trained

Drawing is most of a curve's cost, so it is kept small: each scene that scores once (or as often as `evaluate.images_per_scene`
says), the class word at the first `CLASS_SCENES` of them, and what `draw` says of steps.
"""

import json
import signal
import statistics
import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL.Image import Image

from benchmarks.cells import Cell, Row
from ipseity.core.drawing import draw_all, pipeline_for
from ipseity.core.errors import MissingPackage
from ipseity.core.events import Event, Progressed, Wrote
from ipseity.core.files import read_json, write_json, writing
from ipseity.core.identity import Attachment, Identity
from ipseity.core.registry import find
from ipseity.data.subject import SubjectOptions, read_subject
from ipseity.evaluation.flags import as_scores, leaking, memorized
from ipseity.evaluation.metrics.parts.looking import Remembering
from ipseity.evaluation.plan import SCORE_SEED, Plan
from ipseity.evaluation.suite import Scores, ceiling, means, score
from ipseity.evaluation.toybench import read_toys, toys_folder
from ipseity.evaluation.truth import PIXELS, Truth, View, learn_truth
from ipseity.flows.judge import Bench, draw_bare, gallery, make_bench
from ipseity.flows.personalize import find_run
from ipseity.flows.setting import Setting, load_encoders, set_out
from ipseity.flows.synthesize import synthesize_flow
from ipseity.flows.train import train_flow
from ipseity.recipe import Recipe, make_recipe

FORMAT = "ipseity.proof.curve.1"
CLASS_SCENES = 3
"""Pictures of the class word a checkpoint: leakage is a mean over runs, and one of them needs few."""
DIGITS = 5


@dataclass(frozen=True)
class Easel:
    """What every checkpoint of a run is held against."""

    bench: Bench
    class_before: tuple[Image, ...]
    encoders: Mapping[str, Any]
    truth: Truth | None
    """None where the subject is not one of the shipped ones."""
    untrained: Mapping[str, float]
    reach: Mapping[str, float]
    metrics: tuple[str, ...]


def trace(recipe: Recipe) -> Generator[Event, None, Path]:
    """Train to the end, then score what has no score yet.

    Returns:
        The folder of the curve.

    Raises:
        MissingPackage: an evaluator that scores is not installed; rows with and without it could not be compared.
    """
    _need_scorers(recipe)
    setting = set_out(recipe, alone=True)
    run = find_run(recipe)
    folder = run.folder / "curve"
    if not (folder / "seconds.json").is_file():
        spent: dict[str, float] = {}
        yield from synthesize_flow(setting)
        yield from _timed(train_flow(setting, run), spent)
        prepared = sum(seconds for stage, seconds in spent.items() if stage.startswith("cache"))
        write_json(folder / "seconds.json", {"prepare": round(prepared, 3)})
    missing = [one for one in run.checkpoints() if one.due and not _is_scored(folder, one.step)]
    if missing or not (folder / "levels.json").is_file():
        easel = yield from _set_up(setting, folder)
        for checkpoint in missing:
            yield _score_checkpoint(setting, easel, checkpoint.identity, step=checkpoint.step, folder=folder)
    return folder


def _need_scorers(recipe: Recipe) -> None:
    for name in recipe.evaluate.score:
        if reason := find("encoders", name).missing():
            found = f"evaluator '{name}' scores the curves and is not here ({reason})"
            raise MissingPackage(found, "every evaluator that scores", "install it, or leave it out of evaluate.score")


def read_curve(cell: Cell) -> Row | None:
    """Give a finished cell's curve; None where a checkpoint has no score yet.

    Returns:
        The labels; `points`, step -> `metric/evaluator` -> mean; `picking`, the same by the evaluator that picks; `picked`, the
        step it chose; `levels`; `flags`, step -> those raised; `seconds` (a step's, a picture's, of preparing); `set_pictures`.
    """
    recipe = make_recipe(cell.recipe)
    run = find_run(recipe)
    folder = run.folder / "curve"
    saves = [one.step for one in run.checkpoints() if one.due]
    whole = saves and saves[-1] == recipe.fit.max_train_steps and (folder / "levels.json").is_file()
    if not whole or not all(_is_scored(folder, step) for step in saves):
        return None
    rows = {step: read_json(_row(folder, step)) for step in saves}
    told = run.events()
    timed = read_json(folder / "seconds.json")
    picture = statistics.median(row["draw_seconds"] / row["drawn"] for row in rows.values())
    step_seconds = statistics.median(event["seconds"] for event in told if event["event"] == "Stepped")
    return {
        **cell.labels,
        "run": run.folder.name,
        "points": {step: _scores(row["scores"]) for step, row in rows.items()},
        "picking": {event["step"]: _scores(event["scores"]) for event in told if event["event"] == "Scored"},
        "picked": next(event["step"] for event in reversed(told) if event["event"] == "Picked"),
        "levels": read_json(folder / "levels.json")["levels"],
        "flags": {step: _raised(row["scores"]) for step, row in rows.items()},
        "seconds": {"step": step_seconds, "prepare": timed["prepare"], "picture": picture},
        "set_pictures": getattr(recipe.regularization.options, "images", 0),
    }


def curve_folder(cell: Cell) -> Path:
    """Give where a cell's rows and pictures lie."""
    return find_run(make_recipe(cell.recipe)).folder / "curve"


def _scores(scores: Mapping[str, float]) -> dict[str, float]:
    return {key: round(value, DIGITS) for key, value in scores.items() if not key.startswith("flag/")}


def _raised(scores: Mapping[str, float]) -> list[str]:
    return [key.removeprefix("flag/") for key, value in scores.items() if key.startswith("flag/") and value > 0]


def _timed(events: Generator[Event, None, Any], spent: dict[str, float]) -> Iterator[Event]:
    """Pass events on and add up, by stage, how long each took to come."""
    began = time.perf_counter()
    for event in events:
        if isinstance(event, Progressed):
            spent[event.stage] = spent.get(event.stage, 0.0) + time.perf_counter() - began
        yield event
        began = time.perf_counter()


def _set_up(setting: Setting, folder: Path) -> Generator[Event, None, Easel]:
    """Draw the untrained base once (or find its pictures) and score it and the photos; the base has nothing attached."""
    options = setting.recipe.evaluate
    whole = make_bench(setting, scenes=options.score_scenes, first_seed=SCORE_SEED, photos=setting.split.score)
    bench = replace(whole, class_only=_first(whole.class_only, CLASS_SCENES))
    bare = yield from draw_bare(setting, bench.subject, "pictures of the untrained base")
    class_before = yield from draw_bare(setting, bench.class_only, "class word, untrained")
    loaded, _ = load_encoders(options.score, setting.engine.device)
    encoders: dict[str, Any] = {name: Remembering(encoder) for name, encoder in loaded.items()}
    metrics = tuple(name for name in options.metrics if name != "leakage")
    truth = learn_subject(setting.recipe.subject)
    scores = score(gallery(bench.subject, bare), bench.references, encoders, metrics)
    looks = _looks(bare, truth)
    real, reach = (means(ceiling(bench.references, encoders, metrics, decoded=decoded)) for decoded in (False, True))
    untrained = {**means(scores), **{f"leakage/{name}": 0.0 for name in encoders}, **_mean_looks(looks)}
    _keep(bare, folder / "untrained")
    write_json(
        folder / "levels.json",
        {
            "format": FORMAT,
            "levels": {kind: _scores(told) for kind, told in (("untrained", untrained), ("real", real), ("reach", reach))},
            "pictures": _pictures(bench.subject, scores, looks),
        },
    )  # fmt: skip
    return Easel(bench, tuple(class_before), encoders, truth, untrained, reach, metrics)


def learn_subject(options: SubjectOptions) -> Truth | None:
    """Learn what is true of a shipped subject from all its photos, as `ipseity bench toybox` does."""
    toys = read_toys()
    name = options.photos.name
    if name not in toys.classes:
        return None
    mark = toys.marks.get(name)
    views = [
        View(photo.image, photo.mask, mark.boxes.get(photo.path.name) if mark else None)
        for photo in read_subject(options).photos
        if photo.mask is not None
    ]
    sibling = SubjectOptions(photos=toys_folder() / toys.sibling(name), class_noun=options.class_noun)  # type: ignore[call-arg] # the rest has defaults
    return learn_truth(views, [photo.image for photo in read_subject(sibling).photos])


def _score_checkpoint(setting: Setting, easel: Easel, path: Path, *, step: int, folder: Path) -> Event:
    """Draw with what a checkpoint learned, score it, and write its row last."""
    bench, attachment = easel.bench, Attachment(Identity.load(path))
    with setting.recipe.method.plugin.attach(setting.base, [attachment]):
        began = time.perf_counter()
        images, class_images = (_draw(setting, plan) for plan in (bench.subject, bench.class_only))
        seconds = time.perf_counter() - began
    scores = score(gallery(bench.subject, images), bench.references, easel.encoders, easel.metrics)
    compared = gallery(bench.class_only, class_images, easel.class_before)
    leaked = score(compared, bench.references, easel.encoders, ["leakage"])
    looks = _looks(images, easel.truth)
    flags = as_scores(memorized(scores), leaking(leaked, easel.untrained, easel.reach))
    _keep(images, folder / f"{step:06d}")
    row = {
        "format": FORMAT,
        "step": step,
        "scores": {**means({**scores, **leaked}), **_mean_looks(looks), **flags},
        "pictures": _pictures(bench.subject, scores, looks),
        "drawn": len(images) + len(class_images),
        "draw_seconds": round(seconds, 3),
    }
    write_json(_row(folder, step), row)
    return Wrote("scored checkpoint", _row(folder, step))


def _draw(setting: Setting, plan: Plan) -> list[Image]:
    options = setting.recipe.draw
    return draw_all(pipeline_for(setting.base, options), plan.prompts, plan.seeds, options)


def _first(plan: Plan, count: int) -> Plan:
    return Plan(plan.prompts[:count], plan.meanings[:count], plan.seeds[:count])


def _looks(images: Sequence[Image], truth: Truth | None) -> list[dict[str, float]]:
    if truth is None:
        return [{} for _ in images]
    return [{f"{check}/{PIXELS}": value for check, value in truth.look(image).items()} for image in images]


def _mean_looks(looks: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: statistics.fmean(look[key] for look in looks) for key in looks[0]}


def _pictures(plan: Plan, scores: Scores, looks: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """Give each picture's own scores, as plain data."""
    return [
        {"prompt": prompt, "seed": seed, "scores": {**{key: round(float(values[row]), DIGITS) for key, values in scores.items()}, **looks[row]}}
        for row, (prompt, seed) in enumerate(zip(plan.prompts, plan.seeds, strict=True))
    ]  # fmt: skip


def _keep(images: Sequence[Image], folder: Path) -> None:
    for number, image in enumerate(images):
        with writing(folder / f"{number:02d}.png") as draft:
            image.save(draft, "PNG")


def _row(folder: Path, step: int) -> Path:
    return folder / f"{step:06d}.json"


def _is_scored(folder: Path, step: int) -> bool:
    path = _row(folder, step)
    return path.is_file() and read_json(path).get("format") == FORMAT


def main() -> None:
    """Trace the recipe that comes as JSON on the standard input."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for event in trace(make_recipe(json.load(sys.stdin))):
        if type(event).__name__ in ("Picked", "Measured", "Wrote"):
            print(json.dumps(event.record()), flush=True)


if __name__ == "__main__":
    main()
