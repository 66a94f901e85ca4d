"""The ground: chance, noise, files, images, identities, errors."""

import errno
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ipseity.core.errors import RecipeError, Refusal, RunError, WeightsError
from ipseity.core.files import explain, read_json, write_json, writing
from ipseity.core.identity import Identity
from ipseity.core.image import contact_sheet, cover, to_images, to_pixels
from ipseity.core.losses import huber, squared_error
from ipseity.core.noise import NoisePath
from ipseity.core.registry import find, names
from ipseity.core.rng import Rng
from ipseity.core.types import Cond
from ipseity.core.words import article

V_ZERO = dict(
    prediction_type="v_prediction",
    beta_schedule="scaled_linear",
    rescale_betas_zero_snr=True,
    timestep_spacing="trailing",
)


def path_of(**config: object) -> tuple[NoisePath, DDIMScheduler]:
    scheduler = DDIMScheduler(**{"beta_start": 0.00085, "beta_end": 0.012, **config})
    return NoisePath.from_config(scheduler.config), scheduler


def test_chance_is_a_function_of_place() -> None:
    rng = Rng(7).fork("noise", 3)
    assert torch.equal(rng.normal((4,)), Rng(7).fork("noise").fork(3).normal((4,)))
    assert not torch.equal(rng.normal((4,)), rng.fork(1).normal((4,)))
    assert Rng(7).fork(12).integer(10**9) != Rng(7).fork(1, 2).integer(10**9)
    assert Rng(7).fork("1").integer(10**9) != Rng(7).fork(1).integer(10**9)
    before = torch.random.get_rng_state()
    rng.uniform((3,)), rng.permutation(5), rng.choice("abc")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("config", [{"prediction_type": "epsilon", "beta_schedule": "scaled_linear"}, V_ZERO])
def test_noise_path_is_the_librarys(config: dict[str, object]) -> None:
    path, scheduler = path_of(**config)
    latents, noise = torch.randn(3, 4, 5, 5), torch.randn(3, 4, 5, 5)
    t = torch.tensor([0.001, 0.5, 1.0])
    steps = path.timesteps(t)
    assert steps.tolist() == [0, 499, 999]
    assert torch.allclose(path.corrupt(latents, noise, t), scheduler.add_noise(latents, noise, steps), atol=1e-5)
    if config["prediction_type"] == "v_prediction":
        assert torch.allclose(path.target(latents, noise, t), scheduler.get_velocity(latents, noise, steps), atol=1e-5)
        assert path.snr(torch.tensor([1.0])).item() == pytest.approx(0, abs=1e-6)


def test_clean_end_leaves_latents_alone() -> None:
    path, _ = path_of(**V_ZERO)
    latents = torch.randn(2, 4, 3, 3)
    assert torch.equal(path.corrupt(latents, torch.randn_like(latents), torch.zeros(2)), latents)


def test_snr_weight_is_finite_everywhere() -> None:
    for config in ({"prediction_type": "epsilon"}, V_ZERO):
        path, _ = path_of(**config)
        weight = path.snr_weight(torch.linspace(0.001, 1, 1000), 5.0)
        assert torch.isfinite(weight).all()
        assert (weight >= 0).all()


def test_flow_checkpoints_are_refused() -> None:
    with pytest.raises(WeightsError, match="flow_prediction"):
        NoisePath.from_config({"prediction_type": "flow_prediction"})


def test_losses_are_per_sample_and_masked() -> None:
    prediction, target = torch.zeros(2, 4, 2, 2), torch.zeros(2, 4, 2, 2)
    prediction[0, :, 0, 0] = 2.0
    assert squared_error(prediction, target).tolist() == [1.0, 0.0]
    mask = torch.zeros(2, 1, 2, 2)
    mask[:, :, 0, 0] = 1
    assert squared_error(prediction, target, mask).tolist() == [4.0, 0.0]
    assert huber(prediction * 1e-3, target).allclose(squared_error(prediction * 1e-3, target), rtol=1e-3)
    assert (huber(prediction, target) < squared_error(prediction, target)).tolist() == [True, False]


def test_a_broken_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "facts.json"
    write_json(target, {"kept": True})
    with pytest.raises(ZeroDivisionError), writing(target) as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert read_json(target) == {"kept": True}
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]


@pytest.mark.parametrize(
    ("code", "word"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written"), (errno.EIO, "cannot be written")],
)
def test_operating_system_refusals_are_sentences(code: int, word: str) -> None:
    assert word in str(explain(OSError(code, "x"), Path("runs/a")))


@settings(max_examples=25, deadline=None)
@given(st.integers(8, 90), st.integers(8, 90), st.integers(8, 60), st.integers(8, 60))
def test_cover_always_gives_the_size_asked_for(width: int, height: int, to_height: int, to_width: int) -> None:
    assert cover(Image.new("RGB", (width, height)), (to_height, to_width)).size == (to_width, to_height)


def test_pixels_and_images_are_inverse() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    again = to_images(to_pixels([image]))[0]
    assert again.tobytes() == image.tobytes()
    assert contact_sheet([image] * 5, 3).size == (3 * 11 + 4, 2 * 13 + 4)


def test_identity_file_explains_itself(tmp_path: Path) -> None:
    identity = Identity({"a": torch.arange(3.0)}, "toybox", "ff", "lora", "sks", "mug", {"rank": 4}, {"step": 5})
    again = Identity.load(identity.save(tmp_path / "x" / "identity.safetensors"))
    assert torch.equal(again.tensors["a"], identity.tensors["a"])
    assert (again.token, again.options, again.facts) == ("sks", {"rank": 4}, {"step": 5})


@pytest.mark.parametrize("content", [b"", b"not a weights file", pickle.dumps({"a": 1})])
def test_other_files_are_no_identity(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity.safetensors").write_bytes(content)
    with pytest.raises(WeightsError):
        Identity.load(tmp_path / "identity.safetensors")


def test_cond_rows() -> None:
    cond = Cond(torch.arange(6.0).reshape(3, 1, 2), pooled=torch.arange(3.0)[:, None])
    assert cond.take([2, 0]).pooled.flatten().tolist() == [2, 0]  # type: ignore[union-attr]
    assert Cond.cat([cond, cond]).text.shape[0] == 6
    with pytest.raises(AssertionError):
        Cond.cat([cond, Cond(cond.text)])


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(RecipeError, match="Did you mean 'lora'"):
        find("methods", "lorra")
    assert "toybox" in names("bases")


def test_refusals_have_three_parts_and_travel_between_processes() -> None:
    error = RunError("this", "that", "do so")
    assert str(error) == "this. that. do so."
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, Refusal) and (again.found, again.exit_code) == ("this", 2)


@pytest.mark.parametrize(
    ("noun", "said"),
    [
        ("elephant", "an elephant"),
        ("mug", "a mug"),
        ("unicorn", "a unicorn"),
        ("umbrella", "an umbrella"),
        ("sks apple", "a sks apple"),
        ("hourglass", "an hourglass"),
    ],
)
def test_articles(noun: str, said: str) -> None:
    assert article(noun) == said
