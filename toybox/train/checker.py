"""The checker: a small classifier of class, colour and place, trained on fresh renders, that marks drawings.

It is not shipped and never trains anything; its own accuracy on unseen renders is given before it is believed.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from toybox.train import runs
from toybox.train.judges import blemish
from toybox.train.runs import BUILD, Clock
from toybox.train.shards import read_shard, shard_paths, to_pixels

LEARNING_RATE = 2e-3


def coarse(images: np.ndarray) -> torch.Tensor:
    """Returns pixels at half size: enough to name things, and four times as fast."""
    return F.avg_pool2d(to_pixels(images), 2)


def labels() -> dict[str, list[str]]:
    """Returns the words of each head in a fixed order."""
    from toybox.world import classes, colours, places

    return {"class": classes(), "colour": colours(), "place": places()}


class Checker(nn.Module):
    """A plain convolutional net with one linear head for each attribute."""

    def __init__(self, heads: dict[str, int], widths: tuple[int, ...] = (32, 64, 128, 192, 256)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in widths:
            layers += [
                nn.Conv2d(before, width, 3, 2, 1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, 1, 1, groups=width // 16),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        self.trunk = nn.Sequential(*layers)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * before, count) for name, count in heads.items()})

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Returns logits by attribute."""
        made = self.trunk(pixels)
        rows = torch.cat([made.mean((2, 3)), made.amax((2, 3))], 1)
        return {name: head(rows) for name, head in self.heads.items()}


def _targets(facts: list[dict], words: dict[str, list[str]]) -> dict[str, torch.Tensor]:
    """Returns class indices; -100 (ignored) where an attribute is not named."""
    return {
        key: torch.tensor([table.index(f[key]) if f[key] in table else -100 for f in facts])
        for key, table in words.items()
    }


def _load(name: str, build: Path) -> tuple[np.ndarray, list[dict]]:
    shards = [read_shard(path) for path in shard_paths(name, build)]
    return np.concatenate([s.images for s in shards]), [f for s in shards for f in s.facts]


def train_checker(minutes: float, *, batch: int = 64, build: Path = BUILD) -> None:
    """Trains on the clock, then writes weights and the accuracy on unseen renders."""
    where, words = runs.device(), labels()
    images, facts = _load("clip", build)
    single = [i for i, f in enumerate(facts) if not f["second"]]
    images, goals = images[single], _targets([facts[i] for i in single], words)
    torch.manual_seed(4)
    net = Checker({k: len(v) for k, v in words.items()}).to(where, memory_format=torch.channels_last)
    optimizer, step, clock = (
        runs.adamw(net.parameters(), LEARNING_RATE, decay=0.05),
        0,
        Clock(minutes * 60, read=runs.small_clock()),
    )
    clock.start()
    while (progress := clock.tick()) < 1:
        rng = np.random.default_rng([13, step])
        chosen = rng.integers(0, len(images), batch)
        runs.set_rate(optimizer, LEARNING_RATE * runs.rate(progress, step, warmup=50, hold=0.2))
        pixels = blemish(coarse(images[chosen]), rng).to(where)
        with runs.autocast(where):
            made = net(pixels.contiguous(memory_format=torch.channels_last))
        loss = sum(F.cross_entropy(made[k].float(), goals[k][chosen].to(where), label_smoothing=0.05) for k in words)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % 50 == 0:
            runs.note(build, "checker", step=step, progress=progress, loss=loss.item())
    runs.save_state({"weights": net.state_dict(), "words": words}, runs.weights_path(build, "checker"))
    runs.note(build, "checker", **accuracy(build))
    runs.done_path(build, "checker").write_text(f"{step}\n")


def load_checker(build: Path = BUILD) -> tuple[Checker, dict[str, list[str]]]:
    """Reads the trained checker and its words."""
    state = runs.read_weights(build, "checker")
    if state is None:
        raise SystemExit("no trained checker: run `python -m toybox.train checker` first")
    net = Checker({k: len(v) for k, v in state["words"].items()})
    net.load_state_dict(state["weights"])
    return net.eval(), state["words"]


@torch.no_grad()
def guess(net: Checker, words: dict[str, list[str]], images: np.ndarray) -> list[dict[str, str]]:
    """Names class, colour and place of every picture."""
    out: list[dict[str, str]] = []
    for chunk in coarse(images).split(64):
        made = {k: v.argmax(1).tolist() for k, v in net(chunk).items()}
        out += [{k: words[k][made[k][i]] for k in words} for i in range(len(chunk))]
    return out


def accuracy(build: Path = BUILD) -> dict[str, float]:
    """Returns the checker's share of right answers on renders that it never saw (single things)."""
    net, words = load_checker(build)
    images, facts = _load("unseen", build)
    rows = [i for i, f in enumerate(facts) if not f["second"]]
    said = guess(net, words, images[rows])
    asked = {
        k: [s[k] == facts[i][k] for s, i in zip(said, rows, strict=True) if facts[i][k] in words[k]] for k in words
    }
    return {k: float(np.mean(v)) for k, v in asked.items()}
