import pytest
import torch

from ipseity.bases.sdxl import SDXL
from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.errors import CapabilityError
from ipseity.core.identity import Attachment
from ipseity.core.rng import Rng
from ipseity.core.types import Subject
from ipseity.methods.lora import LoRA, LoRAOptions
from ipseity.methods.parts.ranks import rank_mask, ranks_at
from tests.contracts.test_methods import batch_for

SUBJECT = Subject("mug-1", (), "mug", "sks")
OPTIONS = LoRAOptions(rank=8, min_rank=2, rank_schedule="t-lora", init="orthogonal")


def test_ranks_fall_with_noise_as_in_the_paper():
    t = torch.tensor([0.0, 0.25, 0.5, 0.51, 0.999, 1.0])
    assert ranks_at(t, rank=8, min_rank=2).tolist() == [8, 6, 5, 4, 2, 2]  # floor(6 (1 - t)) + 2
    assert rank_mask(t[[0, 2]], rank=8, min_rank=2).tolist() == [[True] * 8, [True] * 5 + [False] * 3]


@pytest.fixture(scope="module")
def base():
    return SDXL.tiny()


@pytest.fixture(scope="module")
def identity(base):
    learner = LoRA.begin(base, SUBJECT, {}, OPTIONS)
    with torch.no_grad():
        for name, value in learner.trainable().items():
            if ".lora_B." in name:
                value.normal_(std=0.3, generator=Rng(0, (name,)).generator())
    found = learner.identity()
    learner.close()
    return found


def listen(base, adapter):
    """Record, for each call of one layer, how many ranks speak for each sample."""
    spoken = []
    ups = [
        module for name, module in base.parts()["unet"].named_modules() if name.endswith(f"attn1.to_q.lora_B.{adapter}")
    ]
    ups[0].register_forward_pre_hook(lambda _, args: spoken.append((args[0].abs().amax(1) > 0).sum(1).tolist()))
    return spoken


def test_each_sample_of_a_batch_has_its_own_ranks_in_training(base):
    learner = LoRA.begin(base, SUBJECT, {}, OPTIONS)
    try:
        spoken, batch, levels = listen(base, "default"), batch_for(base, cached=True), []
        base_predict = base.predict
        base.predict = lambda noisy, t, cond: (levels.append(t), base_predict(noisy, t, cond))[1]
        for values in learner(batch, Rng(5)).values():
            values.sum().backward(retain_graph=True)
        assert spoken == [ranks_at(levels[0], rank=8, min_rank=2).tolist()]
        assert len(set(spoken[0])) > 1, "choose another place: all samples drew alike"
    finally:
        del base.predict
        learner.close()


def test_ranks_follow_the_noise_in_stock_pipelines(base, identity):
    with LoRA.attach(base, [Attachment(identity)]):
        spoken = listen(base, "identity_0")
        draw_all(
            base.pipeline("text"), ["a photo of sks mug"], [0], DrawOptions(num_inference_steps=4, guidance_scale=3.0)
        )
        steps = base.pipeline("text").scheduler.timesteps
    expected = ranks_at((steps + 1) / base.path.num_levels, rank=8, min_rank=2).tolist()
    assert spoken == [[rank, rank] for rank in expected]
    assert expected[0] == 2 and expected[-1] > expected[0]


def test_a_constant_rank_speaks_whole_at_all_levels(base):
    learner = LoRA.begin(base, SUBJECT, {}, LoRAOptions(rank=8))
    try:
        spoken = listen(base, "default")
        learner.preview(["a mug"], [0], DrawOptions(num_inference_steps=2, guidance_scale=1.0))
    finally:
        learner.close()
    assert spoken == [[8], [8]]


def test_a_rank_that_follows_the_noise_is_not_exported(base, identity, tmp_path):
    with pytest.raises(CapabilityError, match="rank_schedule = 't-lora'"):
        LoRA.export(identity, base, "diffusers", tmp_path)
