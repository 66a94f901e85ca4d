"""What is in a scene, before a pixel is drawn: frozen, seeded and with a JSON round trip.

A description holds all truth that captions, masks and attribute checks need. Nothing that `render` draws is left to
chance: two equal descriptions are the same picture.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

Number = int | float
Trait = str | Number


@dataclass(frozen=True)
class Thing:
    """One individual of a class.

    Attributes:
        class_noun: The class, in the words of the captions ("stuffed animal").
        member_id: Which individual: equal for equal looks, whatever the view.
        drawing: The cut-out's file stem, or the maker's name.
        colour: Its colour word, or None for its natural colour.
        traits: Sorted pairs of further traits: shape, second, pattern, badge, letters and the maker's numbers.
    """

    class_noun: str
    member_id: str
    drawing: str
    colour: str | None
    traits: tuple[tuple[str, Trait], ...] = ()

    def trait(self, name: str, default: Any = None) -> Any:
        """Looks up one trait.

        Args:
            name: Name of the trait.
            default: What to give where the thing has no such trait.

        Returns:
            The trait's value or the default.
        """
        return dict(self.traits).get(name, default)


@dataclass(frozen=True)
class Pose:
    """Where a thing stands and how it is turned.

    Attributes:
        x: Middle of the thing, as a share of the picture's width.
        y: Its foot, as a share of the picture's height.
        scale: Its longer side, as a share of the picture's height.
        azimuth: Turn about the upright axis in degrees, 0 is the front (makers).
        elevation: Height of the camera above it in degrees (makers).
        roll: Tilt in the picture in degrees.
        flip: Whether a cut-out is mirrored (never for things with letters).
    """

    x: float
    y: float
    scale: float
    azimuth: float = 0.0
    elevation: float = 12.0
    roll: float = 0.0
    flip: bool = False


@dataclass(frozen=True)
class Light:
    """Where the light comes from, in degrees (azimuth -90 is the left), and how strong it is (1 is usual)."""

    azimuth: float
    elevation: float
    strength: float


@dataclass(frozen=True)
class Where:
    """One view of a place: its name and the seed of its details."""

    name: str
    seed: int


@dataclass(frozen=True)
class Companion:
    """The second thing of a scene and where it stands."""

    thing: Thing
    pose: Pose


@dataclass(frozen=True)
class Scene:
    """Everything in one picture.

    Attributes:
        seed: The seed it was drawn from.
        split: "train", "heldout" or "fresh".
        thing: The main thing.
        pose: Where it stands.
        place: The place's name and view.
        light: Where the light comes from.
        size_word: "small", "large" or None.
        crop: "close-up", "far away" or None.
        side: "left", "right" or None for the middle.
        second: The thing beside it, or None.
        style: Name of the style, or None for a photo.
    """

    seed: int
    split: str
    thing: Thing
    pose: Pose
    place: Where
    light: Light
    size_word: str | None = None
    crop: str | None = None
    side: str | None = None
    second: Companion | None = None
    style: str | None = None

    def to_json(self) -> str:
        """Returns: the description as one line of JSON with sorted keys; equal scenes give equal bytes."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Scene":
        """Reads what `to_json` wrote.

        Args:
            text: One line of JSON.

        Returns:
            A scene equal to the written one.
        """
        raw = json.loads(text)
        second = raw.pop("second")
        return Scene(
            thing=_thing(raw.pop("thing")),
            pose=Pose(**raw.pop("pose")),
            place=Where(**raw.pop("place")),
            light=Light(**raw.pop("light")),
            second=Companion(_thing(second["thing"]), Pose(**second["pose"])) if second else None,
            **raw,
        )


def _thing(raw: dict[str, Any]) -> Thing:
    """Builds a thing from its JSON form, lists back to tuples."""
    traits = tuple((name, value) for name, value in raw.pop("traits"))
    return Thing(traits=traits, **raw)
