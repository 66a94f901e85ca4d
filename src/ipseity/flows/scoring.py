"""Scores of a benchmark's pictures, kept by what decides them, so that none is computed twice."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL.Image import Image

from ipseity.core.events import Event, Progressed
from ipseity.core.files import read_json, sha256_of, sha256_of_file, write_json
from ipseity.core.types import Gallery, References
from ipseity.evaluation.metrics.parts.looking import Remembering
from ipseity.evaluation.scoreboard import CLASS_WORD, PRES, REAL, Entry, enter
from ipseity.evaluation.suite import ceiling, score
from ipseity.flows.cases import Case
from ipseity.flows.evaluators import Evaluators
from ipseity.flows.shots import Shooting, Shot, read_shot

FORMAT = "ipseity.bench.scores.1"
DRAWN = ("identity", "identity_masked", "prompt_fidelity", "diversity")
"""Metrics of pictures that show the subject."""
CLASS = ("identity", "leakage")
"""Metrics of pictures that show the class word alone; their identity is what the papers call PRES."""
PHOTOS = ("identity", "identity_masked", "diversity")
"""Metrics of the photos themselves, held against each other."""
Values = dict[str, list[float]]
"""`metric/evaluator` -> one value a picture, in order."""


@dataclass(frozen=True)
class Scored:
    """What a subject's pictures scored."""

    shooting: Shooting
    entries: tuple[Entry, ...]
    pictures: tuple[dict[str, Any], ...]
    """Plain data, one a picture."""


class Scorer:
    """Scores subjects with some evaluators, keeping what it found in a folder.

    Args:
        evaluators: what looks.
        folder: where scores are kept.
    """

    def __init__(self, evaluators: Evaluators, folder: Path) -> None:
        self.evaluators, self.folder = evaluators, folder

    def rounds(self, shooting: Shooting) -> int:
        """Count what `score` tells of."""
        return len(_groups(shooting.shots)) + 1

    def score(self, shooting: Shooting, *, done: int, total: int) -> Generator[Event, None, Scored]:
        """Score a subject's pictures prompt by prompt, and its photos against each other.

        Args:
            shooting: its pictures, all of them there.
            done: rounds of the whole benchmark before it, for the telling.
            total: rounds of the whole benchmark.
        """
        case = shooting.case
        asked = _Asked(case, self)
        entries = enter(_about(case), REAL, asked.real())
        yield Progressed("scores", done + 1, total)
        found: dict[str, Values] = {}
        pictures = []
        for number, group in enumerate(_groups(shooting.shots), start=2):
            values, hashes = asked.scores(group)
            kind = found.setdefault(group[0].prompts, {})
            for key, more in values.items():
                kind.setdefault(key, []).extend(more)
            pictures += [_told(shot, row, values, hashes[row]) for row, shot in enumerate(group)]
            yield Progressed("scores", done + number, total)
        for prompts, values in found.items():
            entries += enter(_about(case), prompts, values)
        return Scored(shooting, tuple(entries), tuple({"subject": case.name, **row} for row in pictures))


class _Asked:
    """A subject's photos before the evaluators: each photo is looked at once, and only if some score is missing."""

    def __init__(self, case: Case, scorer: Scorer) -> None:
        self._references: References = case.references
        self._looking = {name: Remembering(one) for name, one in scorer.evaluators.loaded.items()}
        self._marks, self._folder = scorer.evaluators.marks, scorer.folder
        masks = [mask and sha256(mask.tobytes()).hexdigest() for mask in self._references.masks]
        self._photos = [sorted(photo.sha256 for photo in case.compared), masks]
        self._rest = sorted(photo.sha256 for photo in case.subject.photos)

    def real(self) -> Values:
        """Score the photos against each other."""
        return self._each([PHOTOS, self._rest], lambda one: ceiling(self._references, one, PHOTOS))

    def scores(self, group: Sequence[Shot]) -> tuple[Values, list[str]]:
        """Score pictures of one prompt, or those of the class word; give their files' hashes too."""
        hashes = [sha256_of_file(shot.path) for shot in group]
        untrained = [shot.before and sha256_of_file(shot.before) for shot in group]
        metrics = CLASS if group[0].prompts == CLASS_WORD else DRAWN
        read: list[Gallery] = []

        def look(one: Any) -> dict[str, Any]:
            if not read:  # pictures are opened only where a score is missing
                read.append(_gallery(group))
            return score(read[0], self._references, one, metrics)

        values = self._each([metrics, hashes, untrained, [shot.meaning for shot in group]], look)
        if metrics is CLASS:
            values = {key.replace("identity/", f"{PRES}/"): row for key, row in values.items()}
        return values, hashes

    def _each(self, asked: Sequence[Any], look: Any) -> Values:
        """Ask evaluator by evaluator, reading what is known."""
        found: Values = {}
        for name, encoder in self._looking.items():
            key = sha256_of([FORMAT, self._marks[name], self._photos, *asked])[:32]
            path = self._folder / key[:2] / f"{key}.json"
            if not path.is_file():
                values = {key: tensor.double().tolist() for key, tensor in look({name: encoder}).items()}
                write_json(path, {"format": FORMAT, "evaluator": name, "scores": values})
            found |= read_json(path)["scores"]
        return found


def _gallery(group: Sequence[Shot]) -> Gallery:
    images: tuple[Image, ...] = tuple(read_shot(shot.path) for shot in group)
    before = tuple(read_shot(shot.before) for shot in group if shot.before)
    return Gallery(images, tuple(shot.meaning for shot in group), tuple(shot.seed or 0 for shot in group), before)


def _groups(shots: Sequence[Shot]) -> list[list[Shot]]:
    """Gather the pictures of one prompt, and those of the class word."""
    return [list(g) for _, g in groupby(shots, lambda shot: (shot.prompts, shot.index * (shot.prompts != CLASS_WORD)))]


def _about(case: Case) -> tuple[str, str, str]:
    return case.protocol, case.name, case.subject.class_noun


def _told(shot: Shot, row: int, values: Values, sha: str) -> dict[str, Any]:
    return {
        "file": str(shot.path),
        "sha256": sha,
        "prompts": shot.prompts,
        "prompt_index": shot.index,
        "drawn_from": shot.words or None,
        "held_against": shot.meaning,
        "seed": shot.seed,
        "scores": {key: one[row] for key, one in values.items()},
    }
