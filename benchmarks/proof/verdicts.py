"""What curves say: values at equal steps and equal seconds, late decline, paired differences with intervals, and words."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.cells import RESAMPLES
from ipseity.core.rng import Rng

MARGIN = 0.01
"""Less than this is not called a loss."""
UP, NOT_DOWN, DOWN, UNKNOWN, NO_CLAIM = "up", "not down", "down", "cannot tell", "no claim"
Block = Mapping[str, "Curve"]
"""Arm -> its curve, of one subject and seed."""
Blocks = Mapping[tuple[str, int], Block]
Differences = dict[str, list[float]]
"""Subject -> one difference a seed."""
Place = Callable[[str, "Curve", Block], float | None]
"""Gives a score (`metric/evaluator`) of a curve somewhere; the block is there for what all its arms have in common."""


@dataclass(frozen=True)
class Curve:
    """One run, scored at every save."""

    labels: Mapping[str, str | int]
    points: Mapping[int, Mapping[str, float]]
    """Step -> `metric/evaluator` -> mean over the pictures of that step."""
    untrained: Mapping[str, float]
    """The same of the bare base, the class word in place of the subject: where a curve begins."""
    picked: int
    """Step that the evaluator that picks chose."""
    step_seconds: float
    before_seconds: float
    """Of making the whole set and preparing it, paid before the first step."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Curve":
        """Read a row of `curve.read_curve`, or one that was kept as JSON; a set is charged whole, though subjects share it."""
        timed = row["seconds"]
        return cls(
            labels={key: row[key] for key in ("subject", "arm", "seed")},
            points={int(step): scores for step, scores in row["points"].items()},
            untrained=row["levels"]["untrained"],
            picked=int(row["picked"]),
            step_seconds=timed["step"],
            before_seconds=timed["prepare"] + timed["picture"] * row["set_pictures"],
        )

    @property
    def steps(self) -> list[int]:
        """List the saves."""
        return sorted(self.points)

    def at(self, key: str, step: float) -> float | None:
        """Give a score after so many steps, on straight lines between saves from the untrained base on.

        Before the first step and after the last one nothing changes. None where the score was not measured.
        """
        known = [(0, self.untrained.get(key)), *((save, self.points[save].get(key)) for save in self.steps)]
        there = [(save, value) for save, value in known if value is not None]
        if not there or there[-1][0] == 0:
            return None
        return float(np.interp(step, [save for save, _ in there], [value for _, value in there]))

    def seconds(self, step: float) -> float:
        """Give what the set and so many steps cost."""
        return self.before_seconds + step * self.step_seconds

    def steps_in(self, seconds: float) -> float:
        """Give how many steps fit into seconds once the set is made; none where it is not."""
        return max(0.0, (seconds - self.before_seconds) / self.step_seconds)


def at_step(step: int) -> Place:
    """Look after so many steps."""
    return lambda key, curve, block: curve.at(key, step)


def at_pick(key: str, curve: Curve, block: Block) -> float | None:
    """Look at the step that another evaluator chose, on other prompts, seeds and photos."""
    return curve.at(key, curve.picked)


def at_seconds_of(arm: str, step: int) -> Place:
    """Look after the seconds in which one arm of the same block makes its set and so many steps; at the end where that is later."""
    return lambda key, curve, block: curve.at(key, curve.steps_in(block[arm].seconds(step)))


def gather(rows: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> dict[tuple[str, int], dict[str, Curve]]:
    """Give (subject, seed) -> arm -> curve, where all arms ran: nothing else is compared, so a table is fair however early it stops."""
    found: dict[tuple[str, int], dict[str, Curve]] = {}
    for row in rows:
        curve = Curve.of(row)
        found.setdefault((str(row["subject"]), int(row["seed"])), {})[str(row["arm"])] = curve
    return {place: block for place, block in found.items() if block.keys() >= set(arms)}


def differences(blocks: Blocks, arms: tuple[str, str], key: str, places: tuple[Place, Place]) -> Differences:
    """Give the first arm in the first place less the second in the second, pair by pair; subjects without the score are left out."""
    found: Differences = {}
    for (subject, _), block in blocks.items():
        mine, other = (place(key, block[arm], block) for arm, place in zip(arms, places, strict=True))
        if mine is not None and other is not None:
            found.setdefault(subject, []).append(mine - other)
    return found


def mean_over(blocks: Blocks, arm: str, key: str, place: Place) -> float | None:
    """Average over seeds and then over subjects, each counting once."""
    found: Differences = {}
    for (subject, _), block in blocks.items():
        value = place(key, block[arm], block)
        if value is not None:
            found.setdefault(subject, []).append(value)
    return fmean(fmean(values) for values in found.values()) if found else None


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    subjects: int

    @property
    def verdict(self) -> str:
        """Say what the interval allows: `up` above 0; else `not down` above -`MARGIN`; else `down` below 0; else `cannot tell`."""
        if self.subjects < 2:
            return UNKNOWN  # one subject says nothing of others, whatever its interval
        if self.low > 0:
            return UP
        if self.low > -MARGIN:
            return NOT_DOWN
        return DOWN if self.high < 0 else UNKNOWN

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def estimate(found: Mapping[str, Sequence[float]], *, seed: int = 0) -> Estimate | None:
    """Average over seeds, then subjects, with the bootstrap interval that draws subjects anew and then seeds within each.

    Args:
        found: subject -> values, one a seed.
        seed: of the resampling.

    Returns:
        None where there is nothing.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, chapters 8 and 13 (clustered data, percentile interval).
    """
    groups = [np.asarray(values, dtype=float) for _, values in sorted(found.items()) if len(values)]
    if not groups:
        return None
    chance = np.random.default_rng(Rng(seed, ("proof",)).integer(2**32))
    sizes = np.array([len(group) for group in groups])
    table = np.stack([np.pad(group, (0, sizes.max() - len(group))) for group in groups])
    subjects = chance.integers(0, len(groups), (RESAMPLES, len(groups)))
    seeds = (chance.random((*subjects.shape, table.shape[1])) * sizes[subjects][..., None]).astype(int)
    drawn, counted = table[subjects[..., None], seeds], np.arange(table.shape[1]) < sizes[subjects][..., None]
    means = ((drawn * counted).sum(2) / sizes[subjects]).mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(float(np.mean([group.mean() for group in groups])), float(low), float(high), len(groups))


def agreed(estimates: Sequence[Estimate | None]) -> bool:
    """Say whether independent evaluators point the same way: where their means differ in sign, nothing is claimed."""
    signs = {one.mean > 0 for one in estimates if one is not None and one.mean != 0}
    return len(signs) < 2


def late_decline(blocks: Blocks, arm: str, key: str) -> Differences:
    """Give the last save less the peak, subject by subject.

    The highest of a subject's own saves is high by luck too, so that even a flat curve would seem to fall from it. So the step of
    the peak is read from the mean curve of all *other* subjects; a subject alone has only its own.
    """
    found: Differences = {}
    subjects = {subject for subject, _ in blocks}
    for (subject, _), block in blocks.items():
        curve = block[arm]
        others = [other[arm] for (name, _), other in blocks.items() if name != subject or len(subjects) == 1]
        peak, last = _peak(others, key), curve.at(key, curve.steps[-1])
        value = None if peak is None else curve.at(key, peak)
        if value is not None and last is not None:
            found.setdefault(subject, []).append(last - value)
    return found


def _peak(curves: Sequence[Curve], key: str) -> int | None:
    """Give the save at which the mean of curves is highest, the latest of equals (which declines least)."""
    means = {}
    for step in curves[0].steps if curves else ():
        values = [value for curve in curves if (value := curve.points.get(step, {}).get(key)) is not None]
        if values:
            means[step] = fmean(values)
    return max(means, key=lambda step: (means[step], step)) if means else None


def smooth(values: Sequence[float]) -> list[float]:
    """Average each value with its neighbors, weights 1-2-1, at the ends 2-1.

    Saves lie much closer than an identity curve bends, so neighbors share the truth, while each has the chance of its own handful
    of pictures: weights 1-2-1 leave 3/8 of that chance's variance, and move no peak that falls alike to both sides.
    """
    padded = [None, *values, None]
    smoothed = []
    for before, value, after in zip(padded, padded[1:], padded[2:], strict=False):
        parts = [(1, before), (2, value), (1, after)]
        there = [(weight, part) for weight, part in parts if part is not None]
        smoothed.append(sum(weight * part for weight, part in there) / sum(weight for weight, _ in there))
    return smoothed


def way(curves: Sequence[Curve], reaches: Sequence[Mapping[str, float]], key: str) -> dict[int, float] | None:
    """Give the mean curve of an identity as a share of the way from the untrained base (0) to the decoded photos (1).

    Evaluators spread their cosines differently, and a plain mean of two would be that of the one that spreads more. The way is that
    of the means, for single subjects can have one near zero.

    Returns:
        Step -> share; None where the evaluator cannot tell the untrained base from the photos, or did not look.
    """
    from ipseity.evaluation.flags import NARROW

    pairs = [(curve.untrained[key], reach[key]) for curve, reach in zip(curves, reaches, strict=True) if key in curve.untrained and key in reach]  # fmt: skip
    if len(pairs) < len(curves):
        return None
    start, end = (fmean(column) for column in zip(*pairs, strict=True))
    if end - start <= NARROW:
        return None
    steps = sorted(set.intersection(*(set(curve.steps) for curve in curves)))
    return {step: (fmean(curve.points[step][key] for curve in curves) - start) / (end - start) for step in steps}


def peak_of(ways: Sequence[Mapping[int, float]]) -> tuple[int, dict[int, float]]:
    """Find where the mean of evaluators' ways, smoothed, is highest; the earliest of equals.

    Returns:
        The step, and the smoothed curve.
    """
    steps = sorted(set.intersection(*(set(one) for one in ways)))
    smoothed = dict(zip(steps, smooth([fmean(one[step] for one in ways) for step in steps]), strict=True))
    return min(steps, key=lambda step: (-smoothed[step], step)), smoothed


def flatten(blocks: Blocks, arm: str) -> list[Curve]:
    """List an arm's curves."""
    return list(itertools.chain([block[arm] for block in blocks.values()]))
