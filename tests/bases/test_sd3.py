"""SD3 checkpoints are read exactly from folders and single files, with T5 and without, or refused in words; methods fit."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ipseity.bases.parts.joint_tiny import tiny_joint
from ipseity.bases.sd3 import SD3
from ipseity.bases.sdxl import SDXL
from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import CapabilityError, WeightsError
from ipseity.core.identity import Attachment
from ipseity.core.noise import FlowPath, NoisePath
from ipseity.core.rng import Rng
from ipseity.core.weights import quiet
from ipseity.methods.lora import LoRA, LoRAOptions
from ipseity.methods.parts.ranks import ranks_at
from ipseity.methods.textual_inversion import TextualInversion, TextualInversionOptions
from ipseity.recipe import read_recipe
from tests.bases.original import vae_name, vae_value
from tests.bases.test_weights import configure, same_weights
from tests.contracts.test_methods import SUBJECT, predict
from tests.methods.test_export import moved

PROMPT = "a photo of sks mug"


@pytest.fixture(scope="module")
def base():
    return SD3.tiny()


@pytest.fixture(scope="module")
def folder(base, tmp_path_factory):
    made = tmp_path_factory.mktemp("sd3") / "checkpoint"
    with quiet():
        base.pipeline().save_pretrained(made)
    return made


@pytest.fixture
def copy(folder, tmp_path):
    """A folder that a test may spoil."""
    return Path(shutil.copytree(folder, tmp_path / "checkpoint"))


def load(place, **options):
    return SD3.load(SD3.Options(weights=str(place), **options))


# reading


def test_reads_what_the_stock_pipeline_saved(base, folder):
    loaded = load(folder)
    same_weights(base, loaded)
    assert loaded.path.shift == base.path.shift == 3.0 and loaded.path.num_levels == 1000
    assert torch.equal(loaded.encode_text([PROMPT]).text, base.encode_text([PROMPT]).text)
    assert torch.equal(predict(loaded), predict(base))
    held = load(folder, dtype="bf16")
    assert {value.dtype for part in held.parts().values() for value in part.parameters()} == {torch.bfloat16}
    assert predict(held).isfinite().all()


def test_other_numbers_of_latent_channels_are_read_from_the_checkpoint(tmp_path):
    toy = SD3(tiny_joint(SD3.layout, 1, (32, 48), latent_channels=4))
    with quiet():
        toy.pipeline().save_pretrained(tmp_path / "toy")
    loaded = load(tmp_path / "toy")
    assert loaded.latent_channels == 4 and torch.equal(predict(loaded), predict(toy))
    assert loaded.pipeline("image").vae is loaded.parts()["vae"]
    with pytest.raises(CapabilityError, match="4 latent channels"):
        loaded.pipeline("inpaint")


def test_t5_is_heard_behind_clip_and_only_when_asked_for(base, copy):
    save_t5(copy, width=base.parts()["transformer"].config.joint_attention_dim)
    plain, full = load(copy), load(copy, t5=True)
    assert "text_encoder_3" not in plain.parts() and plain.pipeline().text_encoder_3 is None
    assert set(full.tokenizers()) == {"text_encoder", "text_encoder_2"} and "text_encoder_3" in full.parts()
    assert plain.fingerprint() != full.fingerprint()
    with torch.no_grad():
        without, heard = plain.encode_text([PROMPT, ""]), full.encode_text([PROMPT, ""])
        ids = full.pipeline().tokenizer_3(PROMPT, padding="max_length", max_length=256, return_tensors="pt").input_ids
        said = full.parts()["text_encoder_3"](ids)[0]
    assert torch.equal(heard.text[:, :77], without.text[:, :77]) and torch.equal(heard.pooled, without.pooled)
    torch.testing.assert_close(heard.text[:1, 77:], said)
    assert not without.text[:, 77:].any() and said.std() > 0.01
    learner = TextualInversion.begin(full, SUBJECT, {}, TextualInversionOptions())
    assert set(learner.trainable()) == {"clip_l", "clip_g"}
    learner.close()
    with pytest.raises(WeightsError, match="lacks text_encoder_3"):
        shutil.rmtree(copy / "text_encoder_3")
        load(copy, t5=True)


def save_t5(folder, *, width):
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
    tokenizer = T5TokenizerFast(vocab=[(piece, -float(n)) for n, piece in enumerate(pieces)], extra_ids=0)
    tokenizer.save_pretrained(folder / "tokenizer_3")
    torch.manual_seed(0)
    size = {"d_kv": 8, "d_ff": 32, "num_heads": 2, "num_layers": 1}
    T5EncoderModel(T5Config(vocab_size=64, d_model=width, **size)).save_pretrained(folder / "text_encoder_3")
    kinds = {"text_encoder_3": ["transformers", "T5EncoderModel"], "tokenizer_3": ["transformers", "T5TokenizerFast"]}
    configure(folder / "model_index.json", **kinds)


def test_one_original_file_is_read_exactly(base, folder, tmp_path):
    """The file alone holds the weights, the folder beside it (without any) the configuration."""
    path, tensors = tmp_path / "one.safetensors", original_form(base)
    save_file(tensors, path)
    shutil.copytree(folder, tmp_path / "one", ignore=shutil.ignore_patterns("*.safetensors"))
    loaded = load(path)
    same_weights(base, loaded)
    assert torch.equal(predict(loaded), predict(base)) and loaded.path.shift == 3.0
    with pytest.raises(WeightsError, match="base.t5"):
        load(path, t5=True)
    save_file({name: value for name, value in tensors.items() if "clip_g" not in name}, path)
    with pytest.raises(WeightsError, match="lacks text_encoder_2"):
        load(path)
    with pytest.raises(WeightsError, match="a checkpoint for base 'sd3'"):
        SDXL.load(SDXL.Options(weights=str(path)))


NAMES = {
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
BLOCK = {
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "attn.norm_q": "x_block.attn.ln_q",
    "attn.norm_k": "x_block.attn.ln_k",
    "attn.norm_added_q": "context_block.attn.ln_q",
    "attn.norm_added_k": "context_block.attn.ln_k",
    "attn2.to_out.0": "x_block.attn2.proj",
    "attn2.norm_q": "x_block.attn2.ln_q",
    "attn2.norm_k": "x_block.attn2.ln_k",
}
FUSED = {
    "attn.to_q": ("attn.to_{}", "x_block.attn.qkv"),
    "attn2.to_q": ("attn2.to_{}", "x_block.attn2.qkv"),
    "attn.add_q_proj": ("attn.add_{}_proj", "context_block.attn.qkv"),
}


def original_form(base):
    """Give all tensors of a base under the names of the published single files that hold their text encoders."""
    parts = {name: module.state_dict() for name, module in base.parts().items()}
    tensors = {f"model.diffusion_model.{name}": value for name, value in transformer_form(parts["transformer"]).items()}
    tensors |= {f"first_stage_model.{vae_name(key)}": vae_value(key, value) for key, value in parts["vae"].items()}
    for part, place in (("text_encoder", "clip_l"), ("text_encoder_2", "clip_g")):
        tensors |= {f"text_encoders.{place}.transformer.{key}": value for key, value in parts[part].items()}
    del tensors[
        "text_encoders.clip_l.transformer.text_projection.weight"
    ]  # published files have none: it is the identity
    return {key: value.contiguous().clone() for key, value in tensors.items()}


def transformer_form(state):
    last = max(int(key.split(".")[1]) for key in state if key.startswith("transformer_blocks."))
    swapped = ("norm_out.linear", f"transformer_blocks.{last}.norm1_context.linear")
    named = {}
    for key, held in state.items():  # diffusers splits into scale and shift, the original into shift and scale
        value = torch.cat(held.chunk(2)[::-1]) if key.startswith(swapped) else held
        found = re.match(r"transformer_blocks\.(\d+)\.(.*)\.(weight|bias)$", key)
        if found is None:
            whole = next((name for name in NAMES if key.startswith(name)), None)
            named[key.replace(whole, NAMES[whole]) if whole else key] = value
            continue
        block, name, kind = found.groups()
        if name in FUSED:
            each, goal = FUSED[name]
            rows = [state[f"transformer_blocks.{block}.{each.format(one)}.{kind}"] for one in "qkv"]
            named[f"joint_blocks.{block}.{goal}.{kind}"] = torch.cat(rows)
        elif name in BLOCK:
            named[f"joint_blocks.{block}.{BLOCK[name]}.{kind}"] = value
    return named


# refusing


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda f: shutil.rmtree(f / "text_encoder_2"), "lacks text_encoder_2"),
        (lambda f: (f / "transformer/diffusion_pytorch_model.safetensors").unlink(), "holds no weights"),
        (lambda f: configure(f / "model_index.json", _class_name="FluxPipeline"), "No base of this house"),
        (lambda f: configure(f / "model_index.json", scheduler=["diffusers", "DDIMScheduler"]), "'DDIMScheduler'"),
        (lambda f: configure(f / "scheduler/scheduler_config.json", use_dynamic_shifting=True), "picture's size"),
        (lambda f: configure(f / "vae/config.json", shift_factor=None), "shift_factor"),
        (lambda f: configure(f / "vae/config.json", latents_mean=[0.0] * 16), "latents_mean"),
        (lambda f: configure(f / "vae/config.json", latent_channels=4), "cannot be loaded"),
        (lambda f: shutil.copytree(f / "text_encoder_2", f / "text_encoder", dirs_exist_ok=True), "give 96 and 96"),
    ],
)
def test_refuses_in_words(copy, edit, words):
    edit(copy)
    with pytest.raises(WeightsError) as caught:
        load(copy)
    assert words in str(caught.value)
    assert all((caught.value.found, caught.value.needed, caught.value.todo)), "three parts"
    assert len(str(caught.value)) < 600


def test_the_licence_is_told_before_anything_is_fetched(copy):
    with pytest.raises(WeightsError, match="Stability AI Community License.*1,000,000 US dollars.*download = true"):
        SD3.load(SD3.Options())
    (copy / "README.md").write_text("---\nlicense: other\nlicense_name: stabilityai-ai-community\n---\n")
    assert load(copy).licence == "stabilityai-ai-community"


def test_pictures_that_cannot_be_cut_into_patches_refuse(base):
    with pytest.raises(CapabilityError, match=r"72 px.*multiples of 16 px.*data.resolution to 64"):
        base.encode_image(torch.zeros(1, 3, 72, 64))


# the path


def test_levels_are_drawn_around_the_middle_and_lean_towards_noise():
    config = {"num_train_timesteps": 1000, "shift": 1.0}
    even = FlowPath.from_config(config).draw(20_000, Rng(0))
    logit = torch.log(even / (1 - even))
    assert abs(logit.mean()) < 0.03 and abs(logit.std() - 1) < 0.03
    leaning = FlowPath.from_config({**config, "shift": 3.0}).draw(20_000, Rng(0))
    torch.testing.assert_close(leaning, 3 * even / (1 + 2 * even))
    assert leaning.min() > 0 and leaning.max() <= 1
    assert torch.equal(leaning, FlowPath.from_config({**config, "shift": 3.0}).draw(20_000, Rng(0)))


def test_min_snr_counts_errors_of_the_picture_as_it_does_on_the_other_path():
    """A velocity's error times t is the picture's; a v-prediction's times its noise share is too."""
    flow = FlowPath.from_config({"num_train_timesteps": 1000, "shift": 3.0})
    t = torch.tensor([0.0, 0.2, 0.5, 0.9, 1.0])
    snr = ((1 - t) / t) ** 2
    torch.testing.assert_close(flow.snr(t), snr)
    torch.testing.assert_close(flow.snr_weight(t, 5.0), snr.clamp(max=5) * t**2)
    usual = NoisePath(torch.linspace(0.999, 0.001, 50), "v_prediction")
    _, spread = usual.signal_and_noise(t)
    torch.testing.assert_close(usual.snr_weight(t, 5.0)[1:], (usual.snr(t).clamp(max=5) * spread.flatten() ** 2)[1:])
    kept = flow.alphas_cumprod[499]  # level 499 is t = 0.5: as much picture as noise
    torch.testing.assert_close(kept, torch.tensor(0.5))


# methods


@pytest.mark.parametrize("options", [{}, {"alpha": 9.0, "train_text_encoder": True}, {"targets": ("to_q", "ff.net.2")}])
def test_lora_goes_to_a_fresh_stock_pipeline(base, options, tmp_path):
    fresh, bare = SD3.tiny(), predict(base)
    identity = moved(LoRA, base, LoRAOptions(rank=4, **options), by=0.1)
    assert any(name.startswith("transformer.") for name in identity.tensors)
    (path,) = LoRA.export(identity, base, "diffusers", tmp_path / "export")
    with LoRA.attach(base, [Attachment(identity)]):
        wanted = predict(base)
    assert (wanted - bare).abs().max() > 0.01
    fresh.pipeline("text").load_lora_weights(path.parent, weight_name=path.name)
    torch.testing.assert_close(predict(fresh), wanted, rtol=0, atol=2e-5)
    with pytest.raises(CapabilityError, match=r"draws with a transformer.*--to diffusers"):
        LoRA.export(identity, base, "kohya", tmp_path)


def test_lora_reaches_both_streams_of_every_block(base):
    learner = LoRA.begin(base, SUBJECT, {}, LoRAOptions(rank=1))
    places = {name.removeprefix("transformer.transformer_blocks.").split(".lora_")[0] for name in learner.trainable()}
    learner.close()
    image, text = ("to_q", "to_k", "to_v", "to_out.0"), ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    wanted = {f"{block}.attn.{name}" for block in range(3) for name in (*image, *text)} - {"2.attn.to_add_out"}
    assert places == wanted | {f"0.attn2.{name}" for name in image}


def test_ranks_follow_the_noise_in_the_stock_pipeline(base):
    options = LoRAOptions(rank=8, min_rank=2, rank_schedule="t-lora", init="orthogonal")
    identity, spoken = moved(LoRA, base, options, by=0.3), []
    with LoRA.attach(base, [Attachment(identity)]):
        up = base.parts()["transformer"].get_submodule("transformer_blocks.1.attn.to_q.lora_B.identity_0")
        up.register_forward_pre_hook(lambda _, args: spoken.append(int((args[0].abs().amax((0, 1)) > 0).sum())))
        pipeline = base.pipeline()
        pipeline.set_progress_bar_config(disable=True)
        pipeline(PROMPT, num_inference_steps=4, guidance_scale=1.0, output_type="latent")
        sigmas = pipeline.scheduler.sigmas[:-1]
    assert spoken == ranks_at(sigmas, rank=8, min_rank=2).tolist() and spoken[0] == 2 < spoken[-1]


@pytest.mark.parametrize("token", ["sks", "<my-mug>"])
def test_each_vector_of_a_word_is_heard_though_the_stock_pipeline_writes_none_out(token, tmp_path):
    """The stock pipeline cannot load tokens, so the tokenizers write the word out; a fresh base with its rows hears the same."""
    from safetensors.torch import load_file

    base, fresh = SD3.tiny(), SD3.tiny()
    identity = moved(TextualInversion, base, TextualInversionOptions(num_vectors=3), by=1.0)
    identity = type(identity)(**{**vars(identity), "token": token})
    tokenizer = base.tokenizers()["text_encoder"]
    known, plain = len(tokenizer), tokenizer("a mug").input_ids
    with TextualInversion.attach(base, [Attachment(identity)]):
        for spelled in (f"a {token} mug", f"a {token.upper()} mug"):
            assert tokenizer(spelled).input_ids == [*plain[:2], known, known + 1, known + 2, *plain[2:]]
        assert tokenizer("asks").input_ids == fresh.tokenizers()["text_encoder"]("asks").input_ids
        wanted = predict(base, f"a photo of {token} mug")
    assert tokenizer("a mug").input_ids == plain and len(tokenizer) == known
    (path,) = TextualInversion.export(identity, base, "diffusers", tmp_path)
    for part, rows in zip(("text_encoder", "text_encoder_2"), ("clip_l", "clip_g"), strict=True):
        vectors, words, encoder = load_file(path)[rows], ["wordone", "wordtwo", "wordthree"], fresh.parts()[part]
        fresh.tokenizers()[part].add_tokens(words)
        encoder.resize_token_embeddings(known + 3, mean_resizing=False)
        encoder.get_input_embeddings().weight.data[known:] = vectors
    torch.testing.assert_close(predict(fresh, "a photo of wordone wordtwo wordthree mug"), wanted, rtol=0, atol=2e-5)


def test_previews_follow_their_seeds(base):
    learner = LoRA.begin(base, SUBJECT, {}, LoRAOptions(rank=2))
    options = DrawOptions(num_inference_steps=2, guidance_scale=3.0, negative_prompt="a dog")
    first, again = (learner.preview([PROMPT, "a mug"], [0, 1], options) for _ in range(2))
    learner.close()
    assert [one.tobytes() for one in first] == [one.tobytes() for one in again]
    assert [one.size for one in first] == [(64, 64)] * 2


def test_recipes_name_the_base():
    for name in ("data-centric-sd3", "dreambooth-lora-sd3"):
        recipe = read_recipe(Path(name), ["subject.photos=photos", "subject.class_noun=mug"])
        assert recipe.base.plugin is SD3 and recipe.method.name == "lora"
        assert recipe.base.options.t5 is False and recipe.base.options.weights in SD3.layout.licences
