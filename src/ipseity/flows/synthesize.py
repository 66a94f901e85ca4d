"""Make the regularization set that a recipe asks for; what is made already is kept."""

from collections.abc import Generator
from pathlib import Path

from ipseity.core.events import Event, Noticed, Wrote
from ipseity.data.synthesis import synthesize
from ipseity.flows.setting import Setting


def synthesize_flow(setting: Setting) -> Generator[Event, None, Path]:
    """Draw the pictures that are still missing from the set and complete its manifest.

    Of several processes the main one draws, and the others wait for it.
    """
    if not setting.requests:
        yield Noticed(f"Regularization '{setting.recipe.regularization.name}' needs no pictures.")
        return setting.set_folder
    if setting.engine.is_main:
        yield from synthesize(setting.base, setting.requests, setting.set_folder, setting.recipe.draw)
    setting.engine.barrier()
    yield Wrote("regularization set", setting.set_folder)
    return setting.set_folder
