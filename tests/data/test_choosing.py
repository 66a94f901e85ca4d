"""Phrases of a bank that are chosen for photos."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from ipseity.core.errors import MissingPackage, RecipeError
from ipseity.core.registry import find
from ipseity.core.types import Photo, Subject
from ipseity.data.captions.parts.choose import choosable, choose, load_describer
from ipseity.data.captions.structured import Structured, StructuredOptions
from ipseity.data.grammar import says
from ipseity.data.phrases import phrases_for
from ipseity.evaluation.toybench import toys_folder

HUES = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
BANK = {"colour": tuple(HUES), "texture": ("shiny", "matte"), "background": ("in a library", "in front of a bookshelf")}


class Eye:
    """Sees the mean color of a picture, and hears the names of colors and nothing else; `wide` stretches its cosines."""

    def __init__(self, wide: float = 1.0) -> None:
        self.wide = wide

    def embed(self, pixels: Tensor) -> Tensor:
        return (pixels.mean((2, 3)) + 1) / 2 * self.wide

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        heard = [[1.0 if says(prompt, hue) else 0.2 for hue in HUES] for prompt in prompts]
        return torch.tensor(heard) / 2


def flat(*mixed: tuple[int, int, int]) -> list[Image.Image]:
    return [Image.new("RGB", (40, 30), colour) for colour in mixed]


@pytest.mark.parametrize("wide", [0.1, 1.0])
def test_what_is_clear_is_said_and_nothing_else(wide: float):
    """However wide the encoder's cosines are; slots that it knows nothing of stay empty."""
    chosen = choose(flat(*HUES.values()), "mug", BANK, encoder=Eye(wide), margin=0.75)  # type: ignore[arg-type] # an eye is enough
    assert chosen == [{"colour": hue} for hue in HUES]


def test_the_margin_decides_how_clear_it_must_be():
    murky = flat((140, 110, 0))
    assert choose(murky, "mug", BANK, encoder=Eye(), margin=0.5) == [{"colour": "red"}]  # type: ignore[arg-type] # as above
    assert choose(murky, "mug", BANK, encoder=Eye(), margin=3.0) == [{}]  # type: ignore[arg-type] # as above
    assert choose(flat((0, 0, 0)), "mug", BANK, encoder=Eye(), margin=0.0) == [{}], "no gain is no reason"  # type: ignore[arg-type] # as above


def test_nothing_to_choose_asks_nobody():
    assert choose([], "mug", BANK, encoder=None, margin=1) == []  # type: ignore[arg-type] # nobody is there
    assert choose(flat((9, 9, 9)), "mug", {"shape": ()}, encoder=None, margin=1) == [{}]  # type: ignore[arg-type] # as above


def test_things_have_shapes_and_the_living_move():
    thing, dog = (Subject("x", (), noun, "sks", living=living) for noun, living in (("mug", False), ("dog", True)))
    assert set(choosable(phrases_for("mug", living=False), thing)) == {"shape", "colour", "texture", "background"}
    assert set(choosable(phrases_for("dog", living=True), dog)) == {"colour", "texture", "motion", "background"}


@pytest.fixture(scope="module")
def subject() -> Subject:
    """A shipped subject, a blue mug, of whose first photo the user says where it is."""
    files = sorted((toys_folder() / "comet_mug").glob("*.jpg"))[:3]
    said = ({"slots": {"background": "on a shelf"}}, {}, {})
    photos = tuple(
        Photo(path, Image.open(path).convert("RGB"), path.name, **words)
        for path, words in zip(files, said, strict=True)
    )
    return Subject("comet mug", photos, "mug", "sks")


def test_the_bundled_encoder_describes_the_photos_that_the_user_left(subject: Subject):
    options = StructuredOptions(describer="toy_clip", bank="toybox")
    own, *others = Structured.examples(subject, options)
    assert own.captions[0] == "a high quality photo of a sks mug on a shelf"
    assert all(says(other.captions[0], "sks blue mug") for other in others), "the mug is blue in every photo"
    assert Structured.examples(subject, options) == (own, *others), "the same words each time"


def test_a_describer_must_be_one(subject: Subject, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RecipeError, match="does not read both"):
        Structured.examples(subject, StructuredOptions(describer="toy_vit"))
    with pytest.raises(RecipeError, match="Did you mean 'toy_clip'"):
        Structured.examples(subject, StructuredOptions(describer="toy_clop"))
    with pytest.raises(ValueError, match="not both"):
        StructuredOptions(describer="toy_clip", captioner="blip")
    monkeypatch.setattr(find("encoders", "toy_clip"), "missing", classmethod(lambda cls: "it is gone"))
    with pytest.raises(MissingPackage, match="it is gone"):
        load_describer("toy_clip")


def test_a_bank_that_is_none_is_refused(subject: Subject, tmp_path: Path):
    with pytest.raises(RecipeError, match="no phrase bank"):
        Structured.examples(subject, StructuredOptions(describer="toy_clip", bank=str(tmp_path / "gone.json")))
