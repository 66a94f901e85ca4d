"""Small rules of English that captions and prompts share."""

import re


def article(phrase: str) -> str:
    """Put "a" or "an" before a phrase, by how its first word sounds to a simple ear ("an elephant", "a unicorn")."""
    sounds = re.match(r"(?i)[^\w]*(?:[aeiou](?<!u)|u(?!ni[^mn]|se|sk|fo|k)|hour|honest)", phrase)
    return f"{'an' if sounds else 'a'} {phrase}"
