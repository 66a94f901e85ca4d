"""The published benchmark in one command: subjects x prompts x pictures, scored by one protocol, in one table."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import RecipeError, RunError
from ipseity.core.events import Event, Noticed, Tabulated, Wrote
from ipseity.core.files import write_json, write_text
from ipseity.data.filters import filters_of
from ipseity.data.synthesis import sampler_facts
from ipseity.evaluation.dreambench import LIST, PROTOCOLS, Listing, Protocol, check_protocol, read_listing
from ipseity.evaluation.scoreboard import HEAD, Line, plain_lines, tabulate_subjects, to_csv, to_markdown
from ipseity.flows.cases import BenchWish, Case, read_cases
from ipseity.flows.contestants import (
    Contestant,
    Studio,
    case_recipe,
    find_contestants,
    train_contestant,
    wished_recipe,
)
from ipseity.flows.evaluators import Evaluators, load_evaluators
from ipseity.flows.scoring import Scored, Scorer
from ipseity.flows.setting import start_engine
from ipseity.flows.shots import Shooting, draw_missing, find_shots, plan_shots
from ipseity.recipe import Recipe
from ipseity.training.machine import code_version, machine_facts

FORMAT = "ipseity.bench.1"
Work = Generator[Event, None, tuple[list[Shooting], list[str]]]
"""Gives the subjects' pictures, and a sentence for each thing that is left out."""


@dataclass(frozen=True)
class Result:
    """Everything that the files tell."""

    wish: BenchWish
    listing: Listing
    protocol: Protocol
    evaluators: Evaluators
    scored: tuple[Scored, ...]
    lines: tuple[Line, ...]
    sampler: dict[str, Any]
    notes: tuple[str, ...]


def dreambench_flow(wish: BenchWish) -> Generator[Event, None, Path]:
    """Draw the published prompts of each subject, score the pictures by one protocol and write the table.

    What was trained, drawn and scored before is found again, so the same command goes on after an interruption.

    Args:
        wish: what the user says.

    Returns:
        The folder of the tables.

    Raises:
        SubjectError: the data set, a subject or its photos cannot be used.
        RecipeError: an unknown protocol or prompt, or options that exclude each other.
        RunError: nothing to draw, or a run that does not fit.
        WeightsError: weights that cannot be used.
    """
    protocol = check_protocol(wish.protocol)
    check_sources(wish)
    listing = read_listing(wish.data)
    recipe = wished_recipe(wish)
    cases = read_cases(wish, listing, protocol)
    studio = Studio()
    source = obtain(wish, cases, studio)
    evaluators = load_evaluators(
        wish.evaluator, named_weights(wish), start_engine(recipe.engine, alone=True).device, download=wish.download
    )
    shootings, left_out = yield from source
    scored = yield from score_all(shootings, Scorer(evaluators, wish.out / "scores"))
    lines = tabulate_subjects([entry for one in scored for entry in one.entries])
    notes = (*_coverage(listing, wish, cases), *left_out, *evaluators.missing, *pickers(shootings, evaluators))
    yield from (Noticed(note) for note in notes)
    result = Result(
        wish, listing, protocol, evaluators, tuple(scored), tuple(lines), sampler_of(shootings, studio), notes
    )
    folder = write_result(result)
    yield Tabulated(_title(result), HEAD, tuple(line.cells() for line in lines))
    yield Wrote(f"DreamBench, {protocol}", folder)
    return folder


def write_result(result: Result) -> Path:
    """Write the subjects' lines, the page, and last the manifest with everything; each names the protocol.

    Returns:
        Their folder.
    """
    folder, name = result.wish.out / "tables" / result.wish.label, f"dreambench-{result.protocol}"
    entries = [entry for one in result.scored for entry in one.entries]
    write_text(folder / f"{name}.csv", to_csv(entries))
    write_text(folder / f"{name}.md", to_markdown(_title(result), _told(result), result.lines, result.notes))
    write_json(folder / f"{name}.json", _manifest(result))
    return folder


def check_sources(wish: BenchWish) -> None:
    """Refuse two ways of getting pictures at once.

    Raises:
        RecipeError: pictures made elsewhere are named beside what would draw them.
    """
    if wish.images and (wish.run or wish.recipe or wish.set):
        other = "--run" if wish.run else "--recipe" if wish.recipe else "--set"
        raise RecipeError(f"--images and {other} together", "one way of getting pictures", "leave one of them out")


def named_weights(wish: BenchWish) -> dict[str, str]:
    """Give the published evaluators that the user names, with where they lie."""
    return {name: where for name, where in (("dino", wish.dino), ("clip", wish.clip)) if where}


def obtain(wish: BenchWish, cases: Sequence[Case], studio: Studio) -> Work:
    """Find the pictures that were made elsewhere, or train and draw what is missing.

    Raises:
        RunError: nothing to draw or score, or a run that does not fit.
        RecipeError: a recipe that does not fit the protocol.
    """
    return _elsewhere(wish, cases) if wish.images else _drawn(wish, cases, studio)


def _elsewhere(wish: BenchWish, cases: Sequence[Case]) -> Work:
    shootings, notes = find_shots(wish, cases)
    _need(wish, cases, [one.case for one in shootings], f"pictures in {wish.images}")
    yield from ()
    unknown = (
        "The pictures were made elsewhere: what they were trained on, and so the protocol, is as their maker says; "
    )
    return shootings, [*notes, f"{unknown}the class word was not drawn, so there is no pres and no leakage."]


def _drawn(wish: BenchWish, cases: Sequence[Case], studio: Studio) -> Work:
    """Find or train what draws each subject, and draw, subject by subject, so that an interruption leaves whole ones."""
    known, notes = find_contestants(wish, cases) if wish.run else ({}, [])
    asked = [case for case in cases if case.name in known] if wish.run else list(cases)
    if wish.run:
        _need(wish, cases, asked, f"run in {', '.join(str(path) for path in wish.run)}")
    else:
        for case in cases:  # refused before the first is trained
            case_recipe(wish, case)
    shootings: list[Shooting] = []
    done = 0
    for case in asked:
        contestant = known.get(case.name) or (yield from train_contestant(wish, case, studio))
        base = studio.base(contestant.recipe)
        notes += _remarks(case, contestant, base)
        shooting = plan_shots(case, contestant, base, wish)
        done = yield from draw_missing(shooting, base, done=done, total=_count(asked, wish))
        shootings.append(shooting)
    lacking = [case.name for case in cases if case not in asked]
    return shootings, [*notes, *([f"Without a run, left out: {', '.join(lacking)}."] if lacking else [])]


def _need(wish: BenchWish, cases: Sequence[Case], there: Sequence[Case], what: str) -> None:
    """Refuse where nothing is there to score, or a subject that was asked for by name lacks it."""
    names = {case.name for case in there}
    lacking = [case.name for case in cases if case.name not in names]
    if not there or (wish.subjects and lacking):
        raise RunError(
            f"subject '{lacking[0]}' has no {what}" if there else f"there is nothing to draw or score: no {what}",
            "something that shows each subject that is asked for",
            "name it, ask for other --subjects, or leave out --run and --images to train the recipe first",
        )


def _count(cases: Sequence[Case], wish: BenchWish) -> int:
    prompts = [prompt for case in cases for prompt in case.prompts]
    return len(prompts) * wish.images_per_prompt + 2 * sum(one.kind == "recontextualization" for one in prompts)


def _remarks(case: Case, contestant: Contestant, base: Any) -> list[str]:
    identity, noun = contestant.identity, case.subject.class_noun
    remarks = []
    if identity.class_noun != noun:
        remarks.append(f"{case.name} was learned as '{identity.class_noun}'; prompts say '{noun}', as published.")
    if identity.base_fingerprint != base.fingerprint():
        remarks.append(f"{case.name} was learned on other weights of base '{identity.base}'; likeness may suffer.")
    return remarks


def score_all(shootings: Sequence[Shooting], scorer: Scorer) -> Generator[Event, None, list[Scored]]:
    """Score all subjects, telling how far it is."""
    scored, done, total = [], 0, sum(scorer.rounds(shooting) for shooting in shootings)
    for shooting in shootings:
        scored.append((yield from scorer.score(shooting, done=done, total=total)))
        done += scorer.rounds(shooting)
    return scored


def _coverage(listing: Listing, wish: BenchWish, cases: Sequence[Case]) -> list[str]:
    if wish.subjects or len(cases) == len(listing.classes):
        return []
    gone = [name for name in listing.classes if name not in {case.name for case in cases}]
    return [f"Of the {len(listing.classes)} listed subjects, {len(gone)} have no folder here: {', '.join(gone)}."]


def pickers(shootings: Sequence[Shooting], evaluators: Evaluators) -> list[str]:
    """Say which evaluators had picked the checkpoints or sifted the regularization sets."""
    recipes = [one.contestant.recipe for one in shootings if one.contestant]
    picked = sorted({recipe.evaluate.pick for recipe in recipes} & evaluators.loaded.keys())
    sieves = {filters_of(recipe.regularization.options).filter_encoder for recipe in recipes}
    sifted = sorted(name for name in sieves if name is not None and name in evaluators.loaded)
    return [
        *(f"Evaluator {name} also picked the checkpoints, so its scores flatter them." for name in picked),
        *(
            f"Evaluator {name} also filtered the regularization sets, so its scores flatter the result."
            for name in sifted
        ),
    ]


def _draw_options(shootings: Sequence[Shooting]) -> list[DrawOptions]:
    found: list[DrawOptions] = []
    for one in shootings:
        if one.contestant and one.contestant.recipe.draw not in found:
            found.append(one.contestant.recipe.draw)
    return found


def sampler_of(shootings: Sequence[Shooting], studio: Studio) -> dict[str, Any]:
    """Describe the base and the sampler that drew the last subject; runs of one benchmark share them."""
    last = next((one.contestant.recipe for one in reversed(shootings) if one.contestant), None)
    return {} if last is None else _base_facts(last, studio.base(last))


def _base_facts(recipe: Recipe, base: Any) -> dict[str, Any]:
    about = {"base": recipe.base.name, "base_fingerprint": base.fingerprint(), "base_licence": base.licence}
    return {**about, **sampler_facts(base), **recipe.draw.model_dump(mode="json")}


def _title(result: Result) -> str:
    return f"DreamBench, {result.protocol}: {result.wish.label}"


def _told(result: Result) -> list[str]:
    pictures = sum(len(one.shooting.shots) for one in result.scored)
    facts = result.sampler
    drawn = [f"Base {facts['base']}, {facts['sampler']}, {facts['num_inference_steps']} steps, guidance {facts['guidance_scale']}."] if facts else []  # fmt: skip
    if len(_draw_options([one.shooting for one in result.scored])) > 1:
        drawn = ["Beware: the runs were drawn with different settings, which stand in the manifest."]
    return [
        f"`{result.wish.command()}`",
        f"Protocol `{result.protocol}`: {PROTOCOLS[result.protocol]} Numbers of other protocols do not compare.",
        " ".join(
            [f"{len(result.scored)} subjects, {pictures} pictures, ipseity {code_version()}.", *drawn, *_AVERAGED]
        ),
    ]


_AVERAGED = (
    "A subject's score is the mean over its pictures;",
    "the table has the mean over subjects and its 95 % bootstrap interval over subjects.",
)


def _manifest(result: Result) -> dict[str, Any]:
    cases = [one.shooting.case for one in result.scored]
    prompts = {case.subject.living: [prompt.template for prompt in case.prompts] for case in cases}
    return {
        "format": FORMAT,
        "benchmark": "dreambench",
        "protocol": result.protocol,
        "protocol_says": PROTOCOLS[result.protocol],
        **circumstances(result.wish),
        "list": {"file": LIST, "sha256": result.listing.sha256, "subjects": len(result.listing.classes)},
        "prompts": {"live" if living else "objects": templates for living, templates in prompts.items()},
        "drawn_by": result.sampler,
        "evaluators": result.evaluators.facts(),
        "subjects": [shown(one.shooting) for one in result.scored],
        "table": plain_lines(result.lines),
        "rows": [vars(entry) for one in result.scored for entry in one.entries],
        "notes": list(result.notes),
        "pictures": [row for one in result.scored for row in one.pictures],
    }


def circumstances(wish: BenchWish) -> dict[str, Any]:
    """Say what was asked for, when, and by which code on which machine, for a manifest."""
    return {
        "command": wish.command(),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": code_version(),
        "machine": machine_facts(),
        "images_per_prompt": wish.images_per_prompt,
        "seed": wish.seed or 0,
    }


def shown(shooting: Shooting) -> dict[str, Any]:
    """Describe a subject and who drew it, for a manifest."""
    contestant = shooting.contestant
    by = None if contestant is None else {**contestant.facts(), "draw": contestant.recipe.draw.model_dump(mode="json")}
    return {**shooting.case.facts(), "identity": by}
