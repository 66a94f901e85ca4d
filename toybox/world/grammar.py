"""Captions: a small grammar of natural English over descriptions, and the list of all its words."""

import re
from dataclasses import replace
from typing import Literal

import numpy as np

from toybox.world.colours import EXTRA, colours
from toybox.world.description import Scene, Thing
from toybox.world.kinds import KINDS
from toybox.world.places import PLACES
from toybox.world.styles import STYLES

Form = Literal["structured", "casual", "short"]
RARE_TOKENS = ("sks", "zwx", "ohwx", "xyz1", "qrv", "vlk")
RARE_SHARE = 0.06
_DROP = 0.15
_QUALITY = (
    "a photo",
    "a photo",
    "a photo",
    "a high quality photo",
    "a detailed photo",
    "a picture",
    "a clean photo",
    "a beautiful photo",
    "a professional photo",
)
_SIZE = {"small": ("small", "small", "little", "tiny"), "large": ("large", "large", "big", "huge")}
_CROP = {
    "close-up": ("close-up", "close up view", "seen up close"),
    "far away": ("far away", "seen from far away", "in the distance"),
}
_SIDE = {"left": ("on the left", "on the left side"), "right": ("on the right", "on the right side")}
_COLOUR_WORDS = {
    "golden": ("golden", "golden", "gold"),
    "purple": ("purple", "purple", "violet"),
    "teal": ("teal", "teal", "turquoise"),
    "gray": ("gray", "grey"),
    "cream": ("cream",),
    "navy": ("navy", "dark blue"),
}
_PATTERNS = {
    "stripes": ("striped", "with {second} stripes"),
    "dots": ("dotted", "with {second} dots", "polka dot"),
    "checks": ("checkered", "with {second} checks"),
    "zigzag": ("zigzag", "with a {second} zigzag pattern"),
    "band": ("with a {second} band",),
}
_BESIDE = ("next to", "next to", "beside", "and")
_OWNERS = ("my", "my", "the", "our", "this", "that")
# Words for bags of phrases and paraphrases that no caption above need contain.
PARAPHRASES = (
    "an image of, a snapshot of, a close photo of, a photograph of, a rendering of, a cute, a nice, a lovely, a cool, "
    "pretty, old, new, shiny, wet, cube shaped, glossy, matte, soft, fluffy, smooth, rough, metal, wooden, plastic, "
    "glass, ceramic, leather, cotton, rubber, paper, tall, short, wide, narrow, round, square, curved, slim, thick, "
    "thin, flat, oval, boxy, angular, tapered, standing, sitting, lying, running, jumping, sleeping, swimming, "
    "walking, flying, looking at the camera, eating, playing, resting, wearing a red hat, wearing a santa hat, "
    "wearing a rainbow scarf, wearing a black top hat and a monocle, in a chef outfit, in a firefighter outfit, in a "
    "police outfit, wearing pink glasses, wearing a yellow shirt, in a purple wizard outfit, oil painting, cartoon, "
    "sketch, drawing, art, style, render, illustration, digital, sepia, vintage, bright, dark, colorful, sunny, "
    "cloudy, rainy, foggy, morning, evening, sunset, sunrise, day, light, shadow, blurry, sharp, good, best, quality, "
    "low, high, detailed, one, two, three, four, many, pair, group, person, man, woman, child, boy, girl, people, "
    "face, eyes, hand, logo, text, letter, letters, word, printed, painted, drawn, written, decorated, patterned, "
    "plain, colored, background, foreground, front, behind, above, below, under, over, near, inside, outside, left, "
    "right, center, middle, top, bottom, side, view, angle, wide, garden, park, river, lake, sea, ocean, hill, field, "
    "road, street, room, table, floor, wall, window, sky, cloud, sun, star, stars, moon, heart, bolt, flower, leaf, "
    "tree, rock, stone, grass, it is, there is, there are, has, have, with, without, from, by, for, at, of, to, its, "
    "his, her, their, made, very, some, all, no, not, gray, grey, brown, silver, beige, violet, turquoise, gold, "
    "cream, navy, dark, pale, dusty, empty, busy, quiet, cozy, modern, duck, monster, sloth, wolf, plushie, berry, "
    "fancy, poop, emoji, colorful, rc, animal, object, item, thing, vehicle, food, fruit, bag, shoe, cup, pot, "
    "container, tin, gray, bird, pet, plant, furniture, instrument, machine, figure, doll, professional, product, "
    "studio, lighting, plain, photo, photos, picture, image, subject, unique, same, another, different, each, a photo "
    "of a, an, on, in, off, up, down, out, so, as, or, but, if, then, than, more, less, most"
)


def article(phrase: str) -> str:
    """Puts "a" or "an" before a phrase."""
    return f"{'an' if phrase[0].lower() in 'aeiou' else 'a'} {phrase}"


def caption(scene: Scene, rng: np.random.Generator, form: Form | None = None) -> str:
    """Words a scene.

    Args:
        scene: The description.
        rng: Chance for the choice of words and slots.
        form: "structured", "casual" or "short"; drawn when None.

    Returns:
        One caption. It says only what is true of the picture, and leaves things out now and then.

    Raises:
        ValueError: The form is unknown.
    """
    forms = {"structured": _structured, "casual": _casual, "short": _short}
    if form is None:
        form = ("structured", "casual", "short")[int(rng.choice(3, p=(0.68, 0.2, 0.12)))]
    if form not in forms:
        raise ValueError(f"unknown caption form {form!r}: use one of {', '.join(forms)}")
    if scene.style == "pencil":
        scene = _uncoloured(scene)
    return forms[form](scene, rng)


def _uncoloured(scene: Scene) -> Scene:
    """Forgets the colors that a pencil sketch does not show."""

    def plain(thing: Thing) -> Thing:
        return replace(thing, colour=None, traits=tuple(pair for pair in thing.traits if pair[0] != "pattern"))

    second = replace(scene.second, thing=plain(scene.second.thing)) if scene.second else None
    return replace(scene, thing=plain(scene.thing), second=second)


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _keeps(rng: np.random.Generator) -> bool:
    return bool(rng.random() >= _DROP)


def _noun(thing: Thing, rng: np.random.Generator) -> str:
    """Names the class, now and then by another word."""
    words = KINDS[thing.class_noun].words
    return _pick(rng, words) if words and rng.random() < 0.2 else thing.class_noun


def _colour(word: str, rng: np.random.Generator) -> str:
    return _pick(rng, _COLOUR_WORDS[word]) if word in _COLOUR_WORDS else word


def _described(thing: Thing, rng: np.random.Generator, *, size: str | None = None, full: bool = True) -> str:
    """Makes the noun phrase without an article: size, shape, color, pattern, noun, badge, letters."""
    before, after = [], []
    if rng.random() < RARE_SHARE and full:
        before.append(_pick(rng, RARE_TOKENS))
    if size is not None and _keeps(rng):
        before.append(_pick(rng, _SIZE[size]))
    shaped = full and thing.trait("shape") and rng.random() < (0.9 if thing.class_noun == "toy" else 0.5)
    words = [thing.trait("shape")] if shaped else []
    if thing.colour is not None:  # "a tall red mug", but "a red robot toy"
        words.insert(0 if thing.class_noun == "toy" else len(words), _colour(thing.colour, rng))
    before += words
    pattern = thing.trait("pattern")
    if full and pattern in _PATTERNS and _keeps(rng):
        wording = _pick(rng, _PATTERNS[pattern])
        if "with" in wording:
            after.append(wording.format(second=_colour(thing.trait("second"), rng)))
        else:
            before.append(wording)
    if full and thing.trait("badge") and _keeps(rng):
        after.append(f"with {article(thing.trait('badge'))}" + _pick(rng, (" badge", " badge", " logo", " on it")))
    if full and thing.trait("letters") and _keeps(rng):
        after.append(
            _pick(
                rng, ("with the letters '{0}'", "with the letters '{0}'", "with '{0}' on it", "with the text '{0}'")
            ).format(thing.trait("letters"))
        )
    joined = " ".join([*before, _noun(thing, rng)])
    return " ".join(
        [joined, *([" and ".join([after[0], *(part.removeprefix("with ") for part in after[1:])])] if after else [])]
    )


def _structured(scene: Scene, rng: np.random.Generator) -> str:
    medium = _pick(rng, STYLES[scene.style].phrases) if scene.style else _pick(rng, _QUALITY)
    parts = [f"{medium} of {article(_described(scene.thing, rng, size=scene.size_word))}"]
    place = _pick(rng, PLACES[scene.place.name].phrases)
    if scene.second is not None:
        beside = f"{_pick(rng, _BESIDE)} {article(_described(scene.second.thing, rng, full=False))}"
        parts[0] = f"{parts[0]} {beside}"
    elif scene.side is not None and _keeps(rng):
        parts[0] = f"{parts[0]} {_pick(rng, _SIDE[scene.side])}"
    if rng.random() >= _DROP / 2:
        parts.append(place)
    if scene.crop is not None and _keeps(rng):
        parts.append(_pick(rng, _CROP[scene.crop]))
    glue = ", " if rng.random() < 0.4 else " "
    return glue.join(parts[:2]) + "".join(f", {part}" for part in parts[2:])


def _casual(scene: Scene, rng: np.random.Generator) -> str:
    thing = _described(scene.thing, rng, size=scene.size_word)
    text = f"{_pick(rng, _OWNERS)} {thing}" if rng.random() < 0.6 else article(thing)
    if scene.second is not None:
        text += f" {_pick(rng, _BESIDE)} {article(_described(scene.second.thing, rng, full=False))}"
    if _keeps(rng):
        text += f" {_pick(rng, PLACES[scene.place.name].phrases)}"
    if scene.style is not None:
        text += f", as {_pick(rng, STYLES[scene.style].phrases)}"
    if scene.crop is not None and _keeps(rng):
        text += f", {_pick(rng, _CROP[scene.crop])}"
    return text


def _short(scene: Scene, rng: np.random.Generator) -> str:
    parts = [_described(scene.thing, rng, size=scene.size_word, full=False)]
    if scene.second is not None:
        parts.append(_described(scene.second.thing, rng, full=False))
    parts.append(PLACES[scene.place.name].tag)
    parts += [scene.crop] if scene.crop else []
    parts += [_pick(rng, STYLES[scene.style].phrases).removeprefix("a ")] if scene.style else []
    return ", ".join(parts)


def words_of(text: str) -> list[str]:
    """Splits a text as the word list does: lower case, letters and digits, inner apostrophes and hyphens kept."""
    return re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*", text.lower())


def wordlist() -> list[str]:
    """Collects every word that a caption of the world can hold, and words of paraphrases and phrase banks.

    Returns:
        Sorted lower-case words; words with a hyphen or apostrophe are followed by their parts.
    """
    texts = [
        *_QUALITY,
        *_BESIDE,
        *_OWNERS,
        *RARE_TOKENS,
        *colours(),
        *EXTRA,
        PARAPHRASES,
        "as of a an with the letters text on it badge logo and",
    ]
    for table in (_SIZE, _CROP, _SIDE, _COLOUR_WORDS, _PATTERNS):
        texts += [phrase.replace("{second}", " ") for phrases in table.values() for phrase in phrases]
    texts += [word for kind in KINDS.values() for word in (kind.noun, *kind.words)]
    texts += [phrase for place in PLACES.values() for phrase in (*place.phrases, place.tag, place.name)]
    texts += [phrase for style in STYLES.values() for phrase in style.phrases]
    texts += [*_SIZE, *_CROP, *_SIDE, *_PATTERNS, *maker_words()]
    found = {word for text in texts for word in words_of(text)}
    return sorted(found | {part for word in found for part in re.split(r"['-]", word) if part})


def maker_words() -> list[str]:
    """Returns: the words that makers' attributes bring: shapes, badges and letters."""
    from toybox.world.makers import VOCABULARY

    return list(VOCABULARY)
