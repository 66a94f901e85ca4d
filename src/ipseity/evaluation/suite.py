"""Scores of a gallery by every evaluator that can give them, what real photos would score, and how sure that is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.core.protocols import Encoder
from ipseity.core.registry import find
from ipseity.core.rng import Rng
from ipseity.core.types import Gallery, References
from ipseity.evaluation.metrics.parts.looking import Remembering, same_picture

Scores = dict[str, Tensor]
"""`metric/evaluator` -> one value an image; NaN where an image allows none."""
RESAMPLES = 2_000
COVERAGE = 0.95


@dataclass(frozen=True)
class Summary:
    """A mean and the interval that it can be trusted to."""

    mean: float
    low: float | None = None
    """Lower end of the 95 % bootstrap interval; None for a single value."""
    high: float | None = None
    count: int = 1

    def __str__(self) -> str:
        interval = "" if self.low is None or self.high is None else f" ({self.low:.3f} to {self.high:.3f})"
        return f"{self.mean:.3f}{interval}"


def score(gallery: Gallery, references: References, encoders: Mapping[str, Encoder], metrics: Sequence[str]) -> Scores:
    """Score each image of a gallery by each metric with each evaluator that offers what the metric needs.

    Args:
        gallery: the images; for `leakage`, drawn without the token and with the bare base's pictures beside them.
        references: what they are compared with.
        encoders: evaluators by name.
        metrics: names of the shelf "metrics".

    Returns:
        Only the pairs that could be measured.

    Raises:
        RecipeError: a metric is not on the shelf.
    """
    assert gallery.images, "an empty gallery"
    assert len(gallery.images) == len(gallery.prompts), "one prompt an image"
    plugins = {name: find("metrics", name) for name in metrics}
    return _score(gallery, references, {name: Remembering(encoder) for name, encoder in encoders.items()}, plugins)


def ceiling(
    references: References, encoders: Mapping[str, Encoder], metrics: Sequence[str], *, decoded: bool = False
) -> Scores:
    """Score the subject's own photos as if they had been drawn: what a perfect model would reach.

    One reference at a time stands alone, and every other photo, seen in training or not, is compared with it; a photo's
    score is its mean over the references. So the seen photos are held against the unseen ones, as the drawn pictures
    are, and the unseen ones against each other. Metrics that read a prompt are left out, since photos have none.

    Args:
        references: the photos.
        encoders: evaluators by name.
        metrics: names of the shelf "metrics".
        decoded: take the compared photos (never the references) as the base's autoencoder leaves them, where that is
            known: what a picture of the subject can score on this base, however well it was learned.

    Returns:
        `metric/evaluator` -> one value a photo that could be compared.
    """
    plugins = {name: metric for name in metrics if "text" not in (metric := find("metrics", name)).needs}
    looking = {name: Remembering(encoder) for name, encoder in encoders.items()}
    first = len(references.trained_on)
    originals = (*references.images, *references.trained_on)
    seen = (*references.decoded[first:], *references.decoded[:first]) if decoded and references.decoded else originals
    photos = {same_picture(original): image for original, image in zip(originals, seen, strict=True)}
    folds: dict[str, list[Tensor]] = {}
    for image, mask in zip(references.images, references.masks, strict=True):
        others = [row for row, key in enumerate(photos) if key != same_picture(image)]
        if not others:
            continue
        taken = tuple(list(photos.values())[row] for row in others)
        gallery = Gallery(taken, ("",) * len(taken), tuple(range(len(taken))))
        for key, values in _score(gallery, References((image,), (mask,)), looking, plugins).items():
            row = torch.full((len(photos),), torch.nan)
            row[others] = values
            folds.setdefault(key, []).append(row)
    means = {key: torch.stack(rows).nanmean(0) for key, rows in folds.items()}
    return {key: values[values.isfinite()] for key, values in means.items() if values.isfinite().any()}


def summarize(
    scores: Mapping[str, Float[Tensor, "N"]], prompts: Sequence[str] = (), *, seed: int = 0
) -> dict[str, Summary]:
    """Give each score's mean with its 95 % bootstrap interval, drawing prompts anew and then images within them.

    Args:
        scores: values an image; NaN are left out, and scores without any value do not appear.
        prompts: one an image; without them (or where the number differs) each image stands for itself.
        seed: of the resampling.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, chapters 8 and 13 (percentile interval, clustered data).
    """
    summaries = {}
    for key in scores:
        values = scores[key].detach().double().cpu()
        labels = list(prompts) if len(prompts) == len(values) else [str(row) for row in range(len(values))]
        groups = _groups(values, labels)
        if groups:
            summaries[key] = _summary(groups, Rng(seed).fork("bootstrap").generator())
    return summaries


def means(scores: Mapping[str, Float[Tensor, "N"]]) -> dict[str, float]:
    """Give each score's mean over the images that have one."""
    kept = {key: values[values.isfinite()] for key, values in scores.items()}
    return {key: float(values.mean()) for key, values in kept.items() if len(values)}


def _score(gallery: Gallery, references: References, looking: Mapping[str, Any], plugins: Mapping[str, Any]) -> Scores:
    pairs = [(m, e) for m in plugins for e in looking if plugins[m].needs <= looking[e].offers]
    scored = {f"{m}/{e}": plugins[m].score(gallery, references, looking[e]) for m, e in pairs}
    return {key: values for key, values in scored.items() if values is not None}


def _groups(values: Tensor, labels: Sequence[str]) -> list[Tensor]:
    """Split by label and drop what is not a number; sorted, so that the order of the images does not matter."""
    groups: dict[str, list[float]] = {}
    for label, value in zip(labels, values.tolist(), strict=True):
        if math.isfinite(value):
            groups.setdefault(label, []).append(value)
    return [torch.tensor(sorted(group), dtype=torch.float64) for _, group in sorted(groups.items())]


def _summary(groups: Sequence[Tensor], generator: torch.Generator) -> Summary:
    values = torch.cat(list(groups))
    if len(values) < 2:
        return Summary(float(values.mean()))
    sizes = torch.tensor([len(group) for group in groups])
    table = torch.nn.utils.rnn.pad_sequence(list(groups), batch_first=True)
    chosen = torch.randint(len(groups), (RESAMPLES, len(groups)), generator=generator)
    inner = (torch.rand((*chosen.shape, table.shape[1]), generator=generator) * sizes[chosen][..., None]).long()
    drawn = table[chosen[..., None], inner]
    counts = torch.arange(table.shape[1]) < sizes[chosen][..., None]
    resampled = (drawn * counts).sum((1, 2)) / counts.sum((1, 2))
    low, high = resampled.quantile(torch.tensor([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], dtype=torch.float64)).tolist()
    mean = float(values.mean())
    return Summary(mean, min(low, mean), max(high, mean), len(values))
