"""Which score agrees with the truth: ranks of a subject's pictures by the score, held against their ranks by a check."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ipseity.core.rng import Rng
from ipseity.evaluation.suite import COVERAGE, RESAMPLES, Summary

FEWEST = 4
"""Pictures of a subject that say anything about ranks."""
Pairs = tuple[Sequence[float], Sequence[float]]
"""Scores of a subject's pictures, and what a check says of the same pictures."""


def agree(pairs: Mapping[str, Pairs], *, seed: int = 0) -> Summary | None:
    """Correlate ranks within each subject and average over subjects, so that easy subjects do not pass for good pictures.

    The interval is the bootstrap's: subjects are drawn anew, and pictures within them.

    Args:
        pairs: subject -> scores and truths; a subject with fewer than `FEWEST` pictures, or with one value for all of
            them, says nothing and is left out.
        seed: of the resampling.

    Returns:
        Spearman's coefficient in [-1, 1], and how many subjects had something to say; None where there are none.

    Source:
        Spearman, 1904, with middle ranks for ties; Efron and Tibshirani, An Introduction to the Bootstrap, chapters 8 and 13.
    """
    kept = [torch.tensor(pair, dtype=torch.float64) for _, pair in sorted(pairs.items()) if len(pair[0]) >= FEWEST]
    told = [(table, value) for table in kept if (value := float(spearman(table[None])[0])) == value]
    if not told:
        return None
    mean = sum(value for _, value in told) / len(told)
    generator = Rng(seed).fork("agreement").generator()
    resampled = torch.stack([_resampled(table, generator) for table, _ in told])
    chosen = torch.randint(len(told), (len(told), RESAMPLES), generator=generator)
    means = resampled.gather(0, chosen).nanmean(0)
    edges = torch.tensor([(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], dtype=torch.float64)
    low, high = means[means.isfinite()].quantile(edges).tolist()
    return Summary(mean, min(low, mean), max(high, mean), len(told))


def spearman(tables: Float[Tensor, "R 2 n"]) -> Float[Tensor, "R"]:
    """Correlate the ranks of both rows of each table; NaN where a row holds one value only."""
    ranks = (tables[..., :, None] > tables[..., None, :]).double().sum(-1)
    ranks = ranks + (tables[..., :, None] == tables[..., None, :]).double().sum(-1) / 2
    centred = ranks - ranks.mean(-1, keepdim=True)
    lengths = centred.square().sum(-1).sqrt().prod(-1)
    return centred.prod(-2).sum(-1) / torch.where(lengths > 0, lengths, torch.nan)


def _resampled(table: Float[Tensor, "2 n"], generator: torch.Generator) -> Float[Tensor, "R"]:
    count = table.shape[1]
    drawn = torch.randint(count, (RESAMPLES, count), generator=generator)
    return torch.cat([spearman(table[:, rows].transpose(0, 1)) for rows in drawn.split(250)])
