import pytest
import torch

from ipseity.bases.sdxl import SDXL
from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import CapabilityError
from ipseity.core.identity import Attachment
from ipseity.core.rng import Rng
from ipseity.core.types import Subject
from ipseity.methods.full import Full, FullOptions
from tests.contracts.test_methods import batch_for, differences, predict, state
from tests.methods.test_export import moved

SUBJECT = Subject("mug-1", (), "mug", "sks")


def test_every_trainable_parameter_gets_a_gradient():
    base = SDXL.tiny()
    predict(base)
    before = state(base)
    learner = Full.begin(base, SUBJECT, {}, FullOptions(train_text_encoder=True))
    torch.stack([values.mean() for values in learner(batch_for(base, cached=False), Rng(0)).values()]).sum().backward()
    assert not [name for name, value in learner.trainable().items() if value.grad is None]
    assert {name.split(".")[0] for name in learner.trainable()} == {"unet", "text_encoder", "text_encoder_2"}
    learner.close()
    assert not differences(before, state(base))


def test_a_base_of_half_precision_is_trained_in_fp32_and_given_back(tiny_folder):
    base = SDXL.load(SDXL.Options(weights=str(tiny_folder), dtype="bf16"))
    predict(base)
    before, bare = state(base), predict(base)
    learner = Full.begin(base, SUBJECT, {}, FullOptions())
    learner(batch_for(base, cached=True), Rng(0))["subject"].sum().backward()
    with torch.no_grad():
        for value in learner.trainable().values():
            assert value.dtype == value.grad.dtype == torch.float32
            value.sub_(value.grad.sign(), alpha=1e-5)  # far below what bf16 can hold
    learner.preview(["a mug"], [0], DrawOptions(num_inference_steps=1))
    identity = learner.identity()
    learner.close()
    old = before["unet.conv_in.weight"][0].float()
    assert 0 < (identity.tensors["unet.conv_in.weight"] - old).abs().max() < 2e-5
    assert not differences(before, state(base)) and torch.equal(predict(base), bare)


def test_only_one_identity_can_replace_all_weights():
    base = SDXL.tiny()
    identity = moved(Full, base, FullOptions(), by=0.01)
    with pytest.raises(CapabilityError, match="2 identities"), Full.attach(base, [Attachment(identity)] * 2):
        pass
    with Full.attach(base, [Attachment(identity), Attachment(identity, 0.0)]):
        assert torch.equal(base.parts()["unet"].conv_in.weight.data, identity.tensors["unet.conv_in.weight"])
