"""Several processes on GPUs or processors that share their gradients, through Accelerate (arXiv:2006.15704)."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from ipseity.core.errors import EngineError
from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Engine, Learner
from ipseity.core.rng import Rng
from ipseity.core.types import Batch
from ipseity.training.engines.parts.machine import DeviceOptions, pick_device, pick_precision

PATIENCE = timedelta(days=7)
"""How long a process waits for the others: the first one draws sets and scores checkpoints alone, which may take hours.

A process that died is not waited for: the launcher sees it and ends the others.
"""


class AccelerateOptions(DeviceOptions):
    """Several processes, each with batches of its own."""

    use: Literal["accelerate"] = "accelerate"
    """Several processes; with CUDA each takes the card of its own number."""
    num_processes: int = Field(1, ge=1)
    """Processes; more than one needs a launcher, which the command line starts by itself."""


class Shared(nn.Module):
    """A learner whose `forward` is its loss and whose parameters are what is trained, and nothing else.

    Data-parallel wrappers synchronize what a module owns, through its `forward`: the frozen base stays outside, so that
    it is neither broadcast nor watched.
    """

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.trained = nn.ParameterList(learner.trainable().values())
        self._learner = (learner,)  # in a tuple, so that it does not become a submodule

    def forward(self, batch: Batch, rng: Rng) -> dict[str, Tensor]:
        """Give the learner's losses."""
        return self._learner[0].loss(batch, rng)


class Accelerate:
    """This process's place among several."""

    Options: ClassVar[type[AnyOptions]] = AccelerateOptions

    def __init__(self, accelerator: Any) -> None:
        self.accelerator = accelerator
        self.rank: int = accelerator.process_index
        self.world: int = accelerator.num_processes
        self.is_main: bool = accelerator.is_main_process
        self.device: torch.device = accelerator.device
        self._shared: nn.Module | None = None

    @classmethod
    def start(cls, options: AccelerateOptions) -> Self:
        """Join the other processes.

        Raises:
            RecipeError: the device or the number format is not to be had here.
            EngineError: the number of processes is not the one asked for.
        """
        from accelerate import Accelerator, InitProcessGroupKwargs

        device = pick_device(options.device)
        precision = pick_precision(options.mixed_precision, device)
        running = int(os.environ.get("WORLD_SIZE", "1"))
        if running != options.num_processes:
            raise EngineError(
                f"engine.num_processes is {options.num_processes}, and {running} run. Both must be the same. "
                "Start through the command line, which launches them, or set engine.num_processes."
            )
        patient = InitProcessGroupKwargs(timeout=PATIENCE)
        return cls(Accelerator(mixed_precision=precision, cpu=device.type == "cpu", kwargs_handlers=[patient]))

    def prepare(self, learner: Learner, optimizer: torch.optim.Optimizer) -> tuple[Any, torch.optim.Optimizer]:
        """Give a callable whose gradients are averaged over processes, and the optimizer as it is.

        The optimizer stays unwrapped: each process makes the same step from the same gradient.
        """
        self._shared = self.accelerator.prepare_model(Shared(learner), device_placement=False)
        return self._shared, optimizer

    @contextmanager
    def micro_step(self, *, last: bool) -> Iterator[None]:
        """Share gradients in the last part of a step only."""
        if last or self._shared is None:
            yield
            return
        with self.accelerator.no_sync(self._shared):
            yield

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradient to what is there."""
        loss.backward()  # accelerator.backward would divide by its own count of parts; the loop has done so

    def clip(self, parameters: Sequence[nn.Parameter], max_norm: float) -> float:
        """Clip the gradient and give its norm before clipping; 0 or infinity as `max_norm` leaves it as it is."""
        return float(nn.utils.clip_grad_norm_(parameters, max_norm or math.inf))

    def gather(self, values: Mapping[str, float]) -> dict[str, float]:
        """Average numbers over processes; a name that only some have is averaged over those."""
        if self.world == 1:
            return dict(values)
        from accelerate.utils import gather_object

        heard: list[Mapping[str, float]] = gather_object([dict(values)])
        names = sorted({name for one in heard for name in one})
        return {
            name: math.fsum(held) / len(held) for name in names if (held := [one[name] for one in heard if name in one])
        }

    def barrier(self) -> None:
        """Wait until all processes are here."""
        self.accelerator.wait_for_everyone()


PLUGIN: type[Engine] = Accelerate
