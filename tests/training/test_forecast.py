"""The forecast of memory: counted where it can be counted, and held against a measured peak."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ipseity.core.drawing import DrawOptions
from ipseity.core.types import Cond
from ipseity.training.forecast import Looking, activation_bytes, drawing_bytes, forecast, looking_bytes
from ipseity.training.loop import FitOptions
from ipseity.training.machine import GIB, free_gib, held_bytes, machine_facts, peak_gib
from tests.training.toy import ToyBatches, ToyLearner

ROOT = Path(__file__).parents[2]
DRAW = DrawOptions(batch_size=2)


class ToyBase:
    """A denoiser and a decoder of one layer each, and nothing else that a forecast asks for."""

    resolution, latent_stride, latent_channels = 64, 4, 4
    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self) -> None:
        self.unet = nn.Conv2d(4, 32, 1)
        self.vae = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(4, 16, 1))

    def parts(self) -> dict[str, nn.Module]:
        return {"unet": self.unet, "vae": self.vae}

    def encode_text(self, prompts: list[str]) -> Cond:
        return Cond(torch.zeros(len(prompts), 1, 1))

    def size_hints(self, original: list, crop: list) -> None:
        return None

    def predict(self, latents: torch.Tensor, t: torch.Tensor, cond: Cond) -> torch.Tensor:
        return self.unet(latents)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.vae(latents)[:, :3]


class ToyEncoder:
    """One matrix of 48 x 5 numbers over pictures shrunk to 4 x 4."""

    offers = frozenset({"image"})

    def __init__(self) -> None:
        self.matrix = torch.ones(48, 5)

    def embed(self, pixels: torch.Tensor) -> torch.Tensor:
        return nn.functional.adaptive_avg_pool2d(pixels, 4).flatten(1) @ self.matrix


def batch(rows: int):
    return next(ToyBatches(rows=rows).at(0, 1))


def test_activations_grow_with_the_rows() -> None:
    learner = ToyLearner(dropout=0.0)
    counts = [activation_bytes(learner, batch(rows)) for rows in (2, 4, 8, 16)]
    assert counts[0] > 2 * 64 * 4, "two rows of 64 numbers are needed for the last layer's gradient alone"
    assert counts[3] - counts[2] == 2 * (counts[2] - counts[1]) == 4 * (counts[1] - counts[0]) > 0


def test_drawing_takes_what_the_decoder_takes_at_full_size() -> None:
    # one picture: latents of 4 x 16 x 16, enlarged to 4 x 64 x 64, seen by 16 channels of 64 x 64; 4 bytes a number;
    # the convolution copies what it reads and writes
    one = 4 * (4 * 16 * 16 + 2 * (4 * 64 * 64 + 16 * 64 * 64))
    assert drawing_bytes(ToyBase(), DRAW) == 2 * one
    assert drawing_bytes(ToyBase(), DrawOptions(batch_size=1, height=128, width=64)) == 2 * one


def test_guidance_shows_the_denoiser_each_picture_twice() -> None:
    base = ToyBase()
    base.unet = nn.Conv2d(4, 4096, 1)  # now the denoiser takes more than the decoder
    free, guided = (drawing_bytes(base, DrawOptions(batch_size=3, guidance_scale=scale)) for scale in (1.0, 4.0))
    assert free >= 3 * 4 * 4096 * 16 * 16 and guided == pytest.approx(2 * free, rel=0.01)


def test_evaluators_are_weighed_without_knowing_what_is_in_them() -> None:
    seen = looking_bytes([ToyEncoder(), ToyEncoder()], rows=8, side=16)
    assert seen.weights == 2 * 48 * 5 * 4
    assert 8 * 4 * (3 * 16 * 16 + 48) <= seen.passing < 2 * 8 * 4 * (3 * 16 * 16 + 48), "one looks after the other"
    assert looking_bytes([], rows=8, side=16) == Looking()


def test_parts_of_the_forecast() -> None:
    learner = ToyLearner()
    trained = sum(value.numel() * 4 for value in learner.trainable().values())
    told = forecast(ToyBase(), learner, FitOptions(), batch=batch(4), draw=DRAW)
    assert told.parts["gradients"] * GIB == trained and told.parts["optimizer"] == 2 * told.parts["gradients"]
    modules = (learner.frozen, ToyBase().unet, ToyBase().vae)
    frozen = sum(value.numel() * 4 for module in modules for value in module.parameters())
    assert told.parts["parameters"] * GIB == trained + frozen
    assert told.peak_gib >= told.parts["libraries and caches"] + told.parts["drawing"]
    assert told.free_gib > 0
    large = forecast(
        ToyBase(), learner, FitOptions(), batch=batch(4), draw=DRAW, looking=Looking(weights=100, passing=2**30)
    )
    assert large.peak_gib == pytest.approx(told.peak_gib + 1 - told.parts["drawing"], abs=0.02)
    assert large.parts["evaluators"] * GIB == 100 and large.parts["scoring"] == 1
    none = forecast(ToyBase(), learner, FitOptions(max_train_steps=0), batch=batch(4), draw=DRAW)
    assert none.parts["gradients"] == none.parts["activations"] == 0 and none.peak_gib < told.peak_gib + 0.1


def test_memory_is_measured_in_gib() -> None:
    before = held_bytes()
    block = torch.ones(2**26)  # 256 MiB
    assert 0.9 * 2**28 < held_bytes() - before < 1.2 * 2**28
    assert held_bytes() / GIB <= peak_gib() * 1.02 < 64, "bytes on macOS, KiB elsewhere"
    assert 0 < free_gib() <= machine_facts()["memory_gib"] + 0.1
    assert block[0] == 1


@pytest.mark.slow
@pytest.mark.parametrize(("times", "pictures"), [(8, 8), (32, 8), (1, 192)])
def test_the_forecast_holds(tmp_path: Path, times: int, pictures: int) -> None:
    """Where training takes most, and where drawing does."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.measured", str(tmp_path / "run"), str(times), str(pictures)]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    seen = json.loads(ended.stdout.splitlines()[-1])
    # what stood there before the run began is no forecast: only what was added counts
    added = {name: seen[name] - seen["before"] for name in ("forecast", "measured")}
    largest = max(("activations", "drawing", "scoring"), key=lambda name: seen["parts"][name])
    assert largest == ("drawing" if pictures > 8 else "activations"), seen
    assert 1 / 1.6 < added["forecast"] / added["measured"] < 1.6, seen
