"""The suite: which pairs are measured, each picture once, honest ceilings and intervals."""

import math
from dataclasses import replace

import pytest
import torch
from PIL import ImageOps

from ipseity.core.errors import RecipeError
from ipseity.core.registry import names
from ipseity.core.types import Gallery, References
from ipseity.evaluation.suite import ceiling, means, score, summarize
from tests.evaluation.parts import ColorEncoder, LayoutEncoder, mask_of, scene

PHOTOS = tuple(
    scene("red", place, at=(i * 8, 30 - i * 4), seed=i)
    for i, place in enumerate(("gray", "green", "blue", "yellow", "gray"))
)
REFERENCES = References(PHOTOS[:2], (mask_of((0, 30)), None), PHOTOS[2:])
DRAWN = Gallery(
    tuple(scene("red", "green", at=(i, i), seed=40 + i) for i in range(4)),
    ("red", "red", "green", "green"),
    (0, 1, 2, 3),
)


def test_only_pairs_that_fit_are_measured() -> None:
    found = score(DRAWN, REFERENCES, {"colors": ColorEncoder(), "layout": LayoutEncoder()}, names("metrics"))
    assert set(found) == {
        "identity/colors", "identity/layout", "identity_masked/colors", "prompt_fidelity/colors",
        "diversity/colors", "diversity/layout", "memorization/colors", "memorization/layout",
    }  # fmt: skip
    assert all(values.shape == (4,) for values in found.values())


def test_an_unknown_metric_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(RecipeError, match="diversity"):
        score(DRAWN, REFERENCES, {"colors": ColorEncoder()}, ["diversty"])


def test_each_picture_is_looked_at_once() -> None:
    encoder = LayoutEncoder()
    score(DRAWN, REFERENCES, {"layout": encoder}, names("metrics"))
    assert encoder.seen == len(DRAWN.images) + len(PHOTOS)


def test_remembering_changes_no_number() -> None:
    from ipseity.core.registry import find

    found = score(DRAWN, REFERENCES, {"colors": ColorEncoder()}, ["identity", "prompt_fidelity", "identity_masked"])
    for key, values in found.items():
        plain = find("metrics", key.partition("/")[0]).score(DRAWN, REFERENCES, ColorEncoder())
        torch.testing.assert_close(values, plain, atol=1e-6, rtol=0)


def test_the_ceiling_never_compares_a_photo_with_itself() -> None:
    encoder = LayoutEncoder()
    real = ceiling(REFERENCES, {"layout": encoder}, ["identity", "prompt_fidelity", "leakage"])
    assert set(real) == {"identity/layout"} and len(real["identity/layout"]) == 5
    from ipseity.evaluation.metrics.parts.looking import embed

    vectors = embed(PHOTOS, encoder)
    cosines = vectors @ vectors.T
    expected = [cosines[0, 1], cosines[1, 0], *(cosines[i, :2].mean() for i in (2, 3, 4))]
    torch.testing.assert_close(real["identity/layout"], torch.stack(expected), atol=1e-5, rtol=0)


def test_the_ceiling_of_decoded_photos_holds_distorted_photos_against_true_ones() -> None:
    looking, decoded = (
        {"layout": LayoutEncoder()},
        tuple(ImageOps.invert(photo) for photo in (*PHOTOS[2:], *PHOTOS[:2])),
    )
    true = ceiling(REFERENCES, looking, ["identity"])
    reached = ceiling(replace(REFERENCES, decoded=decoded), looking, ["identity"], decoded=True)
    assert reached["identity/layout"].shape == true["identity/layout"].shape
    assert reached["identity/layout"].mean() < true["identity/layout"].mean()
    unasked = ceiling(REFERENCES, looking, ["identity"], decoded=True)
    torch.testing.assert_close(unasked["identity/layout"], true["identity/layout"])


def test_the_ceiling_when_nothing_could_be_held_out() -> None:
    same = References(PHOTOS, (None,) * 5, PHOTOS)
    assert ceiling(same, {"layout": LayoutEncoder()}, ["identity"])["identity/layout"].max() < 0.999
    alone = References(PHOTOS[:1], (None,), PHOTOS[:1])
    assert ceiling(alone, {"layout": LayoutEncoder()}, ["identity"]) == {}


def test_intervals_are_repeatable_ordered_and_blind_to_the_order_of_images() -> None:
    values, prompts = torch.randn(12, generator=torch.Generator().manual_seed(0)), [f"p{i % 4}" for i in range(12)]
    once = summarize({"a/b": values}, prompts)["a/b"]
    assert once == summarize({"a/b": values}, prompts)["a/b"]
    assert once.low < once.mean < once.high and once.count == 12
    mixed = torch.randperm(12, generator=torch.Generator().manual_seed(1)).tolist()
    again = summarize({"a/b": values[mixed]}, [prompts[i] for i in mixed])["a/b"]
    assert math.isclose(again.low, once.low, abs_tol=1e-12) and math.isclose(again.high, once.high, abs_tol=1e-12)


def test_prompts_that_differ_widen_the_interval() -> None:
    values = torch.tensor([0.1, 0.11, 0.09, 0.1, 0.9, 0.91, 0.89, 0.9])
    by_prompt = summarize({"a/b": values}, list("aaaabbbb"))["a/b"]
    by_image = summarize({"a/b": values})["a/b"]
    assert by_prompt.high - by_prompt.low > 1.3 * (by_image.high - by_image.low)


def test_intervals_hold_the_truth_about_as_often_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipseity.evaluation.suite.RESAMPLES", 300)
    generator = torch.Generator().manual_seed(5)
    held = 0
    for trial in range(50):
        prompts = torch.randn(15, 1, generator=generator) + 0.5 * torch.randn(15, 4, generator=generator)
        summary = summarize({"a/b": prompts.flatten()}, [str(i) for i in range(15) for _ in range(4)], seed=trial)[
            "a/b"
        ]
        held += summary.low <= 0 <= summary.high
    assert held >= 41, f"{held} of 50 intervals hold the true mean; 47 should"


def test_what_is_not_a_number_is_left_out() -> None:
    values = torch.tensor([1.0, math.nan, 3.0])
    assert summarize({"a/b": values, "c/d": values * math.nan})["a/b"].mean == 2.0
    assert set(means({"a/b": values, "c/d": values * math.nan})) == {"a/b"}
    alone = summarize({"a/b": values[:1]})["a/b"]
    assert (alone.low, alone.high, str(alone)) == (None, None, "1.000")
