"""One format for all captions."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipseity.data.grammar import DROPPABLE, Caption, says, text_variants, with_crop, with_token, without_token

WORDS = st.text("abcdefghij", min_size=1, max_size=6)
CAPTIONS = st.builds(
    Caption,
    noun=WORDS,
    token=st.just("sks"),
    quality=WORDS | st.just(""),
    size=WORDS | st.just(""),
    colour=WORDS | st.just(""),
    background=WORDS | st.just(""),
    motion=WORDS | st.just(""),
)


@pytest.mark.parametrize(
    ("caption", "text"),
    [
        (Caption("backpack"), "a photo of a backpack"),
        (Caption("owl", token="sks"), "a photo of a sks owl"),
        (Caption("owl", quality="award-winning"), "an award-winning photo of an owl"),
        (Caption("glasses", token="sks", colour="red"), "a photo of sks red glasses"),
        (Caption("bus", style="oil painting"), "an oil painting of a bus"),
        (
            Caption("dog", token="<rex>", motion="running", background="on the beach", crop="close-up"),
            "a photo of a <rex> dog running on the beach, close-up",
        ),
        (
            Caption("mug", size="small", shape="round", colour="blue", texture="ceramic", background="on a desk"),
            "a photo of a small round blue ceramic mug on a desk",
        ),
    ],
)
def test_captions_are_natural_english(caption: Caption, text: str):
    assert str(caption) == text


@given(CAPTIONS, st.integers(1, 40))
def test_variants_are_distinct_keep_token_and_noun_and_begin_in_full(caption: Caption, count: int):
    variants = caption.variants(count)
    assert variants[0] == str(caption) and len(set(variants)) == len(variants) <= count
    assert all(says(text, "sks") and says(text, caption.noun) for text in variants)
    assert caption.variants(count) == variants and caption.variants(count + 1)[: len(variants)] == variants
    if count >= 2 ** len(caption.filled()):
        assert variants[-1] == str(caption.without(*DROPPABLE)) or len(variants) < 2 ** len(caption.filled())


@given(CAPTIONS)
def test_without_the_token_a_caption_is_the_one_that_never_had_it(caption: Caption):
    assert without_token(str(caption), "sks") == str(caption.without("token"))


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("a sks mug on a shelf", "a sks mug on a shelf"),
        ("a red mug on a shelf", "a red sks mug on a shelf"),
        ("A Mug, green", "A sks Mug, green"),
        ("[trigger] in the sun", "sks in the sun"),
        ("on a shelf", "a photo of a sks mug, on a shelf"),
        ("smuggled goods", "a photo of a sks mug, smuggled goods"),
        ("two  lines\n of a mug", "two lines of a sks mug"),
    ],
)
def test_the_token_is_put_into_captions(written: str, used: str):
    assert with_token(written, "sks", "mug") == used


def test_the_token_is_taken_out():
    assert without_token("a photo of a sks apple", "sks") == "a photo of an apple"
    assert without_token("an sks mug", "sks") == "a mug"
    assert without_token("my sks mug, sks", "sks") == "my mug"
    assert without_token("a photo of a <r.x> dog", "<r.x>") == "a photo of a dog"
    assert without_token("a photo of sks", "sks") == "a photo of"


@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(1, 20))
def test_free_text_keeps_its_token(parts: list[str], count: int):
    text = ", ".join(["a sks mug", *parts])
    variants = text_variants(text, "sks", count)
    assert variants[0] == text and all(says(variant, "sks") for variant in variants) and len(variants) <= count


def test_crop_words_are_said_once():
    assert with_crop(("a mug", "a mug, close-up")) == ("a mug, close-up", "a mug, close-up")
    assert not re.search("close-up.*close-up", " ".join(with_crop(("a close-up of a mug",))))
