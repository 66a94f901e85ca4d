"""One device: a CUDA card, Apple's GPU or the processor, in one process."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from ipseity.core.options import Options as AnyOptions
from ipseity.core.protocols import Engine, Learner
from ipseity.core.rng import Rng
from ipseity.core.types import Batch
from ipseity.training.engines.parts.machine import DeviceOptions, pick_device, pick_precision


class SingleOptions(DeviceOptions):
    """One device."""

    use: Literal["single"] = "single"
    """One device, one process."""


class Single:
    """One process on one device."""

    Options: ClassVar[type[AnyOptions]] = SingleOptions
    rank = 0
    world = 1
    is_main = True

    def __init__(self, device: torch.device, precision: Literal["no", "bf16"]) -> None:
        self.device, self.precision = device, precision

    @classmethod
    def start(cls, options: SingleOptions) -> Self:
        """Take the device.

        Raises:
            RecipeError: the device or the number format is not to be had here.
        """
        device = pick_device(options.device)
        return cls(device, pick_precision(options.mixed_precision, device))

    def prepare(self, learner: Learner, optimizer: torch.optim.Optimizer) -> tuple[Any, torch.optim.Optimizer]:
        """Give the learner's loss, computed in the engine's number format, and the optimizer as it is."""
        return (learner.loss if self.precision == "no" else self._narrowed(learner.loss)), optimizer

    def _narrowed(self, loss: Callable[..., Any]) -> Callable[[Batch, Rng], Any]:
        def narrowed(batch: Batch, rng: Rng) -> Any:
            with torch.autocast(self.device.type, torch.bfloat16):
                return loss(batch, rng)

        return narrowed

    def micro_step(self, *, last: bool) -> AbstractContextManager[None]:
        """Do nothing: there is nobody to share gradients with."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradient to what is there."""
        loss.backward()

    def clip(self, parameters: Sequence[nn.Parameter], max_norm: float) -> float:
        """Clip the gradient and give its norm before clipping; 0 or infinity as `max_norm` leaves it as it is."""
        return float(nn.utils.clip_grad_norm_(parameters, max_norm or math.inf))

    def gather(self, values: Mapping[str, float]) -> dict[str, float]:
        """Give the numbers back: one process is its own average."""
        return dict(values)

    def barrier(self) -> None:
        """Wait for nobody."""


PLUGIN: type[Engine] = Single
