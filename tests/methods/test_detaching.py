"""Learners that step aside: what is left is the untouched base, and how far they have gone is known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ipseity.bases.sdxl import SDXL
from ipseity.core import registry
from ipseity.core.rng import Rng
from ipseity.core.types import Batch
from ipseity.data.regularization.l2 import L2, L2Options
from ipseity.methods.full import Full
from ipseity.methods.lora import LoRA
from ipseity.methods.parts.adapters import adapted
from ipseity.training.penalized import Frozen, Penalized
from tests.data.test_output_preservation import SUBJECT, batches_for, begun, shift

METHODS = ("lora", "full", "textual_inversion")


def noisy_for(base: Any, prompts: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor, Batch]:
    side, rows = base.resolution // base.latent_stride, len(prompts)
    latents = Rng(2, ("noisy",)).normal((rows, base.latent_channels, side, side))
    hints = base.size_hints([(64, 64)] * rows, [(0, 0)] * rows)
    return latents, torch.linspace(0.3, 0.9, rows), Batch(latents, prompts, torch.zeros(rows) > 0, None, hints)


@torch.no_grad()
def predicted(base: Any, prompts: tuple[str, ...]) -> torch.Tensor:
    latents, t, batch = noisy_for(base, prompts)
    return base.predict(latents, t, replace(base.encode_text(prompts), size_hints=batch.size_hints))


@pytest.mark.parametrize("method", METHODS)
def test_the_frozen_prediction_is_the_untouched_bases(method: str) -> None:
    base = SDXL.tiny()
    prompts = ("a photo of a mug", "a photo of sks mug on a table", "")
    bare, kind = predicted(base, prompts), registry.find("methods", method)
    learner = kind.begin(base, SUBJECT, {}, kind.Options())
    frozen, parameters = Frozen(learner), dict(learner.trainable())
    shift(learner)
    latents, t, batch = noisy_for(base, prompts)
    changed = learner.predict(latents, t, batch)
    assert torch.equal(frozen.predict(latents, t, batch), bare)
    assert not torch.equal(changed.detach(), bare) and torch.equal(learner.predict(latents, t, batch), changed)
    assert all(learner.trainable()[name] is value and value.requires_grad for name, value in parameters.items())
    changed.sum().backward()
    assert any(value.grad is not None for value in parameters.values()), "the learner's own graph has outlived it"
    learner.close()
    assert torch.equal(predicted(base, prompts), bare)


def test_what_hears_the_text_is_frozen_too() -> None:
    base = SDXL.tiny()
    bare = predicted(base, ("a photo of a mug",))
    for kind in (LoRA, Full):
        learner = kind.begin(base, SUBJECT, {}, kind.Options(train_text_encoder=True))
        shift(learner)
        assert torch.equal(Frozen(learner).predict(*noisy_for(base, ("a photo of a mug",))), bare)
        learner.close()


def test_weights_of_half_precision_are_held_as_they_are(tiny_folder: Path) -> None:
    """The untouched base is the one in bf16, and autocast must not go on with its own copy of what is trained."""
    base = SDXL.load(SDXL.Options(weights=str(tiny_folder), dtype="bf16"))
    bare = predicted(base, ("a photo of a mug",))
    learner = Full.begin(base, SUBJECT, {}, Full.Options())
    shift(learner, 0.02)
    asked = noisy_for(base, ("a photo of a mug",))
    assert torch.equal(Frozen(learner).predict(*asked), bare)
    with torch.autocast("cpu", torch.bfloat16):
        held = Frozen(learner).predict(*asked)
        own = learner.predict(*asked)
        assert torch.equal(Frozen(learner).predict(*asked), held)
    assert not torch.equal(own.detach(), held)
    own.sum().backward()
    assert all(value.grad is not None for value in learner.trainable().values())
    assert learner.drift() > 0
    learner.close()


@pytest.mark.parametrize("method", METHODS)
def test_the_distance_is_zero_at_first_and_grows_with_a_step(method: str) -> None:
    base, learner = begun(method)
    held = Penalized(learner, L2, L2Options(strength=3.0))
    batch = next(batches_for(base, cache_text=not learner.trains_text, train_batch_size=2).at(0))
    optimizer = torch.optim.AdamW(learner.trainable().values(), lr=1e-3, weight_decay=0.0)
    first = held(batch, Rng(0))
    assert torch.equal(first["regularization"], torch.zeros(2)) and first["regularization"].requires_grad
    torch.stack([values.mean() for values in first.values()]).sum().backward()
    optimizer.step()
    later = held(batch, Rng(0))["regularization"]
    assert later.shape == (2,) and later[0] > 0 and later[0] == later[1]
    assert later[0].item() == pytest.approx(3 * learner.drift().item())
    optimizer.zero_grad()
    later.mean().backward()
    optimizer.step()
    learner.close()


def test_the_distance_is_that_of_what_is_added_to_the_weights() -> None:
    _, learner = begun("lora", rank=4, alpha=2.0, targets=("to_q", "to_k", "conv1"))
    shift(learner)
    added = base_power = 0.0
    for _, _, layer in adapted(learner.base.parts().values()):
        base_power += layer.weight.square().sum().item()
    tensors = learner.identity().tensors
    for name, down in tensors.items():
        if ".lora_A." in name:  # written out, as the product of the two
            delta = tensors[name.replace("lora_A", "lora_B")].flatten(1) @ down.flatten(1) * 2.0 / 4
            added += delta.square().sum().item()
    assert learner.drift().item() == pytest.approx(added / base_power, rel=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert learner.drift().item() == pytest.approx(added / base_power, rel=1e-4)
    with torch.no_grad():  # the same product from other factors is the same change
        for name, value in learner.trainable().items():
            value.mul_(2.0 if ".lora_A." in name else 0.5)
    assert learner.drift().item() == pytest.approx(added / base_power, rel=1e-4)
