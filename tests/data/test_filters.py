"""What a set leaves out: each kind is found, and nothing else is."""

import time

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from ipseity.core.errors import RecipeError
from ipseity.core.rng import Rng
from ipseity.core.types import Request
from ipseity.data.filters import (
    BATCH,
    COPY,
    EMPTY,
    FLAT,
    SIMILAR_FROM,
    UNLIKE,
    FilterOptions,
    LeftOut,
    Looks,
    Sieve,
    check_filters,
    filters_of,
    is_nearly_empty,
    sift,
    tell,
)
from ipseity.data.regularization.class_images import PLUGIN as CLASS_IMAGES
from ipseity.data.regularization.structured import PLUGIN as STRUCTURED
from tests.conftest import draw_photo

WORDS = ("red", "green", "blue")


class Colours:
    """An encoder of one truth: how red, green and blue a picture is on average; a prompt is the color that it names."""

    name = "colours"
    asked: list[int]

    def __init__(self) -> None:
        self.asked = []

    def embed(self, pixels):
        self.asked.append(len(pixels))
        return torch.nn.functional.normalize(pixels.add(1).mean((2, 3)), dim=-1)

    def embed_text(self, prompts):
        return torch.stack([torch.eye(3)[WORDS.index(prompt.split()[1])] for prompt in prompts])


def tinted(number: int, colour: str, size: int = 64) -> Image.Image:
    """A picture of its own, most of it in one color."""
    levels = np.full((size, size, 3), 20.0)
    levels[..., WORDS.index(colour)] = 200
    cells = np.asarray(Rng(number).normal((8, 8, 3)))
    return Image.fromarray(
        (levels + 40 * np.kron(cells, np.ones((size // 8, size // 8, 1)))).clip(0, 255).astype("uint8")
    )


def sifted(images, prompts=None, sieve=None):
    sieve = sieve or Sieve()
    requests = [Request(prompts[n] if prompts else f"a photo {n}", n) for n in range(len(images))]
    parts = [Looks.of(images[start : start + BATCH], sieve.encoder) for start in range(0, len(images), BATCH)]
    return sift(requests, Looks.cat(parts), sieve)


def kinds(found):
    return [reason.kind if reason else None for reason in found]


def blank(level: int = 240, dot: int = 0) -> Image.Image:
    image = Image.new("RGB", (100, 100), (level,) * 3)
    if dot:
        ImageDraw.Draw(image).rectangle((5, 5, 4 + dot, 4 + dot), fill=(10, 10, 10))
    return image


def test_frames_that_show_nothing_are_left_out():
    gradient = Image.linear_gradient("L").convert("RGB")
    images = [draw_photo(0), blank(), blank(dot=9), blank(dot=30), gradient]
    assert kinds(sifted(images)) == [None, FLAT, EMPTY, None, None]
    assert not is_nearly_empty(blank(dot=15)), "two hundredths of the picture are something"


def test_near_duplicates_are_left_out_and_the_first_is_kept():
    first, other = draw_photo(1), draw_photo(2)
    grain = np.asarray(Rng(0).normal((160, 160, 3))) * 6
    noisy = Image.fromarray((np.asarray(first, dtype=float) + grain).clip(0, 255).astype("uint8"))
    smaller = noisy.resize((96, 96)).resize((160, 160))
    found = sifted([other, first, noisy, smaller, draw_photo(3)])
    assert kinds(found) == [None, None, COPY, COPY, None]
    assert str(found[2]) == str(found[3]) == "near-duplicate of 'a photo 1' at seed 1"
    assert not any(sifted([first, noisy], sieve=Sieve(FilterOptions(filter_copies=False))))


def test_the_same_shape_in_another_color_is_another_picture():
    one = draw_photo(4)
    red, green, blue = one.split()
    assert kinds(sifted([one, Image.merge("RGB", (blue, green, red))])) == [None, None]


def test_what_repeats_a_picture_that_is_left_out_stays():
    """A chain of ever smaller changes does not fold up into its first picture."""
    start, end = (np.asarray(draw_photo(n), dtype=float) for n in (5, 6))
    steps = [Image.fromarray((start + (end - start) * share).astype("uint8")) for share in np.linspace(0, 1, 12)]
    found = sifted(steps)
    kept = [step for step, reason in zip(steps, found, strict=True) if reason is None]
    assert 2 <= len(kept) < 12 and not any(sifted(kept)), "what stays repeats nothing that stays"


def test_pictures_unlike_their_words_are_left_out_worst_first():
    colours = ["red", "green", "blue"] * 6
    shown = [*colours]
    shown[4], shown[9] = "blue", "green"
    images = [tinted(number, colour) for number, colour in enumerate(shown)]
    prompts = [f"a {colour} thing" for colour in colours]
    encoder = Colours()
    wide = Sieve(FilterOptions(filter_encoder="colours", filter_share=0.5), encoder)
    found = sifted(images, prompts, wide)
    assert [index for index, reason in enumerate(found) if reason] == [4, 9], "right ones stay, however large the share"
    assert kinds(found)[4] == UNLIKE and "by colours" in str(found[4]) and max(encoder.asked) <= BATCH
    one = sifted(images, prompts, Sieve(FilterOptions(filter_encoder="colours", filter_share=0.06), encoder))
    assert sum(reason is not None for reason in one) == 1, "never more than the share"


def test_of_one_sentence_the_share_decides():
    images = [tinted(number, "red" if number % 5 else "blue") for number in range(20)]
    sieve = Sieve(FilterOptions(filter_encoder="colours", filter_share=0.1), Colours())
    found = sifted(images, ["a red thing"] * 20, sieve)
    gone = [index for index, reason in enumerate(found) if reason]
    assert len(gone) == 2 and all(index % 5 == 0 for index in gone)


def test_empty_frames_are_not_held_against_words():
    images = [blank(), blank(level=200), tinted(0, "red"), tinted(1, "red")]
    sieve = Sieve(FilterOptions(filter_encoder="colours", filter_share=0.9), Colours())
    assert kinds(sifted(images, ["a red thing"] * 4, sieve))[:2] == [FLAT, FLAT]
    assert kinds(sifted(images[:2], ["a red thing"] * 2, sieve)) == [FLAT, FLAT], "nothing is left to hold"


def test_two_thousand_pictures_are_compared_in_seconds():
    cells = np.asarray(Rng(0).normal((2000, 3072)), dtype=np.float32)
    cells[1500] = cells[20] + 0.1 * cells[21]
    looks = Looks(cells / np.linalg.norm(cells, axis=1, keepdims=True), ("",) * 2000)
    begun = time.process_time()
    found = sift([Request("a mug", seed) for seed in range(2000)], looks, Sieve())
    assert [index for index, reason in enumerate(found) if reason] == [1500]
    assert time.process_time() - begun < 10
    assert float(looks.cells[1500] @ looks.cells[20]) > SIMILAR_FROM


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("toy_clip", "which evaluate.pick names too"),
        ("minilm_conse", "which evaluate.score names too"),
        ("toy_vit", "which offers image and patches.*reads both pictures and texts"),
        ("toyclip", "'toyclip' is not in encoders.*toy_clip"),
    ],
)
def test_whoever_filters_has_no_other_role(named: str, said: str):
    with pytest.raises(RecipeError, match=said):
        check_filters(FilterOptions(filter_encoder=named), picks="toy_clip", scores=("toy_vit", "minilm_conse"))


def test_a_free_evaluator_or_none_may_filter():
    check_filters(FilterOptions(), picks="toy_clip", scores=("toy_vit",))
    check_filters(FilterOptions(filter_encoder="clip"), picks="toy_clip", scores=("toy_vit", "minilm_conse"))


def test_regularizations_that_show_pictures_share_the_filters():
    for plugin in (CLASS_IMAGES, STRUCTURED):
        options = plugin.Options.model_validate({"filter_copies": False, "filter_share": 0.2, "images": 3})
        assert filters_of(options) == FilterOptions(filter_copies=False, filter_share=0.2)
    assert filters_of(object()) == FilterOptions(), "a plug-in that knows of none has the plain ones"


def test_counts_are_told():
    assert tell({}, 5) == "" == tell({FLAT: 0}, 5)
    assert tell({COPY: 2, EMPTY: 1}, 200).startswith(
        "3 of 200 regularization pictures are left out of the set (2 near-"
    )
    assert str(LeftOut(FLAT)) == FLAT
