"""UNet and both text encoders learn together on cached latents, exactly as the stock SDXL pipeline will call them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from toybox.train import sizes as shapes
from toybox.train.latents import Corpus, second_rows
from toybox.train.sizes import FULL, Sizes

DRAWS = 4
"""Noise draws for each caption: text costs a quarter."""
THING = 2.0
"""Things count three times as much as places: they are a sixth of a picture and hold nearly all that is hard."""
DROPPED = 0.10
"""Share of captions dropped; half of them as zeros (what pipelines give for no negative prompt), half as ""."""


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
    weight: torch.Tensor
    """(samples, 1, h, w): how much each place counts; mean 1."""
    keep: torch.Tensor
    """(captions, 1): zero where the text is replaced by zeros."""
    size_ids: torch.Tensor


def draw_batch(
    corpus: Corpus, empty: torch.Tensor, step: int, *, batch: int, where: torch.device, rank: int = 0
) -> Batch:
    """Draws the batch of a step; step and rank alone decide it."""
    rng = np.random.default_rng([7, step] if rank == 0 else [7, step, rank])
    scenes = torch.from_numpy(rng.integers(0, len(corpus.latents), batch // DRAWS))
    chosen = torch.from_numpy(rng.integers(0, corpus.ids.shape[1], len(scenes)))
    ids, luck = corpus.ids[scenes, chosen].long(), torch.from_numpy(rng.random(len(scenes)))
    ids[luck < DROPPED / 2] = empty.long()
    keep = ((luck < DROPPED / 2) | (luck >= DROPPED)).float()[:, None]
    clean = corpus.latents[scenes].float().repeat_interleave(DRAWS, 0)
    noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
    size_ids = corpus.size_ids[scenes].repeat_interleave(DRAWS, 0)
    weight = (1 + THING * corpus.cover[scenes].float()).repeat_interleave(DRAWS, 0)[:, None]
    weight = weight / weight.mean()
    made = Batch(clean, noise, draw_times(rng, len(clean)), ids, weight, keep, size_ids)
    return Batch(*(value.to(where) for value in vars(made).values()))


def v_loss(painter: Painter, batch: Batch, alphas: torch.Tensor) -> torch.Tensor:
    """Returns the weighted squared error of v, per sample.

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
    return ((made.float() - wanted).pow(2) * batch.weight).mean((1, 2, 3))
