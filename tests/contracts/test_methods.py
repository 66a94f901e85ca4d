"""What every method must keep, on the tiny form of every base that offers what it needs."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import nn

from ipseity.core import registry
from ipseity.core.drawing import DrawOptions, draw_all
from ipseity.core.identity import Attachment, Identity
from ipseity.core.penalty import Detachable
from ipseity.core.rng import Rng
from ipseity.core.types import Batch, Subject

SUBJECT = Subject("mug-1", (), "mug", "sks")
CAPTIONS = ("a photo of sks mug", "a photo of a sks mug on the beach", "a photo of a mug", "")
DRAW = DrawOptions(num_inference_steps=2, guidance_scale=3.0)
BASES = {registry.find("bases", name).tiny.__func__: name for name in reversed(registry.names("bases"))}
"""One name for each way of making a tiny base: a base that only points another one at its weights adds nothing here."""
PAIRS = [
    (method, base)
    for method in registry.names("methods")
    for base in sorted(BASES.values())
    if registry.find("methods", method).needs <= registry.find("bases", base).offers
    and not registry.find("methods", method).needs_encoders
]


def state(base: Any) -> dict[str, Any]:
    """Everything of a base that could be left changed: values, formats, flags, modes, classes, hooks, words."""
    found: dict[str, Any] = {}
    for part, module in base.parts().items():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            found[f"{part}.{name}"] = (value.detach().clone(), value.dtype, value.requires_grad)
        for name, inner in module.named_modules():
            hooks = len(inner._forward_pre_hooks) + len(inner._forward_hooks)
            found[f"{part}.{name}()"] = (id(inner), type(inner).__name__, inner.training, hooks, frozenset(vars(inner)))
    for name, tokenizer in base.tokenizers().items():
        found[f"{name} words"] = (
            len(tokenizer),
            tuple(tokenizer("a photo of sks mug").input_ids),
            frozenset(vars(tokenizer)),
        )
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    assert before.keys() == after.keys(), sorted(before.keys() ^ after.keys())[:5]

    def same(a: Any, b: Any) -> bool:
        return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b

    return [name for name in before if not all(same(a, b) for a, b in zip(before[name], after[name], strict=True))]


def batch_for(base: Any, *, cached: bool) -> Batch:
    side = base.resolution // base.latent_stride
    latents = Rng(1, ("latents",)).normal((4, base.latent_channels, side, side))
    hints = base.size_hints([(base.resolution, base.resolution)] * 4, [(0, 0)] * 4)
    with torch.no_grad():
        cond = replace(base.encode_text(CAPTIONS), size_hints=hints) if cached else None
    return Batch(latents, CAPTIONS, torch.tensor([True, True, False, False]), cond, hints)


@torch.no_grad()
def predict(base: Any, prompt: str = "a photo of sks mug") -> torch.Tensor:
    side = base.resolution // base.latent_stride
    noisy = Rng(2, ("noisy",)).normal((2, base.latent_channels, side, side))
    hints = base.size_hints([(base.resolution, base.resolution)] * 2, [(0, 0)] * 2)
    return base.predict(noisy, torch.tensor([0.3, 0.9]), replace(base.encode_text([prompt] * 2), size_hints=hints))


@dataclass
class Story:
    """One learner's life on one base, told once for all tests."""

    method: Any
    base: Any
    before: dict[str, Any]
    bare: torch.Tensor
    zero: Identity
    first: dict[str, torch.Tensor]
    later: dict[str, torch.Tensor]
    strangers: list[str]
    trained: torch.Tensor
    aside: torch.Tensor | None
    """What is predicted while the learner steps aside, if it can."""
    drifts: tuple[float, float]
    drawn: list[Any]
    drawing_changed: list[str]
    identity: Identity
    again: Identity
    after: dict[str, Any]


@pytest.fixture(scope="module", params=PAIRS, ids="-".join)
def story(request: pytest.FixtureRequest) -> Story:
    method, base = (registry.find(room, name) for room, name in zip(("methods", "bases"), request.param, strict=True))
    base = base.tiny()
    draw_all(base.pipeline("text"), ["a mug"], [0], DRAW)  # libraries set themselves up when first used
    bare, before = predict(base), state(base)
    learner = method.begin(base, SUBJECT, {}, method.Options())
    zero, parameters, drifts = learner.identity(), learner.trainable(), [drift(learner)]
    batch, own = batch_for(base, cached=not learner.trains_text), {id(value) for value in parameters.values()}
    frozen = {name: value.detach().clone() for name, value in everything(base) if id(value) not in own}
    optimizer = torch.optim.AdamW(parameters.values(), lr=3e-3) if parameters else None
    first = learner(batch, Rng(0))
    for _ in range(10 if optimizer else 0):
        torch.stack([values.mean() for values in learner(batch, Rng(0)).values()]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    later, kept = learner(batch, Rng(0)), state(base)
    drifts.append(drift(learner))
    aside = stepped_aside(learner, base)
    aside_changed = differences(kept, state(base))
    strangers = [
        name for name, value in everything(base) if id(value) not in own and not torch.equal(value, frozen[name])
    ]
    chance, kept = torch.get_rng_state(), state(base)
    drawn = learner.preview(["a photo of sks mug", "a mug"], [0, 1], DRAW)
    changed = (
        aside_changed
        + differences(kept, state(base))
        + (["chance"] if not torch.equal(chance, torch.get_rng_state()) else [])
    )
    identity = learner.identity()
    learner.restore(zero.tensors)
    assert all(learner.trainable()[name] is value for name, value in parameters.items()), (
        "restoring replaced parameters"
    )
    learner.restore(identity.tensors)
    trained, again = evaluated(base), learner.identity()
    learner.close()
    learner.close()
    return Story(
        method, base, before, bare, zero, first, later, strangers, trained, aside, (drifts[0], drifts[1]),
        drawn, changed, identity, again, state(base),
    )  # fmt: skip


def everything(base: Any) -> list[tuple[str, nn.Parameter]]:
    return [
        (f"{part}.{name}", value) for part, module in base.parts().items() for name, value in module.named_parameters()
    ]


def drift(learner: Any) -> float:
    return learner.drift().item() if isinstance(learner, Detachable) else 0.0


def stepped_aside(learner: Any, base: Any) -> torch.Tensor | None:
    if not isinstance(learner, Detachable):
        return None
    with learner.detached():
        return evaluated(base)


def evaluated(base: Any) -> torch.Tensor:
    modes = [(inner, inner.training) for module in base.parts().values() for inner in module.modules()]
    for inner, _ in modes:
        inner.training = False
    prediction = predict(base)
    for inner, mode in modes:
        inner.training = mode
    return prediction


def test_says_what_it_is(story: Story) -> None:
    assert story.method.exports <= {"diffusers", "kohya"}
    assert story.method.Options().use == story.identity.method
    assert story.identity.token == "sks" and story.identity.class_noun == "mug"
    assert story.identity.base_fingerprint == story.base.fingerprint()
    assert story.method.Options(**story.identity.options).model_dump(mode="json") == story.identity.options


def test_losses_are_finite_per_sample_and_named(story: Story) -> None:
    assert {name: tuple(values.shape) for name, values in story.first.items()} == {
        "subject": (2,),
        "regularization": (2,),
    }
    assert all(torch.isfinite(values).all() for values in story.first.values())


def test_ten_steps_on_one_batch_lower_the_loss(story: Story) -> None:
    if not story.first["subject"].requires_grad:
        pytest.skip("this method does not train")
    first, later = (sum(values.mean().item() for values in losses.values()) for losses in (story.first, story.later))
    assert later < first
    assert not torch.equal(story.trained, story.bare)


def test_only_what_is_trainable_changes(story: Story) -> None:
    assert not story.strangers


def test_preview_changes_nothing_and_follows_its_seeds(story: Story) -> None:
    assert not story.drawing_changed
    assert [image.size for image in story.drawn] == [(story.base.resolution,) * 2] * 2
    with story.method.attach(story.base, [Attachment(story.identity)]):
        again = draw_all(story.base.pipeline("text"), ["a photo of sks mug", "a mug"], [0, 1], DRAW)
    assert [image.tobytes() for image in again] == [image.tobytes() for image in story.drawn]


def test_a_learner_that_steps_aside_leaves_the_bare_base_and_knows_how_far_it_went(story: Story) -> None:
    if story.aside is None:
        pytest.skip("this learner cannot step aside")
    assert torch.equal(story.aside, story.bare)
    assert story.drifts[0] == 0 < story.drifts[1]


def test_close_leaves_the_base_as_it_was(story: Story) -> None:
    assert not differences(story.before, story.after)


def test_attach_gives_what_was_trained_and_leaves_no_trace(story: Story) -> None:
    with story.method.attach(story.base, [Attachment(story.identity)]) as lent:
        assert lent is story.base
        assert not any(value.requires_grad for _, value in everything(story.base))
        attached = predict(story.base)
    torch.testing.assert_close(attached, story.trained, rtol=0, atol=1e-6)
    assert not differences(story.before, state(story.base))
    assert torch.equal(predict(story.base), story.bare)


def test_attach_leaves_no_trace_after_an_error(story: Story) -> None:
    with pytest.raises(KeyError), story.method.attach(story.base, [Attachment(story.identity)]):
        raise KeyError("somebody else's mistake")
    assert not differences(story.before, state(story.base))


def test_save_and_load_give_the_same_prediction(story: Story, tmp_path: Any) -> None:
    loaded = Identity.load(story.identity.save(tmp_path / "identity.safetensors"))
    with story.method.attach(story.base, [Attachment(story.identity)]):
        direct = predict(story.base)
    with story.method.attach(story.base, [Attachment(loaded)]):
        assert torch.equal(predict(story.base), direct)


def test_restore_is_exact(story: Story) -> None:
    assert story.again.tensors.keys() == story.identity.tensors.keys()
    assert all(torch.equal(value, story.again.tensors[name]) for name, value in story.identity.tensors.items())
    assert all(value.dtype == torch.float32 for value in story.identity.tensors.values())


def test_scale_zero_is_the_bare_base(story: Story) -> None:
    with story.method.attach(story.base, [Attachment(story.identity, 0.0)]):
        assert torch.equal(predict(story.base), story.bare)


def test_the_scale_reaches_from_bare_to_trained(story: Story) -> None:
    with story.method.attach(story.base, [Attachment(story.identity, 0.5)]):
        half = predict(story.base)
    assert not torch.equal(half, story.bare)
    assert (half - story.trained).norm() < (story.bare - story.trained).norm()


def test_begins_the_same_way_twice(story: Story) -> None:
    chance = torch.get_rng_state()
    learner = story.method.begin(story.base, SUBJECT, {}, story.method.Options())
    try:
        assert torch.equal(chance, torch.get_rng_state())
        assert all(torch.equal(value, story.zero.tensors[name]) for name, value in learner.identity().tensors.items())
    finally:
        learner.close()
