"""The checker: a classifier of class, colour and place, trained on fresh renders, that marks drawings.

It looks twice: through a network trained elsewhere (EfficientNet-Lite2 on ImageNet, frozen), which knows things, and through a small
one of its own, which learns this world's colours and places. It is not shipped and never trains anything; its own
accuracy on unseen renders is given before it is believed, crisp and after a round trip through the autoencoder, since all
drawings have been through that.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import nn

from ipseity.vision.efficientnet_lite2 import EfficientNetLite2, EfficientNetLite2Options
from toybox.train import runs
from toybox.train.judges import blemish
from toybox.train.runs import BUILD, Clock
from toybox.train.shards import read_shard, shard_paths, to_images, to_pixels
from toybox.train.vae import trained_vae

LEARNING_RATE = 2e-3
FROZEN = 1280
"""Width of the frozen network's last maps."""
LOOK = 192
"""Side in pixels at which the frozen network looks."""


def coarse(images: np.ndarray) -> torch.Tensor:
    """Returns pixels at half size: enough for colours and places, and four times as fast."""
    return F.avg_pool2d(to_pixels(images), 2)


@torch.no_grad()
def look(images: np.ndarray, where: torch.device | None = None) -> torch.Tensor:
    """Returns the frozen network's last maps (N, 1280, 36), fp16."""
    where = where or runs.device()
    network = EfficientNetLite2.load(EfficientNetLite2Options(), where).network
    rows = []
    for chunk in to_pixels(images).split(32):
        large = F.interpolate(chunk.to(where), size=LOOK, mode="bicubic")
        rows.append(network.extract_features(large * (127.5 / 128)).flatten(2).half().cpu())
    return torch.cat(rows)


@torch.no_grad()
def round_trip(vae: AutoencoderKL, images: np.ndarray) -> np.ndarray:
    """Returns pictures encoded and decoded again."""
    chunks = to_pixels(images).to(vae.device).split(32)
    return np.concatenate([to_images(vae.decode(vae.encode(chunk).latent_dist.mode()).sample) for chunk in chunks])


def labels() -> dict[str, list[str]]:
    """Returns the words of each head in a fixed order."""
    from toybox.world import classes, colours, places

    return {"class": classes(), "colour": colours(), "place": places()}


class Checker(nn.Module):
    """A plain convolutional net beside attention over frozen maps, with one linear head for each attribute."""

    def __init__(
        self, heads: dict[str, int], widths: tuple[int, ...] = (32, 64, 128, 192, 256), width: int = 256
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for own in widths:
            layers += [
                nn.Conv2d(before, own, 3, 2, 1),
                nn.BatchNorm2d(own),
                nn.ReLU(),
                nn.Conv2d(own, own, 3, 1, 1, groups=own // 16),
                nn.BatchNorm2d(own),
                nn.ReLU(),
            ]
            before = own
        self.trunk = nn.Sequential(*layers)
        self.reduce = nn.Sequential(nn.BatchNorm1d(FROZEN), nn.Dropout(0.3), nn.Conv1d(FROZEN, width, 1), nn.GELU())
        self.looks = nn.ModuleDict({name: nn.Conv1d(width, 2, 1) for name in heads})
        self.heads = nn.ModuleDict({name: nn.Linear(2 * before + 2 * width, count) for name, count in heads.items()})

    def forward(self, pixels: torch.Tensor, maps: torch.Tensor) -> dict[str, torch.Tensor]:
        """Returns logits by attribute for pixels (B, 3, 64, 64) and frozen maps (B, 1280, cells)."""
        own, cells = self.trunk(pixels), self.reduce(maps)
        rows = torch.cat([own.mean((2, 3)), own.amax((2, 3))], 1)
        out = {}
        for name, head in self.heads.items():
            seen = torch.einsum("bac,bwc->baw", self.looks[name](cells).softmax(-1), cells).flatten(1)
            out[name] = head(F.dropout(torch.cat([rows, seen], 1), 0.2, self.training))
        return out


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
    """Trains on the clock, then writes weights and the accuracy on unseen renders.

    Half of the pictures go through the autoencoder first.
    """
    where, words = runs.device(), labels()
    images, facts = _load("clip", build)
    single = [i for i, f in enumerate(facts) if not f["second"]]
    images, goals = images[single], _targets([facts[i] for i in single], words)
    images[::2] = round_trip(trained_vae(build)[0], images[::2])
    maps = look(images)
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
            made = net(pixels.contiguous(memory_format=torch.channels_last), maps[chosen].float().to(where))
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
    for pixels, maps in zip(coarse(images).split(64), look(images, torch.device("cpu")).split(64), strict=True):
        made = {k: v.argmax(1).tolist() for k, v in net(pixels, maps.float()).items()}
        out += [{k: words[k][made[k][i]] for k in words} for i in range(len(pixels))]
    return out


def accuracy(build: Path = BUILD) -> dict[str, float]:
    """Returns the checker's share of right answers on renders that it never saw (single things).

    Names that end in `_decoded` are of the same renders after a round trip through the autoencoder.
    """
    net, words = load_checker(build)
    images, facts = _load("unseen", build)
    rows = [i for i, f in enumerate(facts) if not f["second"]]
    views = {"": images[rows], "_decoded": round_trip(trained_vae(build)[0], images[rows])}
    out = {}
    for ending, pictures in views.items():
        said = guess(net, words, pictures)
        for k in words:
            told = [s[k] == facts[i][k] for s, i in zip(said, rows, strict=True) if facts[i][k] in words[k]]
            out[k + ending] = float(np.mean(told))
    return out
