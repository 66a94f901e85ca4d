"""Write an identity in the formats of other programs, and prove it by loading it again."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

from ipseity.core.errors import CapabilityError
from ipseity.core.events import Event, Wrote
from ipseity.core.identity import Identity
from ipseity.core.registry import find


def export_flow(base: Any, identity: Identity, form: str, folder: Path) -> Generator[Event, None, list[Path]]:
    """Write an identity as another program reads it.

    Args:
        base: the base it was learned on.
        identity: what was learned.
        form: "diffusers" or "kohya".
        folder: where the files go.

    Raises:
        CapabilityError: the method's identities cannot be written in that form.
    """
    method = find("methods", identity.method)
    if form not in method.exports:
        raise CapabilityError(
            f"an identity of method '{identity.method}' cannot be written for '{form}'",
            f"one of: {', '.join(sorted(method.exports))}",
            "choose another with --to",
        )
    paths = method.export(identity, base, form, folder)
    for path in paths:
        yield Wrote(f"{form} file", path)
    return paths
