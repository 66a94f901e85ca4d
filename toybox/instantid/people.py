"""Rows of people who do not exist: several views of each, with exact points, in the world's places."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from toybox.instantid.rows import Candidate
from toybox.world.people import caption_people, describe_people, describe_person, describe_portrait, render_people
from toybox.world.people.build import marks
from toybox.world.people.figure import body
from toybox.world.people.person import Person, Portrait
from toybox.world.people.scene import PeopleScene, Seen
from toybox.world.people.stage import Stage
from toybox.world.scenes import is_heldout

FIRST = {"train": 0, "heldout": 1_000_000_000}
"""First seed of each set of people: nobody stands in both."""
DENSE = 68
"""Points of the dense set."""
WORN = ("clothes", "clothes_colour", "pattern", "second_colour", "legs_colour", "shoes_colour", "hat", "hat_colour")
"""What a person wears differs from view to view, so that clothes tell nothing of who it is."""


@dataclass(frozen=True)
class People:
    """People of the toybox's world as a source of rows.

    Attributes:
        split: "train" or "heldout"; their people differ.
        count: how many people.
        views: pictures of each.
        side: of the pictures, in pixels.
        per_shard: people in a shard.
        seed: shifts everybody.
        dense: whether the dense points are kept too.
    """

    split: str = "train"
    count: int = 1000
    views: int = 4
    side: int = 128
    per_shard: int = 128
    seed: int = 0
    dense: bool = False

    def __post_init__(self) -> None:
        if self.split not in FIRST:
            raise ValueError(
                f"there is no split '{self.split}'. People are drawn for train or heldout. Name one of them."
            )

    @property
    def shards(self) -> int:
        """Returns the number of shards."""
        return -(-self.count // self.per_shard)

    def facts(self) -> dict[str, Any]:
        """Returns what decides every picture."""
        return {"kind": "people", **dataclasses.asdict(self)}

    def shard(self, index: int) -> Iterator[Candidate]:
        """Draws the views of each person of a shard."""
        for number in range(index * self.per_shard, min((index + 1) * self.per_shard, self.count)):
            for view in range(self.views):
                yield self.candidate(number, view)

    def candidate(self, number: int, view: int) -> Candidate:
        """Draws one view of a person.

        Args:
            number: which person of this split.
            view: which view.
        """
        who = FIRST[self.split] + self.seed * 10_000_000 + number
        scene = _scene(who, view, heldout=self.split == "heldout")
        drawn, seen = render_people(scene, self.side), scene.people[0]
        return Candidate(
            Image.fromarray(drawn.image),
            caption_people(scene, np.random.default_rng([who, view, 61])),
            f"{self.split}-{number}-{view}",
            identity=describe_person(who).member_id,
            points=drawn.points[0],
            dense=dense_points(seen.person, seen.view, self.side) if self.dense else None,
        )


def _scene(who: int, view: int, *, heldout: bool) -> PeopleScene:
    """Describes a view: the person alone, dressed anew, near enough to be recognized, somewhere.

    Training never sees the combinations of hair and place that the base's training holds out.
    """
    rng = np.random.default_rng([who, view, 59])
    person = describe_person(who)
    other = describe_person(int(rng.integers(2**31)))
    dressed = replace(person, **{name: getattr(other, name) for name in WORN})
    portrait = describe_portrait(int(rng.integers(2**31)))
    if portrait.frame == "full body":
        portrait = replace(portrait, frame="portrait", pose="standing")
    while True:
        scene = describe_people(int(rng.integers(2**31)), "fresh")
        if heldout or not is_heldout("person", person.hair_colour, scene.place.name):
            return replace(scene, people=(Seen(dressed, portrait),))


@lru_cache(maxsize=1)
def _spread() -> np.ndarray:
    """Chooses vertices of the face that lie as far apart as can be, each the farthest from those before."""
    face = marks().face
    rest = body().points[face]
    chosen = [int(np.argmax(rest[:, 2]))]
    far = np.full(len(rest), np.inf)
    while len(chosen) < DENSE:
        far = np.minimum(far, ((rest - rest[chosen[-1]]) ** 2).sum(1))
        chosen.append(int(np.argmax(far)))
    return face[chosen]


def dense_points(person: Person, view: Portrait, side: int) -> np.ndarray:
    """Gives `DENSE` points of a face that move with pose and expression.

    Args:
        person: who.
        view: how they are seen; not in full, where figures are moved to stand on the ground.
        side: of the picture in pixels.

    Returns:
        (DENSE, 2) float32 x and y; a point on the far side of a turned head is given where it would show.
    """
    stage = Stage(person, view)
    return stage.camera().pixels(stage.points[_spread()], side).astype(np.float32)
