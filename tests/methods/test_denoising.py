from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from ipseity.core.noise import FlowPath, NoisePath
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Cond
from ipseity.methods.parts.denoising import DenoisingOptions, denoising_loss, draw_levels

PATH = NoisePath(torch.linspace(0.999, 0.001, 50), "v_prediction")
BATCH = Batch(
    torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0)),
    ("a", "b", "c"),
    torch.tensor([True, False, True]),
    Cond(torch.zeros(3, 1, 2)),
)


def base(offset: float = 0.0, heard: list | None = None) -> SimpleNamespace:
    """A base that knows the answer, up to an offset: the loss must be the offset's square."""

    def predict(noisy, t, cond):
        signal, spread = PATH.signal_and_noise(t)
        noise = (noisy - signal * BATCH.latents) / spread
        if heard is not None:
            heard.append((t, noise))
        return signal * noise - spread * BATCH.latents + offset

    return SimpleNamespace(device=torch.device("cpu"), path=PATH, predict=predict)


def test_a_base_that_knows_the_answer_has_no_loss():
    losses = denoising_loss(base(), BATCH, Rng(0), DenoisingOptions())
    assert {name: len(values) for name, values in losses.items()} == {"subject": 2, "regularization": 1}
    assert max(values.max() for values in losses.values()) < 1e-6


def test_an_error_counts_squared_and_weighed_by_the_level():
    heard: list = []
    losses = denoising_loss(base(0.5, heard), BATCH, Rng(3), DenoisingOptions(snr_gamma=5.0))
    expected = 0.25 * PATH.snr_weight(heard[0][0], 5.0)
    torch.testing.assert_close(losses["subject"], expected[[0, 2]], rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(losses["regularization"], expected[[1]], rtol=1e-3, atol=1e-5)


def test_a_mask_weighs_places():
    mask = torch.zeros(3, 1, 4, 4)
    mask[:, :, :2] = 1
    wrong = torch.zeros(3, 4, 4, 4)
    wrong[:, :, 2:] = 1.0  # the error lies outside the mask
    masked = Batch(BATCH.latents, BATCH.captions, BATCH.is_subject, BATCH.cond, mask=mask)
    seen = {
        floor: denoising_loss(base(wrong), masked, Rng(0), DenoisingOptions(mask_floor=floor))["subject"]
        for floor in (None, 0.25, 0.0)
    }
    torch.testing.assert_close(seen[None], torch.full((2,), 0.5), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(seen[0.25], torch.full((2,), 0.2), rtol=1e-3, atol=1e-5)
    assert seen[0.0].max() < 1e-6


def test_chance_comes_from_the_place_alone():
    torch.manual_seed(1)
    one = denoising_loss(base(0.5, first := []), BATCH, Rng(0), DenoisingOptions())
    torch.manual_seed(2)
    two = denoising_loss(base(0.5, second := []), BATCH, Rng(0), DenoisingOptions())
    denoising_loss(base(0.5, third := []), BATCH, Rng(1), DenoisingOptions())
    assert torch.equal(first[0][0], second[0][0]) and torch.equal(one["subject"], two["subject"])
    assert not torch.equal(first[0][0], third[0][0]) and not torch.allclose(first[0][1], third[0][1])


def test_a_name_without_samples_is_absent():
    only = Batch(BATCH.latents, BATCH.captions, torch.tensor([True] * 3), BATCH.cond)
    assert set(denoising_loss(base(), only, Rng(0), DenoisingOptions())) == {"subject"}


def test_levels_are_the_checkpoints_own_and_all_of_them_come():
    t = draw_levels(50, 4000, Rng(0))
    levels = PATH.timesteps(t)
    assert torch.equal(torch.bincount(levels, minlength=50) > 0, torch.ones(50, dtype=torch.bool))
    torch.testing.assert_close(t, (levels + 1) / 50)
    assert t.mean().item() == pytest.approx(0.51, abs=0.02)


def test_an_error_that_cells_average_away_counts_for_the_finest_scale_alone():
    board = torch.ones(3, 4, 4, 4)
    board[:, :, ::2, 1::2] = board[:, :, 1::2, ::2] = -1.0  # a chessboard: each cell of 2 x 2 sums to nothing
    seen = {
        name: denoising_loss(base(wrong), BATCH, Rng(0), DenoisingOptions(loss_scales={1: 1.0, 2: 3.0}))["subject"]
        for name, wrong in (("board", board), ("everywhere", 1.0))
    }
    torch.testing.assert_close(seen["board"], torch.full((2,), 0.25), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(seen["everywhere"], torch.full((2,), 1.0), rtol=1e-3, atol=1e-5)


def test_a_mask_weighs_cells_of_every_scale():
    mask = torch.zeros(3, 1, 4, 4)
    mask[:, :, :2] = 1
    wrong = torch.zeros(3, 4, 4, 4)
    wrong[:, :, 2:] = 1.0  # the error lies outside the mask
    masked = Batch(BATCH.latents, BATCH.captions, BATCH.is_subject, BATCH.cond, mask=mask)
    options = DenoisingOptions(mask_floor=0.25, loss_scales={2: 1.0})
    seen = denoising_loss(base(wrong), masked, Rng(0), options)["subject"]
    torch.testing.assert_close(seen, torch.full((2,), 0.2), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("mean", "low", "high"), [(-6.0, 0.0, 0.05), (6.0, 0.95, 1.0)])
def test_levels_follow_the_normal_that_was_asked_for(mean: float, low: float, high: float):
    denoising_loss(base(0.5, heard := []), BATCH, Rng(0), DenoisingOptions(logit_mean=mean, logit_std=0.5))
    t = heard[0][0]
    assert low < t.min() and t.max() <= high


FLOW = FlowPath.from_config({"num_train_timesteps": 50, "shift": 1.0})


def asked(path: NoisePath, batch: Batch, options: DenoisingOptions) -> torch.Tensor:
    """The noise levels that the base is asked at."""
    heard: list[torch.Tensor] = []

    def predict(noisy, t, cond):
        heard.append(t)
        return noisy

    denoising_loss(SimpleNamespace(device=torch.device("cpu"), path=path, predict=predict), batch, Rng(4), options)
    return heard[0]


@pytest.mark.parametrize("path", [PATH, FLOW], ids=["diffusion", "flow"])
@pytest.mark.parametrize("leaning", [{}, {"logit_mean": 0.0}], ids=["as the path", "logit"])
def test_tight_cuts_are_asked_at_lower_levels(path: NoisePath, leaning: dict[str, float]):
    """Of the subject and of regularization pictures alike; a full view is asked where it was."""
    cut = replace(BATCH, crop_scale=torch.tensor([1.0, 0.5, 0.7]))
    usual = asked(path, cut, DenoisingOptions(**leaning))
    lowered = asked(path, cut, DenoisingOptions(crop_level_power=2.0, **leaning))
    torch.testing.assert_close(lowered, usual * torch.tensor([1.0, 0.25, 0.49]), rtol=1e-6, atol=0)
    assert lowered[0] == usual[0], "to the bit"
    far = asked(path, cut, DenoisingOptions(crop_level_power=8.0, logit_mean=-3.0))
    assert far[1] == 1 / path.num_levels, "never below the lowest level"


@pytest.mark.parametrize("path", [PATH, FLOW], ids=["diffusion", "flow"])
def test_levels_stay_to_the_bit_without_the_option_or_without_cuts(path: NoisePath):
    cut = replace(BATCH, crop_scale=torch.tensor([0.3, 0.5, 0.7]))
    usual = asked(path, BATCH, DenoisingOptions())
    assert torch.equal(asked(path, cut, DenoisingOptions()), usual)
    assert torch.equal(asked(path, BATCH, DenoisingOptions(crop_level_power=2.0)), usual), "all are full views"
    full = replace(BATCH, crop_scale=torch.ones(3))
    assert torch.equal(asked(path, full, DenoisingOptions(crop_level_power=2.0)), usual)


@pytest.mark.parametrize("wrong", [{}, {0: 1.0}, {1: -1.0, 2: 2.0}, {1: 0.0}])
def test_scales_that_mean_nothing_are_refused(wrong: dict[int, float]):
    with pytest.raises(ValueError, match="loss_scales"):
        DenoisingOptions(loss_scales=wrong)
