"""One cell of a comparison: a recipe run to its end (or found finished), and the numbers of its report."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ipseity.core.files import read_json
from ipseity.core.rng import Rng
from ipseity.flows.personalize import find_run, whole_flow
from ipseity.recipe import make_recipe

RESAMPLES = 4000


def run_cell(data: Mapping[str, Any]) -> dict[str, float]:
    """Run a recipe, or find its finished run, and give `metric/evaluator` -> mean, with `before/` and `real/` beside it."""
    recipe = make_recipe(data)
    report = find_run(recipe).folder / "report" / "scores.json"
    if not report.is_file():
        started = time.perf_counter()
        for event in whole_flow(recipe, []):
            if type(event).__name__ in ("Picked", "Wrote"):
                print(json.dumps(event.record()), flush=True)
        print(f"  {recipe.general.name}: {time.perf_counter() - started:.0f} s", flush=True)
    found = read_json(report)
    scores: dict[str, float] = {"picked": float(found["choice"]["step"])}
    for row in found["rows"]:
        key = f"{row['metric']}/{row['evaluator']}"
        scores[key] = row["after"]["mean"]
        for name in ("before", "real"):
            if row[name] is not None:
                scores[f"{name}/{key}"] = row[name]["mean"]
    return scores


def interval(differences: Sequence[float], *, seed: int = 0) -> tuple[float, float, float]:
    """Give the mean of paired differences, one a subject, and its 95 % bootstrap interval over subjects."""
    values = np.asarray(differences)
    rows = np.random.default_rng(Rng(seed, ("interval",)).integer(2**32)).integers(
        0, len(values), (RESAMPLES, len(values))
    )
    low, high = np.percentile(values[rows].mean(1), (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as JSON, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(list(rows), indent=2) + "\n")
