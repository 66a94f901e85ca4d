"""Cuts, caches and batches."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ipseity.bases.sdxl import SDXL
from ipseity.core.errors import WeightsError
from ipseity.core.image import to_pixels
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Example
from ipseity.data.batches import DataOptions, make_batches, prepare_batches
from ipseity.data.cache import CropOptions, cache_latents, silently
from ipseity.data.crops import TIGHT_BELOW, Crop, cut, cut_mask, plan_crops
from ipseity.data.grammar import CLOSE_UP, with_crop
from tests.fixtures.bad_images import disc, photo


def example(number: int, *, is_subject: bool, size=(64, 64), mask=None) -> Example:
    words = f"sks mug {number}" if is_subject else f"mug {number}"
    captions = (f"a good photo of a {words}", f"a photo of a {words}", words)
    return Example(
        photo(number, size), captions, is_subject, mask, {CLOSE_UP: with_crop(captions)}, f"{number:02d}.png"
    )


SUBJECT = [example(number, is_subject=True, size=(80, 120)) for number in range(3)]
SHOWN = [example(number, is_subject=False) for number in range(10, 17)]


@pytest.fixture(scope="module")
def base():
    return SDXL.tiny()


def batches(base, options=None, *, seed=0, shown=SHOWN, **given):
    return make_batches(base, SUBJECT, shown, DataOptions(**{"crops": 3, **(options or {})}), seed=seed, **given)


@pytest.fixture(scope="module")
def usual(base):
    return batches(base)


def same(one: Batch, other: Batch) -> bool:
    assert (
        one.cond is not None and other.cond is not None and one.size_hints is not None and other.size_hints is not None
    )
    tensors = [(one.latents, other.latents), (one.cond.text, other.cond.text), (one.size_hints, other.size_hints)]
    return one.captions == other.captions and all(torch.equal(a, b) for a, b in tensors)


def number_of(caption: str) -> int:
    return int(caption.removesuffix(", close-up").split()[-1])


def test_a_batch_is_one_of_the_subject_and_one_beside(base, usual):
    batch = next(iter(usual.at(0)))
    assert batch.is_subject.tolist() == [True, False] and usual.images_per_step == 2
    assert batch.latents.shape == (2, 4, 8, 8) and batch.mask is None
    assert batch.cond is not None and batch.cond.size_hints is batch.size_hints
    wanted = base.encode_text(batch.captions)
    assert torch.allclose(batch.cond.text, wanted.text, atol=1e-5) and torch.allclose(
        batch.cond.pooled, wanted.pooled, atol=1e-5
    )
    prediction = base.predict(batch.latents, torch.tensor([0.3, 0.7]), batch.cond)
    assert prediction.shape == batch.latents.shape


def test_batches_are_a_function_of_progress(base, usual):
    forward = [list(usual.at(step, 2)) for step in range(6)]
    backward = [list(usual.at(step, 2)) for step in reversed(range(6))][::-1]
    anew = batches(base)
    for step in range(6):
        assert all(
            same(a, b) and same(a, c) for a, b, c in zip(forward[step], backward[step], anew.at(step, 2), strict=True)
        )
    other = batches(base, seed=1)
    assert not all(same(a, b) for step in range(6) for a, b in zip(forward[step], other.at(step, 2), strict=True))


def test_processes_share_the_work_without_repeat(usual):
    """Two processes see what one would see in twice the micro batches."""
    alone = [batch for step in range(5) for batch in usual.at(step, 4)]
    together = [
        batch
        for step in range(5)
        for micro in range(2)
        for rank in range(2)
        for batch in [list(usual.at(step, 2, rank, 2))[micro]]
    ]
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))


def test_pictures_come_without_repeat_until_all_were_shown(base):
    chosen = batches(base, {"caption_dropout": 0.0})
    seen = [batch.captions for step in range(21) for batch in chosen.at(step)]
    for start in range(0, 21, 7):
        assert sorted(number_of(beside) for _, beside in seen[start : start + 7]) == list(range(10, 17))
    for start in range(0, 21, 3):
        assert sorted(number_of(own) for own, _ in seen[start : start + 3]) == [0, 1, 2]
    orders = {tuple(number_of(beside) for _, beside in seen[start : start + 7]) for start in range(0, 21, 7)}
    assert len(orders) > 1, "each round has an order of its own"


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 5), beside=st.integers(0, 3), steps=st.integers(1, 9))
def test_sizes_and_what_is_told(base, usual, size: int, beside: int, steps: int):
    chosen = again(usual, train_batch_size=size, regularization_per_subject=beside)
    rows = [batch for step in range(steps) for batch in chosen.at(step)]
    assert all(len(batch.captions) == size * (1 + beside) == chosen.images_per_step for batch in rows)
    told = chosen.tell(steps)
    assert told == "" if not beside else f"{min(steps * size * beside, 7)} of 7 regularization images" in told


def again(usual, **options):
    """The same shelves under other options, so that nothing is encoded again."""
    (subject, *_), (shown, *_) = usual._shelves
    return type(usual)(
        subject, shown, text=usual._text, options=DataOptions(crops=3, **options), rng=Rng(0), device="cpu"
    )


def shares(chosen, steps: int = 1500) -> dict[str, float]:
    captions = [caption for step in range(steps) for batch in chosen.at(step) for caption in batch.captions]
    kept = [caption.removesuffix(", close-up") for caption in captions if caption]
    return {
        "dropped": 1 - len(kept) / len(captions),
        "full": sum(caption.startswith("a good photo") for caption in kept) / len(kept),
        "close": sum("close-up" in caption for caption in captions) / len(kept),
    }


def test_dropouts_have_the_shares_asked_for(usual):
    got = shares(usual)
    assert abs(got["dropped"] - 0.05) < 0.02 and abs(got["full"] - 0.7) < 0.05 and got["close"] > 0.02
    quiet = again(usual, slot_dropout=0, caption_dropout=0)
    assert shares(quiet, 200)["dropped"] == 0 and shares(quiet, 200)["full"] == 1


def test_a_dropped_caption_is_the_empty_one(base):
    batch = next(iter(batches(base, {"caption_dropout": 1.0, "crops": 1}).at(0)))
    assert batch.captions == ("", "") and torch.equal(batch.cond.text, base.encode_text(["", ""]).text)


def test_without_text_cache_and_without_regularization(base):
    batch = next(iter(batches(base, cache_text=False, shown=()).at(0)))
    assert batch.cond is None and batch.size_hints is not None and batch.is_subject.tolist() == [True]


def test_close_ups_are_said_to_be(base):
    chosen = batches(base, {"crops": 12, "crop_scale_min": 0.5, "caption_dropout": 0.0})
    said = set()
    for step in range(200):
        for batch in chosen.at(step):
            for caption, hints in zip(batch.captions, batch.size_hints.tolist(), strict=True):
                said.add("close-up" in caption)
                assert hints[4:] == [64, 64]
    assert said == {True, False}


def test_each_sample_knows_how_tight_its_cut_is(base):
    """Close-ups of the subject and of what stands beside it are the samples that say a small share; a full view says 1."""
    chosen = batches(
        base,
        {"crops": 6, "regularization_crops": 6, "crop_scale_min": 0.5, "caption_dropout": 0.0, "slot_dropout": 0.0},
    )
    told: dict[bool, set[float]] = {True: set(), False: set()}
    for step in range(120):
        for batch in chosen.at(step):
            assert batch.crop_scale is not None and batch.crop_scale.dtype == torch.float32
            rows = zip(batch.captions, batch.crop_scale.tolist(), batch.is_subject.tolist(), strict=True)
            for caption, scale, is_subject in rows:
                assert ("close-up" in caption) == (scale < TIGHT_BELOW)
                told[is_subject].add(scale)
    for scales in told.values():
        assert 1.0 in scales and 0.5 <= min(scales) < TIGHT_BELOW and len(scales) > 6


def test_caching_tells_how_far_it_is(base):
    told, gradients = {}, set()
    for event in prepare_batches(base, SUBJECT, SHOWN, DataOptions(crops=3, regularization_crops=2)):
        assert event.done > told.get(event.stage, (0, 0))[0], "each stage only grows"
        told[event.stage] = (event.done, event.total)
        gradients.add(torch.is_grad_enabled())
    assert list(told) == ["cache latents", "cache regularization latents", "cache text"]
    assert told["cache latents"] == (9, 9) and told["cache regularization latents"] == (14, 14)
    assert told["cache text"][0] == told["cache text"][1] > 1
    assert gradients == {True}, "whoever listens finds torch as it was"


def test_the_first_cut_is_the_full_view(base):
    cache = silently(cache_latents(base, SUBJECT, CropOptions(64, 3, 0.6), Rng(0)))
    with torch.no_grad():
        wanted = base.encode_image(to_pixels([SUBJECT[0].image], (64, 64)))
    assert torch.allclose(cache.latents[0], wanted[0], atol=2e-2)
    assert cache.size_hints[0].tolist() == [80, 120, 0, 16, 64, 64], "cut in the middle of the picture scaled to 64 px"
    assert not cache.tight[0] and len(cache.tight) == 9
    assert (
        cache.crop_scale[::3].tolist() == [1.0, 1.0, 1.0] and cache.crop_scale.max() == 1 and len(cache.crop_scale) == 9
    )


@given(
    size=st.tuples(st.integers(33, 200), st.integers(33, 200)),
    seed=st.integers(0, 10**6),
    scale_min=st.floats(0.2, 1),
    flip=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_cuts_lie_inside(size, seed: int, scale_min: float, flip: bool):
    image = Image.new("RGB", size)
    for crop in plan_crops(image, None, 5, Rng(seed), scale_min=scale_min, flip=flip):
        assert crop.top >= 0 and crop.left >= 0
        assert crop.top + crop.side <= image.height + 1e-6 and crop.left + crop.side <= image.width + 1e-6
        assert (
            scale_min - 1e-6 <= crop.scale <= 1
            and crop.is_tight == (crop.scale < TIGHT_BELOW)
            and (flip or not crop.flipped)
        )
        assert cut(image, crop, 32).size == (32, 32)


def test_masks_are_cut_with_their_pictures():
    """A picture that is its own mask stays so under every cut, mirrored or not."""
    mask = Image.new("L", (120, 80))
    mask.paste(255, (70, 20, 110, 60))
    image = Image.merge("RGB", [mask] * 3)
    for crop in [*plan_crops(image, None, 8, Rng(0), scale_min=0.4, flip=True), Crop(0, 0, 80, 1.0, flipped=True)]:
        seen = np.asarray(cut(image, crop, 64).convert("L"), dtype=float).reshape(8, 8, 8, 8).mean((1, 3)) / 255
        assert np.abs(cut_mask(mask, crop, 8)[0].numpy() - seen).max() < 0.1


def test_cuts_keep_the_subject_where_it_is_known():
    corner = Image.new("L", (96, 96))
    corner.paste(255, (64, 64, 96, 96))
    plans = [plan_crops(photo(), mask, 60, Rng(3), scale_min=0.4, flip=False)[1:] for mask in (None, corner)]
    kept = [
        np.mean([float(cut_mask(corner, crop, 64).mean()) * crop.side**2 / 1024 >= 0.6 for crop in plan])
        for plan in plans
    ]
    assert kept[1] >= 0.9 > kept[0] + 0.3, kept


def test_masks_reach_the_batch(base):
    masked = [replace(SUBJECT[0], image=photo(0), mask=disc()), *SUBJECT[1:]]
    batch_of = {}
    chosen = make_batches(base, masked, SHOWN, DataOptions(crops=1, caption_dropout=0.0))
    for step in range(6):
        for batch in chosen.at(step):
            assert batch.mask.shape == (2, 1, 8, 8) and batch.mask[1].min() == 1
            batch_of[number_of(batch.captions[0])] = batch.mask[0]
    assert 0.1 < batch_of[0].mean() < 0.4 and batch_of[1].min() == 1


class Broken:
    """A base whose autoencoder fails on one picture, as SDXL's does in fp16."""

    def __init__(self, base, bad: int):
        self.base, self.bad, self.seen = base, bad, 0

    def __getattr__(self, name: str):
        return getattr(self.base, name)

    def encode_image(self, pixels):
        latents = self.base.encode_image(pixels).clone()
        for row in range(len(latents)):
            latents[row] = torch.nan if self.seen + row == self.bad else latents[row]
        self.seen += len(latents)
        return latents


def test_latents_that_are_no_numbers_name_the_photo(base):
    with pytest.raises(WeightsError, match=r"not finite for 01\.png"):
        make_batches(Broken(base, 4), SUBJECT, (), DataOptions(crops=3))


def test_latents_are_kept_between_runs(base, tmp_path: Path, monkeypatch):
    options = {"latent_cache": tmp_path / "cache", "crops": 2}
    first = batches(base, options)
    calls = []
    monkeypatch.setattr(type(base), "encode_image", lambda self, pixels: calls.append(len(pixels)))
    assert same(next(iter(first.at(3))), next(iter(batches(base, options).at(3)))) and not calls
    monkeypatch.undo()
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(b"broken")
    assert same(next(iter(first.at(3))), next(iter(batches(base, options).at(3))))


def test_a_batch_costs_next_to_nothing(usual):
    """Processor time a batch; a training step of the smallest base takes a hundred times as long."""
    list(usual.at(0))
    started = time.process_time()
    for step in range(400):
        list(usual.at(step))
    assert (time.process_time() - started) / 400 < 2e-3
