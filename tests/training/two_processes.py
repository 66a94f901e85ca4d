"""What each of two processes does: learns from batches of its own and writes down what it ended with."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from ipseity.training.engines.accelerate import Accelerate, AccelerateOptions
from ipseity.training.loop import FitOptions, PreviewPlan, fit
from ipseity.training.run import Run
from tests.training.toy import FACTS, RECIPE, DrawOptions, ToyBatches, ToyLearner


class Alone(Accelerate):
    """Forgets to share its gradients: what the test must be able to see."""

    def prepare(self, learner, optimizer):
        return learner.loss, optimizer


def main(out: Path, kind: str, accumulate: int) -> None:
    engine = (Alone if kind == "alone" else Accelerate).start(AccelerateOptions(device="cpu", num_processes=2))
    run = Run(out / "run")
    learner = ToyLearner()
    learner.up.bias.data += engine.rank * (kind == "apart")  # unlike beginnings: the first process's count
    options = FitOptions(max_train_steps=6, learning_rate=1e-2, save_every=3, preview_every=3, accumulate=accumulate)
    previews = PreviewPlan(("a photo of sks mug",), (engine.rank,), DrawOptions())
    stop = (lambda: engine.rank == 1 and len(told) >= 5) if kind == "stop" else (lambda: False)
    told = []
    with run.open(RECIPE, FACTS, is_main=engine.is_main):
        for event in run.record(fit(learner, ToyBatches(), engine, run, options, previews=previews, should_stop=stop)):
            told.append(event.record())
    (out / f"told-{engine.rank}.txt").write_text("\n".join(f"{one['event']} {one['step']}" for one in told))
    losses = torch.tensor([one["losses"]["subject"] for one in told if one["event"] == "Stepped"])
    save_file({**learner.identity().tensors, "losses": losses}, out / f"rank-{engine.rank}.safetensors")
    engine.barrier()
    engine.accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
