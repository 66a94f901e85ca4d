"""InstantID over stock pipelines draws what the released code draws: its latents, kept, and itself where it is at hand.

The kept latents are made by `INSTANTID_DIR=... python -m benchmarks.instantid_parity --write`.
"""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks.instantid_parity import CASES, GOLDEN, ours, released
from tests.golden.instantid.toy import Toy, make_toy

QUICK = ("text", "image", "two-nets")
"""The others are slow tests: each draws for seconds on a busy machine."""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return make_toy(tmp_path_factory.mktemp("parity"), own_unet=True)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES]
)
def test_it_draws_what_the_released_code_drew(toy: Toy, case: str) -> None:
    torch.testing.assert_close(ours(toy, case), load_file(GOLDEN)[case], atol=2e-4, rtol=1e-4)


def test_the_kept_latents_would_tell_a_net_that_hears_text(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import ControlNetModel

    from ipseity.methods.parts.identity_net import IdentityNet

    monkeypatch.setattr(IdentityNet, "forward", ControlNetModel.forward)
    assert (ours(toy, "text") - load_file(GOLDEN)["text"]).abs().max() > 1e-2


@pytest.mark.slow
@pytest.mark.skipif("INSTANTID_DIR" not in os.environ, reason="INSTANTID_DIR names no checkout of the released code")
@pytest.mark.parametrize("case", CASES)
def test_it_draws_what_the_released_code_draws(case: str, tmp_path: Path) -> None:
    toy = make_toy(tmp_path, own_unet=True)
    own = ours(toy, case)
    torch.testing.assert_close(own, released(toy, case), atol=1e-4, rtol=1e-4)
