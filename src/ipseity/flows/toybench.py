"""The benchmark whose truth is known: the shipped subjects, scored by evaluators and by checks that no model has a part in."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ipseity.core.errors import RecipeError
from ipseity.core.events import Event, Noticed, Progressed, Tabulated, Wrote
from ipseity.core.files import read_json, sha256_of, write_json, write_text
from ipseity.core.types import Photo
from ipseity.data.subject import SubjectOptions, read_subject
from ipseity.evaluation.scoreboard import REAL, Entry, enter, to_csv
from ipseity.evaluation.toybench import ALL, Toys, choose_toys, list_toys, read_toys
from ipseity.evaluation.truth import CHECKS, PIXELS, Proof, Truth, View, learn_truth
from ipseity.evaluation.truthboard import (
    DRAWN,
    HEAD,
    PASTED,
    PROOF_HEAD,
    UNTRAINED,
    Row,
    lay_out,
    plain_rows,
    prefer,
    prove,
    tabulate_truth,
)
from ipseity.flows.bench import (
    check_sources,
    circumstances,
    named_weights,
    obtain,
    pickers,
    sampler_of,
    score_all,
    shown,
)
from ipseity.flows.cases import BenchWish, Case, read_cases
from ipseity.flows.contestants import Studio, wished_recipe
from ipseity.flows.controls import add_controls
from ipseity.flows.evaluators import Evaluators, load_evaluators
from ipseity.flows.scoring import Scored, Scorer
from ipseity.flows.setting import start_engine
from ipseity.flows.shots import Shooting, read_shot
from ipseity.training.machine import code_version

FORMAT = "ipseity.bench.toybox.1"
LOOKED_AT = (DRAWN, UNTRAINED, PASTED)
"""Kinds of pictures that are checked."""
Looked = tuple[Scored, Truth]
"""A subject's pictures with the checks among their scores, and what checked them."""


@dataclass(frozen=True)
class Result:
    """Everything that the files tell."""

    wish: BenchWish
    evaluators: Evaluators
    scored: tuple[Scored, ...]
    proofs: Mapping[str, Sequence[Proof]]
    rows: tuple[Row, ...]
    sampler: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Name the table."""
        return f"Toybox, {self.wish.split or ALL}: {self.wish.label}"


def toybox_flow(wish: BenchWish) -> Generator[Event, None, Path]:
    """Draw the shipped subjects, score the pictures, check them against the truth and write which scores agree with it.

    What was trained, drawn and scored before is found again, so the same command goes on after an interruption.

    Args:
        wish: what the user says; its data is the folder of the shipped subjects.

    Returns:
        The folder of the tables.

    Raises:
        SubjectError: an unknown subject, or one of another split.
        RecipeError: an unknown split or prompt, or options that exclude each other.
        RunError: nothing to draw, or a run that does not fit.
        WeightsError: weights that cannot be used.
    """
    _check_protocol(wish)
    check_sources(replace(wish, recipe=None) if wish.images else wish)  # beside pictures, the recipe draws the controls
    toys = read_toys()
    names = choose_toys(toys, wish.split or ALL, wish.subjects)
    recipe = wished_recipe(wish)
    cases = read_cases(wish, list_toys(toys, names), "held-out")
    studio = Studio()
    source = obtain(wish, cases, studio)
    device = start_engine(recipe.engine, alone=True).device
    evaluators = load_evaluators(wish.evaluator, named_weights(wish), device, download=wish.download)
    shootings, left_out = yield from source
    controlled = yield from _control(shootings, wish, studio)
    scored = yield from score_all(controlled, Scorer(evaluators, wish.out / "scores"))
    looked = yield from _look(scored, toys, wish)
    checked = [one for one, _ in looked]
    rows = tabulate_truth(_entries(checked), [row for one in checked for row in one.pictures])
    proofs = {one.shooting.case.name: truth.proofs for one, truth in looked}
    notes = (*_remarks(toys, looked), *left_out, *evaluators.missing, *pickers(shootings, evaluators))
    yield from (Noticed(note) for note in notes)
    sampler = sampler_of(shootings, studio)
    result = Result(wish, evaluators, tuple(checked), proofs, tuple(rows), sampler, notes)
    folder = write_result(result)
    yield Tabulated(result.title, HEAD, tuple(row.cells() for row in rows))
    yield Tabulated("What the checks are worth, on the shipped photos", PROOF_HEAD, tuple(prove(proofs)))
    yield Noticed(prefer(rows))
    yield Wrote("toybox benchmark", folder)
    return folder


def write_result(result: Result) -> Path:
    """Write the subjects' lines, the page, and last the manifest with everything.

    Returns:
        Their folder.
    """
    folder, name = result.wish.out / "tables" / result.wish.label, f"toybox-{result.wish.split or ALL}"
    write_text(folder / f"{name}.csv", to_csv(_entries(result.scored)))
    page = lay_out(result.title, _told(result), result.rows, prove(result.proofs), result.notes)
    write_text(folder / f"{name}.md", page)
    write_json(folder / f"{name}.json", _manifest(result))
    return folder


def read_views(case: Case, toys: Toys) -> list[View]:
    """Give a shipped subject's photos with their masks and marks; the truth is in all of them, trained on or not."""
    return [_view(photo, toys, case.name) for photo in case.subject.photos if photo.mask is not None]


def _view(photo: Photo, toys: Toys, name: str) -> View:
    assert photo.mask is not None, "a shipped photo has a mask"
    mark = toys.marks.get(name)
    return View(photo.image, photo.mask, mark.boxes.get(photo.path.name) if mark else None)


def _check_protocol(wish: BenchWish) -> None:
    if wish.protocol != "held-out":
        raise RecipeError(
            f"--protocol {wish.protocol} with the toybox",
            "held-out: pictures are compared with a photo that training has not seen",
            "leave it out",
        )


def _control(shootings: Sequence[Shooting], wish: BenchWish, studio: Studio) -> Generator[Event, None, list[Shooting]]:
    controlled = []
    for shooting in shootings:
        controlled.append((yield from add_controls(shooting, wish, studio)))
    return controlled


def _look(scored: Sequence[Scored], toys: Toys, wish: BenchWish) -> Generator[Event, None, list[Looked]]:
    """Check all subjects' pictures; what was checked before is read."""
    looked = []
    for done, one in enumerate(scored):
        yield Progressed("checks", done, len(scored))
        case = one.shooting.case
        truth = learn_truth(read_views(case, toys), _others(case, toys, wish))
        looked.append((_checked(one, truth, wish.out / "scores"), truth))
    yield Progressed("checks", len(scored), len(scored))
    return looked


def _others(case: Case, toys: Toys, wish: BenchWish) -> list[Any]:
    folder = wish.data / toys.sibling(case.name)
    options = SubjectOptions(photos=folder, class_noun=case.subject.class_noun)  # type: ignore[call-arg] # the rest has defaults
    return [photo.image for photo in read_subject(options).photos]


def _checked(scored: Scored, truth: Truth, folder: Path) -> Scored:
    """Add the checks to each picture's scores, and their means to the subject's lines."""
    case = scored.shooting.case
    views = sorted(photo.sha256 for photo in case.subject.photos)
    pictures = []
    for picture in scored.pictures:
        said = {}
        if picture["prompts"] in LOOKED_AT:
            marks = [views, truth.readable_from, picture["sha256"]]
            said = _said(Path(picture["file"]), marks, truth=truth, folder=folder)
        pictures.append({**picture, "scores": {**picture["scores"], **said}})
    about, entries = (case.protocol, case.name, case.subject.class_noun), list(scored.entries)
    for kind in LOOKED_AT:
        mine = [picture["scores"] for picture in pictures if picture["prompts"] == kind]
        keys = [f"{check}/{PIXELS}" for check in CHECKS if mine and f"{check}/{PIXELS}" in mine[0]]
        entries += enter(about, kind, {key: [scores[key] for scores in mine] for key in keys})
    own = {f"{proof.check}/{PIXELS}": proof.true for proof in truth.proofs if truth.marks or proof.check not in ("mark", "readable")}  # fmt: skip
    return replace(scored, entries=(*entries, *enter(about, REAL, own)), pictures=tuple(pictures))


def _said(path: Path, marks: Sequence[Any], *, truth: Truth, folder: Path) -> dict[str, float]:
    """Check a picture, or read what was said of it before."""
    key = sha256_of([FORMAT, *marks])[:32]
    kept = folder / key[:2] / f"{key}.json"
    if not kept.is_file():
        said = {f"{check}/{PIXELS}": value for check, value in truth.look(read_shot(path)).items()}
        write_json(kept, {"format": FORMAT, "evaluator": PIXELS, "scores": said})
    return read_json(kept)["scores"]


def _entries(scored: Sequence[Scored]) -> list[Entry]:
    return [entry for one in scored for entry in one.entries]


def _remarks(toys: Toys, looked: Sequence[Looked]) -> list[str]:
    """Say whose marks cannot be read, who bears none, and what a mix of splits is good for."""
    notes = []
    for one, truth in looked:
        name = one.shooting.case.name
        mark = next((proof for proof in truth.proofs if proof.check == "mark"), None)
        if mark is not None and truth.marks is None:
            notes.append(
                f"The mark of {name} ('{toys.marks[name].shows}') is not checked: at 128 pixels its own views score higher "
                f"than views without it in only {mark.apart:.0%} of pairs."
            )
    bare = [one.shooting.case.name for one, _ in looked if one.shooting.case.name not in toys.marks]
    if bare:
        notes.append(f"No mark to check: {', '.join(bare)}.")
    names = {one.shooting.case.name for one, _ in looked}
    if sum(not names.isdisjoint(split) for split in toys.splits.values()) > 1:
        notes.append("Subjects of both splits are mixed: choose recipes on `development`, report on `reporting`.")
    return notes


def _told(result: Result) -> list[str]:
    count = sum(row["prompts"] == DRAWN for one in result.scored for row in one.pictures)
    facts = result.sampler
    by = f"Base {facts['base']}, {facts['sampler']}, {facts['num_inference_steps']} steps, guidance {facts['guidance_scale']}. " if facts else ""  # fmt: skip
    return [
        f"`{result.wish.command()}`",
        f"Subjects: {len(result.scored)}; pictures: {count}; ipseity {code_version()}. {by}Pictures are compared with a photo "
        "that training has not seen; the checks know all photos. A subject's score is the mean over its pictures, and the "
        "table has the mean over subjects with its 95 % bootstrap interval over subjects.",
    ]


def _manifest(result: Result) -> dict[str, Any]:
    wish = result.wish
    return {
        "format": FORMAT,
        "benchmark": "toybox",
        "split": wish.split or ALL,
        **circumstances(wish),
        "prompts": [prompt.template for prompt in result.scored[0].shooting.case.prompts],
        "drawn_by": dict(result.sampler),
        "evaluators": result.evaluators.facts(),
        "checks": {
            "say": dict(CHECKS),
            "proofs": {name: [asdict(one) for one in told] for name, told in result.proofs.items()},
        },
        "subjects": [shown(one.shooting) for one in result.scored],
        "table": plain_rows(result.rows),
        "says": prefer(result.rows),
        "rows": [vars(entry) for entry in _entries(result.scored)],
        "notes": list(result.notes),
        "pictures": [row for one in result.scored for row in one.pictures],
    }
