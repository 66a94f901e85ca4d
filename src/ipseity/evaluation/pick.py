"""Which checkpoint to keep: the balanced one among those that no other beats in both identity and prompt fidelity."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ipseity.core.errors import RunError

Scored = Sequence[tuple[int, Mapping[str, float]]]
"""(step, `metric/evaluator` -> mean) of each save."""
NOTICEABLE = (0.1, 0.05)
"""Differences in identity and in prompt fidelity that people begin to see (arXiv:2208.12242, for DINO and CLIP-T).
Scores that lie closer together than this are not stretched to a whole range."""
FLAG = "flag/"
"""Scores of this name say by a value above 0 that something is wrong with the save."""


@dataclass(frozen=True)
class Choice:
    """The checkpoint to keep, and why."""

    step: int
    reason: str
    """For a newcomer, with the numbers."""
    front: tuple[int, ...]
    """Steps that no other beats in both scores, in order."""


@dataclass(frozen=True)
class _Save:
    step: int
    identity: float
    fidelity: float
    flags: tuple[str, ...]


def pick(scored: Scored, *, identity_key: str, fidelity_key: str) -> Choice:
    """Choose the save nearest to having the best of both scores.

    A save is on the front when no other is at least as good in both scores and better in one. Each score is divided by
    its range on the front; the save with the smallest distance to (best identity, best fidelity) wins, the
    earliest among equals. A flagged save loses to every one that is not flagged, and step 0 (untrained) to any other.

    Args:
        scored: (step, scores) of each save, in any order; a save is flagged by a score `flag/<name>` above 0
            (see `flags.as_scores`).
        identity_key: which score is the identity ("identity/toy_clip").
        fidelity_key: which score is the prompt fidelity.

    Raises:
        RunError: no save has both scores.

    Source:
        Minimal distance to the ideal point: Yu, A Class of Solutions for Group Decision Problems, 1973, with p = 2.
    """
    saves = _saves(scored, identity_key, fidelity_key)
    if not saves:
        found = f"no save has both '{identity_key}' and '{fidelity_key}'"
        raise RunError(
            found, "at least one scored save", "score the saves with an evaluator that reads pictures and text"
        )
    trained = [save for save in saves if save.step > 0] or saves
    front = _front([save for save in trained if not save.flags] or trained)
    best = min(front, key=lambda save: (_distance(save, front), save.step))
    reason = " ".join([*_explain(best, front, len(trained)), *_warnings(best, trained)])
    return Choice(best.step, reason, tuple(save.step for save in front))


def settled(scored: Scored, patience: int, *, identity_key: str, fidelity_key: str) -> bool:
    """Say whether the last `patience` saves brought nothing new to the front, so that training may stop.

    Args:
        scored: (step, scores) of each save, in any order.
        patience: number of saves; 0 never settles.
        identity_key: as for `pick`.
        fidelity_key: as for `pick`.
    """
    saves = _saves(scored, identity_key, fidelity_key)
    if patience < 1 or len(saves) <= patience:
        return False
    newest = {save.step for save in saves[-patience:]}
    return not newest & {save.step for save in _front(saves)}


def _saves(scored: Scored, identity_key: str, fidelity_key: str) -> list[_Save]:
    """Keep the saves that have both numbers, in order of steps."""
    steps = [step for step, _ in scored]
    assert len(steps) == len(set(steps)), f"a step was scored twice: {sorted(steps)}"
    saves = []
    for step, values in sorted(scored, key=lambda pair: pair[0]):
        flags = sorted(key.removeprefix(FLAG) for key, value in values.items() if key.startswith(FLAG) and value > 0)
        saves.append(_Save(step, values.get(identity_key, math.nan), values.get(fidelity_key, math.nan), tuple(flags)))
    return [save for save in saves if math.isfinite(save.identity) and math.isfinite(save.fidelity)]


def _front(saves: Sequence[_Save]) -> list[_Save]:
    """Leave out what another beats; of equals the earliest stays."""
    return [save for save in saves if not any(_beats(other, save) for other in saves)]


def _beats(one: _Save, other: _Save) -> bool:
    if one.identity < other.identity or one.fidelity < other.fidelity:
        return False
    return (one.identity, one.fidelity) != (other.identity, other.fidelity) or one.step < other.step


def _distance(save: _Save, front: Sequence[_Save]) -> float:
    identities, fidelities = [s.identity for s in front], [s.fidelity for s in front]
    ranges = [max(max(v) - min(v), least) for v, least in zip((identities, fidelities), NOTICEABLE, strict=True)]
    missed = (max(identities) - save.identity) / ranges[0], (max(fidelities) - save.fidelity) / ranges[1]
    return round(math.hypot(*missed), 9)


def _explain(best: _Save, front: Sequence[_Save], count: int) -> list[str]:
    numbers = f"identity {best.identity:.3f}, prompt fidelity {best.fidelity:.3f}"
    if count == 1:
        return [f"Step {best.step} is the only save that was scored: {numbers}."]
    if len(front) == 1:
        return [f"Step {best.step} of {count} saves is best in both: {numbers}."]
    faithful, obedient = max(front, key=lambda s: s.identity), max(front, key=lambda s: s.fidelity)
    others = ", ".join(str(save.step) for save in front if save is not best)
    told = [f"Step {best.step} of {count} saves: {numbers}."]
    subject = "Each of the steps" if len(front) > 2 else "Step"
    told += [f"{subject} {others} is better in one of the two and worse in the other."]
    if best not in (faithful, obedient):
        ends = f"the best identity ({faithful.identity:.3f} at step {faithful.step})"
        ends += f" and the best prompt fidelity ({obedient.fidelity:.3f} at step {obedient.step})"
        told += [f"Step {best.step} comes nearest to {ends} at once."]
    else:
        gained, lost = ("identity", "prompt fidelity") if best is faithful else ("prompt fidelity", "identity")
        top = obedient.fidelity if best is faithful else faithful.identity
        given = f"gives up less {lost} for it (best: {top:.3f}) than the others give up {gained}"
        told += [f"Step {best.step} has the best {gained}, and {given}."]
    return told


def _warnings(best: _Save, saves: Sequence[_Save]) -> list[str]:
    if best.flags:
        return [f"Beware: every save is flagged, this one for {' and '.join(best.flags)}."]
    flagged = [save for save in saves if save.flags]
    if not flagged:
        return []
    causes = sorted({flag for save in flagged for flag in save.flags})
    steps = ", ".join(str(save.step) for save in flagged)
    return [f"Left out because flagged for {' and '.join(causes)}: step {steps}."]
