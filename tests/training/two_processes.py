"""What each of two processes does: learns from batches of its own and writes down what it ended with."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from ipseity.core.types import Batch
from ipseity.data.regularization.l2 import L2
from ipseity.data.regularization.output_preservation import OutputPreservation
from ipseity.training.engines.accelerate import Accelerate, AccelerateOptions
from ipseity.training.loop import FitOptions, PreviewPlan, fit
from ipseity.training.penalized import Penalized
from ipseity.training.run import Run
from tests.training.toy import FACTS, RECIPE, DrawOptions, HeldLearner, ToyBatches, ToyLearner

HELD = {"output_preservation": OutputPreservation, "l2": L2}
"""Regularizations with a loss of their own."""


class Tokenless(ToyBatches):
    """The same rows once more, for a regularization that asks for them."""

    def at(self, step: int, accumulate: int, rank: int = 0, world: int = 1) -> Iterator[Batch]:
        for batch in super().at(step, accumulate, rank, world):
            yield replace(batch, tokenless=replace(batch, is_subject=torch.zeros_like(batch.is_subject)))


class Alone(Accelerate):
    """Forgets to share its gradients: what the test must be able to see."""

    def prepare(self, learner, optimizer):
        return learner.loss, optimizer


def main(out: Path, kind: str, accumulate: int) -> None:
    engine = (Alone if kind == "alone" else Accelerate).start(AccelerateOptions(device="cpu", num_processes=2))
    run = Run(out / "run")
    learner, batches = ToyLearner(), ToyBatches()
    if kind in HELD:
        learner, batches = Penalized(HeldLearner(), HELD[kind], HELD[kind].Options()), Tokenless()
    if kind == "apart":
        learner.up.bias.data += engine.rank  # unlike beginnings: the first process's count
    options = FitOptions(max_train_steps=6, learning_rate=1e-2, save_every=3, preview_every=3, accumulate=accumulate)
    previews = PreviewPlan(("a photo of sks mug",), (engine.rank,), DrawOptions())
    stop = (lambda: engine.rank == 1 and len(told) >= 5) if kind == "stop" else (lambda: False)
    told = []
    with run.open(RECIPE, FACTS, is_main=engine.is_main):
        for event in run.record(fit(learner, batches, engine, run, options, previews=previews, should_stop=stop)):
            told.append(event.record())
    (out / f"told-{engine.rank}.txt").write_text("\n".join(f"{one['event']} {one['step']}" for one in told))
    losses = torch.tensor([one["losses"]["subject"] for one in told if one["event"] == "Stepped"])
    save_file({**learner.identity().tensors, "losses": losses}, out / f"rank-{engine.rank}.safetensors")
    engine.barrier()
    engine.accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
