"""What every flow stands on: the device, the base, the subject and what shall be shown, in the order of need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipseity.core.drawing import pipeline_for
from ipseity.core.errors import MissingPackage
from ipseity.core.penalty import Penalty
from ipseity.core.registry import find
from ipseity.core.rng import Rng
from ipseity.core.types import Example, Request, Subject
from ipseity.data.filters import check_filters, filters_of
from ipseity.data.subject import Split, hold_out, read_subject
from ipseity.data.synthesis import artist, set_folder
from ipseity.flows.consent import consent_facts
from ipseity.recipe import Chosen, Recipe


@dataclass(frozen=True)
class Setting:
    """A recipe made real: nothing in it has been trained yet."""

    recipe: Recipe
    engine: Any
    base: Any
    subject: Subject
    split: Split
    examples: tuple[Example, ...]
    """The training photos with their caption variants."""
    requests: tuple[Request, ...]
    """Pictures the frozen base makes for the regularization set; may be empty."""
    set_folder: Path
    wordings: tuple[tuple[str, str], ...] = ()
    """Captions without the token, for wide cuts and for close-ups, that the regularization's loss is asked under."""


def start_engine(chosen: Chosen, *, alone: bool = False) -> Any:
    """Take the devices that a recipe's engine names.

    Args:
        chosen: the engine and its options.
        alone: whether the work at hand is one process's, however many shall train.
    """
    one = {"num_processes": 1} if alone and hasattr(chosen.options, "num_processes") else {}
    return chosen.plugin.start(chosen.options.model_copy(update=one))


def set_out(recipe: Recipe, *, alone: bool = False, base: Any = None) -> Setting:
    """Read the photos, load the base and write the captions; refuses before anything is made.

    Args:
        recipe: a checked recipe.
        alone: whether one process does the work, however many shall train.
        base: the recipe's base with nothing attached, where somebody has loaded it already.

    Raises:
        RecipeError: the evaluator that filters the regularization set has another role, or cannot filter.
        SubjectError: the photos cannot be used.
        WeightsError: the base's weights cannot be used.
    """
    filters = filters_of(recipe.regularization.options)
    check_filters(filters, picks=recipe.evaluate.pick, scores=recipe.evaluate.score)
    subject = read_subject(recipe.subject, resolution=recipe.base.plugin.native_resolution)
    split = hold_out(subject) if recipe.evaluate.hold_out else hold_nothing(subject)
    examples = recipe.captions.plugin.examples(split.train, recipe.captions.options)
    rng = Rng(recipe.general.seed, ("set",))
    requests = recipe.regularization.plugin.plan(split.train, examples, recipe.regularization.options, rng)
    wordings = wordings_of(recipe.regularization, split.train, examples)
    engine = start_engine(recipe.engine, alone=alone)
    loaded = base or recipe.base.plugin.load(recipe.base.options, engine.device)
    pipeline_for(loaded, recipe.draw)  # refuses few steps before anything is made
    folder = set_folder(recipe.general.sets, artist(loaded), requests, recipe.draw, filters=filters)
    return Setting(recipe, engine, loaded, subject, split, examples, requests, folder, wordings)


def wordings_of(chosen: Chosen, subject: Subject, examples: Sequence[Example]) -> tuple[tuple[str, str], ...]:
    """List the captions that a regularization's own loss is asked under; none where it has no loss."""
    return chosen.plugin.captions(subject, examples, chosen.options) if isinstance(chosen.plugin, Penalty) else ()


def hold_nothing(subject: Subject) -> Split:
    """Let every photo train, as `evaluate.hold_out = false` asks for."""
    told = (
        f"All {len(subject.photos)} photos train and nothing is held out, because evaluate.hold_out is false: the "
        "checkpoint is picked and the result is scored by photos that training has seen, so likeness scores flatter it."
    )
    return Split(subject, (), (), (told,))


def load_encoders(wanted: Sequence[str], device: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Load the encoders that are installed, by name.

    Returns:
        The encoders, and a sentence for each that is missing.
    """
    kinds = {name: find("encoders", name) for name in wanted}
    missing = {name: kind.missing() for name, kind in kinds.items()}
    loaded = {name: kind.load(kind.Options(), device) for name, kind in kinds.items() if missing[name] is None}
    return loaded, tuple(f"Evaluator {name} is left out: {reason}" for name, reason in missing.items() if reason)


def method_encoders(recipe: Recipe, device: Any) -> dict[str, Any]:
    """Load the encoders that a recipe's method looks through; its option `<ability>_encoder` names each.

    Raises:
        MissingPackage: one is not installed, or its weights are not here.
    """
    method = recipe.method
    abilities = sorted(method.plugin.needs_encoders)
    chosen = [getattr(method.options, f"{ability}_encoder") for ability in abilities]
    wanted = [name for name in chosen if name is not None]
    loaded, missing = load_encoders(wanted, device)
    if missing:
        reason = find("encoders", wanted[0]).missing() or "install it"
        raise MissingPackage(f"method '{method.name}' looks through encoder '{wanted[0]}'", "that encoder", reason)
    return loaded


def fact_sheet(setting: Setting) -> Mapping[str, Any]:
    """Give the facts that a run's manifest and an identity's header carry."""
    base, subject, recipe = setting.base, setting.subject, setting.recipe
    return {
        "base": base.name,
        "base_fingerprint": base.fingerprint(),
        "base_licence": base.licence,
        "photos": {photo.path.name: photo.sha256 for photo in subject.photos},
        "trained_on": [photo.sha256 for photo in setting.split.train.photos],
        "set": setting.set_folder.name if setting.requests else None,
        "recipe_hash": recipe.hash(),
        "seed": recipe.general.seed,
        **consent_facts(recipe.subject.consent),
    }
