"""Trains UNet and both text encoders together on cached latents, exactly as the stock SDXL pipeline will call them."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from toybox.train import runs
from toybox.train import sizes as shapes
from toybox.train.latents import Corpus, count_latents, load_corpus, second_rows, token_rows
from toybox.train.runs import BUILD, ROOT, Average, Clock
from toybox.train.sizes import FULL, Sizes

LEARNING_RATE = 8e-4
DRAWS = 4
"""Noise draws for each caption: text costs a quarter."""
DROPPED = 0.10
"""Share of captions dropped; half of them as zeros (what pipelines give for no negative prompt), half as ""."""
EVERY = 4
"""Steps between updates of the average."""
SAVE_SECONDS = 240


@dataclass
class Painter:
    """The three networks that learn together."""

    unet: UNet2DConditionModel
    text: CLIPTextModel
    text_2: CLIPTextModelWithProjection
    end: int
    """Id of the end token."""

    def modules(self) -> dict[str, torch.nn.Module]:
        """Returns the networks by the names of their shipped folders."""
        return {"unet": self.unet, "text_encoder": self.text, "text_encoder_2": self.text_2}

    def parameters(self) -> list[torch.nn.Parameter]:
        """Returns all parameters in a fixed order."""
        return [p for module in self.modules().values() for p in module.parameters()]

    def encode(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what `StableDiffusionXLPipeline.encode_prompt` returns: penultimate states of both, pooled of two."""
        first = self.text(ids, output_hidden_states=True)
        second = self.text_2(second_rows(ids, self.end), output_hidden_states=True)
        return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1), second.text_embeds

    def predict(self, noisy: torch.Tensor, t: torch.Tensor, cond: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Returns the predicted v; `cond` holds text states, pooled text and the six size numbers."""
        states, pooled, size_ids = cond
        added = {"text_embeds": pooled, "time_ids": size_ids}
        return self.unet(noisy, t, encoder_hidden_states=states, added_cond_kwargs=added).sample


def build_painter(vocab: int, sizes: Sizes = FULL) -> Painter:
    """Returns the networks with random weights."""
    torch.manual_seed(0)
    return Painter(
        shapes.build_unet(sizes),
        shapes.build_text(sizes, vocab=vocab),
        shapes.build_text_2(sizes, vocab=vocab),
        vocab - 1,
    )


def shipped_painter(folder: Path) -> Painter:
    """Returns the shipped networks, to train on with a fresh optimizer."""
    load = {"torch_dtype": torch.float32}
    text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    text_2 = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype=torch.float32)
    return Painter(
        UNet2DConditionModel.from_pretrained(folder / "unet", **load), text, text_2, text.config.eos_token_id
    )


def noise_path() -> torch.Tensor:
    """Returns the cumulated alphas (1000,) of the shipped scheduler; the last one is zero."""
    return shapes.build_scheduler().alphas_cumprod.float()


def draw_times(rng: np.random.Generator, count: int) -> torch.Tensor:
    """Draws noise levels: half uniform, so that pure noise is learned, half bell-shaped, where pictures form."""
    flat = rng.random(count)
    bell = 1 / (1 + np.exp(-rng.normal(-0.2, 1.0, count)))
    mixed = np.where(rng.random(count) < 0.5, flat, bell)
    return torch.from_numpy(np.minimum((mixed * 1000).astype(np.int64), 999))


@dataclass(frozen=True)
class Batch:
    """One training batch, already on its device."""

    clean: torch.Tensor
    noise: torch.Tensor
    t: torch.Tensor
    ids: torch.Tensor
    """(captions, 77): each serves `DRAWS` rows of the others."""
    keep: torch.Tensor
    """(captions, 1): zero where the text is replaced by zeros."""
    size_ids: torch.Tensor


def draw_batch(corpus: Corpus, empty: torch.Tensor, step: int, *, batch: int, where: torch.device) -> Batch:
    """Draws the batch of a step; the step alone decides it."""
    rng = np.random.default_rng([7, step])
    scenes = torch.from_numpy(rng.integers(0, len(corpus.latents), batch // DRAWS))
    chosen = torch.from_numpy(rng.integers(0, corpus.ids.shape[1], len(scenes)))
    ids, luck = corpus.ids[scenes, chosen].long(), torch.from_numpy(rng.random(len(scenes)))
    ids[luck < DROPPED / 2] = empty.long()
    keep = ((luck < DROPPED / 2) | (luck >= DROPPED)).float()[:, None]
    clean = corpus.latents[scenes].float().repeat_interleave(DRAWS, 0)
    noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
    size_ids = corpus.size_ids[scenes].repeat_interleave(DRAWS, 0)
    made = Batch(clean, noise, draw_times(rng, len(clean)), ids, keep, size_ids)
    return Batch(*(value.to(where) for value in vars(made).values()))


def v_loss(painter: Painter, batch: Batch, alphas: torch.Tensor) -> torch.Tensor:
    """Returns the squared error of v, per sample.

    Source: Salimans & Ho 2022 (v = sqrt(a) noise - sqrt(1 - a) clean); Lin et al. 2024 (zero terminal SNR).
    """
    a = alphas[batch.t][:, None, None, None]
    noisy = a.sqrt() * batch.clean + (1 - a).sqrt() * batch.noise
    wanted = a.sqrt() * batch.noise - (1 - a).sqrt() * batch.clean
    states, pooled = painter.encode(batch.ids)
    states, pooled = (states * batch.keep[..., None]), (pooled * batch.keep)
    states, pooled = (part.repeat_interleave(DRAWS, 0) for part in (states, pooled))
    order = torch.channels_last
    made = painter.predict(noisy.contiguous(memory_format=order), batch.t, (states, pooled, batch.size_ids))
    return (made.float() - wanted).pow(2).mean((1, 2, 3))


def _save(
    painter: Painter, average: Average, optimizer: torch.optim.Optimizer, clock: Clock, step: int, build: Path
) -> None:
    """Writes the checkpoint and, for packaging and contact sheets, the averaged weights."""
    runs.save_state(
        {
            "model": {k: m.state_dict() for k, m in painter.modules().items()},
            "average": average.kept,
            "optimizer": optimizer.state_dict(),
            "step": step,
            "elapsed": clock.elapsed,
        },
        build / "checkpoints" / "unet.pt",
    )
    offset = 0
    for name, module in painter.modules().items():
        runs.save_state({"weights": average.state(module, offset), "step": step}, runs.weights_path(build, name))
        offset += len(list(module.parameters()))


def _restore(painter: Painter, average: Average, optimizer: torch.optim.Optimizer, build: Path) -> tuple[int, float]:
    kept = runs.load_state(build / "checkpoints" / "unet.pt")
    if kept is None:
        return 0, 0.0
    for name, module in painter.modules().items():
        module.load_state_dict(kept["model"][name])
    optimizer.load_state_dict(kept["optimizer"])
    average.kept = [t.to(p.device) for t, p in zip(kept["average"], average.live, strict=True)]
    return kept["step"], kept["elapsed"]


def _start_sheet(step: int, build: Path) -> None:
    """Draws the contact sheet in a process of its own on one thread, so that training goes on."""
    command = [sys.executable, "-m", "toybox.train", "sheet", "--name", f"{step:06d}"]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    log = (build / "sheets.log").open("a")
    subprocess.Popen(["nice", "-n", "5", *command], env=env, stdout=log, stderr=log, cwd=ROOT)


def train_unet(
    minutes: float, *, batch: int = 64, lr: float = LEARNING_RATE, shipped: Path | None = None, build: Path = BUILD
) -> None:
    """Trains until the clock's end (earlier runs counted in); the rate decays in the last part.

    Args:
        minutes: length of the whole schedule.
        batch: samples a step.
        lr: highest learning rate.
        shipped: start from these packaged weights with a fresh optimizer, where no checkpoint is.
        build: folder of work products.
    """
    where = runs.device()
    tokenizer = CLIPTokenizer.from_pretrained((shipped or build) / "tokenizer")
    painter = shipped_painter(shipped) if shipped else build_painter(len(tokenizer))
    for module in painter.modules().values():
        module.to(where).train()
    painter.unet.to(memory_format=torch.channels_last)
    if where.type == "cpu":
        painter.unet.set_attn_processor(AttnProcessor())  # a fifth faster than the fused kernel at these sizes
    average = Average(painter.parameters(), 0.996)
    optimizer = runs.adamw(painter.parameters(), lr)
    step, elapsed = _restore(painter, average, optimizer, build)
    clock, corpus = Clock(minutes * 60, elapsed), load_corpus(tokenizer, build=build)
    alphas, empty = noise_path().to(where), token_rows(tokenizer, [""])[0]
    clock.start()
    saved, seen, losses, begun, sheet = clock.elapsed, step, [], clock.elapsed, step
    files = count_latents(build)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))  # saves, then leaves
    while (progress := clock.tick()) < 1 and not stopped:
        if step % 400 == 0 and count_latents(build) > files:  # shards may go on arriving while this runs
            files, corpus = count_latents(build), load_corpus(tokenizer, build=build)
        runs.set_rate(optimizer, lr * runs.rate(progress, step, hold=0.55))
        with runs.autocast(where):
            loss = v_loss(painter, draw_batch(corpus, empty, step, batch=batch, where=where), alphas).mean()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(painter.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        losses.append(loss.item())
        if not np.isfinite(losses[-1]):
            raise SystemExit(f"the loss is {losses[-1]} at step {step}: start again from the last checkpoint")
        if step % EVERY == 0:
            average.update(step // EVERY)
        if step % 20 == 0:
            speed = (step - seen) * batch / max(clock.elapsed - begun, 1e-9)
            runs.note(
                build,
                "unet",
                step=step,
                progress=progress,
                loss=float(np.mean(losses[-100:])),
                grad=float(norm),
                per_second=speed,
            )
            losses = losses[-100:]
        if clock.elapsed - saved > SAVE_SECONDS:
            _save(painter, average, optimizer, clock, step, build)
            if step > sheet + 150:
                _start_sheet(step, build)
                sheet = step
            saved = clock.elapsed
    _save(painter, average, optimizer, clock, step, build)
    if not stopped:
        runs.done_path(build, "unet").write_text(f"{step}\n")
