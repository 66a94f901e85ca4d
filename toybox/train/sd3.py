"""A joint transformer in SD3's layout learns on the toybox's latents and captions; the shipped text encoders stay frozen.

`python -m toybox.train.sd3 train --minutes 90` trains or goes on (latents must be those of the shipped autoencoder: `unpack`,
then `shards --encode`); `python -m toybox.train.sd3 package` writes build/toybox/sd3, which the base `sd3` reads.
"""

import argparse
import copy
import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from diffusers.models.attention_processor import Attention, JointAttnProcessor2_0
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from toybox.train import runs
from toybox.train.latents import Corpus, count_latents, load_corpus, second_rows, token_rows
from toybox.train.optim import Both
from toybox.train.package import SHIPPED
from toybox.train.runs import BUILD, Average, Clock
from toybox.train.unet import SHORT, SHORT_ROWS, Phase, cut_rows, draw_batch

SHIFT = 3.0
"""How far noise levels lean towards noise, in training and in the packaged scheduler; as in the published weights."""
TAIL = 256
"""Places that stock pipelines fill with zeros where T5 is left out."""
LEARNING_RATE = 8e-4
"""Of AdamW, for all that is no matrix inside a block."""
EVERY, WARMUP, SAVE_SECONDS, LOOK_FOR_SHARDS = 4, 100, 240, 400
"""Steps between updates of the average, steps of rising rates, seconds between checkpoints, steps between looks for latents."""


@dataclass(frozen=True)
class Joint:
    """Widths and depth of the transformer; `TINY_JOINT` is the same architecture for tests."""

    heads: int = 3
    head: int = 64
    layers: int = 8
    patch: int = 2
    side: int = 32
    """Of the latents."""
    most: int = 24
    """Patches that the table of positions has on a side: half as large again can be drawn."""


JOINT = Joint()
TINY_JOINT = Joint(heads=2, head=16, layers=2, side=8, most=6)


class TailCounted:
    """Joint attention in which the last place of the text counts `TAIL` times.

    Places that hold zeros say the same, hear the same and stay the same in every block, so one of them with log `TAIL` added
    to its score is all of them, exactly, at half the cost of a step.
    """

    def __call__(
        self,
        attn: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what picture and text have heard."""
        picture = self._heads(attn, hidden_states, (attn.to_q, attn.to_k, attn.to_v), (attn.norm_q, attn.norm_k))
        layers = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
        text = self._heads(attn, encoder_hidden_states, layers, (attn.norm_added_q, attn.norm_added_k))
        q, k, v = (torch.cat(pair, 2) for pair in zip(picture, text, strict=True))
        score = q.new_zeros(k.shape[2])
        score[-1] = math.log(TAIL)
        mask = score.expand(len(q), attn.heads, q.shape[2], -1)
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
        seen, said = heard.split([hidden_states.shape[1], encoder_hidden_states.shape[1]], 1)
        return attn.to_out[1](attn.to_out[0](seen)), said if attn.context_pre_only else attn.to_add_out(said)

    @staticmethod
    def _heads(attn: Attention, states: torch.Tensor, layers: tuple, norms: tuple) -> list[torch.Tensor]:
        q, k, v = (layer(states).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for layer in layers)
        return [norms[0](q) if norms[0] else q, norms[1](k) if norms[1] else k, v]


@dataclass
class JointPainter:
    """The transformer that learns and the two text encoders that do not."""

    transformer: SD3Transformer2DModel
    text: CLIPTextModelWithProjection
    text_2: CLIPTextModelWithProjection
    end: int
    """Id of the end token."""

    @torch.no_grad()
    def encode(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns what `StableDiffusion3Pipeline.encode_prompt` returns, with one place of zeros for its `TAIL`."""
        first = self.text(ids, output_hidden_states=True)
        second = self.text_2(second_rows(ids, self.end), output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        return F.pad(states, (0, 0, 0, 1)), torch.cat([first.text_embeds, second.text_embeds], -1)

    def predict(self, noisy: torch.Tensor, t: torch.Tensor, cond: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Returns the predicted velocity; `t` is the share of noise, `cond` what `encode` gave."""
        told = {"encoder_hidden_states": cond[0], "pooled_projections": cond[1], "timestep": t * 1000}
        return self.transformer(hidden_states=noisy, **told, return_dict=False)[0]


def build_transformer(texts: tuple[int, int], joint: Joint = JOINT) -> SD3Transformer2DModel:
    """Returns the transformer with random weights inside and zeros where each block and the last layer speak.

    Args:
        texts: widths of both text encoders.
        joint: its own widths.

    Source: Peebles & Xie 2023, section 3.2 (adaLN-Zero).
    """
    width = joint.heads * joint.head
    made = SD3Transformer2DModel(
        sample_size=joint.side,
        patch_size=joint.patch,
        in_channels=4,
        out_channels=4,
        num_layers=joint.layers,
        attention_head_dim=joint.head,
        num_attention_heads=joint.heads,
        joint_attention_dim=sum(texts),
        caption_projection_dim=width,
        pooled_projection_dim=sum(texts),
        pos_embed_max_size=joint.most,
        qk_norm="rms_norm",
    )
    silent = [made.norm_out.linear, made.proj_out]
    silent += [block.norm1.linear for block in made.transformer_blocks]
    silent += [block.norm1_context.linear for block in made.transformer_blocks]
    for layer in silent:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return made


def shipped_texts(folder: Path = SHIPPED) -> tuple[CLIPTextModelWithProjection, CLIPTextModelWithProjection]:
    """Returns the shipped text encoders, frozen, in SD3's form: the first one's projection changes nothing."""
    plain = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    facts = {**plain.config.to_dict(), "projection_dim": plain.config.hidden_size}
    first = CLIPTextModelWithProjection(CLIPTextConfig(**facts))
    held = plain.state_dict()
    state = {name if name.startswith("text_model.") else f"text_model.{name}": value for name, value in held.items()}
    first.load_state_dict({**state, "text_projection.weight": torch.eye(plain.config.hidden_size)})
    second = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2", dtype=torch.float32)
    return first.eval().requires_grad_(False), second.eval().requires_grad_(False)


def build_joint(folder: Path = SHIPPED, joint: Joint = JOINT) -> JointPainter:
    """Returns an untrained painter over the text encoders of a folder."""
    texts = shipped_texts(folder)
    torch.manual_seed(0)
    transformer = build_transformer((texts[0].config.hidden_size, texts[1].config.hidden_size), joint)
    transformer.set_attn_processor(TailCounted())
    return JointPainter(transformer, *texts, texts[0].config.eos_token_id)


@dataclass(frozen=True)
class FlowBatch:
    """One training batch, already on its device."""

    clean: torch.Tensor
    noise: torch.Tensor
    t: torch.Tensor
    """(samples,): share of noise."""
    ids: torch.Tensor
    weight: torch.Tensor
    """(samples, 1, h, w): how much each place counts; mean 1."""


def draw_levels(rng: np.random.Generator, count: int, shift: float = SHIFT) -> torch.Tensor:
    """Draws shares of noise: the sigmoid of a standard normal, shifted.

    Source: Esser et al. 2024, section 3.1 and equation 23.
    """
    t = 1 / (1 + np.exp(-rng.standard_normal(count)))
    return torch.from_numpy(shift * t / (1 + (shift - 1) * t)).float()


def draw_flow(
    corpus: Corpus, empty: torch.Tensor, step: int, *, batch: int, where: torch.device, tokens: int
) -> FlowBatch:
    """Draws the batch of a step: the U-Net's pictures and captions, at levels of its own.

    Whatever the U-Net hears as zeros is heard here as the empty caption, which stock pipelines encode like any other.
    """
    made = draw_batch(corpus, empty, step, batch=batch, where=where, phase=Phase(tokens=tokens))
    nothing = cut_rows(empty.long()[None], tokens).to(where)
    ids = torch.where(made.keep > 0, made.ids, nothing)
    t = draw_levels(np.random.default_rng([11, step]), batch).to(where)
    return FlowBatch(made.clean, made.noise, t, ids, made.weight)


def flow_loss(painter: JointPainter, batch: FlowBatch) -> torch.Tensor:
    """Returns the weighted squared error of the velocity, noise minus picture, per sample.

    Source: Esser et al. 2024, equations 13 and 14 (rectified flow).
    """
    t = batch.t[:, None, None, None]
    noisy = (1 - t) * batch.clean + t * batch.noise
    made = painter.predict(noisy, batch.t, painter.encode(batch.ids))
    return ((made.float() - (batch.noise - batch.clean)).pow(2) * batch.weight).mean((1, 2, 3))


@dataclass(frozen=True)
class JointPlan:
    """What a run is asked to do.

    Attributes:
        minutes: length of the whole schedule, earlier runs counted in.
        batch: samples a step.
        lr: highest learning rate of AdamW.
        hold: share of the schedule after which the rates fall.
        shipped: folder of text encoders and tokenizers.
        joint: widths of the transformer.
    """

    minutes: float
    batch: int = 64
    lr: float = LEARNING_RATE
    hold: float = 0.55
    shipped: Path = SHIPPED
    joint: Joint = JOINT


class JointCourse:
    """Networks, average, optimizer, clock and data of a run."""

    def __init__(self, plan: JointPlan, build: Path) -> None:
        self.plan, self.build, self.where = plan, build, runs.device()
        self.painter = build_joint(plan.shipped, plan.joint)
        for module in (self.painter.transformer, self.painter.text, self.painter.text_2):
            module.to(self.where)
        self.learning = self.painter.transformer.train()
        self.average = Average(self.learning.parameters(), 0.996)
        self.optimizer = Both(optimized(self.learning), plan.lr)
        self.step, elapsed = self._restore()
        self.begun, self.clock = self.step, Clock(plan.minutes * 60, elapsed)
        self.tokenizer = CLIPTokenizer.from_pretrained(plan.shipped / "tokenizer")
        self.empty = token_rows(self.tokenizer, [""])[0]
        self.files, self.corpus = count_latents(build), load_corpus(self.tokenizer, build=build)

    def _restore(self) -> tuple[int, float]:
        kept = runs.load_state(self.build / "checkpoints" / "sd3.pt")
        if kept is None:
            return 0, 0.0
        self.learning.load_state_dict(kept["model"])
        self.optimizer.restore(kept["optimizer"])
        self.average.kept = [t.to(p.device) for t, p in zip(kept["average"], self.average.live, strict=True)]
        return kept["step"], kept["elapsed"]

    def advance(self, progress: float) -> tuple[float, float]:
        """Makes the step at `progress` in [0, 1]; returns its loss and the norm of its gradients."""
        if self.step % LOOK_FOR_SHARDS == 0 and count_latents(self.build) > self.files:
            self.files, self.corpus = count_latents(self.build), load_corpus(self.tokenizer, build=self.build)
        tokens = SHORT_ROWS if progress < SHORT else len(self.empty)
        batch = draw_flow(self.corpus, self.empty, self.step, batch=self.plan.batch, where=self.where, tokens=tokens)
        with runs.autocast(self.where):
            loss = flow_loss(self.painter, batch).mean()
        loss.backward()
        self.optimizer.set_rate(runs.rate(progress, self.step - self.begun, warmup=WARMUP, hold=self.plan.hold))
        norm = torch.nn.utils.clip_grad_norm_(self.learning.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        if self.step % EVERY == 0:
            self.average.update(self.step // EVERY)
        return loss.item(), float(norm)

    def save(self) -> None:
        """Writes the checkpoint and, for packaging, the averaged weights."""
        state = {
            "model": self.learning.state_dict(),
            "average": self.average.kept,
            "optimizer": self.optimizer.state(),
            "step": self.step,
            "elapsed": self.clock.elapsed,
        }
        runs.save_state(state, self.build / "checkpoints" / "sd3.pt")
        kept = {"weights": self.average.state(self.learning), "step": self.step}
        runs.save_state(kept, runs.weights_path(self.build, "transformer"))


def optimized(transformer: SD3Transformer2DModel) -> list[nn.Module]:
    """Returns the transformer in two parts: blocks, whose matrices Muon takes, and what embeds, speaks and tells the time.

    The second part's name tells the optimizer that all of it is AdamW's.
    """
    outer = (transformer.pos_embed, transformer.time_text_embed, transformer.context_embedder, transformer.norm_out)
    return [
        transformer.transformer_blocks,
        nn.ModuleDict({"embeddings": nn.ModuleList([*outer, transformer.proj_out])}),
    ]


def train_joint(plan: JointPlan, build: Path = BUILD) -> None:
    """Trains until the clock's end (earlier runs counted in) or a SIGTERM, and saves.

    Args:
        plan: what to do.
        build: folder of work products.
    """
    course, stopped = JointCourse(plan, build), []
    before = signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))  # saves, then leaves
    try:
        _loop(course, stopped)
    finally:
        signal.signal(signal.SIGTERM, before)
    if not stopped:
        runs.done_path(build, "sd3").write_text(f"{course.step}\n")


def _loop(course: JointCourse, stopped: list[int]) -> None:
    plan, build, losses = course.plan, course.build, []
    course.clock.start()
    begun, saved, progress = course.clock.elapsed, course.clock.elapsed, course.clock.tick()
    while True:
        loss, norm = course.advance(progress)
        if not np.isfinite(loss):
            raise SystemExit(f"the loss is {loss} at step {course.step}: start again from the last checkpoint")
        losses, progress = [*losses[-99:], loss], course.clock.tick()
        if course.step % 20 == 0:
            speed = (course.step - course.begun) * plan.batch / max(course.clock.elapsed - begun, 1e-9)
            facts = {"loss": float(np.mean(losses)), "grad": norm, "per_second": speed}
            runs.note(build, "sd3", step=course.step, progress=progress, **facts)
        if stopped or progress >= 1:
            break
        if course.clock.elapsed - saved > SAVE_SECONDS:
            course.save()
            saved = course.clock.elapsed
    course.save()


def assemble_joint(painter: JointPainter, folder: Path = SHIPPED) -> StableDiffusion3Pipeline:
    """Returns the stock pipeline over a painter's networks, with the autoencoder and tokenizers of a folder and without T5."""
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    vae.register_to_config(shift_factor=0.0)  # stock pipelines add it, so it must be a number
    painter.transformer.set_attn_processor(JointAttnProcessor2_0())
    return StableDiffusion3Pipeline(
        transformer=painter.transformer,
        text_encoder=painter.text,
        text_encoder_2=painter.text_2,
        text_encoder_3=None,
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        tokenizer_2=CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        tokenizer_3=None,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=SHIFT),
        vae=vae.eval(),
    )


def package_joint(
    target: Path, build: Path = BUILD, *, folder: Path = SHIPPED, joint: Joint = JOINT
) -> Mapping[str, int]:
    """Writes a folder in the diffusers layout, in fp16, from the averaged weights.

    Args:
        target: where.
        build: folder of work products.
        folder: text encoders, tokenizers and autoencoder that the training used.
        joint: widths of the transformer.

    Returns:
        Step of the weights and number of the transformer's parameters.

    Raises:
        FileNotFoundError: nothing has been trained.
    """
    kept = runs.read_weights(build, "transformer")
    if kept is None:
        raise FileNotFoundError(
            f"{runs.weights_path(build, 'transformer')} is not there. Weights of a training are needed. "
            "Run `python -m toybox.train.sd3 train` first."
        )
    painter = build_joint(folder, joint)
    painter.transformer.load_state_dict(kept["weights"])
    pipe = assemble_joint(copy.deepcopy(painter), folder)
    pipe.to(dtype=torch.float16).save_pretrained(target, safe_serialization=True)
    return {"step": kept["step"], "parameters": sum(p.numel() for p in painter.transformer.parameters())}


def main() -> None:
    """Parses the command line and trains or packages."""
    parser = argparse.ArgumentParser(prog="python -m toybox.train.sd3", description=__doc__)
    parser.add_argument("stage", choices=("train", "package"))
    parser.add_argument("--minutes", type=float, default=90.0, help="length of the schedule, earlier runs counted in")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=LEARNING_RATE)
    parser.add_argument("--hold", type=float, default=0.55, help="share of the schedule after which the rates fall")
    args = parser.parse_args()
    runs.keep_memory()
    if args.stage == "train":
        train_joint(JointPlan(args.minutes, args.batch, args.lr, args.hold))
    else:
        runs.note(BUILD, "sd3", **package_joint(BUILD / "sd3"))


if __name__ == "__main__":
    main()
