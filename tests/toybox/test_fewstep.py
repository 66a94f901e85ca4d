"""The few-step LoRA's distillation against stock schedulers, pipelines and loaders, at sizes that run in seconds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import LCMScheduler, StableDiffusionXLPipeline

from toybox.train import sizes as shapes
from toybox.train.fewstep import (
    FILE,
    FOLDER,
    GUIDANCE,
    KINDS,
    Distiller,
    FewCourse,
    FewPlan,
    Kind,
    boundaries,
    jump,
    load_few_step,
    turn,
    whole_path,
    write_few_step,
)
from toybox.train.latents import token_rows
from toybox.train.package import assemble, write_base
from toybox.train.runs import load_state, save_state, weights_path
from toybox.train.sizes import TINY
from toybox.train.tokenizer import train_tokenizer
from toybox.train.unet import build_painter, shipped_painter

SENTENCES = ["a photo of a red mug in the snow", "a small blue dog on the beach", "my teal can in the city"] * 4
SIDE = TINY.side // TINY.stride


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packaged base of random weights."""
    tokenizer = train_tokenizer(SENTENCES, ["lantern"], size=700)
    painter, made = build_painter(len(tokenizer), TINY), tmp_path_factory.mktemp("toybox")
    for module in painter.modules().values():
        module.eval()
    write_base(assemble({"vae": shapes.build_vae(TINY).eval(), **painter.modules()}, tokenizer), made)
    return made


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """A folder of work products with a few latents."""
    chance = np.random.default_rng(0)
    told = json.dumps([{"captions": SENTENCES[:3], "class": "mug"}] * 4).encode()
    (tmp_path / "latents" / "train").mkdir(parents=True)
    np.savez(
        tmp_path / "latents" / "train" / "00000.npz",
        latents=chance.normal(size=(4, 4, SIDE, SIDE)).astype(np.float16),
        size_ids=np.full((4, 6), 32),
        cover=np.zeros((4, SIDE, SIDE), np.float16),
        facts=np.frombuffer(told, np.uint8),
    )
    return tmp_path


def plan(folder: Path, kind: Kind = "segments", own: float = 0.5) -> FewPlan:
    return FewPlan(1.0, kind, batch=8, lr=5e-3, rank=4, own=own, shipped=folder)


def distiller(folder: Path, kind: Kind = "segments", own: float = 0.5) -> Distiller:
    made = Distiller(shipped_painter(folder), plan(folder, kind, own), TINY.side)
    with torch.no_grad():  # a student that differs from its teacher
        for number, parameter in enumerate(made.learning):
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return made


def sample(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, count, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(5)))  # type: ignore[return-value]


def words(folder: Path, count: int = 8) -> torch.Tensor:
    from transformers import CLIPTokenizer

    return token_rows(CLIPTokenizer.from_pretrained(folder / "tokenizer"), SENTENCES[:1] * count).long()


def test_a_jump_is_a_step_of_the_shipped_scheduler_from_pure_noise_to_the_picture() -> None:
    scheduler, path, stops = shapes.build_scheduler(), whole_path(), boundaries()
    scheduler.set_timesteps(4)
    assert scheduler.timesteps.tolist() == stops[:-1].tolist() == [999, 749, 499, 249]
    x, v = sample(1)
    for t, s in zip(stops, stops[1:], strict=False):
        made = jump(path, x, v, t=t[None], s=s[None])
        torch.testing.assert_close(made, scheduler.step(v, int(t), x).prev_sample, rtol=0, atol=1e-5)
        more = jump(path, x, v + 1, t=t[None], s=s[None])
        torch.testing.assert_close((more - made).abs(), turn(path, t[None], s[None]).expand_as(x), rtol=0, atol=1e-5)


def test_a_jump_to_the_picture_is_what_lcm_holds_for_it_even_where_no_signal_is_left() -> None:
    scheduler, path = LCMScheduler.from_config(shapes.build_scheduler().config), whole_path()
    assert scheduler.alphas_cumprod[-1] == 0
    scheduler.set_timesteps(4)
    x, v = sample(1)
    for t in scheduler.timesteps:
        scheduler._step_index = None
        denoised = scheduler.step(v, int(t), x, generator=torch.Generator().manual_seed(0)).denoised
        made = jump(path, x, v, t=t[None], s=torch.tensor([-1]))
        torch.testing.assert_close(made, denoised, rtol=0, atol=1e-5)


def test_the_teacher_goes_where_the_stock_pipeline_goes_with_guidance(folder: Path) -> None:
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    noise = sample(1)[0]
    with torch.no_grad():
        wanted = pipe(
            SENTENCES[0], latents=noise, num_inference_steps=4, guidance_scale=GUIDANCE, output_type="latent"
        ).images
    made, x, stops = distiller(folder), noise, boundaries()
    cond = made.hear(words(folder, 1))
    for t, s in zip(stops, stops[1:], strict=False):
        x = made.lead(x, cond, t=t[None], s=s[None], strides=1)
    torch.testing.assert_close(x, wanted, rtol=0, atol=1e-4)


def test_segments_begin_at_noised_scenes_or_where_the_student_has_come_to(folder: Path) -> None:
    clean, noise = sample()
    stage, stops, path = torch.arange(8) % 4, boundaries(), whole_path()
    noised = distiller(folder, own=0.0)
    cond = noised.hear(words(folder))
    a = path[stops[stage]][:, None, None, None]
    torch.testing.assert_close(noised.starts(clean, noise, cond, stage), a.sqrt() * clean + (1 - a).sqrt() * noise)
    alone = distiller(folder, own=1.0)
    found = alone.starts(clean, noise, cond, stage)
    x = noise
    with torch.no_grad():
        for k in range(3):
            x = alone.follow(x, cond, t=stops[k].expand(8), s=stops[k + 1].expand(8))
            torch.testing.assert_close(found[k + 1], x[k + 1], rtol=0, atol=1e-5)
    assert torch.equal(found[0], noise[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_steps_lower_the_loss_and_leave_the_teacher_alone(folder: Path, kind: Kind) -> None:
    made, (clean, noise) = distiller(folder, kind, own=0.0), sample()
    before = {name: value.clone() for name, value in made.teacher.unet.state_dict().items()}
    chance = torch.linspace(0, 0.99, 8)
    optimizer = torch.optim.AdamW(made.learning, 1e-2, weight_decay=0.0)
    losses = []
    for _ in range(10):
        loss = made.loss(clean, noise, words(folder), chance).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0], losses
    assert all(torch.equal(value, before[name]) for name, value in made.teacher.unet.state_dict().items())


def test_at_the_lowest_level_the_student_is_asked_for_what_the_teacher_finds(folder: Path) -> None:
    """The boundary condition: one stride above the picture, nothing the student says is part of its own goal."""
    made, (clean, noise) = distiller(folder, "consistency"), sample(1)
    ids, lowest = words(folder, 1), torch.zeros(1)
    t, s = torch.tensor([19]), torch.tensor([-1])
    cond = made.hear(ids)
    a = whole_path()[19]
    x = a.sqrt() * clean + (1 - a).sqrt() * noise
    with torch.no_grad():
        error = made.follow(x, cond, t=t, s=s) - made.lead(x, cond, t=t, s=s, strides=1)
        told = made.loss(clean, noise, ids, lowest)
    assert told.item() == pytest.approx(scaled(error), rel=1e-4)


def scaled(error: torch.Tensor) -> float:
    from toybox.train.unet import LATE_SCALES, scaled_error

    return scaled_error(error, torch.ones_like(error[:, :1]), LATE_SCALES).item()


def test_a_resumed_run_equals_an_unbroken_one(folder: Path, build: Path) -> None:
    def learned(course: FewCourse) -> list[torch.Tensor]:
        return [*course.distiller.state().values(), *course.average.kept]

    whole = FewCourse(plan(folder), build)
    losses = [whole.advance(step / 4)[0] for step in range(4)]
    first = FewCourse(plan(folder), build)
    for step in range(2):
        assert first.advance(step / 4)[0] == losses[step]
    first.clock.elapsed = 30.0
    first.save()
    rest = FewCourse(plan(folder), build)
    assert (rest.step, rest.clock.elapsed) == (2, 30.0)
    assert [rest.advance(step / 4)[0] for step in (2, 3)] == losses[2:]
    assert all(torch.equal(one, other) for one, other in zip(learned(rest), learned(whole), strict=True))


def test_what_was_learned_loads_as_a_stock_lora_and_draws_as_the_student_does(folder: Path, build: Path) -> None:
    course = FewCourse(plan(folder), build)
    for step in range(2):
        course.advance(step / 2)
    course.save()
    assert write_few_step(folder, build)
    pipe: Any = load_few_step(folder)
    pipe.set_progress_bar_config(disable=True)
    noise, asked = sample(1)[0], {"num_inference_steps": 4, "guidance_scale": 1.0, "output_type": "latent"}
    with torch.no_grad():
        quick = pipe(SENTENCES[0], latents=noise, **asked).images
        for parameter, mean in zip(course.distiller.learning, course.average.kept, strict=True):
            parameter.copy_(mean)
        x, cond, stops = noise, course.distiller.hear(words(folder, 1)), boundaries()
        for t, s in zip(stops, stops[1:], strict=False):
            x = course.distiller.follow(x, cond, t=t[None], s=s[None])
        pipe.unload_lora_weights()
        bare = pipe(SENTENCES[0], latents=noise, **asked).images
    torch.testing.assert_close(quick, x, rtol=0, atol=5e-3)  # the file is fp16
    assert (quick - bare).abs().mean() > 10 * (quick - x).abs().mean(), "the LoRA must change what is drawn"


def test_a_lora_of_another_base_is_neither_written_nor_kept(folder: Path, build: Path) -> None:
    course = FewCourse(plan(folder), build)
    course.save()
    assert write_few_step(folder, build)
    assert write_few_step(folder, build / "nothing was trained here"), "what fits stays"
    kept = load_state(weights_path(build, "few_step"))
    assert kept is not None
    save_state({**kept, "base": "another"}, weights_path(build, "few_step"))
    assert write_few_step(folder, build), "the one that is there still fits"
    (folder / FOLDER / "base.sha256").write_text("another\n")
    assert not write_few_step(folder, build)
    assert not (folder / FOLDER / FILE).exists()
    with pytest.raises(FileNotFoundError, match="toybox.train fewstep"):
        load_few_step(folder)


def test_a_checkpoint_of_another_base_is_refused(folder: Path, build: Path) -> None:
    course = FewCourse(plan(folder), build)
    course.save()
    path = build / "checkpoints" / "few_step.pt"
    kept = load_state(path)
    assert kept is not None
    save_state({**kept, "base": "another"}, path)
    with pytest.raises(FileExistsError, match="another base"):
        FewCourse(plan(folder), build)
