import pytest
import torch
from peft.utils import get_peft_model_state_dict

from ipseity.bases.sd15 import SD15
from ipseity.bases.sdxl import SDXL
from ipseity.core.errors import CapabilityError, RecipeError, WeightsError
from ipseity.core.identity import Attachment
from ipseity.core.rng import Rng
from ipseity.core.types import Subject
from ipseity.methods.lora import LoRA, LoRAOptions
from ipseity.methods.parts.adapters import of_part
from tests.contracts.test_methods import batch_for, differences, predict, state
from tests.methods.test_export import moved

SUBJECT = Subject("mug-1", (), "mug", "sks")


@pytest.fixture(scope="module")
def base():
    made = SDXL.tiny()
    predict(made)  # libraries set themselves up when first used
    return made


def test_tensors_bear_the_names_that_peft_gives(base):
    learner = LoRA.begin(base, SUBJECT, {}, LoRAOptions(rank=3, train_text_encoder=True))
    try:
        tensors = learner.identity().tensors
        for part in ("unet", "text_encoder", "text_encoder_2"):
            theirs = get_peft_model_state_dict(base.parts()[part], adapter_name="default")
            ours = of_part(tensors, part)
            assert ours.keys() == theirs.keys() and ours
            assert all(torch.equal(value, ours[name]) for name, value in theirs.items())
    finally:
        learner.close()


def test_an_untrained_identity_is_the_bare_base(base):
    learner = LoRA.begin(base, SUBJECT, {}, LoRAOptions())
    identity = learner.identity()
    learner.close()
    bare = predict(base)
    with LoRA.attach(base, [Attachment(identity)]):
        assert torch.equal(predict(base), bare)


def test_identities_of_several_ranks_and_places_add_up(base):
    first = moved(LoRA, base, LoRAOptions(rank=4, alpha=2.0), by=0.01)
    second = moved(LoRA, base, LoRAOptions(rank=2, targets=("to_q", "conv1"), train_text_encoder=True), by=0.01)
    before, bare = state(base), predict(base)
    apart = []
    for one in (Attachment(first, 0.7), Attachment(second, 0.4)):
        with LoRA.attach(base, [one]):
            apart.append(predict(base) - bare)
    with LoRA.attach(base, [Attachment(first, 0.7), Attachment(second, 0.4)]):
        both = predict(base) - bare
    assert min(part.norm() for part in apart) > 1e-4
    assert (
        both - apart[0] - apart[1]
    ).norm() < 0.2 * both.norm()  # small changes add up, but for what they do to each other
    assert (both - apart[0]).norm() > 0.5 * apart[1].norm()
    with LoRA.attach(base, [Attachment(first, 0.7), Attachment(second, 0.0)]):
        assert torch.equal(predict(base) - bare, apart[0])
    assert not differences(before, state(base))


def test_every_trainable_parameter_gets_a_gradient(base):
    learner = LoRA.begin(base, SUBJECT, {}, LoRAOptions(rank=2, train_text_encoder=True))
    try:
        assert learner.trains_text
        with torch.no_grad():
            for value in learner.trainable().values():
                value.add_(0.01)
        torch.stack(
            [values.mean() for values in learner(batch_for(base, cached=False), Rng(0)).values()]
        ).sum().backward()
        lacking = [name for name, value in learner.trainable().items() if value.grad is None or not value.grad.any()]
        assert not lacking
        heard = {name.split(".")[0] for name in learner.trainable()}
        assert heard == {"unet", "text_encoder", "text_encoder_2"}
        assert len(learner.trainable()) < len(learner.identity().tensors)  # the layers that no text reaches stay still
    finally:
        learner.close()


def test_a_text_encoder_first_heard_inside_a_learner_stays_sound():
    fresh = SDXL.tiny()
    bare = predict(fresh)
    untouched = SDXL.tiny()  # libraries set themselves up at the first call, here while layers are wrapped
    moved(LoRA, untouched, LoRAOptions(rank=2, train_text_encoder=True))
    assert torch.equal(predict(untouched), bare)


@pytest.mark.parametrize("init", ["kaiming", "gaussian", "orthogonal"])
def test_starts_differ_by_seed_and_add_nothing(base, init):
    found = []
    for seed in (0, 0, 1):
        learner = LoRA.begin(base, SUBJECT, {}, LoRAOptions(rank=4, init=init, seed=seed))
        found.append(learner.identity().tensors)
        learner.close()
    downs = [name for name in found[0] if ".lora_A." in name]
    assert all(
        torch.equal(found[0][name], found[1][name]) and not torch.equal(found[0][name], found[2][name])
        for name in downs
    )
    assert not any(found[0][name].any() for name in found[0].keys() - set(downs))
    assert not torch.equal(found[0][downs[0]], found[0][downs[1]])
    if init == "orthogonal":
        torch.testing.assert_close(found[0][downs[0]] @ found[0][downs[0]].T, torch.eye(4), rtol=0, atol=1e-5)


def test_a_base_of_half_precision_carries_layers_of_fp32(tiny_folder):
    half = SDXL.load(SDXL.Options(weights=str(tiny_folder), dtype="bf16"))
    identity = moved(LoRA, half, LoRAOptions(rank=2), by=0.1)
    assert all(value.dtype == torch.float32 for value in identity.tensors.values())
    bare = predict(half)
    with LoRA.attach(half, [Attachment(identity)]):
        assert (predict(half) - bare).abs().max() > 0.01
    learner = LoRA.begin(half, SUBJECT, {}, LoRAOptions(rank=2))
    losses = learner(batch_for(half, cached=True), Rng(0))
    losses["subject"].sum().backward()
    assert losses["subject"].dtype == torch.float32
    assert any(value.grad.any() for value in learner.trainable().values())
    learner.close()


def test_what_does_not_fit_is_refused_and_leaves_no_trace(base):
    identity = moved(LoRA, base, LoRAOptions(rank=2))
    other = SD15.tiny()
    predict(other)
    before = state(other)
    with (
        pytest.raises(CapabilityError, match="learned on 'sdxl' and does not fit 'sd15'"),
        LoRA.attach(other, [Attachment(identity)]),
    ):
        pass
    assert not differences(before, state(other))
    broken = {name: value[:, :1] if ".lora_A." in name else value for name, value in identity.tensors.items()}
    before = state(base)
    with (
        pytest.raises(WeightsError, match="should be"),
        LoRA.attach(base, [Attachment(type(identity)(**{**vars(identity), "tensors": broken}))]),
    ):
        pass
    with pytest.raises(RecipeError, match="is called 'to_qq'"):
        LoRA.begin(base, SUBJECT, {}, LoRAOptions(targets=("to_qq",)))
    assert not differences(before, state(base))


def test_restore_refuses_another_learners_state(base):
    identity = moved(LoRA, base, LoRAOptions(rank=2))
    learner = LoRA.begin(base, SUBJECT, {}, LoRAOptions(rank=3))
    try:
        with pytest.raises(WeightsError, match="the checkpoint does not fit"):
            learner.restore(identity.tensors)
    finally:
        learner.close()
