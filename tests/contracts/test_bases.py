"""What every base must keep, on its own tiny form (true architecture, toy widths, random weights)."""

import subprocess
import sys
from dataclasses import fields, replace

import pytest
import torch

from ipseity.core import registry
from ipseity.core.errors import CapabilityError, WeightsError
from ipseity.core.types import Cond

NAMES = registry.names("bases")
SLOT_OF = {"text": "text", "pooled_text": "pooled", "image_tokens": "image_tokens", "control": "control"}
"""Ability -> the slot of `Cond` that it fills."""


@pytest.fixture(scope="module", params=NAMES)
def base(request):
    return registry.find("bases", request.param).tiny()


@pytest.fixture(scope="module")
def latents(base):
    side = base.resolution // base.latent_stride
    return torch.randn(2, base.latent_channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def cond(base):
    with torch.no_grad():
        text = base.encode_text(["a photo of sks backpack", "a dog on the beach"])
    return replace(text, size_hints=base.size_hints([(base.resolution, base.resolution)] * 2, [(0, 0)] * 2))


def predict(base, latents, cond, t=0.5):
    with torch.no_grad():
        return base.predict(latents, torch.full((len(latents),), t), cond)


def test_says_what_it_is(base):
    assert base.offers <= {
        "text",
        "pooled_text",
        "token_table",
        "cross_attention",
        "joint_attention",
        "image_tokens",
        "control",
    }
    assert base.resolution % base.latent_stride == 0
    assert base.path.num_levels > 1
    assert base.licence and base.name in NAMES
    assert not any(p.requires_grad for part in base.parts().values() for p in part.parameters())
    assert not any(part.training for part in base.parts().values())


def test_targets_name_modules_of_the_denoiser(base):
    denoiser = next(base.parts()[name] for name in ("transformer", "unet") if name in base.parts())
    inside = [name for name, _ in denoiser.named_modules()]
    assert base.targets and all(any(name.endswith(f".{target}") for name in inside) for target in base.targets)


def test_tokenizers_stand_beside_their_encoders(base):
    assert set(base.tokenizers()) == {name for name in base.parts() if name.startswith("text_encoder")}
    for name, tokenizer in base.tokenizers().items():
        assert len(tokenizer("sks").input_ids) == 3, "the rare word is one token, between start and end"
        assert tokenizer.unk_token_id not in tokenizer("Zyx ünïcode 日本 a!?").input_ids[1:-1]
        assert len(tokenizer) <= base.parts()[name].get_input_embeddings().num_embeddings


def test_encode_and_decode_agree_on_shapes_and_are_deterministic(base):
    side = base.resolution
    pixels = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        first, second = base.encode_image(pixels), base.encode_image(pixels)
        drawn = base.decode(first)
    assert first.shape == (2, base.latent_channels, side // base.latent_stride, side // base.latent_stride)
    assert torch.equal(first, second)
    assert drawn.shape == pixels.shape and torch.equal(drawn, base.decode(second))


def test_encodes_other_sizes(base):
    pixels = torch.zeros(1, 3, base.latent_stride * 6, base.latent_stride * 4)
    assert base.encode_image(pixels).shape == (1, base.latent_channels, 6, 4)


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_predicts_at_both_ends_of_the_path(base, latents, cond, t):
    prediction = predict(base, latents, cond, t)
    assert prediction.shape == latents.shape and prediction.dtype == latents.dtype
    assert torch.isfinite(prediction).all() and prediction.std() > 0


def test_noise_level_matters(base, latents, cond):
    assert not torch.allclose(predict(base, latents, cond, 0.2), predict(base, latents, cond, 0.8), atol=1e-4)


def test_rows_are_independent(base, latents, cond):
    both = predict(base, latents, cond)
    alone = predict(base, latents[1:], cond.take([1]))
    torch.testing.assert_close(both[1:], alone, atol=2e-5, rtol=1e-4)


def test_every_slot_that_is_filled_changes_the_prediction(base, latents, cond):
    before = predict(base, latents, cond)
    for slot in fields(Cond):
        if (value := getattr(cond, slot.name)) is not None:
            changed = replace(cond, **{slot.name: value.flip(0) * 0.7})
            assert (predict(base, latents, changed) - before).abs().max() > 1e-4, slot.name


def test_offers_and_slots_agree(base, cond):
    filled = {slot.name for slot in fields(Cond) if getattr(cond, slot.name) is not None} - {"size_hints"}
    assert {SLOT_OF[ability] for ability in base.offers & set(SLOT_OF)} == filled


def test_slots_that_are_not_offered_refuse(base, latents, cond):
    extras = {
        "pooled": torch.zeros(2, 8),
        "image_tokens": torch.zeros(2, 4, 8),
        "control": torch.zeros(2, 3, 64, 64),
        "size_hints": torch.zeros(2, 6),
    }
    for name, value in extras.items():
        if getattr(cond, name) is None:
            with pytest.raises(CapabilityError, match=name):
                predict(base, latents, replace(cond, **{name: value}))


def test_text_is_differentiable(base):
    encoder = base.parts()["text_encoder"]
    table = encoder.get_input_embeddings().weight.requires_grad_()
    try:
        base.encode_text(["a photo of sks backpack"]).text.square().sum().backward()
        word = base.tokenizers()["text_encoder"]("sks").input_ids[1]
        assert table.grad[word].abs().sum() > 0
    finally:
        table.requires_grad_(False)
        table.grad = None


def test_prediction_is_differentiable_in_the_latents(base, latents, cond):
    moved = latents.clone().requires_grad_()
    base.predict(moved, torch.full((2,), 0.5), cond).square().sum().backward()
    assert moved.grad.abs().sum() > 0


def test_fingerprint_is_of_the_weights(base):
    kind = type(base)
    assert kind.tiny().fingerprint() == base.fingerprint() != kind.tiny(seed=1).fingerprint()


def test_pipelines_share_the_modules_and_are_built_once(base):
    for kind in ("text", "image", "inpaint"):
        drawn = base.pipeline(kind)
        assert drawn is base.pipeline(kind)
        assert all(getattr(drawn, name) is part for name, part in base.parts().items())
    with pytest.raises(CapabilityError, match="control"):
        base.pipeline("control")


def test_a_pickle_and_a_missing_folder_refuse(base, tmp_path):
    options = type(base).Options
    if "weights" not in options.model_fields:
        pytest.skip("its weights come with the package")
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x04.")
    for place, words in ((tmp_path / "model.ckpt", "pickle"), (tmp_path / "nowhere", "not there")):
        with pytest.raises(WeightsError, match=words):
            type(base).load(options(weights=str(place)))


def test_listing_is_cheap():
    code = (
        "import sys; from ipseity.core import registry; [registry.find('bases', n) for n in registry.names('bases')];"
        "print(*[m for m in ('diffusers', 'transformers', 'peft') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
