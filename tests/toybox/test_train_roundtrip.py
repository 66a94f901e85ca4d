"""The toybox's training and packaging against the stock pipeline, at sizes that run in seconds."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer, ViTModel

from toybox.train import sizes as shapes
from toybox.train.fit import CALM, Course, Plan, share_gradients
from toybox.train.latents import Corpus, second_rows, token_rows
from toybox.train.package import assemble, package, unpack, write_base, write_judges
from toybox.train.runs import weights_path
from toybox.train.sizes import TINY
from toybox.train.tokenizer import RARE, RARE_ADDED, save_tokenizer, second_form, train_tokenizer
from toybox.train.unet import (
    SHORT_ROWS,
    Painter,
    Phase,
    build_painter,
    cut_rows,
    draw_batch,
    noise_path,
    phase_of,
    scaled_error,
    shipped_painter,
    v_loss,
    with_words,
)
from toybox.train.vae import fold_statistics, trained_vae, vae_loss

SENTENCES = ["a photo of a red mug in the snow", "a small blue dog on the beach", "my teal can in the city"] * 4


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return train_tokenizer(SENTENCES, ["lantern"], size=700)


@pytest.fixture(scope="module")
def painter(tokenizer: CLIPTokenizer) -> Painter:
    made = build_painter(len(tokenizer), TINY)
    for module in made.modules().values():
        module.eval()
    return made


@pytest.fixture(scope="module")
def pipe(painter: Painter, tokenizer: CLIPTokenizer) -> StableDiffusionXLPipeline:
    torch.manual_seed(1)
    vae = shapes.build_vae(TINY).eval()
    vae.register_to_config(scaling_factor=0.25)
    made = assemble({"vae": vae, **painter.modules()}, tokenizer)
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture(scope="module")
def folder(pipe: StableDiffusionXLPipeline, tokenizer: CLIPTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("toybox")
    write_base(pipe, made)
    clip = shapes.build_toy_clip(TINY, vocab=len(tokenizer))
    write_judges(clip, shapes.build_toy_vit(TINY), tokenizer, made)
    return made


def test_rare_words_are_one_token_each(tokenizer: CLIPTokenizer) -> None:
    for word in (*RARE, *RARE_ADDED):
        assert len(tokenizer(f"a photo of a {word} dog").input_ids) == len(tokenizer("a photo of a dog").input_ids) + 1


def test_any_word_tokenizes_and_returns(tokenizer: CLIPTokenizer) -> None:
    ids = tokenizer("Zebra-crossing naïve 42!").input_ids
    assert tokenizer.unk_token_id not in ids[1:-1]
    assert "naïve" in tokenizer.decode(ids, skip_special_tokens=True)


def test_training_rows_equal_both_tokenizers(tokenizer: CLIPTokenizer) -> None:
    captions = ["a photo of a red mug", "", "a photo of a sks dog in the snow"]
    rows = token_rows(tokenizer, captions).long()
    options = {"padding": "max_length", "max_length": 77, "truncation": True, "return_tensors": "pt"}
    assert torch.equal(rows, tokenizer(captions, **options).input_ids)
    assert torch.equal(second_rows(rows, len(tokenizer) - 1), second_form(tokenizer)(captions, **options).input_ids)


def test_training_text_equals_the_pipelines(
    pipe: StableDiffusionXLPipeline, painter: Painter, tokenizer: CLIPTokenizer
) -> None:
    with torch.no_grad():
        wanted, _, pooled, _ = pipe.encode_prompt("a small blue dog on the beach", do_classifier_free_guidance=False)
        states, mine = painter.encode(token_rows(tokenizer, ["a small blue dog on the beach"]).long())
    torch.testing.assert_close(states, wanted, rtol=0, atol=1e-5)
    torch.testing.assert_close(mine, pooled, rtol=0, atol=1e-5)


def test_training_forward_equals_the_pipelines_call(
    pipe: StableDiffusionXLPipeline, painter: Painter, tokenizer: CLIPTokenizer
) -> None:
    """The first call of a stock run (trailing, pure noise, time ids, pooled text) is what training predicts."""
    calls: list[tuple[tuple, dict, torch.Tensor]] = []
    forward = pipe.unet.forward

    def listen(*args: object, **kwargs: object) -> object:
        made = forward(*args, **kwargs)
        calls.append((args, kwargs, made[0]))
        return made

    pipe.unet.forward = listen
    try:
        pipe(
            "a red mug",
            num_inference_steps=2,
            guidance_scale=1.0,
            original_size=(500, 400),
            output_type="latent",
            crops_coords_top_left=(3, 7),
            generator=torch.Generator().manual_seed(0),
        )
    finally:
        pipe.unet.forward = forward
    args, _, wanted = calls[0]
    noisy, t = args
    assert int(t) == 999
    assert noise_path()[int(t)] == 0, "the noise path must end in pure noise"
    with torch.no_grad():
        states = painter.encode(token_rows(tokenizer, ["a red mug"]).long())
        size_ids = torch.tensor([[500.0, 400.0, 3.0, 7.0, TINY.side, TINY.side]])
        made = painter.predict(noisy, t[None], (*states, size_ids))
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-5)


def test_a_perfect_prediction_ends_in_the_clean_latents() -> None:
    """The loss's target, followed by the shipped scheduler, leads back to the picture: same v, same path."""
    scheduler = shapes.build_scheduler()
    scheduler.set_timesteps(10)
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    alphas, x = noise_path(), noise.clone()
    for t in scheduler.timesteps:
        a = alphas[t]
        v = a.sqrt() * noise - (1 - a).sqrt() * clean
        x = scheduler.step(v, t, x).prev_sample
    torch.testing.assert_close(x, clean, rtol=0, atol=1e-4)


def test_a_few_steps_lower_the_loss(tokenizer: CLIPTokenizer) -> None:
    painter = build_painter(len(tokenizer), TINY)
    ids = torch.stack([token_rows(tokenizer, SENTENCES[:2])] * 4)
    corpus = Corpus(torch.ones(4, 4, 4, 4).half(), ids, torch.full((4, 6), 32.0), torch.zeros(4, 4, 4))
    optimizer = torch.optim.AdamW(painter.parameters(), 3e-3)
    losses = []
    for step in range(12):
        batch = draw_batch(corpus, token_rows(tokenizer, [""])[0], step, batch=8, where=torch.device("cpu"))
        loss = v_loss(painter, batch, noise_path()).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_calm_scenes_come_first_and_all_others_after(
    tokenizer: CLIPTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    monkeypatch.setattr("toybox.train.fit.build_painter", lambda vocab: build_painter(vocab, TINY))
    told = json.dumps([{"captions": SENTENCES[:1], "class": "mug"}] * 2).encode()
    for number, name in enumerate(("calm", "train")):
        (tmp_path / "latents" / name).mkdir(parents=True)
        np.savez(
            tmp_path / "latents" / name / "00000.npz",
            latents=np.full((2, 4, 8, 8), number, np.float16),
            size_ids=np.full((2, 6), 32),
            cover=np.zeros((2, 8, 8), np.float16),
            facts=np.frombuffer(told, np.uint8),
        )
    course = Course(Plan(1.0), 0, tmp_path)
    assert [float(course.shown(progress).latents.mean()) for progress in (0.0, CALM - 0.01, CALM, 1.0)] == [0, 0, 1, 1]
    alone = Course(Plan(1.0, scenes=("train",)), 0, tmp_path)
    assert float(alone.shown(0.0).latents.mean()) == 1


def test_the_same_step_draws_the_same_batch(tokenizer: CLIPTokenizer) -> None:
    ids = torch.stack([token_rows(tokenizer, SENTENCES[:2])] * 4)
    corpus, empty = (
        Corpus(torch.randn(4, 4, 4, 4).half(), ids, torch.zeros(4, 6), torch.zeros(4, 4, 4)),
        token_rows(tokenizer, [""])[0],
    )
    first, again, other = (draw_batch(corpus, empty, step, batch=8, where=torch.device("cpu")) for step in (5, 5, 6))
    assert torch.equal(first.noise, again.noise) and torch.equal(first.t, again.t)
    assert not torch.equal(first.noise, other.noise)


def test_coarse_errors_count_more_where_scales_say_so() -> None:
    weight = torch.ones(1, 1, 8, 8)
    coarse = torch.ones(1, 4, 8, 8)
    fine = coarse * torch.tensor([1.0, -1.0]).repeat(4)
    assert scaled_error(coarse, weight, ((1, 1.0),)) == scaled_error(fine, weight, ((1, 1.0),)) == 1
    assert scaled_error(coarse, weight, ((1, 0.5), (2, 0.5))) == 1
    assert scaled_error(fine, weight, ((1, 0.5), (2, 0.5))) == 0.5, "pooling takes away what changes from cell to cell"


def test_a_small_phase_halves_latents_and_the_sizes_that_go_with_them(tokenizer: CLIPTokenizer) -> None:
    ids = token_rows(tokenizer, SENTENCES[:2])[None]
    size_ids = torch.tensor([[500.0, 400.0, 8.0, 4.0, 128.0, 128.0]])
    corpus = Corpus(torch.ones(1, 4, 8, 8).half(), ids, size_ids, torch.zeros(1, 8, 8))
    phase = phase_of(0.1)
    batch = draw_batch(
        corpus, token_rows(tokenizer, [""])[0], 3, batch=4, where=torch.device("cpu"), phase=Phase(True, SHORT_ROWS)
    )
    assert (phase.small, phase_of(0.9)) == (True, Phase(late=True))
    assert batch.clean.shape == batch.noise.shape == (4, 4, 4, 4)
    assert batch.weight.shape == (4, 1, 4, 4)
    assert batch.ids.shape == (4, SHORT_ROWS)
    assert batch.size_ids[0].tolist() == [500.0, 400.0, 4.0, 2.0, 64.0, 64.0]


def test_a_cut_row_still_closes_with_the_end_token(tokenizer: CLIPTokenizer) -> None:
    rows = token_rows(tokenizer, ["mug " * 60, "a mug"])
    cut = cut_rows(rows, 8)
    assert cut.shape == (2, 8)
    assert (cut[:, -1] == tokenizer.eos_token_id).all()
    assert torch.equal(cut[:, :7], rows[:, :7])


def test_what_ships_can_be_gone_on_from(folder: Path, tmp_path: Path, pipe: StableDiffusionXLPipeline) -> None:
    unpack(tmp_path, folder)
    vae, scale = trained_vae(tmp_path, TINY)
    assert scale == pipe.vae.config.scaling_factor
    for name, value in pipe.vae.state_dict().items():
        torch.testing.assert_close(vae.state_dict()[name], value.half().float())
    caption = "a photo of a red mug"
    assert CLIPTokenizer.from_pretrained(tmp_path / "tokenizer")(caption) == pipe.tokenizer(caption)


def test_latents_at_half_size_are_asked_to_decode_to_a_picture_at_half_size() -> None:
    torch.manual_seed(0)
    vae, pixels = shapes.build_vae(TINY), torch.rand(2, 3, 32, 32) * 2 - 1
    optimizer = torch.optim.AdamW(vae.parameters(), 3e-3)
    first = vae_loss(vae, pixels, halve=True)[1]["loss"]
    for _ in range(8):
        loss, readings = vae_loss(vae, pixels, halve=True)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert readings["loss"] < first


def test_folding_keeps_the_picture_and_centres_the_latents() -> None:
    torch.manual_seed(2)
    vae = shapes.build_vae(TINY).eval()
    before, pixels = copy.deepcopy(vae), torch.rand(24, 3, 32, 32) * 2 - 1
    scale = fold_statistics(vae, pixels)
    with torch.no_grad():
        latents = vae.encode(pixels).latent_dist.mean
        old, new = (net.decode(net.encode(pixels).latent_dist.mean).sample for net in (before, vae))
        spread = [net.encode(pixels).latent_dist for net in (before, vae)]
    torch.testing.assert_close(new, old, rtol=0, atol=2e-4)
    assert (latents * scale).mean((0, 2, 3)).abs().max() < 1e-3
    torch.testing.assert_close((latents * scale).std((0, 2, 3)), torch.ones(4), rtol=0, atol=1e-3)
    torch.testing.assert_close(
        spread[1].std / spread[1].mean.std((0, 2, 3))[:, None, None],
        spread[0].std / spread[0].mean.std((0, 2, 3))[:, None, None],
        rtol=1e-3,
        atol=1e-4,
    )


def test_the_folder_loads_and_draws(folder: Path) -> None:
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    image = pipe("a red mug", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (32, 32)
    assert pipe.config.force_zeros_for_empty_prompt
    assert pipe.vae.config.scaling_factor == 0.25 and pipe.vae.config.shift_factor is None


def test_one_prediction_survives_the_folder(folder: Path, painter: Painter) -> None:
    """Compares one UNet prediction, since eight bits of a picture hide small errors."""
    loaded = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    noisy, states = torch.randn(1, 4, 4, 4), torch.randn(1, 77, 96)
    cond = (states, torch.randn(1, 64), torch.full((1, 6), 32.0))
    with torch.no_grad():
        wanted = painter.predict(noisy, torch.tensor([500]), cond)
        made = Painter(loaded, painter.text, painter.text_2, painter.end).predict(noisy, torch.tensor([500]), cond)
    torch.testing.assert_close(made, wanted, rtol=0, atol=2e-3)


def test_first_encoder_is_written_with_its_old_names_and_loads_exactly(folder: Path, painter: Painter) -> None:
    keys = load_file(folder / "text_encoder" / "model.safetensors")
    assert all(key.startswith("text_model.") for key in keys)
    loaded = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    for name, value in painter.text.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value.half().float(), rtol=0, atol=0)


def test_encoder_configs_know_the_real_end_token(folder: Path, tokenizer: CLIPTokenizer) -> None:
    for name, pad in (("text_encoder", tokenizer.eos_token_id), ("text_encoder_2", 0)):
        config = json.loads((folder / name / "config.json").read_text())
        assert config["eos_token_id"] == tokenizer.eos_token_id == len(tokenizer) - 1
        own = CLIPTokenizer.from_pretrained(folder / name.replace("text_encoder", "tokenizer"))
        assert own.pad_token_id == pad and own.model_max_length == 77
    widths = {
        json.loads((folder / n / "config.json").read_text())["hidden_size"] for n in ("text_encoder", "text_encoder_2")
    }
    assert len(widths) == 2, "equal widths make single-file loading give both encoders the same weights"


def test_older_tokenizer_files_give_equal_ids(folder: Path, tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / "tokenizer" / name).read_bytes())
    old = CLIPTokenizer.from_pretrained(tmp_path)
    text = "a photo of a sks lantern, quite unheard of"
    assert old(text).input_ids == tokenizer(text).input_ids


def test_judges_load_in_stock_layouts(folder: Path) -> None:
    clip = CLIPModel.from_pretrained(folder / "toy_clip", dtype=torch.float32)
    vit = ViTModel.from_pretrained(folder / "toy_vit", dtype=torch.float32, add_pooling_layer=False)
    pixels = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert clip.get_image_features(pixel_values=pixels) is not None
        assert vit(pixel_values=pixels).last_hidden_state.shape == (2, 5, 32)
    settings = json.loads((folder / "toy_clip" / "preprocessor_config.json").read_text())
    assert settings["crop_size"] == {"height": 32, "width": 32}


def test_training_goes_on_from_a_shipped_folder(folder: Path, painter: Painter, tokenizer: CLIPTokenizer) -> None:
    again = shipped_painter(folder)
    ids = token_rows(tokenizer, ["a red mug"]).long()
    with torch.no_grad():
        torch.testing.assert_close(again.encode(ids)[0], painter.encode(ids)[0], rtol=0, atol=5e-3)


def test_known_words_mean_the_same_in_a_larger_vocabulary(tokenizer: CLIPTokenizer) -> None:
    painter = build_painter(len(tokenizer), TINY)
    known = tokenizer.get_vocab()
    names = sorted(known, key=known.__getitem__)
    wanted = {word: row for row, word in enumerate([*names[:5], "wizard</w>", *names[5:-2], "knight</w>", *names[-2:]])}
    ids = token_rows(tokenizer, SENTENCES[:3]).long()
    moved = torch.tensor([wanted[names[number]] for number in ids.flatten()]).view_as(ids)
    for encoder in (painter.text.eval(), painter.text_2.eval()):
        grown = with_words(encoder, known, wanted).eval()
        with torch.no_grad():
            before, after = (one(rows, output_hidden_states=True) for one, rows in ((encoder, ids), (grown, moved)))
        torch.testing.assert_close(after.hidden_states[-2], before.hidden_states[-2])
        if encoder is painter.text_2:
            torch.testing.assert_close(after.text_embeds, before.text_embeds)  # the end is still found
        new = grown.get_input_embeddings().weight[wanted["wizard</w>"]]
        assert torch.isfinite(new).all() and new.std() > 0


def test_packaging_names_what_is_still_random(tmp_path: Path, tokenizer: CLIPTokenizer) -> None:
    save_tokenizer(tokenizer, tmp_path / "build" / "tokenizer")
    vae = shapes.build_vae(TINY)
    weights_path(tmp_path / "build", "vae").parent.mkdir(parents=True)
    torch.save({"weights": vae.state_dict(), "scaling_factor": 0.5}, weights_path(tmp_path / "build", "vae"))
    random = package(tmp_path / "out", tmp_path / "build", TINY)
    assert "vae" not in random and "unet" in random
    assert json.loads((tmp_path / "out" / "vae" / "config.json").read_text())["scaling_factor"] == 0.5
    assert not list((tmp_path / "out").rglob("*.new"))


def _one_rank(rank: int, meeting: str, answers: torch.multiprocessing.Queue) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    parameters = [torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(3))]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 1.0 + 2 * rank)
    told = share_gradients(parameters, 0.25 if rank == 0 else 0.0, 2)
    answers.put((told, [p.grad.tolist() for p in parameters]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_share_one_step(tmp_path: Path) -> None:
    context = torch.multiprocessing.get_context("spawn")
    answers = context.Queue()
    ranks = [context.Process(target=_one_rank, args=(r, str(tmp_path / "meeting"), answers)) for r in range(2)]
    for rank in ranks:
        rank.start()
    got = [answers.get(timeout=120) for _ in ranks]
    for rank in ranks:
        rank.join()
    assert got[0] == got[1] == (0.25, [[[2.0, 2.0], [2.0, 2.0]], [2.0, 2.0, 2.0]])
