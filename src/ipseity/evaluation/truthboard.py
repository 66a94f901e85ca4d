"""The table of a benchmark with known truth: what is drawn, what controls score, and which scores agree with the truth."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch

from ipseity.evaluation.agreement import Pairs, agree
from ipseity.evaluation.scoreboard import CLASS_WORD, ORDER, REAL, Entry, better
from ipseity.evaluation.suite import Summary, summarize
from ipseity.evaluation.truth import CHECKS, COLOUR, MARK, PIXELS, Proof

DRAWN, UNTRAINED, PASTED = "recontextualization", "untrained", "pasted"
"""Kinds of pictures, beside `CLASS_WORD` and `REAL`: of the subject by its prompts, by the untrained base without the token,
and the subject's own cut-out laid over the latter."""
IDENTITY = ("identity", "identity_masked")
"""Scores that claim to know the subject."""
JUDGED_BY = (COLOUR, MARK)
"""Checks with whose ranks those scores are compared; the others know two values only."""
HEAD = ("score", "by", "drawn (95 % interval)", "untrained", "pasted", "real", *(f"agrees with {name}" for name in JUDGED_BY), "pasting")  # fmt: skip
PROOF_HEAD = ("check", "of the true", "of another", "told apart", "subjects")
WON = "wins: decides nothing"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    metric: str
    evaluator: str
    drawn: Summary
    """Over subjects; for `pres` and `leakage`, of pictures of the class word."""
    controls: Mapping[str, float | None]
    """`UNTRAINED`, `PASTED` and `REAL` -> mean over subjects."""
    gap: Summary | None
    """Pasted less drawn, subject by subject."""
    agreement: Mapping[str, Summary | None]
    """Check -> rank agreement; empty for what claims no identity."""

    @property
    def won_by_pasting(self) -> bool:
        """Whether a cut-out laid into a picture beats what was drawn, though nobody drew it."""
        if self.gap is None:
            return False
        return self.gap.mean > 0 if self.metric in CHECKS or better(self.metric) == "higher" else self.gap.mean < 0

    def cells(self) -> tuple[str, ...]:
        """Give the words of the table, in the order of `HEAD`."""
        means = (self.controls[kind] for kind in (UNTRAINED, PASTED, REAL))
        ranks = (self.agreement.get(name) for name in JUDGED_BY)
        numbers = ("-" if mean is None else f"{mean:.3f}" for mean in means)
        verdict = WON if self.won_by_pasting and self.metric in IDENTITY else ""
        return (self.metric, self.evaluator, str(self.drawn), *numbers, *(str(one or "-") for one in ranks), verdict)


def tabulate_truth(entries: Sequence[Entry], pictures: Sequence[Mapping[str, Any]], *, seed: int = 0) -> list[Row]:
    """Average over subjects, each counting once, and hold the identity scores against the checks.

    Args:
        entries: of all subjects, checks among them.
        pictures: one a picture: `subject`, `prompts` and `scores` (`metric/evaluator` -> value).
        seed: of the resampling.
    """
    kinds = {DRAWN: (DRAWN,), UNTRAINED: (UNTRAINED,), PASTED: (PASTED,), REAL: (REAL,)}
    rows = []
    for metric, evaluator in dict.fromkeys((entry.metric, entry.evaluator) for entry in entries):
        mine = [entry for entry in entries if (entry.metric, entry.evaluator) == (metric, evaluator)]
        means = {kind: {one.subject: one.mean for one in mine if one.prompts in some} for kind, some in kinds.items()}
        drawn = means[DRAWN] or {one.subject: one.mean for one in mine if one.prompts == CLASS_WORD}
        if not drawn:
            continue
        both = [means[PASTED][name] - mean for name, mean in drawn.items() if name in means[PASTED]]
        controls = {kind: fmean(means[kind].values()) if means[kind] else None for kind in (UNTRAINED, PASTED, REAL)}
        agreement = _agreement(f"{metric}/{evaluator}", pictures, seed=seed) if metric in IDENTITY else {}
        rows.append(Row(metric, evaluator, _over(list(drawn.values()), seed), controls, _over(both, seed) if both else None, agreement))  # fmt: skip
    known = [*CHECKS, *ORDER, *(row.metric for row in rows)]
    return sorted(rows, key=lambda row: known.index(row.metric))


def prove(proofs: Mapping[str, Sequence[Proof]]) -> list[tuple[str, ...]]:
    """Say how far the checks are to be believed: lines in the order of `PROOF_HEAD`, means over subjects.

    Args:
        proofs: subject -> what each check says where the truth is known.
    """
    lines = []
    for check in CHECKS:
        mine = [proof for told in proofs.values() for proof in told if proof.check == check]
        if mine:
            means = (fmean(fmean(values) for values in column) for column in zip(*((one.true, one.other) for one in mine), strict=True))  # fmt: skip
            apart = fmean(proof.apart for proof in mine)
            lines.append((check, *(f"{mean:.3f}" for mean in means), f"{apart:.3f}", str(len(mine))))
    return lines


def prefer(rows: Sequence[Row]) -> str:
    """Say which identity score agrees best with the truth, of those that pasting does not win."""
    asked = [row for row in rows if any(row.agreement.values())]
    if not asked:
        return "No identity score could be held against the truth: there are too few pictures, or they are all alike."
    open_to = [row for row in asked if not row.won_by_pasting]
    best = max(open_to or asked, key=_rank)
    name = f"{best.metric}/{best.evaluator} ({', '.join(f'{key} {value}' for key, value in best.agreement.items() if value)})"
    if not open_to:
        return f"Pasting wins every identity score, so that none of them decides; {name} agrees best with the truth."
    return f"Of the identity scores that pasting does not win, {name} agrees best with the truth: prefer it."


def lay_out(
    title: str, told: Sequence[str], rows: Sequence[Row], proofs: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """Lay out the page: what was done, the table, what the checks are worth, what to know."""
    explained = "\n".join(f"* `{check}`: {meaning}." for check, meaning in CHECKS.items())
    parts = [
        f"# {title}", *told, _table(HEAD, [row.cells() for row in rows]), prefer(rows), _MEANT,
        "## What the checks are worth", f"{_PROVED}\n\n{explained}", _table(PROOF_HEAD, proofs),
        "## Noticed\n\n" + "\n".join(f"* {note}" for note in notes),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


_MEANT = (
    "`untrained`: the base alone, the class word in place of the subject. `pasted`: a training photo's cut-out laid over that "
    "picture; it holds the true subject but nobody drew it, so a score that ranks it above what is drawn rewards copying. "
    "`real`: the photos, each by what the others say. Agreement is Spearman's, within each subject, over drawn and untrained "
    "pictures. `pres` and `leakage` are of the class word. There is no check of the place: six photos a subject do not show "
    "the places that prompts name, so that prompt_fidelity, a model's word, stands for it."
)
_PROVED = (
    "Measured on the shipped photos themselves, of the subjects in this table. The true column is views that the check was not "
    "made from (`count`: made from all); the other one is views of another subject of the class, for marks also the true views "
    "with the mark painted over, and for `count` two views side by side. Told apart is the chance that a true picture scores "
    "higher (.5 is a guess)."
)


def plain_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Give the table as plain data."""
    return [{**asdict(row), "won_by_pasting": row.won_by_pasting} for row in rows]


def _agreement(key: str, pictures: Sequence[Mapping[str, Any]], *, seed: int) -> dict[str, Summary | None]:
    seen = [one for one in pictures if one["prompts"] in (DRAWN, UNTRAINED) and key in one["scores"]]
    return {check: agree(_pairs(key, f"{check}/{PIXELS}", seen), seed=seed) for check in JUDGED_BY}


def _pairs(key: str, check: str, pictures: Sequence[Mapping[str, Any]]) -> dict[str, Pairs]:
    pairs: dict[str, tuple[list[float], list[float]]] = {}
    for one in pictures:
        if check in one["scores"]:
            scores, truths = pairs.setdefault(one["subject"], ([], []))
            scores.append(one["scores"][key])
            truths.append(one["scores"][check])
    return dict(pairs)


def _rank(row: Row) -> float:
    return fmean(value.mean for value in row.agreement.values() if value is not None)


def _over(values: Sequence[float], seed: int) -> Summary:
    return summarize({"": torch.tensor(values, dtype=torch.float64)}, seed=seed)[""]


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---" for _ in head], *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
