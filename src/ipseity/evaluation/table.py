"""The table of scores: each evaluator by its own name, the untrained base and real photos beside it, and a verdict."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from ipseity.core.registry import find
from ipseity.evaluation.flags import Flag
from ipseity.evaluation.suite import Summary, summarize

Role = Literal["pick", "score"]


@dataclass(frozen=True)
class Row:
    """One metric by one evaluator."""

    metric: str
    evaluator: str
    role: Role
    """Whether this evaluator picked the checkpoint or scores the result."""
    after: Summary
    """The drawn pictures."""
    before: Summary | None = None
    """The untrained base's pictures at the same prompts and seeds."""
    real: Summary | None = None
    """The subject's own photos against each other."""
    reach: Summary | None = None
    """The same photos as the base's autoencoder leaves them, held against the true ones."""
    title: str = ""
    unit: str = ""
    better: Literal["higher", "lower"] = "higher"
    about: str = ""
    """What the metric says, in a sentence."""


def tabulate(
    after: Mapping[str, Float[Tensor, "N"]],
    before: Mapping[str, Float[Tensor, "N"]],
    real: Mapping[str, Float[Tensor, "N"]],
    *,
    role: Role,
    reach: Mapping[str, Float[Tensor, "N"]] | None = None,
    prompts: Sequence[str] = (),
) -> tuple[Row, ...]:
    """Put scores of the drawn pictures beside those of the untrained base and of real photos, metric by metric.

    Args:
        after: as `suite.score` gives them for the pictures.
        before: the same for the untrained base's; may be empty.
        real: as `suite.ceiling` gives them; may be empty.
        role: of the evaluators in these scores.
        reach: as `suite.ceiling` gives them with `decoded`.
        prompts: of the pictures, for the intervals.
    """
    drawn, bare = summarize(after, prompts), summarize(before, prompts)
    photos, shown = summarize(real), summarize(reach or {})
    return tuple(_row(key, role, drawn[key], (bare.get(key), photos.get(key), shown.get(key))) for key in drawn)


def verdict(rows: Sequence[Row], flags: Sequence[Flag] = (), *, what: str) -> str:
    """Say in one sentence what came out.

    Args:
        rows: the table; rows that score count, and those that pick only where nothing else was measured.
        flags: the warnings.
        what: how to call the subject ("this backpack").
    """
    counted = [row for row in rows if row.role == "score"] or list(rows)
    told = [_identity_words([row for row in counted if row.metric == "identity"], what)]
    told += [_prompt_words([row for row in rows if row.metric == "prompt_fidelity"])]
    raised = [flag.name for flag in flags if flag.raised]
    told += [f"but beware of {' and '.join(raised)}" if raised else "and no warning was raised" if flags else ""]
    if not told[0]:
        return "Nothing was measured that would tell how well the subject was learned."
    return f"{', '.join(part for part in told if part)}."


def _row(key: str, role: Role, after: Summary, beside: tuple[Summary | None, Summary | None, Summary | None]) -> Row:
    name, _, evaluator = key.partition("/")
    metric = find("metrics", name)
    about = (inspect.getdoc(metric) or "").replace("\n", " ").strip() if metric.__doc__ else ""
    facts = {"title": metric.title, "unit": metric.unit, "better": metric.better, "about": about}
    return Row(name, evaluator, role, after, *beside, **facts)


def _identity_words(rows: Sequence[Row], what: str) -> str:
    if not rows:
        return ""
    pairs = [(row, row.before) for row in rows if row.before is not None]
    if not pairs:
        return f"The pictures resemble {what} with {_numbers(rows[0])}"
    clear = [row for row, before in pairs if _is_above(row.after, before)]
    some = [row for row, before in pairs if row.after.mean > before.mean]
    best, word = (some, "a little more like") if some else ([row for row, _ in pairs], "no more like")
    best, word = (clear, "clearly more like") if clear else (best, word)
    agree = "" if len(pairs) == 1 else f" for {len(best)} of {len(pairs)} evaluators"
    return f"The pictures are {word} {what} than the untrained base's{agree} ({_numbers(best[0])})"


def _numbers(row: Row) -> str:
    words = f"{row.evaluator}: {row.after.mean:.2f}"
    words += f" against {row.before.mean:.2f}" if row.before else ""
    return words + (f", real photos {row.real.mean:.2f}" if row.real else "")


def _prompt_words(rows: Sequence[Row]) -> str:
    pairs = [(row, row.before) for row in rows if row.before is not None]
    if not pairs:
        return ""
    worse = [row for row, before in pairs if _is_above(before, row.after)]
    return f"they follow their prompts {'less well than' if len(worse) * 2 > len(pairs) else 'about as well as'} before"


def _is_above(one: Summary, other: Summary) -> bool:
    """Whether two intervals lie apart; a single picture has no interval, so nothing is clear from it."""
    return one.low is not None and other.high is not None and one.low > other.high
