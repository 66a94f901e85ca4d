"""The training loop: a generator that tells what happens and knows nobody who listens."""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import Diverged, OutOfMemory
from ipseity.core.events import Event, Previewed, Saved, Stepped
from ipseity.core.identity import Identity
from ipseity.core.options import Options
from ipseity.core.protocols import Engine, Learner
from ipseity.core.rng import Rng
from ipseity.core.types import Batch
from ipseity.training.interrupt import uninterrupted
from ipseity.training.machine import peak_gib
from ipseity.training.optim import Schedule, make_optimizer, rate_at, set_rate
from ipseity.training.run import Run


class FitOptions(Options):
    """How a learner is taught."""

    max_train_steps: int = Field(300, ge=0)
    """Optimizer steps."""
    learning_rate: float = Field(2e-4, gt=0, le=1)
    """The highest rate; published LoRA recipes use 1e-4 to 5e-4, full training 1e-6 to 5e-6."""
    schedule: Schedule = "constant"
    """How the rate falls after the warm-up: not at all, along half a cosine wave, or in a straight line to zero."""
    lr_warmup_steps: int = Field(0, ge=0)
    """Steps over which the rate rises to its highest."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients make one step."""
    prior_loss_weight: float = Field(1.0, ge=0)
    """Weight of the regularization's loss, by pictures or its own, beside the subject's."""
    max_norm: float = Field(1.0, ge=0)
    """Gradients longer than this are shortened to it; 0 leaves them as they are."""
    weight_decay: float = Field(1e-2, ge=0)
    """AdamW's pull of what is trained toward zero."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's memory of the gradient and of its square."""
    save_every: int = Field(100, ge=1)
    """Steps between checkpoints; the last step is always saved."""
    preview_every: int = Field(0, ge=0)
    """Steps between preview pictures; 0 draws none."""


@dataclass(frozen=True)
class PreviewPlan:
    """What is drawn at each preview."""

    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
    draw: DrawOptions


class Batches(Protocol):
    """Batches as a pure function of progress."""

    def at(self, step: int, accumulate: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        """Give the batches of one optimizer step."""
        ...


class Means:
    """Means of losses by name over the samples of a step, kept on the device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Count the losses of one batch in."""
        for name, values in losses.items():
            total = values.detach().float().sum()
            self._sums[name] = self._sums[name] + total if name in self._sums else total
            self._counts[name] = self._counts.get(name, 0) + values.numel()

    def read(self) -> dict[str, float]:
        """Give the means, with one transfer from the device; a name without samples is left out."""
        sums = torch.stack(list(self._sums.values())).tolist() if self._sums else []
        return {
            name: total / self._counts[name] for name, total in zip(self._sums, sums, strict=True) if self._counts[name]
        }


def weigh(losses: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Add the mean of each named loss, times its weight; a name without a weight counts once.

    Each mean is over that name's own samples, so the balance does not depend on how many of each a batch holds.

    Source:
        arXiv:2208.12242, eq. 2: the subject's term plus lambda times the prior's.
    """
    parts = [weights.get(name, 1.0) * values.float().mean() for name, values in losses.items() if values.numel()]
    assert parts, f"a batch without losses ({', '.join(losses) or 'no name'})"
    return torch.stack(parts).sum()


def due(done: int, every: int, total: int) -> bool:
    """Whether something that happens every so many steps, and at the end, happens after step `done`."""
    return every > 0 and done > 0 and (done % every == 0 or done == total)


def fit(
    learner: Learner,
    batches: Batches,
    engine: Engine,
    run: Run,
    options: FitOptions,
    *,
    seed: int = 0,
    previews: PreviewPlan | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Generator[Event, None, Identity]:
    """Teach a learner, telling each thing as it happens; the generator's value is what was learned.

    The run is taken up at its newest checkpoint. Torch's global stream of chance is set in each step, since dropout
    draws from it.

    Args:
        learner: what is trained; nothing at all for a method that learns nothing, which makes no step.
        batches: what is shown.
        engine: what it runs on.
        run: the open run folder.
        options: how many steps, how fast.
        seed: chance is a function of it and of the step.
        previews: what is drawn every `preview_every` steps.
        should_stop: asked before each step; an early stop is an end like any other.

    Raises:
        Diverged: the gradient is no longer finite; what was learned so far is in the newest checkpoint.
        OutOfMemory: the device has no room.
    """
    parameters = learner.trainable()
    total = options.max_train_steps if parameters else 0
    optimizer = _optimizer(parameters, options) if parameters else None
    done = run.restore(learner, optimizer)
    teach = Teacher(learner, batches, engine, options, seed) if total else None
    follow = Following(learner, engine, run, options, previews)

    yield from follow.missed(done, total)
    while teach and optimizer and done < total and not _agreed(engine, should_stop()):
        started = time.perf_counter()
        rate = rate_at(
            done, options.schedule, learning_rate=options.learning_rate, warmup=options.lr_warmup_steps, total=total
        )
        set_rate(optimizer, rate)
        means, norm = teach.gradients(optimizer, done)
        if not math.isfinite(norm):
            newest = run.latest()
            raise Diverged(step=done + 1, norm=norm, last_good=newest.folder if newest else None)
        told = engine.gather(means.read())
        with uninterrupted():  # weights, moments, step and the fact that tells of them move together or not at all
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            done += 1
            seconds = time.perf_counter() - started
            stepped = Stepped(done, total, told, rate, norm, seconds, peak_gib(engine.device))
            run.reach(stepped)
        yield stepped
        yield from follow.up(done, total)
    yield from follow.end(done)
    return learner.identity()


class Teacher:
    """Computes the gradient of one step.

    Args:
        learner: what is trained.
        batches: what is shown.
        engine: what it runs on.
        options: accumulation, clipping, weights.
        seed: root of all chance.
    """

    def __init__(self, learner: Learner, batches: Batches, engine: Engine, options: FitOptions, seed: int) -> None:
        self.learner, self.batches, self.engine, self.options = learner, batches, engine, options
        self.parameters = list(learner.trainable().values())
        self.rng = Rng(seed, ("fit",))
        self.weights = {"regularization": options.prior_loss_weight}
        self._losses: Any = None

    def gradients(self, optimizer: torch.optim.Optimizer, step: int) -> tuple[Means, float]:
        """Add up the gradients of a step's batches and clip them.

        Returns:
            The losses' means, and the gradient's norm before clipping.
        """
        if self._losses is None:
            self._losses, _ = self.engine.prepare(self.learner, optimizer)
        engine, parts, means = self.engine, self.options.accumulate, Means()
        with _room(engine.device), torch.enable_grad():
            for micro, batch in enumerate(self.batches.at(step, parts, engine.rank, engine.world)):
                rng = self.rng.fork(step, engine.rank, micro)
                torch.manual_seed(rng.fork("global").integer(2**63))
                with engine.micro_step(last=micro == parts - 1):
                    losses = self._losses(batch, rng)
                    engine.backward(weigh(losses, self.weights) / parts)
                means.add(losses)
            return means, engine.clip(self.parameters, self.options.max_norm)


class Following:
    """What follows a step: previews and checkpoints.

    Args:
        learner: what is drawn with and saved.
        engine: only its main process draws and writes.
        run: the open run folder.
        options: how often.
        previews: what is drawn.
    """

    def __init__(
        self, learner: Learner, engine: Engine, run: Run, options: FitOptions, previews: PreviewPlan | None
    ) -> None:
        self.learner, self.engine, self.run, self.options, self.previews = learner, engine, run, options, previews

    def up(self, done: int, total: int) -> Iterator[Event]:
        """Draw and save what is due after step `done`."""
        if self.previews and due(done, self.options.preview_every, total):
            yield Previewed(done, self._drawn(done, self.previews))
        if due(done, self.options.save_every, total):
            yield Saved(done, self._saved(done))

    def missed(self, done: int, total: int) -> Iterator[Event]:
        """Draw and save what an interruption right after step `done` came before."""
        newest = self.run.latest()
        if newest is not None and not newest.due:
            yield from self.up(done, total)

    def end(self, done: int) -> Iterator[Event]:
        """Save the end where no checkpoint holds it yet: an early stop, or a method that makes no step."""
        newest = self.run.latest()
        if newest is None or newest.step != done or not newest.due:
            yield Saved(done, self._saved(done))

    def _saved(self, done: int) -> Path:
        folder = self.run.save(done)
        self.engine.barrier()
        return folder

    def _drawn(self, done: int, plan: PreviewPlan) -> Path:
        images = self.learner.preview(plan.prompts, plan.seeds, plan.draw) if self.engine.is_main else []
        folder = self.run.keep_images(done, images, plan.prompts)
        self.engine.barrier()
        return folder


def _optimizer(parameters: Mapping[str, nn.Parameter], options: FitOptions) -> torch.optim.Optimizer:
    return make_optimizer(
        parameters, learning_rate=options.learning_rate, betas=options.betas, weight_decay=options.weight_decay
    )


def _agreed(engine: Engine, stop: bool) -> bool:
    """All processes stop when one wants to: a lone one would wait for the others for ever."""
    return stop if engine.world == 1 else engine.gather({"stop": float(stop)})["stop"] > 0


@contextmanager
def _room(device: torch.device) -> Iterator[None]:
    """Say in words that memory ran out."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _cramped(device) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error) and "MPS backend out of memory" not in str(error):
            raise
        raise _cramped(device) from error


def _cramped(device: torch.device) -> OutOfMemory:
    return OutOfMemory(
        f"{device} ran out of memory after {peak_gib(device):.2f} GiB. A smaller batch fits. "
        "Lower data.batch_size and raise fit.accumulate by as much: the steps stay the same."
    )
