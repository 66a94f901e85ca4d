"""Whether a subject survives other words (after figure 3 of arXiv:2311.04315): the same scenes and seeds, reworded prompts."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from ipseity.core.registry import find
from ipseity.evaluation.plan import Paraphrases
from ipseity.evaluation.suite import Summary, means, summarize
from ipseity.evaluation.table import Row

COMPARED = ("identity", "prompt_fidelity")
"""Metrics that are held against each other: who is shown, and whether the scene still is."""
SUFFIX = "_in_other_words"


def compare(
    plain: Mapping[str, Float[Tensor, "N"]], reworded: Mapping[str, Float[Tensor, "M"]], asked: Paraphrases
) -> tuple[Row, ...]:
    """Hold each picture of a reworded prompt against the picture of the plain one with the same scene and seed.

    Args:
        plain: scores of the plain prompts' pictures, as `suite.score` gives them.
        reworded: the same of the reworded prompts' pictures, held against the plain prompts' meanings.
        asked: which picture belongs to which.

    Returns:
        A row for each metric and evaluator that both hold. Its `after` is the mean difference, reworded minus plain, with
        the 95 % interval of pairs drawn anew scene by scene; what it says of itself gives both means.
    """
    keys = [key for key in reworded if key in plain]
    rows = list(asked.originals)
    held = {key: plain[key][rows] for key in keys}
    differences = summarize({key: reworded[key] - held[key] for key in keys}, asked.plan.meanings)
    levels = means(held), means({key: reworded[key] for key in keys})
    pairs = {key: (levels[0][key], levels[1][key]) for key in differences}
    return tuple(_row(key, differences[key], pairs) for key in keys if key in differences)


def tell(rows: Sequence[Row]) -> tuple[str, ...]:
    """Say what came out, a sentence an evaluator of identity."""
    known = [row for row in rows if row.metric == f"identity{SUFFIX}"]
    return tuple(
        f"In other words, identity by {row.evaluator} changes by {row.after.mean:+.3f}{_range(row.after)} "
        f"over {row.after.count} pairs of pictures."
        for row in known
    )


def _row(key: str, difference: Summary, pairs: Mapping[str, tuple[float, float]]) -> Row:
    name, _, evaluator = key.partition("/")
    metric = find("metrics", name)
    sides = "; ".join(
        f"{other.partition('/')[2]} {told:.3f} instead of {plain:.3f}"
        for other, (plain, told) in pairs.items()
        if other.partition("/")[0] == name
    )
    about = (
        "The same scenes in other words at the same seeds, minus the plain prompts' pictures; 0 means that the wording does "
        f"not matter. Means in other words and in plain ones: {sides}."
    )
    facts = {"title": f"{metric.title} in other words: change", "unit": metric.unit, "better": metric.better}
    return Row(f"{name}{SUFFIX}", evaluator, "score", difference, about=about, **facts)


def _range(told: Summary) -> str:
    return "" if told.low is None or told.high is None else f" ({told.low:+.3f} to {told.high:+.3f})"
