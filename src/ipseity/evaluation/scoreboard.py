"""The table of a benchmark: one mean a subject, their mean over subjects with its interval, as CSV, Markdown and rows."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from ipseity.core.registry import find
from ipseity.evaluation.suite import Summary, summarize

CLASS_WORD, REAL = "class word", "real photos"
"""Kinds that no prompt of the list has: pictures of the class word alone, and the photos themselves."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "without property": ("recontextualization", "accessory"),
    "property": ("property",),
    "all prompts": ("recontextualization", "accessory", "property"),
    CLASS_WORD: (CLASS_WORD,),
    REAL: (REAL,),
}
"""What the table tells apart -> the kinds of prompts in it. Property prompts ask for another look of the subject, so that
they lower an identity rightly; the published tables are over all prompts."""
PRES = "pres"
"""Likeness of other members of the class, drawn without the token, to the subject's photos (arXiv:2208.12242, section 4.3)."""
ORDER = ("identity", "identity_masked", "prompt_fidelity", "diversity", PRES, "leakage")
"""Of the table's lines; other metrics come after these."""
HEAD = ("metric", "evaluator", "prompts", "mean (95 % interval)", "better", "subjects")
PAPERS = (
    "The papers' names: DINO is identity by `dino` (ViT-S/16), CLIP-I is identity and CLIP-T prompt_fidelity by `clip` "
    "(ViT-B/32), PRES is `pres`, DIV is diversity, here with cosine for LPIPS. `leakage` is what `pres` gained over the "
    "untrained base at the same seeds. Scores of other evaluators do not compare with published ones."
)


@dataclass(frozen=True)
class Entry:
    """One line of the CSV: what the pictures of one subject and one kind of prompts score on average."""

    protocol: str
    subject: str
    class_noun: str
    prompts: str
    """A kind of prompts, `CLASS_WORD` or `REAL`."""
    metric: str
    evaluator: str
    mean: float
    images: int
    """Pictures (or photos) that have a score."""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    metric: str
    evaluator: str
    prompts: str
    """A key of `GROUPS`."""
    summary: Summary
    better: str

    def cells(self) -> tuple[str, ...]:
        """Give the words of the table, in the order of `HEAD`."""
        return (self.metric, self.evaluator, self.prompts, str(self.summary), self.better, str(self.summary.count))


def enter(about: tuple[str, str, str], prompts: str, scores: Mapping[str, Sequence[float | None]]) -> list[Entry]:
    """Average the scores of a subject's pictures.

    Args:
        about: protocol, subject and class noun.
        prompts: what the pictures were drawn from.
        scores: `metric/evaluator` -> one value a picture; what is no number is left out.
    """
    entries = []
    for key, values in scores.items():
        metric, _, evaluator = key.partition("/")
        there = [value for value in values if value is not None and math.isfinite(value)]
        if there:
            entries.append(Entry(*about, prompts, metric, evaluator, sum(there) / len(there), len(there)))
    return entries


def tabulate_subjects(entries: Sequence[Entry], *, seed: int = 0) -> list[Line]:
    """Average over subjects, each of them counting once, group by group.

    A subject's value in a group is the mean over all its pictures there. The interval is the bootstrap's over subjects:
    it tells how far another choice of subjects would move the mean, and is missing for a single subject.

    Args:
        entries: of all subjects; of one protocol.
        seed: of the resampling.

    Source:
        Averages a subject first, then over subjects: the evaluation code of PatchDPO (arXiv:2412.03177).
    """
    assert len({entry.protocol for entry in entries}) < 2, "scores of two protocols do not mix"
    pairs = list(dict.fromkeys((entry.metric, entry.evaluator) for entry in entries))
    lines = []
    for group, kinds in GROUPS.items():
        for metric, evaluator in pairs:
            mine = [e for e in entries if (e.metric, e.evaluator) == (metric, evaluator) and e.prompts in kinds]
            if mine:
                values = torch.tensor(_by_subject(mine), dtype=torch.float64)
                lines.append(Line(metric, evaluator, group, summarize({"": values}, seed=seed)[""], better(metric)))
    evaluators = list(dict.fromkeys(evaluator for _, evaluator in pairs))
    known = [*ORDER, *(metric for metric, _ in pairs)]
    return sorted(lines, key=lambda line: (known.index(line.metric), evaluators.index(line.evaluator)))


def better(metric: str) -> str:
    """Say which direction of a metric is good."""
    return "lower" if metric == PRES else str(find("metrics", metric).better)


def to_csv(entries: Sequence[Entry]) -> str:
    """Write one line an entry below a line of column names."""
    held = io.StringIO()
    writer = csv.DictWriter(held, [field.name for field in fields(Entry)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(entry) for entry in entries)
    return held.getvalue()


def to_markdown(title: str, told: Sequence[str], lines: Sequence[Line], notes: Sequence[str]) -> str:
    """Lay out the page: a heading, what was done, one table, what to know.

    Args:
        title: names the protocol.
        told: paragraphs before the table.
        lines: the table.
        notes: what was noticed or left out.
    """
    rows = [HEAD, tuple("---" for _ in HEAD), *(line.cells() for line in lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    noticed = "\n".join(f"* {note}" for note in notes)
    parts = [f"# {title}", *told, table, PAPERS, *([f"## Noticed\n\n{noticed}"] if notes else [])]
    return "\n\n".join(parts) + "\n"


def plain_lines(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Give the table as plain data."""
    return [asdict(line) for line in lines]


def _by_subject(entries: Sequence[Entry]) -> list[float]:
    """Average each subject's pictures, whatever kind of prompt they are of."""
    totals: dict[str, tuple[float, int]] = {}
    for entry in entries:
        total, images = totals.get(entry.subject, (0.0, 0))
        totals[entry.subject] = total + entry.mean * entry.images, images + entry.images
    return [total / images for total, images in totals.values()]
