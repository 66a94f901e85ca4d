"""Make the regularization set that a recipe asks for; what is made already is kept."""

from collections.abc import Generator
from pathlib import Path

from ipseity.core.errors import MissingPackage
from ipseity.core.events import Event, Noticed, Wrote
from ipseity.core.registry import find
from ipseity.data.filters import Sieve, filters_of
from ipseity.data.synthesis import synthesize
from ipseity.flows.evaluators import mark
from ipseity.flows.setting import Setting


def synthesize_flow(setting: Setting) -> Generator[Event, None, Path]:
    """Draw the pictures that are still missing from the set, look them over and complete its manifest.

    Of several processes the main one draws, and the others wait for it.

    Raises:
        MissingPackage: the evaluator that filters is not here.
    """
    if not setting.requests:
        yield Noticed(f"Regularization '{setting.recipe.regularization.name}' needs no pictures.")
        return setting.set_folder
    if setting.engine.is_main:
        sieve = load_sieve(setting)
        yield from synthesize(setting.base, setting.requests, setting.set_folder, setting.recipe.draw, sieve=sieve)
    setting.engine.barrier()
    yield Wrote("regularization set", setting.set_folder)
    return setting.set_folder


def load_sieve(setting: Setting) -> Sieve:
    """Load the evaluator that the regularization's filters name, if they name one; its role was checked by `set_out`.

    Raises:
        MissingPackage: it is not here.
    """
    options = filters_of(setting.recipe.regularization.options)
    if (name := options.filter_encoder) is None:
        return Sieve(options)
    kind = find("encoders", name)
    if reason := kind.missing():
        raise MissingPackage(
            f"evaluator '{name}' filters the regularization set and is not here ({reason})",
            "an evaluator that can be loaded",
            "get it as said, or leave regularization.filter_encoder unset",
        )
    encoder = kind.load(kind.Options(), setting.engine.device)
    return Sieve(options, encoder, mark(encoder))
