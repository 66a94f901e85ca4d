"""What is drawn to pick a checkpoint and to score it: prompts, seeds and evaluators that never mix."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from ipseity.core.options import Options
from ipseity.core.words import counted
from ipseity.evaluation.rewording import OTHER_WORDS, reword

PICK_SCENES = ("on the beach", "in the snow", "in a kitchen", "in front of a mountain")
"""Scenes that choose the checkpoint."""
SCORE_SCENES = (
    "in the jungle",
    "on a wooden floor",
    "with a city behind it",
    "on green grass",
    "in the desert",
    "on pink fabric",
)
"""Scenes that score the chosen checkpoint; none of them is in `PICK_SCENES`."""
PICK_SEED, SCORE_SEED, LEAK_SEED = 1_000, 2_000, 3_000
"""First seeds of the disjoint ranges."""


class EvaluateOptions(Options):
    """How checkpoints are picked and the result is scored."""

    pick: str = "toy_clip"
    """Evaluator that picks the checkpoint (it sees text and pictures); it never scores."""
    score: tuple[str, ...] = ("toy_vit", "efficientnet_lite2", "minilm_conse")
    """Evaluators that score the result; those that are not installed are left out, said aloud."""
    metrics: tuple[str, ...] = (
        "identity",
        "identity_masked",
        "prompt_fidelity",
        "diversity",
        "memorization",
        "leakage",
    )
    """What is measured."""
    pick_scenes: tuple[str, ...] = Field(PICK_SCENES, min_length=1)
    """Scene tails of the prompts that pick."""
    score_scenes: tuple[str, ...] = Field(SCORE_SCENES, min_length=1)
    """Scene tails of the prompts that score."""
    images_per_scene: int = Field(2, ge=1, le=64)
    """Pictures a scene, each with a seed of its own."""
    paraphrases: bool = False
    """Score the same scenes in other words too, at the same seeds: three more pictures for each scored one."""
    hold_out: bool = True
    """Whether photos are set aside, one to pick and one to score; false trains on all of them."""
    patience: int = Field(0, ge=0)
    """Stop early when the front has not moved for this many saves; 0 never stops early."""

    @model_validator(mode="after")
    def _roles_apart(self) -> Self:
        if self.pick in self.score:
            raise ValueError(f"two different evaluators to pick and to score, but '{self.pick}' does both")
        if lacking := {"identity", "prompt_fidelity"} - set(self.metrics):
            raise ValueError(
                f"identity and prompt_fidelity, by which the checkpoint is picked; '{min(lacking)}' is missing"
            )
        if shared := set(self.pick_scenes) & set(self.score_scenes):
            raise ValueError(f"scenes that do not both pick and score, but '{min(shared)}' does")
        if self.paraphrases and (bare := [scene for scene in self.score_scenes if scene not in OTHER_WORDS]):
            raise ValueError(
                f"paraphrases of scenes for which other words are known ({', '.join(OTHER_WORDS)}), not of '{bare[0]}'"
            )
        return self


@dataclass(frozen=True)
class Plan:
    """Prompts to draw and the words each picture is held against."""

    prompts: tuple[str, ...]
    """What the pipeline is given; holds the token."""
    meanings: tuple[str, ...]
    """The same without the token: what the picture shall show."""
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Paraphrases:
    """The pictures of a plan once more, from prompts in other words."""

    plan: Plan
    """Held against the meanings of the plain prompts, at their seeds."""
    originals: tuple[int, ...]
    """For each picture, the place in the plain plan of the picture that has its scene and seed."""


def plan(phrase: str, class_noun: str, scenes: Sequence[str], *, images_per_scene: int, first_seed: int) -> Plan:
    """Lay out a gallery: each scene as often as asked for, seeds counted from `first_seed`.

    Args:
        phrase: how prompts name the subject ("sks backpack").
        class_noun: how they would without the token ("backpack").
        scenes: prompt tails ("on the beach").
        images_per_scene: pictures of each.
        first_seed: seed of the first picture; the next have the next.
    """
    tails = [scene for scene in scenes for _ in range(images_per_scene)]
    return Plan(
        tuple(f"a photo of {counted(phrase, class_noun)} {tail}" for tail in tails),
        tuple(f"a photo of {counted(class_noun, class_noun)} {tail}" for tail in tails),
        tuple(range(first_seed, first_seed + len(tails))),
    )


def plan_paraphrases(
    phrase: str, class_noun: str, scenes: Sequence[str], *, images_per_scene: int, first_seed: int
) -> Paraphrases:
    """Lay out the same gallery in other words: each picture of `plan` once for each rewording of its scene.

    Args:
        phrase: as for `plan`, like all that follow.
        class_noun: the noun alone.
        scenes: keys of `rewording.OTHER_WORDS`.
        images_per_scene: pictures of each in the plain plan.
        first_seed: seed of the plain plan's first picture.
    """
    plain = plan(phrase, class_noun, scenes, images_per_scene=images_per_scene, first_seed=first_seed)
    tails = [scene for scene in scenes for _ in range(images_per_scene)]
    told = [(prompt, row) for row, tail in enumerate(tails) for prompt in reword(phrase, class_noun, tail)]
    prompts, rows = tuple(prompt for prompt, _ in told), tuple(row for _, row in told)
    meanings, seeds = tuple(plain.meanings[row] for row in rows), tuple(plain.seeds[row] for row in rows)
    return Paraphrases(Plan(prompts, meanings, seeds), rows)
