"""1x: the step at which class images with plain captions peak on the development subjects, fixed before anything is reported."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.cells import Standing, weights_mark
from benchmarks.proof.arms import Span, Terms
from benchmarks.proof.figure import draw_curves
from benchmarks.proof.page import IDENTITY, TEXT, TITLES
from benchmarks.proof.verdicts import Curve, peak_of, way
from ipseity.core.errors import RunError
from ipseity.core.files import read_json, write_json, write_text
from ipseity.core.rng import Rng

FORMAT, RESAMPLES = "ipseity.proof.one_x.1", 1000
RULE = (
    "The mean of both evaluators' identity, each as a share of the way from the untrained base (0) to the photos as the base's autoencoder "
    "leaves them (1), averaged over subjects and seeds; smoothed over neighboring saves with weights 1-2-1; its highest save, the earliest of equals."
)
EDGES = {
    "first": "The peak is the first save: 1x may be smaller than told. A smaller --save-every would tell.",
    "last": "The curve still rises at the last save: 1x is at least this. More --steps would tell.",
}


def find(rows: Sequence[Mapping[str, Any]], subjects: Sequence[str]) -> dict[str, Any] | None:
    """Find 1x from the rows of whole seeds.

    Args:
        rows: as `curve.read_curve` gives them.
        subjects: those that count; seeds that lack one do not.

    Returns:
        The step, its interval over subjects, both evaluators' curves and the smoothed one; None before a seed is whole.

    Raises:
        RunError: no evaluator of identity tells the untrained base from the photos.
    """
    by_seed: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_seed.setdefault(int(row["seed"]), []).append(row)
    whole = {seed: some for seed, some in by_seed.items() if {row["subject"] for row in some} >= set(subjects)}
    counted = [row for seed in sorted(whole) for row in whole[seed]]
    if not counted:
        return None
    ways = _ways(counted)
    if not ways:
        raise RunError(
            f"none of {', '.join(IDENTITY)} tells the untrained base from the subjects",
            "an evaluator that sees more of the subject in its photos than in what the base draws of its class",
            "install the evaluators (pip install 'ipseity[judges]'), or take a base that needs to learn",
        )
    step, smoothed = peak_of(list(ways.values()))
    steps = list(smoothed)
    edge = "last" if step == steps[-1] else "first" if step == steps[0] else None
    low, high = _spread(counted, subjects)
    return {
        "one_x": step,
        "interval": [low, high],
        "edge": edge,
        "seeds": sorted(whole),
        "rule": RULE,
        "evaluators": {key: _rounded(curve) for key, curve in ways.items()},
        "smoothed": _rounded(smoothed),
    }


def keep(standing: Standing, subjects: Sequence[str], *, terms: Terms, span: Span, out: Path) -> str:
    """Write 1x with the whole curve, once a seed is whole.

    Returns:
        A sentence on it.
    """
    found = find(standing.rows, subjects)
    if found is None:
        return "1x is not fixed yet: every development subject must have run with the same seed."
    shared = {**vars(terms), "set": list(terms.set)}
    facts = {"format": FORMAT, "weights": weights_mark(), "terms": shared, **vars(span), "subjects": list(subjects)}
    curves = [{"subject": row["subject"], "seed": row["seed"], "points": row["points"], "levels": row["levels"]} for row in standing.rows]  # fmt: skip
    write_json(out / "one_x.json", {**facts, **found, "curves": curves})
    edge = f" {EDGES[found['edge']]}" if found["edge"] else ""
    low, high = found["interval"]
    sentence = f"1x is {found['one_x']} steps (95 % of resamples over subjects: {low:g} to {high:g}).{edge}"
    _lay_out(found, standing, sentence, out)
    return sentence


def read_one_x(out: Path) -> tuple[int, Terms]:
    """Read 1x and what all runs share.

    Raises:
        RunError: it has not been fixed, or belongs to other weights.
    """
    path = out / "one_x.json"
    if not path.is_file():
        raise RunError(
            f"{path} is not there",
            "1x, fixed on the development subjects before anything is reported",
            "run `python -m benchmarks.proof one-x` first",
        )
    told = read_json(path)
    if told.get("format") != FORMAT or told.get("weights") != weights_mark():
        raise RunError(
            f"{path} was fixed with weights {told.get('weights')} of the toybox and its evaluators",
            f"one for the weights {weights_mark()} that are installed",
            "run `python -m benchmarks.proof one-x` again: another base peaks elsewhere",
        )
    return int(told["one_x"]), Terms(**{**told["terms"], "set": tuple(told["terms"]["set"])})


def _ways(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    curves, reaches = [Curve.of(row) for row in rows], [row["levels"]["reach"] for row in rows]
    found = {key: way(curves, reaches, key) for key in IDENTITY}
    return {key: curve for key, curve in found.items() if curve is not None}


def _spread(rows: Sequence[Mapping[str, Any]], subjects: Sequence[str]) -> tuple[float, float]:
    """Draw subjects anew and look where each time's peak is."""
    chance = np.random.default_rng(Rng(0, ("one_x",)).integer(2**32))
    peaks = []
    for drawn in chance.integers(0, len(subjects), (RESAMPLES, len(subjects))):
        some = [row for number in drawn for row in rows if row["subject"] == subjects[number]]
        if ways := _ways(some):
            peaks.append(peak_of(list(ways.values()))[0])
    low, high = np.percentile(peaks, (2.5, 97.5))
    return float(low), float(high)


def _lay_out(found: Mapping[str, Any], standing: Standing, sentence: str, out: Path) -> None:
    shares = {TITLES[key]: {"development subjects": list(curve.items())} for key, curve in found["evaluators"].items()}
    panels = {**shares, "mean of both, smoothed": {"development subjects": list(found["smoothed"].items())}}
    for key in TEXT:
        panels[TITLES[key]] = {"development subjects": _mean_curve(standing.rows, key)}
    draw_curves(out / "one_x.svg", panels, mark=found["one_x"])
    heads = ["step", *found["evaluators"], "smoothed mean"]
    rows = [
        [step, *(f"{curve[step]:.3f}" for curve in found["evaluators"].values()), f"{share:.3f}"]
        for step, share in found["smoothed"].items()
    ]
    table = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in (heads, ["---"] * len(heads), *rows))
    left = "; ".join(standing.left) or "nothing"
    parts = [
        "# 1x", f"**{sentence}**", RULE, f"![Curves of class images with plain captions on the development subjects]({'one_x.svg'})", table,
        f"{len(standing.rows)} of {standing.total} runs are in (weights {weights_mark()}). Not run: {left}.",
    ]  # fmt: skip
    write_text(out / "one_x.md", "\n\n".join(parts) + "\n")


def _mean_curve(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    curves = [Curve.of(row) for row in rows]
    steps = sorted(set.intersection(*(set(curve.steps) for curve in curves)))
    there = [step for step in steps if all(key in curve.points[step] for curve in curves)]
    return [(float(step), fmean(curve.points[step][key] for curve in curves)) for step in there]


def _rounded(curve: Mapping[int, float]) -> dict[int, float]:
    return {step: round(value, 5) for step, value in curve.items()}
