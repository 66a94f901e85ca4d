"""Checkpoints that are whole are read exactly; all others are refused in words that say what to do."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ipseity.bases.parts.checkpoint import CheckpointOptions
from ipseity.bases.sd15 import SD15
from ipseity.bases.sdxl import SDXL
from ipseity.bases.toybox import Toybox
from ipseity.core.errors import WeightsError
from ipseity.core.weights import quiet
from tests.bases.original import original_form

UNET = "unet/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"


@pytest.fixture(scope="module", params=[SDXL, SD15])
def saved(request, tmp_path_factory):
    """A base and the folder that its stock pipeline was saved to."""
    base = request.param.tiny(seed=3)
    folder = tmp_path_factory.mktemp(base.name) / "checkpoint"
    with quiet():
        base.pipeline().save_pretrained(folder)
    return base, folder


@pytest.fixture(scope="module")
def sdxl_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "sdxl"
    with quiet():
        SDXL.tiny().pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(sdxl_folder, tmp_path):
    """A folder that a test may spoil."""
    return Path(shutil.copytree(sdxl_folder, tmp_path / "checkpoint"))


def load(folder, **options):
    return SDXL.load(SDXL.Options(weights=str(folder), **options))


def change(path, edit):
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, {"format": "pt"})


def configure(path, **values):
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **values}))


def same_weights(first, second):
    for name, part in first.parts().items():
        mine, theirs = part.state_dict(), second.parts()[name].state_dict()
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[key], theirs[key].to(mine[key].dtype)) for key in mine), name


def test_reads_what_the_stock_pipeline_saved(saved):
    base, folder = saved
    loaded = type(base).load(base.Options(weights=str(folder)))
    same_weights(base, loaded)
    assert loaded.path.prediction_type == base.path.prediction_type
    assert torch.equal(loaded.path.alphas_cumprod, base.path.alphas_cumprod)
    words = ["a photo of sks backpack"]
    assert torch.equal(loaded.encode_text(words).text, base.encode_text(words).text)


def test_fp16_files_are_held_in_one_format(copy, saved):
    base = SDXL.tiny()
    for part in base.parts().values():
        part.half()
    with quiet():
        base.pipeline().save_pretrained(copy)
    for dtype, wanted in (("auto", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        loaded = load(copy, dtype=dtype)
        assert {parameter.dtype for part in loaded.parts().values() for parameter in part.parameters()} == {wanted}
        assert loaded.dtype == wanted
    same_weights(base, load(copy, dtype="fp16"))


def test_variants_must_be_named(copy):
    with quiet():
        SDXL.tiny(seed=5).pipeline().save_pretrained(copy, variant="fp16")
    same_weights(SDXL.tiny(seed=5), load(copy, variant="fp16"))
    same_weights(SDXL.tiny(), load(copy))
    for plain in (copy / UNET, copy / TEXT):
        plain.unlink()
    with pytest.raises(WeightsError, match="variant = 'fp16'"):
        load(copy)


def test_fingerprint_changes_with_one_weight(copy):
    before = load(copy).fingerprint()
    assert load(copy).fingerprint() == before

    def nudge(tensors):
        tensors["conv_out.bias"][0] += 1e-4

    change(copy / UNET, nudge)
    assert load(copy).fingerprint() != before


def test_empty_prompt_follows_the_checkpoint(copy):
    assert load(copy).encode_text([""]).text.abs().max() == 0
    configure(copy / "model_index.json", force_zeros_for_empty_prompt=False)
    told = load(copy)
    assert told.encode_text([""]).text.abs().max() > 0
    assert told.pipeline().config.force_zeros_for_empty_prompt is False


def drop(tensors):
    tensors.pop("mid_block.resnets.0.conv1.weight")


def spoil(tensors):
    tensors["mid_block.resnets.0.conv1.weight"][0, 0] = float("nan")


def reshape(tensors):
    tensors["mid_block.resnets.0.conv1.weight"] = torch.zeros(3, 3)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda f: shutil.rmtree(f / "text_encoder_2"), "lacks text_encoder_2"),
        (lambda f: (f / "model_index.json").unlink(), "model_index.json"),
        (lambda f: (f / UNET).rename(f / "unet/diffusion_pytorch_model.bin"), "pickle"),
        (lambda f: (f / UNET).unlink(), "holds no weights"),
        (lambda f: (f / UNET).write_bytes((f / UNET).read_bytes()[:-1000]), "cut short"),
        (lambda f: (f / TEXT).write_bytes(b"hello"), "cut short"),
        (lambda f: change(f / UNET, drop), "mid_block.resnets.0.conv1.weight"),
        (lambda f: change(f / UNET, spoil), "NaN"),
        (lambda f: change(f / UNET, reshape), "cannot be loaded"),
        (lambda f: change(f / TEXT, lambda t: t.pop("final_layer_norm.weight")), "final_layer_norm.weight"),
        (lambda f: configure(f / "model_index.json", _class_name="StableDiffusionPipeline"), "base 'sd15'"),
        (lambda f: configure(f / "model_index.json", _class_name="FluxPipeline"), "No base of this house"),
        (lambda f: configure(f / "model_index.json", scheduler=["diffusers", "FluxPipeline"]), "scheduler"),
        (lambda f: configure(f / "model_index.json", vae=["diffusers", "AutoencoderTiny"]), "AutoencoderTiny"),
        (
            lambda f: configure(f / "scheduler/scheduler_config.json", prediction_type="flow_prediction"),
            "flow_prediction",
        ),
        (lambda f: configure(f / "vae/config.json", shift_factor=0.1), "shift_factor"),
        (
            lambda f: shutil.copytree(f / "text_encoder_2", f / "text_encoder", dirs_exist_ok=True),
            "attends to texts 80 wide",
        ),
    ],
)
def test_refuses_in_words(copy, edit, words):
    edit(copy)
    with pytest.raises(WeightsError) as caught:
        load(copy)
    refusal = caught.value
    assert words in str(refusal)
    assert all((refusal.found, refusal.needed, refusal.todo)), "three parts"
    assert len(str(refusal)) < 600


def test_refuses_an_sd15_folder_and_names_the_base_that_fits(tmp_path):
    with quiet():
        SD15.tiny().pipeline().save_pretrained(tmp_path / "other")
    with pytest.raises(WeightsError, match="Choose base 'sd15'"):
        load(tmp_path / "other")


def test_latent_moments_are_heeded_as_the_pipeline_heeds_them(copy):
    plain = load(copy)
    configure(copy / "vae/config.json", latents_mean=[0.1, -0.2, 0.3, 0.0], latents_std=[0.5, 1.0, 2.0, 1.5])
    moved = load(copy)
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    latents = moved.encode_image(pixels)
    assert not torch.allclose(latents, plain.encode_image(pixels), atol=1e-3)
    torch.testing.assert_close(moved.decode(latents), plain.decode(plain.encode_image(pixels)), atol=1e-4, rtol=1e-4)
    drawn = moved.pipeline()("", latents=latents, num_inference_steps=1, guidance_scale=1, output_type="latent").images
    picture = moved.pipeline()("", latents=latents, num_inference_steps=1, guidance_scale=1, output_type="pt").images
    torch.testing.assert_close((moved.decode(drawn) / 2 + 0.5).clamp(0, 1), picture, atol=1e-4, rtol=1e-4)


def test_the_hub_is_not_asked_without_leave(monkeypatch):
    import huggingface_hub

    asked = []
    real = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub,
        "snapshot_download",
        lambda *a, **k: (asked.append(k), real(*a, **{**k, "local_files_only": True}))[1],
    )
    with pytest.raises(WeightsError, match="download = true") as caught:
        SDXL.load(SDXL.Options())
    assert "OpenRAIL" in str(caught.value).replace(" ", "")
    assert asked[0]["local_files_only"] is True
    with pytest.raises(WeightsError, match="could not be fetched"):
        SDXL.load(SDXL.Options(download=True))
    assert asked[1]["local_files_only"] is False
    assert not any("ckpt" in pattern or ".bin" in pattern for pattern in asked[1]["allow_patterns"])


def test_single_files_of_other_kinds_are_told_apart(tmp_path):
    for name, tensors, words in (
        ("lora", {"lora_unet_down.lora_down.weight": torch.zeros(2)}, "a LoRA"),
        ("sd15", {SD15.layout.original_key: torch.zeros(2)}, "base 'sd15'"),
        ("part", {"conv_in.weight": torch.zeros(2)}, "not a checkpoint"),
    ):
        path = tmp_path / f"{name}.safetensors"
        save_file(tensors, path)
        with pytest.raises(WeightsError, match=words):
            load(path)


def test_a_single_file_without_configuration_says_what_is_missing(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({SDXL.layout.original_key: torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match="model_index.json"):
        load(path)


def test_auto_is_fp32_on_a_processor():
    assert CheckpointOptions(weights="x").torch_dtype(torch.device("cpu")) == torch.float32


def test_the_toybox_is_bundled():
    base = Toybox.load(Toybox.Options())
    assert (base.resolution, base.latent_channels, base.name, base.licence) == (128, 4, "toybox", "Apache-2.0")
    assert base.dtype == torch.float32 and base.layout is SDXL.layout
    assert len(base.tokenizers()["text_encoder"]("sks").input_ids) >= 3


def test_one_original_file_is_read_exactly(saved, tmp_path):
    """The file alone holds the weights, the folder beside it (without any) the configuration."""
    base, folder = saved
    path = tmp_path / "one.safetensors"
    save_file(original_form(base), path)
    shutil.copytree(folder, tmp_path / "one", ignore=shutil.ignore_patterns("*.safetensors"))
    loaded = type(base).load(base.Options(weights=str(path)))
    same_weights(base, loaded)
    assert loaded.resolution == base.resolution
    change(path, lambda tensors: next(iter(tensors.values())).add_(1e-3))
    assert type(base).load(base.Options(weights=str(path))).fingerprint() != loaded.fingerprint()
