"""Small rules of English that captions and prompts share."""

import re

_SINGULAR = frozenset({"lens", "series", "species", "gas", "chess", "gps", "iris", "canvas", "christmas"})


def article(phrase: str) -> str:
    """Put "a" or "an" before a phrase, by how its first word sounds to a simple ear ("an elephant", "a unicorn")."""
    sounds = re.match(r"(?i)[^\w]*(?:[aeiou](?<!u)|u(?!ni[^mn]|se|sk|fo|k)|hour|honest)", phrase)
    return f"{'an' if sounds else 'a'} {phrase}"


def counted(phrase: str, noun: str) -> str:
    """Put "a" or "an" before a noun phrase unless its noun is a plural ("glasses")."""
    return phrase if is_plural(noun) else article(phrase)


def is_plural(noun: str) -> bool:
    """Tell whether a noun takes no article, by its ending: "glasses" does not, "bus" and "dress" do."""
    last = noun.lower().split()[-1]
    return last.endswith("s") and not last.endswith(("ss", "us", "is", "os")) and last not in _SINGULAR
