"""Says a person in words, and lists what can be asked of a picture of them."""

import numpy as np

from toybox.world.people.person import Person, Portrait

_LOOKS = {
    "smiling": "smiling",
    "laughing": "laughing",
    "surprised": "looking surprised",
    "sad": "looking sad",
    "angry": "looking angry",
    "winking": "winking",
}
_BEARDS = {"stubble": "stubble", "moustache": "a moustache", "goatee": "a goatee", "beard": "a beard"}
_SHORTEST = 1  # a caption names at least this many features


def noun(person: Person) -> str:
    """Gives the word for a person: "a young woman", "a man", "an old man"."""
    if person.age > 0.7:
        return f"an old {person.sex}"
    return f"a young {person.sex}" if person.age < 0.12 else f"a {person.sex}"


def hair_words(person: Person) -> str:
    """Gives the words for the hair: "long wavy red hair", "a black bob", "a bald head"."""
    style, colour = person.hair, person.hair_colour
    if style == "a bald head":
        return style
    if style.startswith("a ") or style.startswith("an "):
        article, rest = style.split(" ", 1)
        article = "an" if colour[0] in "aeiou" else "a"
        return f"{article} {colour} {rest}"
    return f"{style[: -len(' hair')]} {colour} hair" if style.endswith(" hair") else f"{colour} {style}"


def features(person: Person) -> list[str]:
    """Lists what stands out in a face, most visible first.

    Args:
        person: Who.

    Returns:
        Phrases that follow "with".
    """
    found = [hair_words(person)]
    if person.glasses:
        found.append(f"{person.glasses} {person.glasses_colour} glasses")
    if person.beard:
        found.append(_BEARDS[person.beard])
    if person.freckles >= 0.4:
        found.append("freckles")
    if person.lipstick:
        found.append(f"{person.lipstick} lipstick")
    found.append(f"{person.eyes} eyes")
    found.append(f"{person.skin} skin")
    return found


def clothing(person: Person) -> list[str]:
    """Lists what a person wears, in words that follow "wearing"."""
    pattern = f"{person.pattern} " if person.pattern else ""
    found = [_article(f"{pattern}{person.clothes_colour} {person.clothes}")]
    if person.hat:
        found.append(_article(f"{person.hat_colour} {person.hat}"))
    return found


def _article(words: str) -> str:
    """Puts the article before words."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def listed(parts: list[str]) -> str:
    """Joins words: "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def describe_in_words(person: Person, view: Portrait, rng: np.random.Generator) -> str:
    """Says a person in one phrase, leaving out what chance leaves out.

    Args:
        person: Who.
        view: How they are seen.
        rng: Chance.

    Returns:
        For example "a woman with curly red hair, round black glasses and freckles, wearing a blue sweater, smiling".
    """
    known = features(person)
    count = int(rng.integers(_SHORTEST, min(len(known), 4) + 1))
    chosen = sorted(rng.choice(len(known), count, replace=False, p=_weights(len(known))))
    phrase = f"{noun(person)} with {listed([known[index] for index in chosen])}"
    worn = clothing(person)
    if rng.random() < 0.6:
        phrase += f", wearing {listed(worn)}"
    elif person.hat and rng.random() < 0.8:
        phrase += f", wearing {worn[1]}"
    if view.expression in _LOOKS and rng.random() < 0.8:
        phrase += f", {_LOOKS[view.expression]}"
    if view.frame == "full body" and view.pose != "standing" and rng.random() < 0.8:
        phrase += f", {view.pose if view.pose.endswith('ing') else 'with ' + view.pose}"
    return phrase


def _weights(count: int) -> np.ndarray:
    """Weighs features: the first are named more often."""
    weights = 0.72 ** np.arange(count)
    return weights / weights.sum()


def attributes(person: Person, view: Portrait) -> dict[str, str | float | bool | None]:
    """Lists the truth that a checker can ask for.

    Args:
        person: Who.
        view: How they are seen.

    Returns:
        Sex, age, skin, hair, eyes, beard, glasses, hat, clothes, freckles, lipstick, expression, turn of the head in
        degrees, gaze in degrees, and every slider as "slider/<name>".
    """
    truth: dict[str, str | float | bool | None] = {
        name: getattr(person, name)
        for name in (
            "sex", "age", "skin", "hair", "hair_colour", "eyes", "beard", "glasses", "glasses_colour", "hat", "hat_colour",
            "clothes", "clothes_colour", "pattern", "lipstick",
        )
    }  # fmt: skip
    truth |= {"freckles": person.freckles >= 0.4, "expression": view.expression, "frame": view.frame, "pose": view.pose}
    truth |= {"yaw": view.yaw, "pitch": view.pitch, "roll": view.roll, "gaze_x": view.gaze[0], "gaze_y": view.gaze[1]}
    return truth | {f"slider/{name}": value for name, value in person.sliders}


def vocabulary() -> set[str]:
    """Returns: every word that captions of people can hold."""
    from toybox.world.people import person as p
    from toybox.world.people.wear import GLASSES, HATS, NECKS

    texts = [
        *p.SKINS,
        *p.HAIRS,
        *p.EYES,
        *p.CLOTHES,
        *p.LIPSTICKS,
        *p.STYLES,
        *p.POSES,
        *_LOOKS.values(),
        *_BEARDS.values(),
    ]
    texts += [
        *GLASSES,
        *HATS,
        *NECKS,
        "young old woman man portrait picture close-up detailed professional next to with and wearing glasses freckles lipstick eyes skin a an",
    ]
    texts += ["striped checked hair"]
    return {word.strip(",") for text in texts for word in text.split()}
