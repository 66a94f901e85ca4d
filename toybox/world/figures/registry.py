"""All figures by class noun: what a class offers, its members, and what they are asked to do, wear and be made of."""

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from toybox.world.colours import colours
from toybox.world.description import Thing, Trait
from toybox.world.figures import creatures, figurines
from toybox.world.figures.creatures import SPECIES
from toybox.world.figures.dress import GARMENTS
from toybox.world.figures.figurines import CHARACTERS
from toybox.world.figures.gaits import GAITS
from toybox.world.figures.motions import MOTIONS
from toybox.world.figures.props import PROPS
from toybox.world.figures.surface import FINISHES

Family = Literal["figurine", "creature", "prop"]
MATERIALS = (*FINISHES[1:], "cube-shaped")  # properties that a caption can ask for
_PASSING = frozenset({"motion", "moment", "look", "worn", "worn_colour", "material"})  # what does not change who it is


@dataclass(frozen=True)
class Figure:
    """One class of figures.

    Attributes:
        noun: Its noun, as in prompts.
        family: How it is made.
        words: Other words for it.
        motions: Words of the motions that it shows; empty for things.
        turn: Farthest azimuth to either side that shows it well, in degrees.
        size: How big it is beside others (1 is usual).
        colours: Whether it comes in the world's colour words.
    """

    noun: str
    family: Family
    words: tuple[str, ...]
    motions: tuple[str, ...] = ()
    turn: float = 100.0
    size: float = 1.0
    colours: bool = True

    @property
    def living(self) -> bool:
        """Whether it moves and wears things."""
        return bool(self.motions)


FIGURES: dict[str, Figure] = {
    figure.noun: figure
    for figure in (
        *(Figure(entry.noun, "figurine", entry.words, figurines.motions()) for entry in CHARACTERS.values()),
        *(Figure(entry.noun, "creature", entry.words, tuple(GAITS), size=entry.size) for entry in SPECIES.values()),
        *(
            Figure(entry.noun, "prop", entry.words, (), entry.turn, entry.size, entry.colours)
            for entry in PROPS.values()
        ),
    )
}


def describe_figure(noun: str, seed: int) -> Thing:
    """Draws one individual of a class, standing and undressed.

    Args:
        noun: One of `FIGURES`.
        seed: Which one; the same seed is the same individual.

    Returns:
        The individual; all of its traits can be written as JSON.

    Raises:
        ValueError: The class is unknown.
    """
    figure = _known(noun, tuple(FIGURES), "figure class")
    digest = hashlib.sha256(f"figure {noun}".encode()).digest()
    rng = np.random.default_rng([int.from_bytes(digest[:4], "big"), seed])
    family = FIGURES[figure].family
    if family == "figurine":
        return _named(figurines.member(noun, rng))
    return _named(creatures.member(noun, rng) if family == "creature" else _prop(noun, rng))


def _prop(noun: str, rng: np.random.Generator) -> Thing:
    """Draws the looks of a prop: which file shows it, in which colours."""
    prop, words = PROPS[noun], colours()
    colour = words[int(rng.integers(len(words)))] if prop.colours and rng.random() < 0.6 else None
    traits: dict[str, Trait] = {"file": prop.files[int(rng.integers(len(prop.files)))]}
    if prop.colours and rng.random() < 0.4:
        rest = [word for word in words if word != colour]
        traits["trim"] = rest[int(rng.integers(len(rest)))]
    for name in ("tall", "wide"):
        traits[name] = round(float(rng.uniform(0.9, 1.12)), 3)
    return Thing(noun, "", noun, colour, tuple(sorted(traits.items())))


def doing(thing: Thing, motion: str, moment: int = 0) -> Thing:
    """Lets a living thing move.

    Args:
        thing: A figurine or creature.
        motion: One of its class's motions.
        moment: Which of the motion's moments; counted round and round.

    Returns:
        The same individual in that motion.

    Raises:
        ValueError: The class does not show this motion.
    """
    _known(motion, FIGURES[thing.class_noun].motions, f"motion of a {thing.class_noun}")
    return _with(thing, motion=motion, moment=int(moment))


def wearing(thing: Thing, garment: str, colour: str | None = None) -> Thing:
    """Dresses a living thing.

    Args:
        thing: A figurine or creature.
        garment: One of `GARMENTS`.
        colour: Its colour word; needed by garments that come in any colour, refused by the others.

    Returns:
        The same individual, wearing it.

    Raises:
        ValueError: The garment is unknown, the colour is missing or too much, or the thing does not live.
    """
    _known(garment, tuple(GARMENTS), "garment")
    if not FIGURES[thing.class_noun].living:
        raise ValueError(f"a {thing.class_noun} wears nothing: a figurine or creature is needed; pass one of them")
    if GARMENTS[garment].colours != (colour is not None):
        found = "no colour was given" if colour is None else f"the colour {colour!r} was given"
        needed = "a colour word is needed" if colour is None else "none is needed, it has its own colours"
        raise ValueError(f"garment {garment!r}: {found}; {needed}; pass a colour exactly where its phrase holds one")
    return _with(
        thing, worn=garment, **({} if colour is None else {"worn_colour": _known(colour, tuple(colours()), "colour")})
    )


def made(thing: Thing, material: str) -> Thing:
    """Gives a thing a property.

    Args:
        thing: Any figure.
        material: "shiny", "wet" or "cube-shaped".

    Returns:
        The same individual with that property.

    Raises:
        ValueError: The property is unknown.
    """
    return _with(thing, material=_known(material, MATERIALS, "property"))


def varied(thing: Thing, rng: np.random.Generator, *, afloat: bool = False) -> Thing:
    """Draws what a figure does, wears and is made of in one scene.

    Args:
        thing: A figure as `describe_figure` gives it.
        rng: Chance.
        afloat: Whether the scene's ground is water; what swims does so there and nowhere else.

    Returns:
        The same individual: a living one mostly in motion, one in four dressed, one in twelve with a property.
    """
    figure = FIGURES[thing.class_noun]
    if figure.living and rng.random() < 0.75:
        fitting = [motion for motion in figure.motions if (motion == "swimming") == afloat]
        motion = fitting[int(rng.integers(len(fitting)))]
        thing = doing(thing, motion, int(rng.integers(4)))
    if figure.living and rng.random() < 0.25:
        garment, words = list(GARMENTS)[int(rng.integers(len(GARMENTS)))], colours()
        colour = words[int(rng.integers(len(words)))] if GARMENTS[garment].colours else None
        thing = wearing(thing, garment, colour)
    return made(thing, MATERIALS[int(rng.integers(len(MATERIALS)))]) if rng.random() < 1 / 12 else thing


def vocabulary() -> list[str]:
    """Returns: every phrase that captions of figures can hold, for a word list."""
    said = [word for figure in FIGURES.values() for word in (figure.noun, *figure.words)]
    said += [phrase for motion in MOTIONS.values() for phrase in (motion.word, *motion.phrases)]
    said += ["an", *(garment.phrase.format(colour="red") for garment in GARMENTS.values())]
    said += [f"holding a {held}" for character in CHARACTERS.values() for held in character.held]
    return [*said, *MATERIALS, "cube shaped"]


def phrases(thing: Thing) -> tuple[str, ...]:
    """Gives what a caption says after the noun: motion, dress, what is held.

    Args:
        thing: A figure.

    Returns:
        Phrases that are true of it, most important first; the property word ("wet") stands before the noun instead
        and is the trait `material`.
    """
    said = []
    if thing.trait("worn"):
        phrase = GARMENTS[thing.trait("worn")].phrase.format(colour=thing.trait("worn_colour"))
        said.append(re.sub(r"\ba (?=[aeio])", "an ", phrase))
    if thing.trait("motion"):
        said.append(MOTIONS[thing.trait("motion")].phrases[0])
    held = thing.trait("held")
    if held and any(key.endswith(tuple(CHARACTERS[thing.class_noun].held[held])) for key in figurines.parts(thing)):
        said.append(f"holding {held if held.startswith('two ') else f'a {held}'}")
    return tuple(said)


def _with(thing: Thing, **traits: Trait) -> Thing:
    """Changes passing traits; the name stays."""
    return replace(thing, traits=tuple(sorted({**dict(thing.traits), **traits}.items())))


def _named(thing: Thing) -> Thing:
    """Gives a thing the name that follows from its lasting looks."""
    lasting = tuple(pair for pair in thing.traits if pair[0] not in _PASSING)
    looks = hashlib.sha256(repr((thing.class_noun, thing.drawing, thing.colour, lasting)).encode()).hexdigest()
    return replace(thing, member_id=f"{thing.class_noun.replace(' ', '_')}-{looks[:12]}")


def _known(word: str, words: tuple[str, ...], kind: str) -> str:
    """Checks a word.

    Raises:
        ValueError: It is not among the known ones.
    """
    if word not in words:
        raise ValueError(f"unknown {kind} {word!r}: one of {', '.join(words) or 'none'} is needed; pass one of them")
    return word
