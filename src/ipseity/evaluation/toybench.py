"""The shipped subjects as a benchmark: which there are, what they bear, and the prompts they are drawn from."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ipseity.core.errors import RecipeError, SubjectError
from ipseity.core.files import read_json, sha256_of
from ipseity.evaluation.dreambench import Listing, Prompt
from ipseity.evaluation.metrics.parts.marks import Box
from ipseity.evaluation.plan import SCORE_SCENES

ALL = "all"
"""Of the splits, the one that holds every subject."""


@dataclass(frozen=True)
class Mark:
    """A badge or letters that a subject bears."""

    shows: str
    """What it is, or the letters themselves."""
    boxes: Mapping[str, Box]
    """Photo -> where it is."""


@dataclass(frozen=True)
class Toys:
    """What is known of the shipped subjects."""

    classes: Mapping[str, str]
    """Subject -> class noun."""
    splits: Mapping[str, tuple[str, ...]]
    """Kind of use -> subjects."""
    marks: Mapping[str, Mark]
    """Subject -> its mark; some bear none."""

    def sibling(self, name: str) -> str:
        """Give another subject of the same class: what the true one must be told from."""
        return next(other for other, noun in self.classes.items() if noun == self.classes[name] and other != name)


def toys_folder() -> Path:
    """Give the folder of the shipped subjects."""
    return Path(str(files("ipseity") / "assets" / "subjects"))


def read_toys() -> Toys:
    """Read what is known of the shipped subjects."""
    data = tomllib.loads((files("ipseity.evaluation") / "toybench.toml").read_text(encoding="utf-8"))
    splits = {kind: tuple(names) for kind, names in data["splits"].items()}
    names = sorted(name for split in splits.values() for name in split)
    nouns = {name: str(read_json(toys_folder() / name / "subject.json")["class_noun"]) for name in names}
    marks = {name: Mark(told.pop("shows"), {file: tuple(box) for file, box in told.items()}) for name, told in data["marks"].items()}  # fmt: skip
    return Toys(nouns, splits, marks)


def choose_toys(toys: Toys, split: str, wanted: Sequence[str] = ()) -> list[str]:
    """Give the subjects of a split, by name.

    Args:
        toys: what there is.
        split: a key of `toys.splits`, or `ALL`.
        wanted: only these; empty means all of the split.

    Raises:
        RecipeError: there is no such split.
        SubjectError: one that is wanted is not shipped, or not of the split.
    """
    known = (*toys.splits, ALL)
    if split not in known:
        raise RecipeError(f"there is no split '{split}'", f"one of: {', '.join(known)}", _nearest(split, known))
    names = sorted(toys.classes) if split == ALL else sorted(toys.splits[split])
    for name in wanted:
        if name not in toys.classes:
            raise SubjectError(
                f"no subject '{name}' is shipped", f"one of: {', '.join(names)}", _nearest(name, list(toys.classes))
            )
        if name not in names:
            raise SubjectError(
                f"'{name}' is not of the split '{split}'", f"one of: {', '.join(names)}", "choose another --split"
            )
    return sorted(set(wanted)) or names


def list_toys(toys: Toys, names: Sequence[str]) -> Listing:
    """Give some subjects and their prompts in the form of a published list.

    The scenes are those that score a run; none of them picks a checkpoint unless a recipe says so.
    """
    prompts = tuple(
        Prompt(index, "recontextualization", f"a photo of a {{0}} {{1}} {scene}")
        for index, scene in enumerate(SCORE_SCENES)
    )
    return Listing({name: toys.classes[name] for name in names}, prompts, prompts, sha256_of([SCORE_SCENES, *names]))


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean '{near[0]}'?" if near else "choose one of them"
