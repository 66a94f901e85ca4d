"""People in the world's places: described by a seed, drawn in the place's light, and captioned."""

import dataclasses
import json
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter

from toybox.world.contact import shadow
from toybox.world.description import Companion, Light, Pose, Thing, Where
from toybox.world.people.drawing import Drawn, draw_person
from toybox.world.people.person import Person, Portrait, describe_person, describe_portrait
from toybox.world.people.together import together
from toybox.world.people.words import describe_in_words
from toybox.world.places import PLACES, places
from toybox.world.places.brushes import Canvas
from toybox.world.scenes import Split, is_heldout

_SPLITS = {"train": 1, "heldout": 2, "fresh": 3}
_PAIRED = 0.15
_BLUR = {"close-up": 0.022, "portrait": 0.014, "upper body": 0.008}  # softness of the place, as a share of the side
# Grounds to put a mug on, not to meet somebody at.
_AWAY = (
    "water",
    "milk",
    "mirror",
    "pink fabric",
    "kitchen table",
    "purple rug",
    "white rug",
    "tiled floor",
    "wooden floor",
)
_AT = tuple(name for name in places() if name not in _AWAY)
_OPENERS = (
    "a photo of",
    "a photo of",
    "a portrait of",
    "a picture of",
    "a detailed photo of",
    "a professional photo of",
)


@dataclass(frozen=True)
class Seen:
    """One person of a scene and how they are seen."""

    person: Person
    view: Portrait


@dataclass(frozen=True)
class PeopleScene:
    """Everything in a picture of people.

    Attributes:
        seed: The seed it was drawn from.
        split: "train", "heldout" or "fresh".
        people: One or two, from the left to the right.
        place: The place's name and view.
        light: Where the light comes from.
    """

    seed: int
    split: str
    people: tuple[Seen, ...]
    place: Where
    light: Light

    @property
    def thing(self) -> Thing:
        """Returns: the first person as the world's other scenes name their main thing."""
        return _thing(self.people[0])

    @property
    def second(self) -> Companion | None:
        """Returns: the second person in the same form, or None."""
        if len(self.people) == 1:
            return None
        return Companion(_thing(self.people[1]), Pose(0.5 + self.people[1].view.x, 1.0, 1.0))

    def to_json(self) -> str:
        """Returns: the description as one line of JSON with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "PeopleScene":
        """Reads what `to_json` wrote.

        Args:
            text: One line of JSON.

        Returns:
            A scene equal to the written one.
        """
        raw = json.loads(text)
        people = tuple(
            Seen(Person.from_json(json.dumps(seen["person"])), Portrait.from_json(json.dumps(seen["view"])))
            for seen in raw.pop("people")
        )
        return PeopleScene(people=people, place=Where(**raw.pop("place")), light=Light(**raw.pop("light")), **raw)


def _thing(seen: Seen) -> Thing:
    """Names a person as the world names things; everything else is in the person."""
    return Thing("person", seen.person.member_id, "person", None)


@dataclass(frozen=True)
class PeopleRendered:
    """A drawn scene of people.

    Attributes:
        image: uint8 (H, W, 3).
        mask: uint8 (H, W): 255 where the first person shows.
        masks: uint8 (N, H, W): the same for each person.
        points: float32 (N, 5, 2): facial points in InsightFace's order, in pixels.
        boxes: float32 (N, 4): faces without hair, in pixels.
    """

    image: np.ndarray
    mask: np.ndarray
    masks: np.ndarray
    points: np.ndarray
    boxes: np.ndarray


def describe_people(seed: int, split: Split = "train") -> PeopleScene:
    """Draws the description of a scene with one or two people.

    Args:
        seed: Any whole number from 0 on; the same seed gives the same bytes.
        split: "train" never holds a held-out combination of hair color and place, "heldout" nothing else, "fresh"
            anything.

    Returns:
        The scene.

    Raises:
        ValueError: The split is unknown.
    """
    if split not in _SPLITS:
        raise ValueError(f"unknown split {split!r}: a scene belongs to one of {', '.join(_SPLITS)}; name one of them")
    rng = np.random.default_rng([_SPLITS[split], seed, 53])
    while True:
        person, place = describe_person(int(rng.integers(2**31))), _AT[int(rng.integers(len(_AT)))]
        if split == "fresh" or is_heldout("person", person.hair_colour, place) == (split == "heldout"):
            break
    view = describe_portrait(int(rng.integers(2**31)))
    people = (Seen(person, view),)
    if view.frame != "full body" and rng.random() < _PAIRED:
        other = Seen(describe_person(int(rng.integers(2**31))), describe_portrait(int(rng.integers(2**31))))
        people = tuple(
            Seen(seen.person, replace(seen.view, frame="upper body", pose="standing", x=side * 0.21))
            for seen, side in ((people[0], -1), (other, 1))
        )
    light = Light(*(round(float(rng.uniform(*ends)), 3) for ends in ((-55, 55), (18, 48), (0.92, 1.06))))
    return PeopleScene(seed, split, people, Where(place, int(rng.integers(2**31))), light)


def render_people(scene: PeopleScene, size: int = 128) -> PeopleRendered:
    """Draws a scene of people.

    Args:
        scene: What to draw.
        size: Side of the picture in pixels.

    Returns:
        The picture and its truth.

    Raises:
        RuntimeError: No OpenGL context could be opened; the message names the packages.
    """
    place, frame = PLACES[scene.place.name], scene.people[0].view.frame
    canvas = Canvas(2 * size, np.random.default_rng([scene.place.seed, 11]))
    place.paint(canvas)
    behind = canvas.image.resize((size, size), Image.Resampling.BOX)
    behind = behind.filter(ImageFilter.GaussianBlur(_BLUR.get(frame, 0.0) * size))
    tint = tuple(share * place.dim for share in place.tint)
    drawn = [draw_person(seen.person, seen.view, scene.light, size, tint=tint) for seen in scene.people]
    if frame == "full body":
        drawn = [_standing(drawn[0], round(sum(place.feet) / 2 * size))]
        front = Image.fromarray(drawn[0].image)
        box = front.getchannel("A").getbbox() or (0, 0, 1, 1)
        shadow(behind, front.getchannel("A").crop(box), box[:2], place)
    group = together(drawn, [0] * len(drawn))
    front = Image.fromarray(group.image)
    behind.paste(front, (0, 0), front)
    return PeopleRendered(np.array(behind), group.masks[0], group.masks, group.points, group.boxes)


def _standing(drawn: Drawn, foot: int) -> Drawn:
    """Moves a full figure up or down so that its feet stand at a row; its head stays in the picture."""
    rows = np.flatnonzero(drawn.mask.any(1))
    down = max(min(foot - int(rows[-1]), len(drawn.mask) - 1 - int(rows[-1])), -int(rows[0]))
    return replace(
        drawn,
        image=np.roll(drawn.image, down, 0),
        mask=np.roll(drawn.mask, down, 0),
        points=drawn.points + np.float32([0, down]),
        box=drawn.box + np.float32([0, down, 0, down]),
        joints=drawn.joints + np.float32([0, down]),
    )


def caption_people(scene: PeopleScene, rng: np.random.Generator) -> str:
    """Says a scene of people in words.

    Args:
        scene: What to say.
        rng: Chance: what is named and how.

    Returns:
        For example "a photo of a woman with curly red hair and freckles, smiling, in the snow".
    """
    opener = _OPENERS[int(rng.integers(len(_OPENERS)))]
    if scene.people[0].view.frame == "close-up" and rng.random() < 0.6:
        opener = "a close-up photo of"
    said = [describe_in_words(seen.person, seen.view, rng) for seen in scene.people]
    phrases = [one for one in PLACES[scene.place.name].phrases if "on top of" not in one and " it" not in one]
    where = f", {phrases[int(rng.integers(len(phrases)))]}" if rng.random() < 0.9 else ""
    return f"{opener} {', next to '.join(said)}{where}"
