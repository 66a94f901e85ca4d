"""Who is in a picture and how: frozen, seeded, with a JSON round trip. All truth about a person stands here."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toybox.world.people.names import LONE, PAIRS, RACES
from toybox.world.people.paint import BEARDS
from toybox.world.people.wear import GLASSES, HATS, NECKS

RGB = tuple[int, int, int]
# From the lightest to the darkest; sRGB of the lit skin.
SKINS: dict[str, RGB] = {
    "very fair": (246, 214, 196),
    "fair": (238, 196, 170),
    "light": (226, 178, 146),
    "tan": (202, 148, 112),
    "olive": (184, 136, 98),
    "brown": (150, 100, 70),
    "dark brown": (112, 72, 52),
    "very dark": (82, 54, 42),
}
# Deep and lit strand.
HAIRS: dict[str, tuple[RGB, RGB]] = {
    "black": ((18, 14, 14), (52, 42, 40)),
    "dark brown": ((44, 26, 18), (92, 58, 40)),
    "brown": ((78, 46, 28), (138, 90, 56)),
    "red": ((118, 40, 14), (204, 92, 36)),
    "blond": ((138, 98, 56), (228, 192, 134)),
    "gray": ((92, 92, 96), (176, 176, 180)),
    "white": ((170, 168, 166), (240, 238, 234)),
    "pink": ((168, 44, 104), (250, 134, 184)),
    "blue": ((24, 48, 132), (82, 132, 232)),
}
DYES = ("pink", "blue")
EYES: dict[str, RGB] = {
    "brown": (112, 66, 34),
    "hazel": (136, 104, 50),
    "green": (84, 132, 84),
    "blue": (84, 142, 196),
    "gray": (132, 146, 158),
}
CLOTHES: dict[str, RGB] = {
    "red": (206, 44, 44),
    "orange": (240, 130, 40),
    "yellow": (242, 204, 60),
    "green": (60, 142, 76),
    "teal": (30, 146, 146),
    "blue": (48, 98, 206),
    "purple": (124, 70, 178),
    "pink": (238, 136, 176),
    "black": (40, 40, 46),
    "white": (236, 236, 234),
    "gray": (138, 142, 150),
    "navy": (36, 50, 98),
    "brown": (130, 88, 58),
}
LIPSTICKS: dict[str, RGB] = {"red": (186, 30, 40), "pink": (222, 92, 124), "dark": (122, 32, 56)}
EXPRESSIONS = ("neutral", "smiling", "laughing", "surprised", "sad", "angry", "winking")
FRAMES = ("close-up", "portrait", "upper body", "full body")
POSES = ("standing", "waving", "walking", "arms raised", "hands clasped")


@dataclass(frozen=True)
class Style:
    """One hair style.

    Attributes:
        words: What it is called in captions.
        mesh: The hair mesh, "shell" for hair grown by `hair.shell`, or None.
        waves: How wavy the strands are, in 0..1.
        who: "woman", "man" or "both".
        cover: How much of the scalp is covered with stubble of its colour, in 0..1.
    """

    words: str
    mesh: str | None
    waves: float = 0.0
    who: str = "both"
    cover: float = 1.0


STYLES: dict[str, Style] = {
    style.words: style
    for style in (
        Style("long straight hair", "long01", who="woman"),
        Style("long wavy hair", "long01", 1.0, who="woman"),
        Style("a bob", "bob02", who="woman"),
        Style("a long bob", "bob01", 0.2, who="woman"),
        Style("swept bangs", "braid01", 0.2, who="woman"),
        Style("a ponytail", "ponytail01", 0.1, who="woman"),
        Style("a pixie cut", "short03", who="woman"),
        Style("curly hair", "curls", 1.0),
        Style("long curly hair", "long curls", 1.0, who="woman"),
        Style("an afro", "afro", 1.0),
        Style("short hair", "short04", who="man"),
        Style("combed hair", "short01", who="man"),
        Style("thick wavy hair", "short02", 0.6, who="man"),
        Style("side-swept hair", "short03", 0.2, who="man"),
        Style("a buzz cut", None, who="man", cover=0.85),
        Style("a bald head", None, who="man", cover=0.0),
    )
}


@dataclass(frozen=True)
class Person:
    """One person who does not exist.

    Attributes:
        member_id: Which person: equal for equal looks.
        seed: Seed of small details (where freckles and hairs lie).
        sex: "woman" or "man".
        age: 0 (about twenty) to 1 (about eighty).
        sliders: Sorted pairs of shape and strength.
        skin: Word of `SKINS`.
        skin_rgb: The lit skin, sRGB.
        lipstick: Word of `LIPSTICKS` or None.
        eyes: Word of `EYES`.
        brows: Thickness, arch and density, in 0..1.
        freckles: How many, in 0..1; captions speak of them from 0.4 on.
        blush: Redness of the cheeks, in 0..1.
        beard: One of `paint.BEARDS` or None.
        hair: Words of `STYLES`.
        hair_colour: Word of `HAIRS`.
        mirrored: Whether the hair is parted on the other side.
        glasses: One of `wear.GLASSES` or None.
        glasses_colour: Word of `CLOTHES`.
        hat: One of `wear.HATS` or None.
        hat_colour: Word of `CLOTHES`.
        clothes: One of `wear.NECKS`.
        clothes_colour: Word of `CLOTHES`.
        pattern: "striped", "checked" or None.
        second_colour: The pattern's other color, and that of the collar.
        legs_colour: Word of `CLOTHES`, for the trousers.
        shoes_colour: Word of `CLOTHES`.
    """

    member_id: str
    seed: int
    sex: str
    age: float
    sliders: tuple[tuple[str, float], ...]
    skin: str
    skin_rgb: RGB
    lipstick: str | None
    eyes: str
    brows: tuple[float, float, float]
    freckles: float
    blush: float
    beard: str | None
    hair: str
    hair_colour: str
    mirrored: bool
    glasses: str | None
    glasses_colour: str
    hat: str | None
    hat_colour: str
    clothes: str
    clothes_colour: str
    pattern: str | None
    second_colour: str
    legs_colour: str
    shoes_colour: str

    def to_json(self) -> str:
        """Returns: the person as one line of JSON with sorted keys; equal people give equal bytes."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Person":
        """Reads what `to_json` wrote.

        Args:
            text: One line of JSON.

        Returns:
            A person equal to the written one.
        """
        raw: dict[str, Any] = json.loads(text)
        raw["sliders"] = tuple((name, value) for name, value in raw["sliders"])
        return Person(**{key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()})


@dataclass(frozen=True)
class Portrait:
    """How a person is seen.

    Attributes:
        yaw: Turn of the head in degrees, positive to the picture's right.
        pitch: Nod in degrees, positive down.
        roll: Lean in degrees, positive to the picture's left.
        body: Turn of the shoulders in degrees.
        expression: One of `EXPRESSIONS`.
        strength: How strong the expression is, in 0..1.
        gaze: Turn of the eyes in the head in degrees: to the picture's right, and up.
        frame: One of `FRAMES`.
        pose: One of `POSES`; what arms and legs do.
        x: Shift of the person to the right, as a share of the picture's width.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    body: float = 0.0
    expression: str = "neutral"
    strength: float = 1.0
    gaze: tuple[float, float] = (0.0, 0.0)
    frame: str = "portrait"
    pose: str = "standing"
    x: float = 0.0

    def to_json(self) -> str:
        """Returns: the portrait as one line of JSON with sorted keys."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> "Portrait":
        """Reads what `to_json` wrote."""
        raw: dict[str, Any] = json.loads(text)
        return Portrait(**{**raw, "gaze": tuple(raw["gaze"])})


def describe_person(seed: int) -> Person:
    """Draws a person.

    Args:
        seed: Any whole number from 0 on; the same seed is the same person.

    Returns:
        The person.
    """
    rng = np.random.default_rng([seed, 41])
    sex = ("woman", "man")[int(rng.integers(2))]
    age = round(
        float(rng.choice([rng.uniform(0, 0.3), rng.uniform(0.3, 0.62), rng.uniform(0.62, 1)], p=[0.56, 0.24, 0.20])), 3
    )
    mix = rng.dirichlet([0.45] * 3)
    skin, skin_rgb = _skin(rng, mix)
    hair, hair_colour = _hair(rng, sex, age, skin)
    colours = list(CLOTHES)
    worn = [colours[int(i)] for i in rng.permutation(len(colours))[:4]]
    person = Person(
        member_id="",
        seed=int(rng.integers(2**31)),
        sex=sex,
        age=age,
        sliders=_sliders(rng, mix, sex),
        skin=skin,
        skin_rgb=skin_rgb,
        lipstick=_one(rng, tuple(LIPSTICKS), 0.45 if sex == "woman" else 0.0),
        eyes=_eyes(rng, skin),
        brows=tuple(round(float(v), 3) for v in rng.beta(2.2, 2.2, 3) * [1, 1, 0.8] + [0.22 * (sex == "man"), 0, 0.2]),
        freckles=round(float(rng.uniform(0.45, 1)), 3) if rng.random() < _freckled(skin) else 0.0,
        blush=round(float(rng.uniform(0.2, 1)), 3),
        beard=_one(rng, BEARDS, 0.55 if sex == "man" else 0.0),
        hair=hair,
        hair_colour=hair_colour,
        mirrored=bool(rng.random() < 0.5),
        glasses=_one(rng, GLASSES, 0.27 + 0.2 * age),
        glasses_colour=("black", "brown", "red", "blue", "navy", "gray")[int(rng.integers(6))],
        hat=_one(rng, HATS, 0.16),
        hat_colour=worn[2],
        clothes=list(NECKS)[int(rng.integers(len(NECKS)))],
        clothes_colour=worn[0],
        pattern=_one(rng, ("striped", "checked"), 0.25),
        second_colour=worn[1],
        legs_colour=("navy", "black", "gray", "brown", "blue")[int(rng.integers(5))],
        shoes_colour=worn[3],
    )
    return called(person)


def called(person: Person) -> Person:
    """Gives a person the name that follows from their looks."""
    looks = replace(person, member_id="").to_json().encode()
    return replace(person, member_id=f"person-{hashlib.sha256(looks).hexdigest()[:12]}")


def describe_portrait(seed: int) -> Portrait:
    """Draws how a person is seen.

    Args:
        seed: Any whole number from 0 on.

    Returns:
        The portrait: mostly from the front, mostly friendly.
    """
    rng = np.random.default_rng([seed, 43])
    yaw = float(np.clip(rng.normal(0, 17), -42, 42))
    frame = FRAMES[int(rng.choice(4, p=[0.28, 0.46, 0.18, 0.08]))]
    posed = frame in ("upper body", "full body") and rng.random() < 0.6
    return Portrait(
        yaw=round(yaw, 1),
        pitch=round(float(np.clip(rng.normal(1, 5), -12, 14)), 1),
        roll=round(float(np.clip(rng.normal(0, 4.5), -12, 12)), 1),
        body=round(0.4 * yaw + float(rng.normal(0, 9)), 1),
        expression=str(rng.choice(EXPRESSIONS, p=[0.30, 0.34, 0.12, 0.07, 0.06, 0.05, 0.06])),
        strength=round(float(rng.uniform(0.75, 1.0)), 3),
        gaze=(round(float(np.clip(-0.35 * yaw + rng.normal(0, 6), -22, 22)), 1), round(float(rng.normal(0, 3)), 1)),
        frame=frame,
        pose=POSES[int(rng.integers(len(POSES)))] if posed else "standing",
        x=round(float(rng.uniform(-0.05, 0.05)), 3),
    )


def _one(rng: np.random.Generator, kinds: tuple[str, ...], share: float) -> str | None:
    """Picks one of some kinds, or none."""
    chosen = kinds[int(rng.integers(len(kinds)))]
    return chosen if rng.random() < share else None


def _skin(rng: np.random.Generator, mix: np.ndarray) -> tuple[str, RGB]:
    """Draws a skin that suits the features, though not always."""
    place = float(mix @ [5.6, 2.6, 1.3] + rng.normal(0, 1.0))
    words = list(SKINS)
    at = min(max(round(place), 0), len(words) - 1)
    tone = np.array(SKINS[words[at]]) * (1 + rng.uniform(-0.03, 0.03, 3)) * (1 + rng.uniform(-0.03, 0.03))
    red, green, blue = (int(v) for v in np.clip(tone, 0, 255))
    return words[at], (red, green, blue)


def _hair(rng: np.random.Generator, sex: str, age: float, skin: str) -> tuple[str, str]:
    """Draws style and color of the hair."""
    fitting = [style for style in STYLES.values() if style.who in (sex, "both")]
    weights = np.array(
        [0.5 if style.mesh is None or (sex == "woman" and style.who == "both") else 1.0 for style in fitting]
    )
    style = fitting[int(rng.choice(len(fitting), p=weights / weights.sum()))]
    light = list(SKINS).index(skin) < 4
    if age > 0.55 and rng.random() < 0.15 + age * 0.75:
        return style.words, ("gray", "white")[int(rng.random() < age - 0.25)]
    if rng.random() < 0.05:
        return style.words, DYES[int(rng.integers(2))]
    words = ("black", "dark brown", "brown", "red", "blond")
    return style.words, str(
        rng.choice(words, p=[0.12, 0.22, 0.22, 0.20, 0.24] if light else [0.55, 0.30, 0.10, 0.02, 0.03])
    )


def _eyes(rng: np.random.Generator, skin: str) -> str:
    """Draws the color of the eyes."""
    light = list(SKINS).index(skin) < 4
    return str(rng.choice(tuple(EYES), p=[0.3, 0.16, 0.18, 0.26, 0.10] if light else [0.8, 0.12, 0.04, 0.02, 0.02]))


def _freckled(skin: str) -> float:
    """Gives how often a skin has freckles."""
    return (0.40, 0.35, 0.25, 0.10, 0.05, 0.03, 0.0, 0.0)[list(SKINS).index(skin)]


# Where the middle of a slider lies, so that women and men are told apart at a glance.
_LEANS: dict[str, dict[str, float]] = {
    "woman": {
        "chin/chin-width-incr": -0.35,
        "chin/chin-bones-incr": -0.25,
        "chin/chin-height-incr": -0.15,
        "nose/nose-scale-horiz-incr": -0.25,
        "nose/nose-volume-incr": -0.30,
        "nose/nose-point-up": 0.20,
        "nose/nose-hump-incr": -0.25,
        "mouth/mouth-upperlip-volume-incr": 0.20,
        "mouth/mouth-lowerlip-volume-incr": 0.15,
        "neck/neck-scale-horiz-incr": -0.25,
        "cheek/l-cheek-bones-incr": 0.15,
        "torso/measure-shoulder-dist-incr": -0.6,
        "torso/torso-scale-horiz-incr": -0.35,
    },
    "man": {
        "torso/measure-shoulder-dist-incr": -0.4,
        "torso/torso-scale-horiz-incr": -0.2,
        "neck/neck-scale-horiz-incr": 0.15,
        "chin/chin-width-incr": 0.10,
        "forehead/forehead-nubian-incr": 0.05,
    },
}
_CALM = ("torso", "neck", "ears", "head/head-age")
_LIMITS = {
    "head/head-scale-vert": 0.22,
    "forehead/forehead-scale-vert": 0.12,
    "forehead/forehead-temple": 0.3,
    "nose/nose-hump": 0.4,
    "mouth/mouth-philtrum": 0.4,
    "mouth/mouth-scale-horiz": 0.4,
    "eyes/l-eye-bag": 0.25,
    "mouth/mouth-trans": 0.3,
    "head/head-fat": 0.5,
}


def _sliders(rng: np.random.Generator, mix: np.ndarray, sex: str) -> tuple[tuple[str, float], ...]:
    """Draws the shape of head and face."""
    found = {f"race/{race}": float(share) for race, share in zip(RACES, mix, strict=True)}
    found["weight"] = float(np.clip(rng.normal(0.05, 0.35), -0.6, 0.9))
    found["muscle"] = float(np.clip(rng.normal(0.1, 0.3), 0, 0.8))
    for name in PAIRS:
        spread = 0.15 if name.startswith(_CALM) else 0.25 if sex == "woman" else 0.28
        limit = next((value for stem, value in _LIMITS.items() if name.startswith(stem)), 0.75)
        found[name] = float(np.clip(rng.normal(_LEANS[sex].get(name, 0.0), spread), -limit, limit))
    for name in LONE:
        found[name] = float(np.clip(rng.normal(-0.12, 0.28), 0, 0.7)) * (
            0.5 if name.startswith(("asym", "head")) else 1
        )
    found["eyes/l-eye-scale-incr"] = float(np.clip(1.15 + rng.normal(0, 0.25), 0.4, 1.7))  # drawn films like large eyes
    found["eyes/l-eye-height2-incr"] = float(np.clip(0.30 + rng.normal(0, 0.25), -0.3, 0.9))
    found["ears/l-ear-shape-pointed"] = 0.0
    return tuple(sorted((name, round(value, 3)) for name, value in found.items() if abs(value) > 0.02))
