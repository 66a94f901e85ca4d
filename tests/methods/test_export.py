"""Each export is read by a fresh stock pipeline: the prediction is that of `attach`, and not the bare base's."""

from dataclasses import replace

import pytest
import torch

from ipseity.bases.sd15 import SD15
from ipseity.bases.sdxl import SDXL
from ipseity.core.identity import Attachment
from ipseity.core.rng import Rng
from ipseity.core.types import Subject
from ipseity.methods.full import Full, FullOptions
from ipseity.methods.lora import LoRA, LoRAOptions
from ipseity.methods.textual_inversion import TextualInversion, TextualInversionOptions
from tests.contracts.test_methods import predict

BASES = {"sdxl": SDXL, "sd15": SD15}
SUBJECT = Subject("mug-1", (), "mug", "sks")
LORAS = {
    "attention": LoRAOptions(rank=4),
    "alpha": LoRAOptions(rank=4, alpha=9.0),
    "text": LoRAOptions(rank=4, alpha=2.0, train_text_encoder=True),
    "every-kind-of-layer": LoRAOptions(rank=4, alpha=8.0, targets=("to_q", "to_out.0", "proj_in", "ff.net.2", "conv1")),
}


def moved(method, base, options, by=0.3):
    """Give an identity that is far from the bare base, as long training would."""
    learner = method.begin(base, SUBJECT, {}, options)
    with torch.no_grad():
        for name, value in learner.trainable().items():
            value.add_(Rng(7, (name,)).normal(value.shape), alpha=by)
    identity = learner.identity()
    learner.close()
    return identity


def expected(method, base, identity):
    bare = predict(base)
    with method.attach(base, [Attachment(identity)]):
        wanted = predict(base)
    assert (wanted - bare).abs().max() > 0.01, "the identity changes too little for the comparison to say anything"
    return wanted


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
@pytest.mark.parametrize("kind", LORAS)
@pytest.mark.parametrize("name", BASES)
def test_lora(name, kind, form, tmp_path):
    base, fresh = BASES[name].tiny(), BASES[name].tiny()
    identity = moved(LoRA, base, LORAS[kind], by=0.1)
    (path,) = LoRA.export(identity, base, form, tmp_path / "export")
    fresh.pipeline("text").load_lora_weights(path.parent, weight_name=path.name)
    torch.testing.assert_close(predict(fresh), expected(LoRA, base, identity), rtol=0, atol=2e-5)
    if kind == "text" and name == "sdxl":
        from safetensors import safe_open

        prefixes = {"diffusers": "text_encoder.text_model.", "kohya": "lora_te1_text_model_"}
        with safe_open(path, "pt") as file:
            assert any(key.startswith(prefixes[form]) for key in file.keys())  # noqa: SIM118 - not a mapping


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", BASES)
def test_textual_inversion(name, count, tmp_path):
    from safetensors.torch import load_file

    base, fresh = BASES[name].tiny(), BASES[name].tiny()
    identity = moved(TextualInversion, base, TextualInversionOptions(num_vectors=count), by=1.0)
    (path,) = TextualInversion.export(identity, base, "diffusers", tmp_path)
    pipeline = fresh.pipeline("text")
    if name == "sd15":
        pipeline.load_textual_inversion(str(path))
    else:
        rows = load_file(path)
        pipeline.load_textual_inversion(
            rows["clip_l"], token="sks", text_encoder=pipeline.text_encoder, tokenizer=pipeline.tokenizer
        )
        pipeline.load_textual_inversion(
            rows["clip_g"], token="sks", text_encoder=pipeline.text_encoder_2, tokenizer=pipeline.tokenizer_2
        )
    torch.testing.assert_close(predict(fresh), expected(TextualInversion, base, identity), rtol=0, atol=2e-5)


@pytest.mark.parametrize("text", [False, True])
def test_full(text, tmp_path):
    base = SDXL.tiny()
    identity = moved(Full, base, FullOptions(train_text_encoder=text), by=0.02)
    Full.export(identity, base, "diffusers", tmp_path / "whole")
    fresh = SDXL.load(SDXL.Options(weights=str(tmp_path / "whole")))
    torch.testing.assert_close(predict(fresh), expected(Full, base, identity), rtol=0, atol=1e-6)


def test_alpha_is_told_and_not_guessed(tmp_path):
    base, fresh = SDXL.tiny(), SDXL.tiny()
    identity = moved(LoRA, base, LORAS["alpha"])
    (path,) = LoRA.export(replace(identity, options={**identity.options, "alpha": 4.0}), base, "kohya", tmp_path)
    fresh.pipeline("text").load_lora_weights(path.parent, weight_name=path.name)
    assert (predict(fresh) - expected(LoRA, base, identity)).abs().max() > 1e-3
