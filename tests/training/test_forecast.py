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
from ipseity.training.forecast import activation_bytes, drawing_bytes, forecast
from ipseity.training.loop import FitOptions
from ipseity.training.machine import GIB, free_gib, held_bytes, machine_facts, peak_gib
from tests.training.toy import ToyBatches, ToyLearner

ROOT = Path(__file__).parents[2]
DRAW = DrawOptions(batch_size=2)


class ToyBase:
    """A decoder of one layer, and nothing else that a forecast asks for."""

    resolution, latent_stride, latent_channels = 64, 4, 4
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.vae = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(4, 16, 1))

    def parts(self) -> dict[str, nn.Module]:
        return {"vae": self.vae}

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.vae(latents)[:, :3]


def batch(rows: int):
    return next(ToyBatches(rows=rows).at(0, 1))


def test_activations_grow_with_the_rows() -> None:
    learner = ToyLearner(dropout=0.0)
    counts = [activation_bytes(learner, batch(rows)) for rows in (2, 4, 8, 16)]
    assert counts[0] > 2 * 64 * 4, "two rows of 64 numbers are needed for the last layer's gradient alone"
    assert counts[3] - counts[2] == 2 * (counts[2] - counts[1]) == 4 * (counts[1] - counts[0]) > 0


def test_drawing_is_scaled_up_from_a_small_picture() -> None:
    # the convolution's output: 16 channels of 64 x 64 numbers of 4 bytes, three at once, two pictures
    assert drawing_bytes(ToyBase(), DRAW) == 3 * 2 * 16 * 64 * 64 * 4
    assert drawing_bytes(ToyBase(), DrawOptions(batch_size=1, height=128, width=64)) == 3 * 16 * 128 * 64 * 4


def test_parts_of_the_forecast() -> None:
    learner = ToyLearner()
    trained = sum(value.numel() * 4 for value in learner.trainable().values())
    told = forecast(ToyBase(), learner, FitOptions(), batch=batch(4), draw=DRAW)
    assert told.parts["gradients"] * GIB == trained and told.parts["optimizer"] == 2 * told.parts["gradients"]
    frozen = sum(value.numel() * 4 for value in (*learner.frozen.parameters(), *ToyBase().vae.parameters()))
    assert told.parts["parameters"] * GIB == trained + frozen
    assert told.peak_gib >= told.parts["libraries and caches"] + told.parts["drawing"]
    assert told.free_gib > 0
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
@pytest.mark.parametrize("times", [8, 32])
def test_the_forecast_holds(tmp_path: Path, times: int) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.measured", str(tmp_path / "run"), str(times)]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    seen = json.loads(ended.stdout.splitlines()[-1])
    # what stood there before the run began is no forecast: only what was added counts
    added = {name: seen[name] - seen["before"] for name in ("forecast", "measured")}
    assert 1 / 1.6 < added["forecast"] / added["measured"] < 1.6, seen
