"""Where a server is and with which key: checked before anything is sent, and no secret is ever shown."""

import os
import re
from urllib.parse import SplitResult, urlsplit

from ipseity.core.errors import RecipeError


def check_address(url: str) -> SplitResult:
    """Take a base URL apart; one with a secret in it is refused and not shown.

    Raises:
        RecipeError: it is none, or holds a user, a password or a query.
    """
    need = "a base URL such as http://127.0.0.1:8000/v1, without user, password, query or /chat/completions"
    try:
        address = urlsplit(url)
        port = address.port
    except ValueError:
        raise RecipeError("`endpoint` is no URL", need, "set `endpoint` to it") from None
    if address.username or address.password or address.query or address.fragment:
        raise RecipeError(
            f"`endpoint` holds more than an address of {address.hostname}",
            need,
            "put the key into an environment variable, and name that with `api_key_env`",
        )
    is_address = address.scheme in ("http", "https") and bool(address.hostname) and port != 0
    if not is_address or re.search(r"[\s\x00-\x1f\x7f]", url) or address.path.endswith("/completions"):
        raise RecipeError(f"`endpoint` is {url!r}", need, "set `endpoint` to it")
    return address


def read_key(variable: str | None) -> str:
    """Read an API key; no message shows it, nor what may be one in the place of a variable's name.

    Args:
        variable: name of the environment variable that holds it; None means that there is no key.

    Raises:
        RecipeError: it is no name, or the variable is not set or holds no key.
    """
    if variable is None:
        return ""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", variable):
        raise RecipeError(
            "`api_key_env` is no name of an environment variable",
            "a name of capital letters, digits and underscores, such as OPENAI_API_KEY, and never the key itself",
            "export the key under such a name, and name it",
        )
    key = os.environ.get(variable, "").strip()
    if not key or not re.fullmatch(r"[\x21-\x7e]+", key):
        raise RecipeError(
            f"the environment variable {variable} {'holds no key' if key else 'is not set'}",
            "the API key of the endpoint in it",
            f"export {variable}=..., or leave out `api_key_env` if the server wants no key",
        )
    return key
