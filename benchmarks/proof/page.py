"""The page of a stage: what may be claimed, whole curves, scores at equal steps and equal seconds, and what did not run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.cells import Standing, number, weights_mark
from benchmarks.proof.arms import CLASS, OURS, STRUCTURED_CLASS, Span, Stage
from benchmarks.proof.figure import draw_curves, lines_of
from benchmarks.proof.verdicts import (
    DOWN,
    MARGIN,
    NO_CLAIM,
    NOT_DOWN,
    UP,
    Blocks,
    Estimate,
    Place,
    agreed,
    at_pick,
    at_seconds_of,
    at_step,
    differences,
    estimate,
    flatten,
    gather,
    late_decline,
    mean_over,
)  # fmt: skip
from ipseity.core.files import write_text

IDENTITY = ("identity/toy_vit", "identity/efficientnet_lite2")
"""Two evaluators of different making: agreement of their signs is asked for."""
TEXT = ("prompt_fidelity/minilm_conse",)
TRUTH = ("colour/pixels", "mark/pixels", "readable/pixels")
HARM = ("memorization/toy_vit", "memorization/efficientnet_lite2", "leakage/toy_vit", "leakage/efficientnet_lite2")
KEYS = (*IDENTITY, "identity_masked/toy_vit", *TEXT, *TRUTH, *HARM)
TITLES = {
    "identity/toy_vit": "identity, toy_vit", "identity/efficientnet_lite2": "identity, EfficientNet-Lite2",
    "identity_masked/toy_vit": "identity of the subject alone, toy_vit", "prompt_fidelity/minilm_conse": "prompt fidelity, MiniLM",
    "colour/pixels": "colour, pixels", "mark/pixels": "mark (badge or letters), pixels", "readable/pixels": "mark readable, pixels",
    "memorization/toy_vit": "memorization, toy_vit (lower is better)", "memorization/efficientnet_lite2": "memorization, EfficientNet-Lite2 (lower is better)",
    "leakage/toy_vit": "leakage, toy_vit (lower is better)", "leakage/efficientnet_lite2": "leakage, EfficientNet-Lite2 (lower is better)",
}  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """Everything that a page tells."""

    stage: Stage
    standing: Standing
    blocks: Blocks
    """Subjects and seeds for which all arms ran."""
    one_x: int
    span: Span
    places: Mapping[str, Place]
    """Where curves are looked at."""
    duels: Mapping[str, tuple[Place, Place]]
    """Where an arm is held against another: its place, and the other's."""
    command: str
    terms: str


def find(stage: Stage, standing: Standing, *, one_x: int, span: Span, told: tuple[str, str]) -> Findings:
    """Gather what can be compared.

    Args:
        stage: the question.
        standing: its rows, and what did not run.
        one_x: steps at which class images peak on the development subjects.
        span: how long the runs are.
        told: the command, and what all runs share, in words.
    """
    end, first = span.steps, stage.baselines[0]
    short = f"{end / one_x:g}x"
    looked_at = one_x < end and one_x % span.save_every == 0
    places: dict[str, Place] = {"1x": at_step(one_x)} if looked_at else {}
    places |= {short: at_step(end), "picked": at_pick}
    if looked_at:
        places["seconds of 1x"] = at_seconds_of(first, one_x)
    places[f"seconds of {short}"] = at_seconds_of(first, end)
    duels = {name: (place, place) for name, place in places.items()}
    if looked_at:
        duels[f"{short}, its 1x"] = (places[short], places["1x"])
    return Findings(stage, standing, gather(standing.rows, stage.names), one_x, span, places, duels, *told)


def lay_out(name: str, found: Findings, out: Path) -> None:
    """Write a stage's page and its curves."""
    head = [f"# {found.stage.title}", f"`{found.command}`", *_circumstances(found)]
    body: list[str] = []
    if found.blocks:
        panels = {TITLES[key]: lines_of(found.blocks, found.stage.names, key) for key in KEYS}
        draw_curves(out / f"{name}.svg", panels, mark=found.one_x)
        body += _claims(found) if found.stage.claims else []
        body += [
            "## Curves",
            f"![Mean curve of each arm, from the untrained base on, for each score; a line at 1x]({name}.svg)",
        ]
        body += ["## Scores", *_scores(found)]
        for baseline in found.stage.baselines:
            body += [f"## Minus {baseline}", *_gaps(found, baseline)]
        body += ["## Late decline", *_declines(found), "## Seconds", *_seconds(found), "## Flags", _flags(found)]
    write_text(out / f"{name}.md", "\n\n".join([*head, *body, _left(found.standing)]) + "\n")


def _circumstances(found: Findings) -> list[str]:
    subjects = sorted({subject for subject, _ in found.blocks})
    seeds = len({seed for _, seed in found.blocks})
    end = f"{found.span.steps / found.one_x:g}x"
    return [
        f"1x is {found.one_x} steps: where class images with plain captions peak on the development subjects ([one_x](one_x.md)). Every "
        f"run goes to {end} ({found.span.steps} steps) without an early stop and is scored every {found.span.save_every} steps with the same prompts and seeds. {found.terms}",
        f"Compared are the subjects and seeds for which all arms ran: {len(subjects)} subjects ({', '.join(subjects) or 'none yet'}), {seeds} seeds, "
        f"{len(found.blocks)} runs of each arm. Differences are paired; their 95 % intervals draw subjects anew and then seeds within each. "
        f"*{UP}*: the interval lies above 0; *{NOT_DOWN}*: above -{MARGIN:g}; *{DOWN}*: below 0; else *cannot tell*. Where the two evaluators of identity "
        f"disagree in sign, *{NO_CLAIM}*. Text rests on one evaluator.",
        f"*picked*: the step that toy_clip chose, on prompts, seeds and a photo of its own. *seconds of 1x* and *of {end}*: as far as an arm comes in the seconds "
        f"in which {found.stage.baselines[0]} makes its set and trains to there, or its own end; sets are charged whole, though subjects share pictures; between "
        f"saves on straight lines, from the untrained base on. *1x* and *{end}* compare at equal steps, these two at equal seconds; *{end}, its 1x* holds "
        "an arm's end against the step that is best for class images.",
        f"What was asked before anything ran: at {end}, at its equal seconds, and against 1x, beside {found.stage.baselines[0]}. All else in these tables is "
        "there to be looked at: of so many intervals of 95 %, one in twenty misses by chance, and with a handful of subjects they are somewhat too narrow.",
    ]  # fmt: skip


def _claims(found: Findings) -> list[str]:
    """Weigh the paper's claims for structured captions with a structured set."""
    lines = []
    for baseline in (CLASS.name, STRUCTURED_CLASS.name):
        for duel in found.duels:
            lines += [
                _weighed("identity up", IDENTITY, (UP,), found=found, against=(baseline, duel)),
                _weighed("text not down", TEXT, (UP, NOT_DOWN), found=found, against=(baseline, duel)),
                _weighed("letters survive", TRUTH[1:], (UP, NOT_DOWN), found=found, against=(baseline, duel)),
            ]
    for keys, what in ((IDENTITY, "identity"), (TEXT, "text"), (TRUTH[1:], "letters")):
        estimates = {key: estimate(late_decline(found.blocks, OURS.name, key)) for key in keys}
        lines.append((f"no late decline of {what}", "its own peak", "end", *_said(estimates, (UP, NOT_DOWN))))
    return ["## The paper's claims, for structured captions with a structured set", _table(("claim", "against", "at", "by each evaluator", "so"), lines)]  # fmt: skip


def _weighed(
    claim: str, keys: Sequence[str], wanted: Sequence[str], *, found: Findings, against: tuple[str, str]
) -> tuple[str, ...]:
    baseline, duel = against
    arms = (OURS.name, baseline)
    estimates = {key: estimate(differences(found.blocks, arms, key, found.duels[duel])) for key in keys}
    return claim, baseline, duel, *_said(estimates, wanted)


def _said(estimates: Mapping[str, Estimate | None], wanted: Sequence[str]) -> tuple[str, str]:
    """Give the evaluators' words and what follows from them together."""
    told = [f"{key}: {one} {one.verdict}" if one else f"{key}: not measured" for key, one in estimates.items()]
    return "; ".join(told), conclude(estimates, wanted)


def conclude(estimates: Mapping[str, Estimate | None], wanted: Sequence[str]) -> str:
    """Say what all evaluators together allow: `holds`, `fails`, `cannot tell` or `no claim`.

    Args:
        estimates: evaluator's key -> its difference; None where it measured nothing.
        wanted: verdicts with which the claim holds; all of the evaluators must give one.
    """
    there = [one for one in estimates.values() if one is not None]
    if not there:
        return "not measured"
    independent = [one for key, one in estimates.items() if key in IDENTITY]
    if not agreed(independent):
        return f"{NO_CLAIM}: the evaluators disagree in sign"
    if len(there) == len(estimates) and all(one.verdict in wanted for one in there):
        return "holds"
    return "fails" if all(one.verdict == DOWN for one in there) else "cannot tell"


def _scores(found: Findings) -> list[str]:
    tables = []
    for key in KEYS:
        rows = [
            (arm, *(number(mean_over(found.blocks, arm, key, place)) for place in found.places.values()))
            for arm in found.stage.names
        ]
        if any(cell != "-" for row in rows for cell in row[1:]):
            curves = flatten(found.blocks, found.stage.names[0])
            start = [curve.untrained[key] for curve in curves if key in curve.untrained]
            base = f" Untrained base: {fmean(start):.3f}." if start else ""
            tables += [f"**{TITLES[key]}**.{base}", _table(("arm", *found.places), rows)]
    return tables


def _gaps(found: Findings, baseline: str) -> list[str]:
    """Lay out paired differences, one table a score."""
    tables = []
    for key in KEYS:
        rows = []
        for arm in found.stage.names:
            gaps = [estimate(differences(found.blocks, (arm, baseline), key, duel)) for duel in found.duels.values()]
            if arm != baseline and any(gaps):
                rows.append((arm, *(_told(gap, key) for gap in gaps)))
        if rows:
            tables += [f"**{TITLES[key]}**", _table(("arm", *found.duels), rows)]
    return tables


def _told(gap: Estimate | None, key: str) -> str:
    """Write a difference with its word; words are for scores of which more is better."""
    if gap is None:
        return "-"
    return str(gap) if key in HARM else f"{gap} {gap.verdict}"


def _declines(found: Findings) -> list[str]:
    keys = (*IDENTITY, *TEXT, *TRUTH)
    rows = []
    for arm in found.stage.names:
        said = [estimate(late_decline(found.blocks, arm, key)) for key in keys]
        rows.append((arm, *(_told(one, key) for one, key in zip(said, keys, strict=True))))
    told = (
        "The last save less the peak. The peak's step is read from the mean curve of the other subjects, for the highest of a subject's "
        "own saves is high by luck too."
    )
    return [told, _table(("arm", *(TITLES[key] for key in keys)), rows)]


def _seconds(found: Findings) -> list[str]:
    rows = []
    for arm in found.stage.names:
        curves = flatten(found.blocks, arm)
        values = [
            (c.before_seconds, c.step_seconds, c.seconds(found.one_x), c.seconds(found.span.steps)) for c in curves
        ]
        before, step, first, last = (fmean(column) for column in zip(*values, strict=True))
        rows.append((arm, f"{before:.0f}", f"{step:.3f}", f"{first:.0f}", f"{last:.0f}"))
    told = "Means over runs, of one process: medians of a run's steps and pictures times their number, so that a pause counts for nothing."
    return [told, _table(("arm", "set and preparing", "a step", "to 1x", "to the end"), rows)]


def _flags(found: Findings) -> str:
    """Count raised flags by arm, over saves."""
    whole = [row for row in found.standing.rows if (row["subject"], row["seed"]) in found.blocks]
    rows = []
    for arm in found.stage.names:
        saves = [flags for row in whole if row["arm"] == arm for flags in row["flags"].values()]
        counts = [sum(name in flags for flags in saves) for name in ("memorization", "leakage")]
        rows.append((arm, *(f"{count} of {len(saves)}" for count in counts)))
    return _table(("arm", "saves flagged for memorization", "for leakage"), rows)


def _left(standing: Standing) -> str:
    left = "; ".join(standing.left) if standing.left else "nothing"
    return f"{len(standing.rows)} of {standing.total} runs are in (weights {weights_mark()}). Not run: {left}."


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
