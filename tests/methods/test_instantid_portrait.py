"""What a portrait asks of InstantID beside its defaults: no keypoints, seats, blocks and noise for the unguided half."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.errors import WeightsError
from ipseity.core.identity import Attachment
from ipseity.methods.instantid import InstantID
from tests.contracts.test_methods import predict
from tests.golden.instantid.toy import POINTS, Toy, make_toy

DRAW = DrawOptions(num_inference_steps=1, guidance_scale=3.0, height=64, width=64)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return make_toy(tmp_path_factory.mktemp("adapter"))


def test_a_pose_by_the_prompt_alone_reads_no_net(toy: Toy, tmp_path: Path) -> None:
    shutil.copy(toy.folder / "ip-adapter.bin", tmp_path / "a.bin")
    bare = toy.identity(control_scale=0.0)
    alone = replace(bare, options={**bare.options, "weights": str(tmp_path)})
    with InstantID.attach(toy.base, [Attachment(bare)]):
        expected = draw_all(toy.base.pipeline("text"), ["a person"], [0], DRAW)[0].tobytes()
        predicted = predict(toy.base)
    with InstantID.attach(toy.base, [Attachment(alone)]):  # the folder has no ControlNet
        assert draw_all(toy.base.pipeline("text"), ["a person"], [0], DRAW)[0].tobytes() == expected
        assert torch.equal(predict(toy.base), predicted)
        for kind, more in (
            ("image", {}),
            ("inpaint", {"mask_image": Image.new("L", (64, 64), 255), "height": 64, "width": 64}),
        ):
            start = {"image": Image.new("RGB", (64, 64), (90, 120, 150)), "strength": 1.0, **more}
            assert draw_all(toy.base.pipeline(kind), ["a person"], [0], DRAW, start)[0].size == (64, 64)
    with InstantID.attach(toy.base, [Attachment(toy.identity())]):
        assert draw_all(toy.base.pipeline("text"), ["a person"], [0], DRAW)[0].tobytes() != expected


def test_blocks_seats_and_noise_change_what_is_drawn(toy: Toy) -> None:
    def drawn_with(told: Any = None, **options: Any) -> bytes:
        with InstantID.attach(toy.base, [Attachment(toy.identity(**options))]):
            return draw_all(toy.base.pipeline("text"), ["a person"], [0], DRAW, told)[0].tobytes()

    plain = drawn_with()
    assert drawn_with(block_scales={"down": 1.0, "mid": 1.0, "up": 1.0}) == plain
    assert drawn_with(block_scales={"up": 0.0}) != plain
    assert drawn_with(block_scales={"down": 0, "mid": 0, "up": 0}) == drawn_with(adapter_scale=0.0)
    assert drawn_with(negative_noise=0.5) != plain
    assert drawn_with({"seats": [None]}) == plain
    assert drawn_with({"seats": [(torch.tensor(POINTS) + 8, (64, 64))]}) != plain
    with pytest.raises(WeightsError, match="names 'side'"):
        drawn_with(block_scales={"side": 1.0})
