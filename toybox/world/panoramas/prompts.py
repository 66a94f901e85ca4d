"""DreamBench's prompts and the places they call for (Ruiz et al., arXiv:2208.12242: 25 for objects, 25 for living things).

Twenty of the thirty-five different tails name a place; the others name a property or something to wear.
"""

import re

SCENES: dict[str, tuple[str, ...]] = {
    "in the jungle": ("jungle", "real jungle"),
    "in the snow": ("snow", "real snow"),
    "on the beach": ("beach", "real beach"),
    "on a cobblestone street": ("cobblestone", "real cobblestone"),
    "on top of pink fabric": ("pink fabric", "real pink fabric"),
    "on top of a wooden floor": ("wooden floor", "real wooden floor"),
    "with a city in the background": ("city", "real city"),
    "with a mountain in the background": ("mountain", "real mountain"),
    "with a blue house in the background": ("blue house", "real blue house"),
    "on top of a purple rug in a forest": ("purple rug", "real purple rug"),
    "with a wheat field in the background": ("wheat field", "real wheat field"),
    "with a tree and autumn leaves in the background": ("autumn", "real autumn"),
    "with the Eiffel Tower in the background": ("eiffel tower", "real eiffel tower"),
    "floating on top of water": ("water", "real water"),
    "floating in an ocean of milk": ("milk", "real milk"),
    "on top of green grass with sunflowers around it": ("sunflowers", "real sunflowers"),
    "on top of a mirror": ("mirror", "real mirror"),
    "on top of the sidewalk in a crowded street": ("crowded street", "real crowded street"),
    "on top of a dirt road": ("dirt road", "real dirt road"),
    "on top of a white rug": ("white rug", "real white rug"),
}
"""Tails that name a place, as printed, and the places that are called so: a painted one and its real twin."""
PROPERTIES = ("red", "purple", "shiny", "wet", "cube shaped")
"""Words before the subject."""
WORN = (
    "wearing a red hat",
    "wearing a santa hat",
    "wearing a rainbow scarf",
    "wearing a black top hat and a monocle",
    "in a chef outfit",
    "in a firefighter outfit",
    "in a police outfit",
    "wearing pink glasses",
    "wearing a yellow shirt",
    "in a purple wizard outfit",
)
"""Tails that change the subject, not the place."""


def tail_of(prompt: str) -> str:
    """Takes the subject out of a prompt.

    Args:
        prompt: As DreamBench prints it, with `{0} {1}` for token and class.

    Returns:
        What is said besides: "in the jungle", "red".

    Raises:
        ValueError: There is no `{0} {1}` in it.
    """
    parts = re.fullmatch(r"a (.*?)\s*\{0\} \{1\}\s*(.*)", prompt.strip())
    if parts is None:
        raise ValueError(f"prompt {prompt!r} has no subject: 'a {{0}} {{1}} ...' is needed; write token and class so")
    return " ".join(part for part in parts.groups() if part)


def places_of(tail: str) -> tuple[str, ...]:
    """Gives the places that a tail calls for.

    Args:
        tail: As `tail_of` gives it.

    Returns:
        Their names; none where the tail names a property or something worn.

    Raises:
        KeyError: The tail is in none of the tables.
    """
    if tail in PROPERTIES or tail in WORN:
        return ()
    if tail not in SCENES:
        raise KeyError(
            f"tail {tail!r} is not among DreamBench's: one of {', '.join(SCENES)} is needed; add it to SCENES"
        )
    return SCENES[tail]
