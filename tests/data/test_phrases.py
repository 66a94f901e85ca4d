"""Phrase banks that ship, and those of users."""

import json

import pytest

from ipseity.core.errors import RecipeError
from ipseity.data.grammar import Caption
from ipseity.data.phrases import SHIPPED, Phrases, category, phrases_for, siblings
from ipseity.evaluation.plan import PICK_SCENES, SCORE_SCENES

DREAMBENCH = (
    "backpack",
    "stuffed animal",
    "bowl",
    "can",
    "candle",
    "cat",
    "clock",
    "sneaker",
    "dog",
    "toy",
    "boot",
    "glasses",
    "cartoon",
    "teapot",
    "vase",
)


@pytest.mark.parametrize("noun", DREAMBENCH)
def test_the_benchmarks_classes_have_neighbors(noun: str):
    assert len(siblings(noun)) >= 7 and noun not in siblings(noun)
    assert category(noun) == ("animal" if noun in ("dog", "cat") else "object")


@pytest.mark.parametrize("bank", [name for name in SHIPPED if name != "auto"])
def test_banks_are_tidy(bank: str):
    phrases = phrases_for("mug", living=False, bank=bank)
    assert len(phrases.background) >= 40 and len(phrases.quality) >= 8
    for slot in Phrases.model_fields:
        words = getattr(phrases, slot)
        assert len(set(words)) == len(words)
        assert all(word == word.strip() and word and "," not in word and "sks" not in word for word in words), slot
    shown = {str(Caption("mug", background=place)) for place in phrases.background}
    assert not any(text.endswith(scene) for text in shown for scene in (*PICK_SCENES, *SCORE_SCENES)), (
        "a scene that scores must not be trained on"
    )


def test_living_things_move_and_have_no_shape():
    for noun, kind in (("dog", "animal"), ("woman", "person"), ("gizmo", "animal")):
        phrases = phrases_for(noun, living=True)
        assert len(phrases.motion) >= 40 and not phrases.shape, kind
    assert not phrases_for("dog", living=False).motion


def test_a_bank_of_ones_own(tmp_path):
    path = tmp_path / "bank.json"
    path.write_text(json.dumps({"colour": ["red"], "background": ["on Mars"]}), encoding="utf-8")
    assert phrases_for("mug", living=False, bank=str(path)).background == ("on Mars",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no phrase bank"),
        ("{", "is no phrase bank"),
        ('{"color": []}', "color"),
        ('{"colour": "red"}', "colour"),
        ("[" * 5000, "is no phrase bank"),
    ],
)
def test_banks_that_are_none(tmp_path, text, said):
    path = tmp_path / "bank.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=said):
        phrases_for("mug", living=False, bank=str(path))
