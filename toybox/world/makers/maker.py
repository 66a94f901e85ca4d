"""What a maker is, and how it draws the looks of a member."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from toybox.world.colours import RGB, colours, shade
from toybox.world.description import Thing
from toybox.world.makers.mesh import Mesh
from toybox.world.makers.texture import BADGES, LETTERS, PATTERNS, contrast, ground, paint

NATURAL = ("brown", "gray", "cream", "navy")


@dataclass(frozen=True)
class Maker:
    """One class with endless members.

    Attributes:
        noun: The class noun.
        shapes: Shape words; the builder knows each.
        build: Adds the parts of a member to a mesh.
        numbers: Ranges of the numbers that vary between members.
        aspect: True width over height of the painted band, for a shape word.
        spot: Middle of badge and letters in texture coordinates.
        reach: Room for badge and letters, as a share of the painted height.
        turn: Farthest azimuth to either side at which the front still shows, in degrees.
        gloss: Strength of the highlight.
        patterns: Patterns that suit it.
        marks: Whether badges and letters suit it.
    """

    noun: str
    shapes: tuple[str, ...]
    build: Callable[[Mesh, Thing], None]
    numbers: tuple[tuple[str, float, float], ...] = ()
    aspect: float = 3.0
    spot: tuple[float, float] = (0.5, 0.5)
    reach: float = 0.6
    turn: float = 60.0
    gloss: float = 0.35
    patterns: tuple[str, ...] = PATTERNS
    marks: bool = True

    def member(self, rng: np.random.Generator) -> Thing:
        """Draws the looks of one member.

        Args:
            rng: Chance.

        Returns:
            A thing without a name yet.
        """
        words = colours()
        colour = words[int(rng.integers(len(words)))] if rng.random() < 0.85 else None
        base = colour or NATURAL[int(rng.integers(len(NATURAL)))]
        traits: dict[str, str | float] = {"shape": self.shapes[int(rng.integers(len(self.shapes)))], "base": base}
        traits["second"] = _second(base, rng)
        if self.patterns and rng.random() < 0.42:
            traits["pattern"] = self.patterns[int(rng.integers(len(self.patterns)))]
            traits["grain"] = int(rng.integers(5, 9))
        draw = rng.random() if self.marks else 1.0
        if draw < 0.34:
            traits["badge"] = BADGES[int(rng.integers(len(BADGES)))]
        elif draw < 0.62:
            traits["letters"] = LETTERS[int(rng.integers(len(LETTERS)))]
        for name, low, high in self.numbers:
            traits[name] = round(float(rng.uniform(low, high)), 3)
        return Thing(self.noun, "", self.noun, colour, tuple(sorted(traits.items())))

    def texture(self, thing: Thing) -> Image.Image:
        """Returns: the texture of a member."""
        return paint(thing, aspect=self.aspect, spot=self.spot, reach=self.reach)


def _second(base: str, rng: np.random.Generator) -> str:
    """Draws a second color that stands out from the first."""
    first = np.array(shade(base), float)
    others = [word for word in colours() if np.abs(np.array(shade(word), float) - first).sum() > 190]
    return others[int(rng.integers(len(others)))]


class Palette:
    """The shades of a member, by the role they play."""

    def __init__(self, thing: Thing) -> None:
        """Takes the shades from the member's traits."""
        self.base: RGB = shade(ground(thing))
        self.second: RGB = shade(thing.trait("second"))
        self.mark: RGB = contrast(thing)
        self.deep: RGB = darker(self.base, 0.62)


def darker(rgb: RGB, share: float) -> RGB:
    """Returns: the shade times a share."""
    return tuple(int(value * share) for value in rgb)
