"""Encodes shards once, and holds everything that text-to-image training reads: latents, token rows, size numbers."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPTokenizer

from toybox.train import runs
from toybox.train.runs import BUILD
from toybox.train.shards import read_shard, shard_paths, to_pixels
from toybox.train.sizes import FULL, POSITIONS, Sizes
from toybox.train.tokenizer import RARE
from toybox.train.vae import trained_vae


@dataclass(frozen=True)
class Corpus:
    """All training samples, small enough to lie in memory."""

    latents: torch.Tensor
    """(N, 4, h, w) fp16, unit variance."""
    ids: torch.Tensor
    """(N, K, 77) int16 token rows in the first encoder's form."""
    size_ids: torch.Tensor
    """(N, 6) float."""
    cover: torch.Tensor
    """(N, h, w) fp16: share of each latent's pixels that belong to a thing."""


def latent_path(shard: Path, build: Path = BUILD) -> Path:
    """Returns where the latents of a shard lie."""
    return build / "latents" / shard.parent.name / shard.name


@torch.no_grad()
def encode_shards(
    name: str = "train", build: Path = BUILD, sizes: Sizes = FULL, *, part: tuple[int, int] = (0, 1)
) -> int:
    """Encodes every shard that has no latents yet.

    Args:
        name: set of scenes.
        build: folder of work products.
        sizes: widths.
        part: `(i, n)` takes every n-th shard from the i-th, so that processes can share the work.

    Returns:
        Number of shards encoded now.
    """
    (vae, scale), where, made = trained_vae(build, sizes), runs.device(), 0
    for path in shard_paths(name, build)[part[0] :: part[1]]:
        goal = latent_path(path, build)
        if goal.exists():
            continue
        shard, rows = read_shard(path), []
        for chunk in to_pixels(shard.images).split(32):
            with runs.autocast(where):
                rows.append(vae.encode(chunk.to(where)).latent_dist.mean.float().cpu() * scale)
        goal.parent.mkdir(parents=True, exist_ok=True)
        fresh = goal.with_suffix(".new.npz")
        np.savez(
            fresh,
            latents=torch.cat(rows).half().numpy(),
            size_ids=shard.size_ids,
            cover=shrink(shard.masks, rows[0].shape[-1]),
            facts=np.frombuffer(json.dumps(shard.facts).encode(), dtype=np.uint8),
        )
        fresh.replace(goal)
        made += 1
        runs.note(build, "latents", shard=path.stem)
    return made


def shrink(masks: np.ndarray, side: int) -> np.ndarray:
    """Returns the share of each of side x side cells that masks (N, H, W) cover, as fp16."""
    step = masks.shape[-1] // side
    return masks.reshape(len(masks), side, step, side, step).mean((2, 4)).astype(np.float16)


def strange(caption: str, noun: str, rng: np.random.Generator) -> str:
    """Puts a made-up or meaningless word before the class noun, so that unknown words leave a picture whole."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    invented = "".join(letters[i] for i in rng.integers(0, 26, rng.integers(3, 6)))
    word = invented if rng.random() < 0.8 else RARE[rng.integers(len(RARE))]
    return caption.replace(noun, f"{word} {noun}", 1)


def token_rows(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Returns (N, 77) int16 rows as the pipeline makes them."""
    made = tokenizer(captions, padding="max_length", max_length=POSITIONS, truncation=True)
    return torch.tensor(made.input_ids, dtype=torch.int16)


def second_rows(ids: torch.Tensor, end: int) -> torch.Tensor:
    """Returns the second tokenizer's rows of the same captions: zeros behind the first end token."""
    behind = (ids == end).cumsum(-1) > 1
    return ids.masked_fill(behind, 0)


def count_latents(build: Path = BUILD, name: str = "train") -> int:
    """Returns the number of finished files of latents."""
    return sum(not p.name.endswith(".new.npz") for p in (build / "latents" / name).glob("*.npz"))


def load_corpus(tokenizer: CLIPTokenizer, name: str = "train", build: Path = BUILD) -> Corpus:
    """Reads all encoded shards and makes token rows of their captions."""
    latents, ids, numbers, covers = [], [], [], []
    for path in sorted((build / "latents" / name).glob("*.npz")):
        if path.name.endswith(".new.npz"):
            continue
        with np.load(path) as file:
            facts = json.loads(file["facts"].tobytes())
            latents.append(torch.from_numpy(file["latents"]))
            numbers.append(torch.from_numpy(file["size_ids"]).float())
            covers.append(torch.from_numpy(file["cover"]))
        rng = np.random.default_rng([5, int(path.stem)])
        captions = [strange(c, f["class"], rng) if rng.random() < 0.04 else c for f in facts for c in f["captions"]]
        ids.append(token_rows(tokenizer, captions).view(len(facts), -1, POSITIONS))
    if not latents:
        raise SystemExit("no latents in build/toybox/latents: run `python -m toybox.train shards` first")
    return Corpus(torch.cat(latents), torch.cat(ids), torch.cat(numbers), torch.cat(covers))
