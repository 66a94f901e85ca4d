"""A LoRA with which the toybox draws in four steps without guidance, learned from the packaged networks themselves.

Both kinds ask the student for the place that the guided teacher reaches along the same line of v:

* `segments`: the path is cut at the sampler's own steps, and each is learned by itself: from one boundary to the next, where the
  teacher goes in several strides. The sampler is the base's own, with as many steps and without guidance.
* `consistency`: from any level straight to the clean picture, which must be the same from one stride further down, where the
  student itself says where it ends. The sampler is `LCMScheduler`, which adds fresh noise between its steps.

Source: Salimans & Ho 2022 (progressive distillation); Meng et al. 2023 (guidance distilled with it); Heek et al. 2024 (segments);
Luo et al. 2023, arXiv:2310.04378 and arXiv:2311.05556 (latent consistency, as a LoRA).
"""

import copy
import hashlib
import json
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from diffusers import DDIMScheduler, LCMScheduler, StableDiffusionXLPipeline
from diffusers.models.attention_processor import AttnProcessor
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from transformers import CLIPTokenizer

from toybox.train import runs
from toybox.train.latents import load_corpus, token_rows
from toybox.train.runs import BUILD, ROOT, Average, Clock
from toybox.train.sizes import build_scheduler
from toybox.train.unet import LATE_SCALES, Painter, draw_batch, noise_path, scaled_error, shipped_painter

Kind = Literal["segments", "consistency"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Cond = tuple[torch.Tensor, ...]
"""Text states, pooled text and the six size numbers."""
FILE = "pytorch_lora_weights.safetensors"
FOLDER = "few_step"
"""Of the packaged folder: the LoRA, and the scheduler that it draws with."""
STEPS = 4
GUIDANCE = 4.0
"""At which the base draws by default, and so what the student must do alone."""
STRIDES = 4
"""Of the teacher in a segment: it draws in sixteen steps what the student draws in four."""
GRID = 50
"""Levels that `consistency` is learned at; `LCMScheduler` draws at some of them."""
TARGETS = (
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"),
)
"""Ends of names of the adapted layers, as in diffusers' own script: few steps change what every layer does."""
LEARNING_RATE = 1e-3
WARMUP = 20
SAVE_SECONDS = 240


@dataclass(frozen=True)
class FewPlan:
    """What a run is asked to do.

    Attributes:
        minutes: length of the whole schedule, earlier runs counted in.
        kind: what the student is asked for.
        batch: samples a step.
        lr: highest learning rate.
        rank: of the LoRA; its alpha is the same.
        own: share of a batch in which a segment begins where the student's own drawing has come to, not at a noised scene:
            there it meets its own mistakes and the teacher's contrast.
        hold: share of the schedule after which the rate falls.
        scenes: set whose latents and captions are used.
        shipped: packaged folder of the base that is distilled.
    """

    minutes: float
    kind: Kind = "segments"
    batch: int = 16
    lr: float = LEARNING_RATE
    rank: int = 32
    own: float = 0.5
    hold: float = 0.5
    scenes: str = "train"
    shipped: Path = ROOT / "src" / "ipseity" / "assets" / "toybox"


def boundaries(steps: int = STEPS) -> torch.Tensor:
    """Returns the levels (steps + 1,) at which the shipped scheduler stops, trailing; -1 is the clean picture."""
    return 999 - torch.arange(steps + 1) * 1000 // steps


def whole_path() -> torch.Tensor:
    """Returns the cumulated alphas (1001,) with a one behind them, so that level -1 is the clean picture."""
    return torch.cat([noise_path(), torch.ones(1)])


def signal_and_noise(path: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the factors of picture and noise (N, 1, 1, 1) at levels (N,)."""
    kept = path[t][:, None, None, None]
    return kept.sqrt(), (1 - kept).sqrt()


def jump(path: torch.Tensor, x: torch.Tensor, v: torch.Tensor, *, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """Returns where the line of v leads from level t to level s: a step of DDIM without fresh noise.

    It divides by nothing, so it holds at t = 999 too, where no picture is left: there v says minus the picture.
    """
    (a, b), (c, d) = signal_and_noise(path, t), signal_and_noise(path, s)
    return c * (a * x - b * v) + d * (b * x + a * v)


def turn(path: torch.Tensor, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
    """Returns by how much v counts in a jump from t to s, (N, 1, 1, 1): the sine of the angle between both levels."""
    (a, b), (c, d) = signal_and_noise(path, t), signal_and_noise(path, s)
    return b * c - a * d


class Distiller:
    """A teacher, a student over the same text encoders, and what the student is asked for.

    Args:
        painter: the networks that are distilled; they are frozen.
        plan: kind, rank and shares.
        side: of the pictures in pixels, which stock pipelines tell the base as original and target size.
    """

    def __init__(self, painter: Painter, plan: FewPlan, side: int) -> None:
        for module in painter.modules().values():
            module.requires_grad_(False).eval()
        self.plan, self.teacher = plan, painter
        unet = copy.deepcopy(painter.unet)
        torch.manual_seed(0)
        unet.add_adapter(LoraConfig(r=plan.rank, lora_alpha=plan.rank, target_modules=list(TARGETS)))
        self.student = replace(painter, unet=unet)
        self.learning = [p for p in unet.parameters() if p.requires_grad]
        self.path, self.stops = whole_path(), boundaries()
        self.size_ids = torch.tensor([[side, side, 0, 0, side, side]], dtype=torch.float32)

    def to(self, where: torch.device) -> "Distiller":
        """Moves everything to a device."""
        for module in (*self.teacher.modules().values(), self.student.unet):
            module.to(where)
        for painter in (self.teacher, self.student):
            painter.unet.to(memory_format=torch.channels_last)
            if where.type == "cpu":
                painter.unet.set_attn_processor(AttnProcessor())  # a fifth faster than the fused kernel at these sizes
        self.path, self.stops, self.size_ids = (t.to(where) for t in (self.path, self.stops, self.size_ids))
        return self

    @torch.no_grad()
    def hear(self, ids: torch.Tensor) -> Cond:
        """Returns what the stock pipeline tells the U-Net for token rows (N, 77)."""
        return (*self.teacher.encode(ids), self.size_ids.expand(len(ids), -1))

    @torch.no_grad()
    def lead(self, x: torch.Tensor, cond: Cond, *, t: torch.Tensor, s: torch.Tensor, strides: int) -> torch.Tensor:
        """Returns where the teacher, with guidance, comes to from level t at level s."""
        states, pooled, size_ids = cond
        both = (
            torch.cat([torch.zeros_like(states), states]),  # what pipelines give for no negative prompt
            torch.cat([torch.zeros_like(pooled), pooled]),
            size_ids.repeat(2, 1),
        )
        stops = [t + (s - t) * k // strides for k in range(strides + 1)]
        for here, there in zip(stops, stops[1:], strict=False):
            bare, told = self.teacher.predict(torch.cat([x, x]), here.repeat(2), both).float().chunk(2)
            x = jump(self.path, x, bare + GUIDANCE * (told - bare), t=here, s=there)
        return x

    def follow(self, x: torch.Tensor, cond: Cond, *, t: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        """Returns where the student comes to from level t at level s, in one jump."""
        return jump(self.path, x, self.student.predict(x, t, cond).float(), t=t, s=s)

    @torch.no_grad()
    def starts(self, clean: torch.Tensor, noise: torch.Tensor, cond: Cond, stage: torch.Tensor) -> torch.Tensor:
        """Returns where segments begin: at noised scenes, and for the first `own` of a batch where the student has come to."""
        a, b = signal_and_noise(self.path, self.stops[stage])
        x, alone = noise.clone(), torch.arange(len(noise), device=noise.device) < self.plan.own * len(noise)
        for k in range(len(self.stops) - 2):
            going = (alone & (stage > k)).nonzero().flatten()
            if len(going):
                t, s = (self.stops[k + i].expand(len(going)) for i in (0, 1))
                x[going] = self.follow(x[going], tuple(part[going] for part in cond), t=t, s=s)
        return torch.where(alone[:, None, None, None], x, a * clean + b * noise)

    def loss(self, clean: torch.Tensor, noise: torch.Tensor, ids: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
        """Returns the student's error, per sample.

        Args:
            clean: (N, 4, h, w) latents of scenes.
            noise: (N, 4, h, w) normal numbers.
            ids: (N, 77) token rows.
            chance: (N,) in [0, 1); decides the level that each sample is asked at.
        """
        cond = self.hear(ids)
        if self.plan.kind == "segments":
            stage = (torch.arange(len(ids), device=ids.device) + (chance[0] * 997).long()) % (len(self.stops) - 1)
            t, s = self.stops[stage], self.stops[stage + 1]
            x = self.starts(clean, noise, cond, stage)
            goal = self.lead(x, cond, t=t, s=s, strides=STRIDES)
            error = (self.follow(x, cond, t=t, s=s) - goal) / turn(self.path, t, s)
        else:
            t = (1 + (chance * GRID).long()) * (1000 // GRID) - 1
            below, s = t - 1000 // GRID, torch.full_like(t, -1)
            a, b = signal_and_noise(self.path, t)
            x = a * clean + b * noise
            near = self.lead(x, cond, t=t, s=below, strides=1)
            with torch.no_grad():  # at level -1 a jump stays where it is, whatever is predicted: the boundary condition
                goal = self.follow(near, cond, t=below.clamp(min=0), s=s).where((below >= 0)[:, None, None, None], near)
            error = self.follow(x, cond, t=t, s=s) - goal
        return scaled_error(error, torch.ones_like(error[:, :1]), LATE_SCALES)

    def state(self) -> dict[str, torch.Tensor]:
        """Returns the LoRA under the names that diffusers' loader reads."""
        return {name: value.detach().clone() for name, value in get_peft_model_state_dict(self.student.unet).items()}


class FewCourse:
    """Networks, average, optimizer, clock and data of a run."""

    def __init__(self, plan: FewPlan, build: Path = BUILD) -> None:
        self.plan, self.build, self.where = plan, build, runs.device()
        self.folder = plan.shipped
        self.tokenizer = CLIPTokenizer.from_pretrained(self.folder / "tokenizer")
        vae = json.loads((self.folder / "vae" / "config.json").read_text())
        self.distiller = Distiller(shipped_painter(self.folder), plan, vae["sample_size"]).to(self.where)
        self.average = Average(self.distiller.learning, 0.99)
        self.optimizer = runs.adamw(self.distiller.learning, plan.lr, decay=0.0)
        self.step, elapsed = self._restore()
        self.clock = Clock(plan.minutes * 60, elapsed)
        self.empty = token_rows(self.tokenizer, [""])[0]
        self.corpus = load_corpus(self.tokenizer, plan.scenes, build)

    def _restore(self) -> tuple[int, float]:
        kept = runs.load_state(self.build / "checkpoints" / "few_step.pt")
        if kept is None:
            return 0, 0.0
        if kept["base"] != base_hash(self.folder):
            raise FileExistsError(
                f"{self.build / 'checkpoints' / 'few_step.pt'} was learned from another base than {self.folder}. "
                "A LoRA belongs to the base that it was distilled from. Remove that file to begin anew."
            )
        set_peft_model_state_dict(self.distiller.student.unet, kept["lora"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.average.kept = [t.to(self.where) for t in kept["average"]]
        return kept["step"], kept["elapsed"]

    def advance(self, progress: float) -> tuple[float, float]:
        """Makes the step at `progress` in [0, 1]; returns its loss and the norm of its gradients."""
        batch = draw_batch(self.corpus, self.empty, self.step, batch=self.plan.batch, where=self.where)
        chance = torch.from_numpy(np.random.default_rng([13, self.step]).random(self.plan.batch)).to(self.where)
        with runs.autocast(self.where):
            loss = self.distiller.loss(batch.clean, batch.noise, batch.ids, chance).mean()
        loss.backward()
        runs.set_rate(self.optimizer, self.plan.lr * runs.rate(progress, self.step, warmup=WARMUP, hold=self.plan.hold))
        norm = torch.nn.utils.clip_grad_norm_(self.distiller.learning, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.average.update(self.step)
        return loss.item(), float(norm)

    def save(self) -> None:
        """Writes the checkpoint and, for packaging, the averaged LoRA."""
        live, told = self.distiller.state(), {"step": self.step, "base": base_hash(self.folder)}
        state = {
            "lora": live,
            "average": self.average.kept,
            "optimizer": self.optimizer.state_dict(),
            "elapsed": self.clock.elapsed,
            **told,
        }
        runs.save_state(state, self.build / "checkpoints" / "few_step.pt")
        with torch.no_grad():
            own = [p.clone() for p in self.distiller.learning]
            for parameter, mean in zip(self.distiller.learning, self.average.kept, strict=True):
                parameter.copy_(mean)
            kept = {"weights": self.distiller.state(), "kind": self.plan.kind, **told}
            for parameter, value in zip(self.distiller.learning, own, strict=True):
                parameter.copy_(value)
        runs.save_state(kept, runs.weights_path(self.build, "few_step"))


def base_hash(folder: Path) -> str:
    """Names the denoiser that a LoRA belongs to."""
    return hashlib.sha256((folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()


def sampler(kind: Kind) -> DDIMScheduler | LCMScheduler:
    """Returns the scheduler that a LoRA of a kind draws with."""
    own = build_scheduler()
    return own if kind == "segments" else LCMScheduler.from_config(own.config)


def write_few_step(folder: Path, build: Path = BUILD) -> bool:
    """Writes LoRA and scheduler of a build into a packaged folder, for `load_lora_weights`.

    A LoRA that is there is removed where it was learned from another base.

    Returns:
        Whether the folder now has one.
    """
    target, kept = folder / FOLDER, runs.read_weights(build, "few_step")
    if kept is None or kept["base"] != base_hash(folder):
        fits = (target / "base.sha256").exists() and (target / "base.sha256").read_text().strip() == base_hash(folder)
        for path in [] if fits or not target.exists() else sorted(target.iterdir()):
            path.unlink()
        return fits
    layers = {name: value.half().contiguous() for name, value in kept["weights"].items()}
    StableDiffusionXLPipeline.save_lora_weights(target, unet_lora_layers=layers)
    sampler(kept["kind"]).save_pretrained(target)
    (target / "base.sha256").write_text(kept["base"] + "\n")
    return True


def load_few_step(folder: Path) -> StableDiffusionXLPipeline:
    """Returns the stock pipeline of a packaged folder with its LoRA and its scheduler; it draws without guidance.

    Raises:
        FileNotFoundError: the folder has no LoRA.
    """
    if not (folder / FOLDER / FILE).exists():
        raise FileNotFoundError(
            f"{folder / FOLDER} has no {FILE}. A packaged folder with its few-step LoRA is needed. "
            "Run `python -m toybox.train fewstep`, then `python -m toybox.train package`."
        )
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    pipe.load_lora_weights(folder / FOLDER, weight_name=FILE, adapter_name="few_step")
    kind = json.loads((folder / FOLDER / "scheduler_config.json").read_text())["_class_name"]
    pipe.scheduler = {one.__name__: one for one in (DDIMScheduler, LCMScheduler)}[kind].from_pretrained(folder / FOLDER)
    return pipe


def draw_few_sheet(folder: Path, build: Path = BUILD) -> Path:
    """Draws the fixed prompts in few steps with a packaged folder; their twins at all steps are what `sheet` draws."""
    from toybox.train.sheet import PROMPTS, draw, tile

    path = build / "sheets" / "few_step.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = draw(load_few_step(folder), list(PROMPTS), list(range(len(PROMPTS))), guidance=1.0, steps=STEPS)
    tile(made).save(path)
    return path


def train_few_step(plan: FewPlan, build: Path = BUILD) -> bool:
    """Trains until the clock's end (earlier runs counted in) or a SIGTERM, and saves.

    Args:
        plan: what to do.
        build: folder of work products.

    Returns:
        Whether it came to its end.
    """
    course, stopped = FewCourse(plan, build), []
    before = signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))  # saves, then leaves
    try:
        _loop(course, stopped)
    finally:
        signal.signal(signal.SIGTERM, before)
    if not stopped:
        runs.done_path(build, "few_step").write_text(f"{course.step}\n")
    return not stopped


def _loop(course: FewCourse, stopped: list[int]) -> None:
    plan, clock, losses = course.plan, course.clock, []
    clock.start()
    begun, first, saved = clock.elapsed, course.step, clock.elapsed
    progress = clock.tick()
    while True:
        loss, norm = course.advance(progress)
        if not np.isfinite(loss):
            raise SystemExit(f"the loss is {loss} at step {course.step}: start again from the last checkpoint")
        losses, progress = [*losses[-99:], loss], clock.tick()
        if course.step % 20 == 0:
            speed = (course.step - first) * plan.batch / max(clock.elapsed - begun, 1e-9)
            facts = {"loss": float(np.mean(losses)), "grad": norm, "per_second": speed}
            runs.note(course.build, "few_step", step=course.step, progress=progress, **facts)
        if stopped or progress >= 1:
            break
        if clock.elapsed - saved > SAVE_SECONDS:
            course.save()
            saved = clock.elapsed
    course.save()
