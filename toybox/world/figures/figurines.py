"""KayKit's figurines: classes, looks of a member, and posing by linear blend skinning."""

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from toybox.world.colours import colours
from toybox.world.description import Thing, Trait
from toybox.world.figures import store
from toybox.world.figures.blobs import turned
from toybox.world.figures.motions import FRAMES
from toybox.world.figures.surface import Surface, merged

ARCHIVE = "figurines"
SKINS, HAIRS = ("fair", "tan skin", "brown skin", "dark skin"), ("blond", "auburn", "chestnut", "raven", "silver hair")
_SKIN, _HAIR = 0, 1  # swatches of every character's palette
_BARE_HANDS = ("swimming", "lying", "waving")
_HATLESS = ("swimming", "lying")


@dataclass(frozen=True)
class Character:
    """One class of figurines.

    Attributes:
        noun: Its noun.
        source: The character in the archive.
        words: Other words for it.
        outfit: Swatches that take the colour word.
        trim: Swatches that take the second colour (the cape).
        headgear: The part that another hat takes the place of, or None.
        held: What it may hold: parts, and how captions say so.
    """

    noun: str
    source: str
    words: tuple[str, ...]
    outfit: tuple[int, ...]
    trim: tuple[int, ...]
    headgear: str | None
    held: dict[str, tuple[str, ...]]


CHARACTERS: dict[str, Character] = {
    character.noun: character
    for character in (
        Character(
            "knight",
            "Knight",
            ("warrior", "knight in armor"),
            (3,),
            (8,),
            "Knight_Helmet",
            {
                "sword": ("1H_Sword",),
                "big sword": ("2H_Sword",),
                "sword and shield": ("1H_Sword", "Rectangle_Shield"),
                "round shield": ("Round_Shield",),
                "two swords": ("1H_Sword", "1H_Sword_Offhand"),
            },
        ),
        Character(
            "wizard",
            "Mage",
            ("mage", "magician"),
            (8, 9),
            (10,),
            "Mage_Hat",
            {
                "wand": ("1H_Wand",),
                "staff": ("2H_Staff",),
                "book": ("Spellbook_open",),
                "wand and book": ("1H_Wand", "Spellbook_open"),
            },
        ),
        Character(
            "ranger",
            "Rogue",
            ("hunter", "adventurer"),
            (8,),
            (9,),
            None,
            {"crossbow": ("1H_Crossbow",), "knife": ("Knife",), "big crossbow": ("2H_Crossbow",)},
        ),
        Character(
            "thief",
            "Rogue_Hooded",
            ("hooded thief", "bandit"),
            (8, 9),
            (21,),
            None,
            {"knife": ("Knife",), "two knives": ("Knife", "Knife_Offhand"), "crossbow": ("1H_Crossbow",)},
        ),
    )
}
_BODY = ("ArmLeft", "ArmRight", "Body", "LegLeft", "LegRight", "Head", "Head_Hooded")


def member(noun: str, rng: np.random.Generator) -> Thing:
    """Draws the looks of one figurine.

    Args:
        noun: One of `CHARACTERS`.
        rng: Chance.

    Returns:
        A thing without name, motion and dress.

    Raises:
        KeyError: The class is unknown.
    """
    character, words = CHARACTERS[noun], colours()
    colour = words[int(rng.integers(len(words)))] if rng.random() < 0.75 else None
    rest = [word for word in words if word != colour]
    traits: dict[str, Trait] = {
        "skin": SKINS[int(rng.integers(len(SKINS)))],
        "hair": HAIRS[int(rng.integers(len(HAIRS)))],
        "cape": bool(rng.random() < 0.7),
    }
    if rng.random() < 0.7:
        traits["trim"] = rest[int(rng.integers(len(rest)))]
    if rng.random() < 0.55:
        traits["held"] = list(character.held)[int(rng.integers(len(character.held)))]
    if noun == "knight":
        traits["helmet"] = bool(rng.random() < 0.7)
    return Thing(noun, "", noun, colour, tuple(sorted(traits.items())))


@lru_cache(maxsize=1)
def skeleton() -> tuple[str, ...]:
    """Returns: the names of the joints, in the order of the baked frames."""
    return tuple(json.loads(store.archive(ARCHIVE)["index"].tobytes())["skeleton"])


def parts(thing: Thing) -> list[str]:
    """Lists the meshes that a figurine shows.

    Args:
        thing: A figurine with its motion and dress.

    Returns:
        Keys in the archive.
    """
    character = CHARACTERS[thing.class_noun]
    short = character.source.split("_", maxsplit=1)[0]
    known = json.loads(store.archive(ARCHIVE)["index"].tobytes())["parts"][character.source]
    shown = [f"{short}_{name}" for name in _BODY if f"{short}_{name}" in known]
    if thing.trait("cape"):
        shown.append(f"{short}_Cape")
    hatless = character.noun == "wizard" and thing.trait("motion") in _HATLESS
    bare = hatless or thing.trait("bare_head", False)
    if character.headgear and thing.trait("helmet", True) and not bare:
        shown.append(character.headgear)
    empty = thing.trait("motion") in _BARE_HANDS or thing.trait("material") == "cube-shaped"
    if thing.trait("held") and not empty:
        shown += character.held[thing.trait("held")]
    return [f"{character.source}.{name}" for name in shown]


def joints(thing: Thing) -> np.ndarray:
    """Gives the joint matrices of a figurine's moment.

    Args:
        thing: A figurine with its motion.

    Returns:
        (j, 3, 4) from the rest pose to the posed figure, its head turned by the trait `look` in degrees.

    Raises:
        KeyError: The motion is unknown.
    """
    motion = thing.trait("motion", "standing")
    frames = store.archive(ARCHIVE)[f"motion/{motion}"]
    matrices = frames[thing.trait("moment", 0) % len(frames)].astype(np.float64)
    look = thing.trait("look", 0.0)
    if look:
        head = skeleton().index("head")
        pivot = store.archive(ARCHIVE)["bind"][head][:, 3]
        back, around = np.eye(4), turned(0, look, 0)
        back[:3, 3] = pivot
        matrices[head] = matrices[head] @ back @ around @ np.linalg.inv(back)
    return matrices


def skinned(key: str, matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Poses a mesh by linear blend skinning.

    Args:
        key: The mesh in the archive.
        matrices: (j, 3, 4) joint matrices.

    Returns:
        The vertex table and the faces.
    """
    mesh = store.part(ARCHIVE, key)
    assert mesh.weights is not None, "the converter binds every mesh of the figurines to joints"
    blended = np.einsum("nj,njab->nab", mesh.weights, matrices[mesh.joints].astype(np.float32))
    table = mesh.table.copy()
    table[:, :3] = np.einsum("nab,nb->na", blended[..., :3], mesh.table[:, :3]) + blended[..., 3]
    normal = np.einsum("nab,nb->na", blended[..., :3], mesh.table[:, 3:6])
    table[:, 3:6] = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return table, mesh.faces


@lru_cache(maxsize=96)
def posed(thing: Thing) -> tuple[Surface, np.ndarray]:
    """Builds a figurine; the latest are kept.

    Args:
        thing: A figurine with its motion.

    Returns:
        Its surface and the joint matrices. Shared: do not change them.
    """
    matrices = joints(thing)
    table, faces = merged([skinned(key, matrices) for key in parts(thing)])
    return Surface(table, faces, gloss=0.5 if thing.class_noun == "knight" else 0.3), matrices


def palette(thing: Thing) -> np.ndarray:
    """Returns: the palette of a figurine, uint8 (h, w, 3), in its outfit's colours."""
    character = CHARACTERS[thing.class_noun]
    wanted = [(_SKIN, thing.trait("skin", "fair")), (_HAIR, thing.trait("hair", "chestnut"))]
    shirt = thing.trait("shirt") or thing.colour
    if shirt:
        wanted += [(swatch, shirt) for swatch in character.outfit]
    if thing.trait("trim"):
        wanted += [(swatch, thing.trait("trim")) for swatch in character.trim]
    return store.palette(ARCHIVE, character.source, tuple(wanted))


def motions() -> tuple[str, ...]:
    """Returns: the motion words of figurines."""
    return tuple(word for word in FRAMES if word != "chair")
