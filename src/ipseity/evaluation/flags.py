"""Warnings that scores alone do not speak: was a photo copied, did the class word change."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.evaluation.metrics.memorization import too_near
from ipseity.evaluation.pick import FLAG
from ipseity.evaluation.suite import summarize

COPIED_SHARE = 0.25
"""A gallery counts as memorized from this share of too near images on, and from two; of real photos a tenth is too near
by definition."""
NARROW = 0.02
"""An evaluator for which the untrained class is this near to the decoded photos cannot tell them apart, and is not asked."""
LEAKED_SHARE = 0.25
"""The class word counts as leaking when it went this share of the way from the untrained class to the decoded photos."""


@dataclass(frozen=True)
class Flag:
    """One check and what it found."""

    name: str
    raised: bool
    message: str
    """One sentence with the numbers."""


def memorized(scores: Mapping[str, Float[Tensor, "N"]]) -> Flag | None:
    """Say whether pictures are copies of training photos.

    A picture counts as copied only where every evaluator finds it too near, since a copy is near for all of them.

    Args:
        scores: as `suite.score` gives them; those of `memorization` are read.

    Returns:
        None where nothing was measured.
    """
    near = {_evaluator(key): too_near(values) for key, values in scores.items() if key.startswith("memorization/")}
    if not near:
        return None
    copied = torch.stack(list(near.values())).all(0)
    count, total = int(copied.sum()), len(copied)
    raised = count >= max(COPIED_SHARE * total, min(2, total))
    who = f"for {_listed(near)}"
    nearer = "nearer to a training photo than real photos are to each other"
    if not count:
        return Flag("memorization", False, f"None of {total} pictures is {nearer} ({who}).")
    rest = "they look copied rather than drawn anew" if raised else "too few to call the gallery copied"
    return Flag("memorization", raised, f"{count} of {total} pictures are {nearer} ({who}): {rest}.")


def leaking(
    scores: Mapping[str, Float[Tensor, "N"]], untrained: Mapping[str, float], reach: Mapping[str, float]
) -> Flag | None:
    """Say whether the plain class word now draws the subject.

    The drift is told as a share of the way from what the untrained base draws for the class word to the subject's photos as
    the base's autoencoder leaves them, and counts only where the 95 % interval of the drift lies above 0 for every evaluator.

    Args:
        scores: as `suite.score` gives them; those of `leakage` are read.
        untrained: `identity/evaluator` -> mean of the untrained base's pictures.
        reach: `identity/evaluator` -> mean of the real photos as the base's autoencoder leaves them (`suite.ceiling`, `decoded`).

    Returns:
        None where nothing was measured, or where no evaluator tells the subject from its class.
    """
    shares, raised = {}, []
    for key, drift in summarize({key: values for key, values in scores.items() if key.startswith("leakage/")}).items():
        name = _evaluator(key)
        way = reach.get(f"identity/{name}", 0.0) - untrained.get(f"identity/{name}", 0.0)
        if way > NARROW:
            shares[name] = max(0.0, drift.mean / way)
            raised.append((drift.low if drift.low is not None else drift.mean) > 0 and shares[name] >= LEAKED_SHARE)
    if not shares:
        return None
    ways = ", ".join(f"{share:.0%} for {name}" for name, share in sorted(shares.items()))
    if all(raised):
        found = f"The class word alone moved {ways} of the way from the untrained base to the subject"
        found += ": other members of the class begin to look like it."
    else:
        found = f"The class word alone still draws the class: it moved {ways} of the way to the subject."
    return Flag("leakage", all(raised), found)


def as_scores(*flags: Flag | None) -> dict[str, float]:
    """Write flags beside scores, as `pick` reads them: `flag/<name>` -> 1 where raised."""
    return {f"{FLAG}{flag.name}": float(flag.raised) for flag in flags if flag is not None}


def _evaluator(key: str) -> str:
    return key.partition("/")[2]


def _listed(names: Mapping[str, object]) -> str:
    words = sorted(names)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
