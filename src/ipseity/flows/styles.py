"""Words around a prompt: a style adds what it wants to see and puts away what would make it look like another one."""

import difflib
import tomllib
from dataclasses import dataclass
from importlib.resources import files

from ipseity.core.errors import RecipeError

PLACE = "{prompt}"


@dataclass(frozen=True)
class Style:
    """What a style says."""

    name: str
    words: str
    """Holds `{prompt}` once."""
    negative: str


def styles() -> dict[str, Style]:
    """List the styles that come with the package, by name."""
    table = tomllib.loads((files("ipseity") / "assets" / "styles.toml").read_text(encoding="utf-8"))
    return {name: Style(name, said["words"], said["negative"]) for name, said in table.items()}


def find_style(name: str) -> Style:
    """Give a style.

    Raises:
        RecipeError: there is none of that name.
    """
    known = styles()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        todo = f"Did you mean '{near[0]}'?" if near else "`ipseity portrait --style list` describes them"
        raise RecipeError(f"there is no style '{name}'", f"one of: {', '.join(known)}", todo)
    return known[name]


def dress(prompt: str, negative: str | None, style: Style | None) -> tuple[str, str | None]:
    """Put a style's words around a prompt, and its negative words behind the user's.

    Args:
        prompt: what the user wants to see.
        negative: what the user does not want to see.
        style: unset leaves both as they are.
    """
    if style is None:
        return prompt, negative
    return style.words.replace(PLACE, prompt), ", ".join(part for part in (negative, style.negative) if part)
