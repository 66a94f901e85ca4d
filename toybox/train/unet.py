"""UNet and both text encoders learn together on cached latents, exactly as the stock SDXL pipeline will call them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from toybox.train import sizes as shapes
from toybox.train.latents import Corpus, second_rows
from toybox.train.sizes import FULL, POSITIONS, Sizes

SMALL = 0.33
"""Share of the schedule in which latents are pooled to half their side. A sample costs a third, so layout, colours and things are
learned there first; details come after. SDXL's size numbers say which is which."""
SHORT, SHORT_ROWS = 0.8, 32
"""Share of the schedule with short rows of tokens, and their length: few captions are longer, and text is cheaper by half."""
THING = 2.0
"""Things count three times as much as places: they are a sixth of a picture and hold nearly all that is hard."""
SCALES, LATE_SCALES = ((1, 0.4), (2, 0.2), (4, 0.4)), ((1, 0.6), (2, 0.2), (4, 0.2))
"""Sides of the cells that errors are pooled over, and what each scale counts: first what things are, late their details. With
the finest at a quarter, surfaces come out as a mosaic of 4 to 8 px."""
LATE = 0.5
"""Share of the schedule after which details count more, and low noise is drawn more often."""
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


def shipped_painter(folder: Path, tokenizer: CLIPTokenizer | None = None) -> Painter:
    """Returns the shipped networks, to train on with a fresh optimizer.

    Args:
        folder: the packaged weights.
        tokenizer: of a world that has grown since; words that both know keep their vectors. Unset means the shipped one.
    """
    text = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    text_2 = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype=torch.float32)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    known = CLIPTokenizer.from_pretrained(folder / "tokenizer").get_vocab()
    if tokenizer is None or tokenizer.get_vocab() == known:
        return Painter(unet, text, text_2, text.config.eos_token_id)
    end = len(tokenizer) - 1
    return Painter(unet, *(with_words(one, known, tokenizer.get_vocab()) for one in (text, text_2)), end)


def with_words(encoder: CLIPTextModel, known: dict[str, int], wanted: dict[str, int]) -> CLIPTextModel:
    """Returns a text encoder for another vocabulary: words that both know keep their vectors, new ones begin near the mean.

    Args:
        encoder: a trained one.
        known: word -> its row in it.
        wanted: word -> its row in what is returned; begin and end are the last two.
    """
    torch.manual_seed(1)
    told = encoder.config.to_dict()
    last = len(wanted) - 1
    pad = last if told["pad_token_id"] == told["eos_token_id"] else told["pad_token_id"]
    told |= {"vocab_size": len(wanted), "bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": pad}
    grown, old = type(encoder)(type(encoder.config)(**told)), encoder.get_input_embeddings().weight.detach()
    new = old.mean(0) + 0.5 * old.std(0) * torch.randn(len(wanted), old.shape[1])
    for word, row in wanted.items():
        if word in known:
            new[row] = old[known[word]]
    state = {
        name: new if tensor.shape == old.shape and torch.equal(tensor, old) else tensor
        for name, tensor in encoder.state_dict().items()
    }
    grown.load_state_dict(state)
    return grown


def noise_path() -> torch.Tensor:
    """Returns the cumulated alphas (1000,) of the shipped scheduler; the last one is zero."""
    return shapes.build_scheduler().alphas_cumprod.float()


def draw_times(rng: np.random.Generator, count: int, *, flat_share: float = 0.4) -> torch.Tensor:
    """Draws noise levels: a share uniform, so that all are learned, the rest bell-shaped, where shapes form.

    The bell's middle is near t = 700, a signal-to-noise ratio of 1/17: there blobs become things. At stride 4 a thing has four
    times the latents that it has at stride 8, and is seen through four times the noise (the shift of Esser et al. 2024,
    section 5.3.2).
    """
    flat = rng.random(count)
    bell = 1 / (1 + np.exp(-rng.normal(0.85, 0.9, count)))
    mixed = np.where(rng.random(count) < flat_share, flat, bell)
    return torch.from_numpy(np.minimum((mixed * 1000).astype(np.int64), 999))


@dataclass(frozen=True)
class Phase:
    """How samples look at a time of the schedule.

    Attributes:
        small: whether latents are pooled to half their side.
        tokens: length of the rows of tokens.
        late: whether details count more than before.
    """

    small: bool = False
    tokens: int = POSITIONS
    late: bool = False


def phase_of(progress: float) -> Phase:
    """Returns the phase at a progress in [0, 1]."""
    return Phase(progress < SMALL, SHORT_ROWS if progress < SHORT else POSITIONS, progress >= LATE)


@dataclass(frozen=True)
class Batch:
    """One training batch, already on its device."""

    clean: torch.Tensor
    noise: torch.Tensor
    t: torch.Tensor
    ids: torch.Tensor
    """(samples, tokens)."""
    weight: torch.Tensor
    """(samples, 1, h, w): how much each place counts; mean 1."""
    keep: torch.Tensor
    """(samples, 1): zero where the text is replaced by zeros."""
    size_ids: torch.Tensor
    scales: tuple[tuple[int, float], ...] = ((1, 1.0),)
    """Sides of the cells that errors are pooled over, and what each scale counts."""


def draw_batch(
    corpus: Corpus,
    empty: torch.Tensor,
    step: int,
    *,
    batch: int,
    where: torch.device,
    rank: int = 0,
    phase: Phase = Phase(),
) -> Batch:
    """Draws the batch of a step; step, rank and phase alone decide it."""
    rng = np.random.default_rng([7, step] if rank == 0 else [7, step, rank])
    scenes = torch.from_numpy(rng.integers(0, len(corpus.latents), batch))
    chosen = torch.from_numpy(rng.integers(0, corpus.ids.shape[1], batch))
    ids, luck = corpus.ids[scenes, chosen].long(), torch.from_numpy(rng.random(batch))
    ids[luck < DROPPED / 2] = empty.long()
    ids = cut_rows(ids, phase.tokens)
    keep = ((luck < DROPPED / 2) | (luck >= DROPPED)).float()[:, None]
    clean, size_ids = corpus.latents[scenes].float(), corpus.size_ids[scenes]
    weight = 1 + THING * corpus.cover[scenes].float()[:, None]
    if phase.small:
        clean, weight = F.avg_pool2d(clean, 2), F.avg_pool2d(weight, 2)
        size_ids = size_ids * torch.tensor([1, 1, 0.5, 0.5, 0.5, 0.5])
    noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
    times = draw_times(rng, batch, flat_share=0.5 if phase.late else 0.4)
    rows = (clean, noise, times, ids, weight / weight.mean(), keep, size_ids)
    return Batch(*(row.to(where) for row in rows), scales=LATE_SCALES if phase.late else SCALES)


def cut_rows(ids: torch.Tensor, tokens: int) -> torch.Tensor:
    """Returns rows (N, tokens) that still close with the end token, which is the last id of `ids` (N, 77)."""
    rows = ids[:, :tokens].clone()
    rows[:, -1] = ids[:, -1]
    return rows


def scaled_error(error: torch.Tensor, weight: torch.Tensor, scales: tuple[tuple[int, float], ...]) -> torch.Tensor:
    """Returns the weighted mean square (N,) of an error (N, C, h, w), at its own scale and pooled.

    What a thing is shows in a few coarse numbers among thousands of fine ones that nobody can predict; pooled errors give them
    a voice. The best answer stays the same: it is best at every scale.

    Source: Hoogeboom et al. 2023, section 3.2 (multiscale loss).
    """
    total = torch.zeros(len(error), device=error.device)
    for side, share in scales:
        total = total + share * (F.avg_pool2d(error, side).pow(2) * F.avg_pool2d(weight, side)).mean((1, 2, 3))
    return total


def v_loss(painter: Painter, batch: Batch, alphas: torch.Tensor) -> torch.Tensor:
    """Returns the weighted squared error of v, per sample, over three scales.

    Source: Salimans & Ho 2022 (v = sqrt(a) noise - sqrt(1 - a) clean); Lin et al. 2024 (zero terminal SNR).
    """
    a = alphas[batch.t][:, None, None, None]
    noisy = a.sqrt() * batch.clean + (1 - a).sqrt() * batch.noise
    wanted = a.sqrt() * batch.noise - (1 - a).sqrt() * batch.clean
    states, pooled = painter.encode(batch.ids)
    states, pooled = (states * batch.keep[..., None]), (pooled * batch.keep)
    order = torch.channels_last
    made = painter.predict(noisy.contiguous(memory_format=order), batch.t, (states, pooled, batch.size_ids))
    return scaled_error(made.float() - wanted, batch.weight, batch.scales)
