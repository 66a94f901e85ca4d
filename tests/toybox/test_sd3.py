"""The toybox's SD3-layout training against the stock pipeline and the base that reads what it leaves, at sizes of seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from transformers import CLIPTokenizer

from ipseity.bases.sd3 import SD3
from ipseity.core.weights import quiet
from toybox.train import runs
from toybox.train import sizes as shapes
from toybox.train.latents import Corpus, token_rows
from toybox.train.package import assemble, write_base
from toybox.train.sd3 import (
    JOINT,
    TINY_JOINT,
    JointPainter,
    JointPlan,
    assemble_joint,
    build_joint,
    build_transformer,
    draw_flow,
    draw_levels,
    flow_loss,
    optimized,
    package_joint,
    train_joint,
)
from toybox.train.sizes import TINY
from toybox.train.tokenizer import train_tokenizer
from toybox.train.unet import build_painter

SENTENCES = ["a photo of a red mug in the snow", "a small blue dog on the beach", "my teal can in the city"] * 4
HERE = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shipped folder in miniature, with random weights."""
    made, tokenizer = tmp_path_factory.mktemp("shipped"), train_tokenizer(SENTENCES, ["lantern"], size=700)
    painter = build_painter(len(tokenizer), TINY)
    vae = shapes.build_vae(TINY)
    vae.register_to_config(scaling_factor=0.25)
    with quiet():
        write_base(assemble({"vae": vae, **painter.modules()}, tokenizer), made)
    return made


@pytest.fixture
def painter(folder: Path) -> JointPainter:
    made = build_joint(folder, TINY_JOINT)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # away from the silence that it starts in
        for parameter in made.transformer.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.05)
    return made


def corpus_of(tokenizer: CLIPTokenizer, count: int = 4) -> Corpus:
    ids = torch.stack([token_rows(tokenizer, SENTENCES[:2])] * count)
    latents = torch.randn(count, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return Corpus(latents.half(), ids, torch.full((count, 6), 32.0), torch.zeros(count, 8, 8).half())


def test_the_size_is_what_the_card_will_say() -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in build_transformer((192, 256), JOINT).parameters())
    assert 8e6 < count < 12e6


def test_training_forward_equals_the_pipelines_call(painter: JointPainter, folder: Path) -> None:
    """One place of zeros that counts 256 times is what the stock pipeline's 256 places are."""
    ids = token_rows(CLIPTokenizer.from_pretrained(folder / "tokenizer"), ["a red mug"]).long()
    noisy, t = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([0.7])
    with torch.no_grad():
        states, pooled = painter.encode(ids)
        made = painter.predict(noisy, t, (states, pooled))
        pipe = assemble_joint(painter, folder)
        wanted_states, _, wanted_pooled, _ = pipe.encode_prompt(
            "a red mug", None, None, do_classifier_free_guidance=False
        )
        wanted = pipe.transformer(noisy, wanted_states, wanted_pooled, t * 1000, return_dict=False)[0]
        one = pipe.transformer(noisy, states, pooled, t * 1000, return_dict=False)[0]
    assert states.shape[1] == 78 and wanted_states.shape[1] == 77 + 256 and not wanted_states[:, 77:].any()
    torch.testing.assert_close(states[:, :77], wanted_states[:, :77], rtol=0, atol=1e-5)
    torch.testing.assert_close(pooled, wanted_pooled, rtol=0, atol=1e-5)
    torch.testing.assert_close(made, wanted, rtol=0, atol=2e-5)
    assert (one - wanted).abs().max() > 1e-3, "the tail's count makes no difference: the comparison says nothing"


def test_a_few_steps_lower_the_loss_and_leave_the_texts_alone(folder: Path) -> None:
    painter, tokenizer = build_joint(folder, TINY_JOINT), CLIPTokenizer.from_pretrained(folder / "tokenizer")
    before = {name: value.clone() for name, value in painter.text.state_dict().items()}
    empty = token_rows(tokenizer, [""])[0]
    batch = draw_flow(corpus_of(tokenizer), empty, 0, batch=8, where=HERE, tokens=16)
    optimizer = torch.optim.AdamW(painter.transformer.parameters(), 3e-3)
    losses = []
    for _ in range(16):
        loss = flow_loss(painter, batch).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    expected = ((batch.noise - batch.clean).pow(2) * batch.weight).mean().item()
    assert losses[0] == pytest.approx(expected, rel=1e-5), "it starts in silence"
    assert losses[-1] < 0.8 * losses[0]
    assert all(torch.equal(value, before[name]) for name, value in painter.text.state_dict().items())


def test_batches_follow_the_step_and_drop_captions_as_the_pipeline_does(folder: Path) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    corpus, empty = corpus_of(tokenizer), token_rows(tokenizer, [""])[0]
    first, again, other = (draw_flow(corpus, empty, n, batch=400, where=HERE, tokens=16) for n in (5, 5, 6))
    assert torch.equal(first.t, again.t) and torch.equal(first.noise, again.noise)
    assert not torch.equal(first.t, other.t)
    nothing = (first.ids == empty[:16].long()).all(1)
    assert 0.06 < nothing.float().mean() < 0.15, "a tenth hears nothing, all of it as the empty caption"
    t = draw_levels(np.random.default_rng(0), 20_000)
    assert t.median().item() == pytest.approx(0.75, abs=0.01) and t.min() > 0 and t.max() < 1


def test_only_blocks_have_matrices_for_muon() -> None:
    transformer = build_transformer((32, 64), TINY_JOINT)
    parts = optimized(transformer)
    mine = [id(p) for part in parts for p in part.parameters()]
    assert sorted(mine) == sorted(id(p) for p in transformer.parameters())
    assert all(name.startswith("embeddings.") for name, _ in parts[1].named_parameters())


def test_a_run_saves_goes_on_and_is_read_by_the_base(folder: Path, tmp_path: Path) -> None:
    facts = [{"class": "mug", "captions": SENTENCES[:2]}] * 4
    goal = tmp_path / "latents" / "train" / "0000.npz"
    goal.parent.mkdir(parents=True)
    latents = np.random.default_rng(0).standard_normal((4, 4, 8, 8)).astype(np.float16)
    told = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
    np.savez(goal, latents=latents, size_ids=np.full((4, 6), 32.0), cover=np.zeros((4, 8, 8), np.float16), facts=told)
    plan = JointPlan(1e-6, batch=4, shipped=folder, joint=TINY_JOINT)
    for _ in range(2):
        train_joint(plan, tmp_path)
    kept = runs.load_state(tmp_path / "checkpoints" / "sd3.pt")
    assert kept is not None and kept["step"] == 2 and runs.done_path(tmp_path, "sd3").read_text() == "2\n"
    with quiet():
        made = package_joint(tmp_path / "sd3", tmp_path, folder=folder, joint=TINY_JOINT)
        base = SD3.load(SD3.Options(weights=str(tmp_path / "sd3")))
    assert made["step"] == 2
    assert (base.resolution, base.latent_stride, base.latent_channels) == (32, 4, 4)
    weights = runs.read_weights(tmp_path, "transformer")
    assert weights is not None
    for name, value in base.parts()["transformer"].state_dict().items():
        torch.testing.assert_close(value, weights["weights"][name].half().float(), rtol=0, atol=0)
    pipe = base.pipeline()
    assert isinstance(pipe, StableDiffusion3Pipeline) and base.path.shift == 3.0
    pipe.set_progress_bar_config(disable=True)
    assert pipe("a red mug", num_inference_steps=2, guidance_scale=2.0).images[0].size == (32, 32)


def test_packaging_nothing_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"transformer.pt is not there.*train` first"):
        package_joint(tmp_path / "sd3", tmp_path)
