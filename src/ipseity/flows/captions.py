"""Write what a recipe says of each photo into `metadata.jsonl`, to be read and edited before training."""

from collections.abc import Generator, Mapping
from pathlib import Path

from ipseity.core.errors import RecipeError
from ipseity.core.events import Event, Noticed, Wrote
from ipseity.core.registry import find, names
from ipseity.core.types import Subject
from ipseity.data.captions.parts.choose import CHOSEN
from ipseity.data.captions.parts.editable import Editable
from ipseity.data.metadata import write_rows
from ipseity.data.sidecars import Words
from ipseity.data.subject import read_subject
from ipseity.recipe import Chosen, Recipe


def captions_flow(recipe: Recipe) -> Generator[Event, None, Path]:
    """Write a line for each photo of which the user has said nothing; what the user has said stays as it stands.

    Lines hold the slots of the caption, the empty ones too, so that one sees what can be said; a captioner's sentence
    stands under `text`. Training with the same recipe then reads the file, edited or not. No base is loaded.

    Args:
        recipe: a checked recipe.

    Returns:
        The table's path.

    Raises:
        RecipeError: the recipe's captions do not read the file.
        SubjectError: the photos or the table cannot be used.
        MissingPackage, WeightsError: who shall describe the photos is not here.
    """
    editor = _editable(recipe.captions)
    subject = read_subject(recipe.subject, resolution=recipe.base.plugin.native_resolution)
    silent = [photo for photo in subject.photos if not (photo.caption or photo.slots)]
    said = editor.words(subject.with_photos(silent), recipe.captions.options)
    rows = {photo.path.name: _row(words, subject) for photo, words in zip(silent, said, strict=True)}
    path = write_rows(recipe.subject.photos, rows) if rows else recipe.subject.photos
    kept = len(subject.photos) - len(silent)
    yield from (Noticed(f"{name}: {_told(row)}") for name, row in rows.items())
    if kept:
        yield Noticed(f"{kept} of {len(subject.photos)} photos have your words already; they are kept.")
    if rows:
        yield Wrote("captions to edit", path)
        yield Noticed(
            "Edit them as you like; `ipseity synthesize RECIPE --show` prints the sentences that they become."
        )
    return path


def _editable(chosen: Chosen) -> Editable:
    """Give the captioner if it reads what the user writes.

    Raises:
        RecipeError: it does not.
    """
    if not isinstance(chosen.plugin, Editable):
        able = [name for name in names("captions") if isinstance(find("captions", name), Editable)]
        raise RecipeError(
            f"captions.use is '{chosen.name}', which reads nothing that is said of single photos",
            f"captions that do: {', '.join(able)}",
            f"set captions.use = '{able[0]}'" if able else "install one that does",
        )
    if not getattr(chosen.options, "own_words", True):
        raise RecipeError(
            "captions.own_words is false, so that what is written beside the photos is not read",
            "captions that read it",
            "set captions.own_words = true",
        )
    return chosen.plugin


def _row(words: Words, subject: Subject) -> Mapping[str, str]:
    """Lay out a line: the sentence where there is one, else each slot that a photo can tell of."""
    if words.caption:
        return {"text": words.caption}
    unfit = "shape" if subject.living else "motion"
    return {slot: words.slots.get(slot, "") for slot in CHOSEN if slot != unfit}


def _told(row: Mapping[str, str]) -> str:
    return ", ".join(f"{column} '{value}'" for column, value in row.items() if value) or "nothing that is clear"
