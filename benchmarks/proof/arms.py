"""The arms of each stage, most needed first: all start from one recipe and differ in what they are named after."""

import argparse
import itertools
import json
import math
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.ablation import SPLITS
from benchmarks.cells import Cell, arm_recipe, weights_mark
from benchmarks.proof.curve import CLASS_SCENES
from ipseity.core.files import read_json, write_json, write_text
from ipseity.data.phrases import phrases_for
from ipseity.evaluation.plan import EvaluateOptions
from ipseity.evaluation.toybench import toys_folder
from ipseity.recipe import change

BARE = ("data.slot_dropout=0", "data.crops=1", "data.regularization_crops=1")
"""What every arm has unless it says otherwise: one cut and one wording a photo, so that dropout and crops are arms of their own."""
DROPOUT, CROPS = "data.slot_dropout=0.3", ("data.crops=8", "data.regularization_crops=2")
SIZES = (0, 50, 200, 500, 2000)
SLOTS = ("quality", "style", "size", "shape", "colour", "texture", "background")
"""Slots of the toybox's phrases that a set can vary."""
PLACES = {
    "kitchen table": "on a kitchen table", "wooden floor": "on a wooden floor", "tiled floor": "on a tiled floor", "white rug": "on a white rug",
    "city": "with a city behind it", "mountain": "with a mountain behind it", "blue house": "in front of a blue house", "beach": "on the beach",
    "autumn": "among autumn leaves", "forest": "in the forest", "studio": "in a studio", "library": "in a library", "dirt road": "on a dirt road",
    "cobblestone": "on a cobblestone street", "crowded street": "on a crowded sidewalk", "bedroom": "in a bedroom", "living room": "in a living room",
    "snow": "in the snow", "desert": "in the desert", "moon": "on the moon", "city night": "on a city street at night", "sunflowers": "on the grass among sunflowers",
    "wheat field": "in front of a wheat field",
}  # fmt: skip
"""How a person would say where a shipped photo was taken; only the arm with true captions is told."""


@dataclass(frozen=True)
class Arm:
    """One way of teaching."""

    name: str
    captions: str
    regularization: str
    settings: tuple[str, ...] = ()
    images: int | None = None
    """Pictures in the set; unset means those of the whole proof."""
    true_captions: bool = False
    """Whether the photos come with captions from the world that drew them: an upper bound, since no user has them."""
    without: str = ""
    """A slot that the set does not vary."""


NONE = Arm("plain, none", "plain", "none")
CLASS = Arm("plain, class images", "plain", "class_images")
STRUCTURED_CLASS = Arm("structured, class images", "structured", "class_images")
OURS = Arm("structured, structured", "structured", "structured")
MAIN = (
    CLASS,
    OURS,
    STRUCTURED_CLASS,
    Arm("plain, structured", "plain", "structured"),
    NONE,
    Arm("structured, none", "structured", "none"),
)
OBJECTIVES = (
    CLASS,
    OURS,
    STRUCTURED_CLASS,
    Arm("structured, output preservation", "structured", "output_preservation"),
    Arm("structured, L2", "structured", "l2"),
    replace(OURS, name="structured, structured, slot dropout", settings=(DROPOUT,)),
    replace(OURS, name="structured, structured, slot dropout, crops", settings=(DROPOUT, *CROPS)),
    replace(OURS, name="structured, structured, true captions (upper bound)", true_captions=True),
)


@dataclass(frozen=True)
class Stage:
    """A question: which arms, against which others."""

    arms: tuple[Arm, ...]
    baselines: tuple[str, ...]
    """Arms that the others are held against."""
    title: str
    claims: bool = False
    """Whether the page weighs the paper's claims."""

    @property
    def names(self) -> tuple[str, ...]:
        """Name the arms."""
        return tuple(arm.name for arm in self.arms)


STAGES: Mapping[str, Stage] = {
    "main": Stage(MAIN, (CLASS.name, STRUCTURED_CLASS.name), "Captions and regularization, whole curves", claims=True),
    "objectives": Stage(OBJECTIVES, (CLASS.name, STRUCTURED_CLASS.name, OURS.name), "Other objectives, slot dropout and crops"),
    "sizes": Stage(
        tuple(
            Arm(f"{size} pictures", "structured", "structured" if size else "none", images=size) for size in SIZES
        ),
        ("0 pictures",),
        "Size of the structured set",
    ),
    "slots": Stage(
        (replace(OURS, name="all slots"), *(replace(OURS, name=f"without {slot}", without=slot) for slot in SLOTS)),
        ("all slots",),
        "Slot by slot: what the structured set varies",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """What all runs of the proof share; fixed with 1x and read by every later stage."""

    images: int
    inference_steps: int
    pictures: int
    """Pictures a scene that scores."""
    set: tuple[str, ...]
    """Further settings of every recipe."""

    def chosen(self, steps: int, save_every: int, work: Path) -> argparse.Namespace:
        """Give what `arm_recipe` asks for."""
        shared = (*BARE, f"evaluate.images_per_scene={self.pictures}", *self.set)
        return argparse.Namespace(
            images=self.images, inference_steps=self.inference_steps, steps=steps, save_every=save_every, work=work, set=list(shared)
        )  # fmt: skip


@dataclass(frozen=True)
class Span:
    """How long a run is, and how often it is looked at."""

    steps: int
    save_every: int

    @property
    def saves(self) -> int:
        """Count the checkpoints."""
        return math.ceil(self.steps / self.save_every)


def subjects_of(split: str, count: int) -> list[str]:
    """Name the first so many subjects of a split."""
    return tomllib.loads(SPLITS.read_text(encoding="utf-8"))["toybox"][split][:count]


def make_cells(
    arms: Sequence[Arm], subjects: Sequence[str], seeds: int, *, terms: Terms, span: Span, work: Path, told: Sequence[str] = ()
) -> list[Cell]:  # fmt: skip
    """List the runs: the first seed of all subjects before the second, and all arms of a subject beside each other.

    Args:
        arms: what is compared.
        subjects: names of shipped ones.
        seeds: runs of each arm and subject.
        terms: what all share.
        span: how long.
        work: where runs and sets are kept.
        told: further settings of the arms with structured captions, such as a describer.
    """
    weigh = Weighing(terms, span)
    cells = []
    for seed, name, arm in itertools.product(range(seeds), subjects, arms):
        recipe = _recipe(arm, name, terms.chosen(span.steps, span.save_every, work), seed=seed, told=told)
        labels = {"subject": name, "arm": arm.name, "seed": seed}
        cells.append(Cell(labels, recipe, weigh(arm, name, recipe["subject"]["class_noun"])))
    return cells


def _recipe(arm: Arm, name: str, chosen: argparse.Namespace, *, seed: int, told: Sequence[str]) -> dict[str, Any]:
    photos = toys_folder() / name
    noun = str(read_json(photos / "subject.json")["class_noun"])
    if arm.true_captions:
        photos = _with_true_captions(photos, chosen.work / weights_mark() / "true_captions" / name)
    if arm.images:
        chosen = argparse.Namespace(**{**vars(chosen), "images": arm.images})
    made = arm_recipe(photos, noun, (arm.captions, arm.regularization), chosen, seed=seed)
    if arm.without:
        bank = _bank_without(arm.without, noun, chosen.work / weights_mark() / "banks")
        made["regularization"] = {**made["regularization"], "bank": str(bank)}
    return change(made, (*arm.settings, *(told if arm.captions == "structured" else ())))


def _with_true_captions(photos: Path, folder: Path) -> Path:
    """Copy a shipped subject and say of each photo where it was taken, as the world that drew it knows."""
    if not (folder / "metadata.jsonl").is_file():
        shutil.copytree(photos, folder, dirs_exist_ok=True)
        views = read_json(photos / "subject.json")["views"]
        rows = [{"file_name": f"{number:02d}.jpg", "background": PLACES[view["place"]]} for number, view in enumerate(views)]  # fmt: skip
        write_text(folder / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _bank_without(slot: str, noun: str, folder: Path) -> Path:
    """Write the toybox's phrases with one slot emptied."""
    phrases = phrases_for(noun, living=False, bank="toybox").model_copy(update={slot: ()})
    path = folder / f"{noun.replace(' ', '_')}-without-{slot}.json"
    if not path.is_file():
        write_json(path, phrases.model_dump(mode="json"))
    return path


START, TEACH, DRAW, LOOK = 22.0, 0.068, 0.055, 0.25
"""Seconds of one core, measured once on the toybox: of starting and ending a run, of one picture through one training step, of
one denoising step of one picture, of scoring one picture. Only their ratios count, since the first run sets the scale."""
SHOWN = {"none": 1.0, "class_images": 2.0, "structured": 2.0, "l2": 1.0, "output_preservation": 2.4}
"""Pictures through the denoiser in a training step; output preservation asks learner and base once more, the base without a gradient."""


class Weighing:
    """Says how long runs take beside each other; pictures that runs share are counted for the first one that draws them.

    Args:
        terms: what all runs share.
        span: how long they are.
    """

    def __init__(self, terms: Terms, span: Span) -> None:
        self.terms, self.span = terms, span
        self._known: dict[tuple[str, ...], float] = {}

    def __call__(self, arm: Arm, subject: str, noun: str) -> float:
        """Give the seconds that a run would take on the machine that was measured, the next one in order."""
        options = EvaluateOptions()  # type: ignore[call-arg] # defaults
        scored = len(options.score_scenes) * self.terms.pictures + CLASS_SCENES
        picked = len(options.pick_scenes) * (self.terms.pictures + 1)
        bare = scored + picked if self._new(("bare", noun), 1) else 0
        pictures = self.span.saves * (scored + picked)
        draw = (pictures + bare + self._set(arm, subject, noun)) * self.terms.inference_steps * DRAW
        return START + draw + pictures * LOOK + self.span.steps * SHOWN[arm.regularization] * TEACH

    def _set(self, arm: Arm, subject: str, noun: str) -> float:
        """Count the set's pictures that nobody before has drawn: a fifth of a structured set belongs to a subject's own captions."""
        images = self.terms.images if arm.images is None else arm.images
        if arm.regularization == "class_images":
            return self._new((arm.regularization, noun), images)
        if arm.regularization != "structured":
            return 0
        own = self._new(("A", noun, subject, arm.captions, str(arm.true_captions), arm.without), 0.2 * images)
        return own + self._new(("B", noun, arm.without), 0.8 * images)

    def _new(self, key: tuple[str, ...], count: float) -> float:
        """Count what goes beyond the largest so far: a larger set keeps what a smaller one has."""
        known = self._known.get(key, 0.0)
        self._known[key] = max(known, count)
        return max(0.0, count - known)
