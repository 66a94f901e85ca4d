"""Renders scenes into shards: pictures, masks, captions, SDXL's size numbers, and facts about what is in them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toybox.train.runs import BUILD, note
from toybox.train.sizes import SIDE

SHARD = 512
CAPTIONS = 4
FIRST_SEED = {"train": 0, "clip": 10_000_000, "calm": 20_000_000, "unseen": 30_000_000}
"""Sets of scenes; each has seeds of its own. `calm` is what a denoiser learns from first: the world with less variety."""
SPLIT = {"train": "train", "calm": "train", "clip": "fresh", "unseen": "fresh"}
"""The world's split of each set; what trains the base holds no held-out combination."""


@dataclass(frozen=True)
class Shard:
    """One shard in memory."""

    images: np.ndarray
    """(N, side, side, 3) uint8."""
    masks: np.ndarray
    """(N, side, side) bool."""
    size_ids: np.ndarray
    """(N, 6): original height and width, crop top and left, target height and width."""
    facts: list[dict]
    """Per scene: captions, class, colour, place, second, member."""


def framing(rng: np.random.Generator, side: int = SIDE, cropped: float = 0.28) -> tuple[int, int, int, tuple[int, int]]:
    """Chooses how a scene is scaled and cropped, with the numbers that a photo so treated would carry.

    Args:
        rng: source of chance.
        side: side of the picture in pixels.
        cropped: share of pictures that are cut out of larger ones.

    Returns:
        Pixels to render at, crop top, crop left, original (height, width). Half of the pictures are whole; originals
        are as large as photos are, because a user's own photos come down to this size from thousands of pixels.
    """
    scaled = side if rng.random() >= cropped else int(rng.integers(side + 8, int(side * 1.4)))
    top, left = (int(rng.integers(0, scaled - side + 1)) for _ in range(2))
    grow = 1.0 if rng.random() < 0.6 else float(np.exp(rng.uniform(0.0, np.log(16.0))))
    original = round(scaled * grow)
    return scaled, top, left, (original, original)


def shoot(
    scene: object, rng: np.random.Generator, side: int = SIDE, *, cropped: float = 0.28
) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Renders a scene once, cropped and scaled at random.

    Returns:
        Picture, mask and the six size numbers.
    """
    from toybox.world import render

    scaled, top, left, original = framing(rng, side, cropped)
    out = render(scene, size=scaled)
    window = (slice(top, top + side), slice(left, left + side))
    image, mask = np.asarray(out.image)[window], np.asarray(out.mask)[window] > 0
    if scaled == side and rng.random() < 0.05:
        small = int(rng.integers(side // 2, side))
        image = np.asarray(
            Image.fromarray(image).resize((small, small), Image.LANCZOS).resize((side, side), Image.BICUBIC)
        )
        original = (small, small)
    return image, mask, [*original, top, left, side, side]


def facts_of(scene: object, rng: np.random.Generator, captions: int = CAPTIONS) -> dict:
    """Returns captions in several forms and the attributes that judges and checks are asked about."""
    from toybox.world import caption

    thing, second = scene.thing, scene.second
    return {
        "captions": [caption(scene, rng) for _ in range(captions)],
        "class": str(thing.class_noun),
        "colour": str(thing.colour or ""),
        "place": str(scene.place.name),
        "member": str(thing.member_id),
        "second": str(second.thing.class_noun) if second else "",
    }


def render_shard(name: str, index: int, *, count: int = SHARD, build: Path = BUILD) -> Path:
    """Renders shard `index` of the set `name`, or leaves it alone where it already lies."""
    from toybox.world import CALM, FULL, describe

    variety = CALM if name == "calm" else FULL
    path = build / "shards" / name / f"{index:05d}.npz"
    if path.exists():
        return path
    seeds = range(FIRST_SEED[name] + index * count, FIRST_SEED[name] + (index + 1) * count)
    rows, facts = [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        scene = describe(seed, split=SPLIT[name], variety=variety)
        rows.append(shoot(scene, rng, cropped=variety.cropped))
        facts.append(facts_of(scene, rng))
    images, masks, numbers = (np.stack([np.asarray(row[i]) for row in rows]) for i in range(3))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new.npz")
    np.savez(
        fresh,
        images=images,
        masks=np.packbits(masks, axis=-1),
        size_ids=numbers,
        facts=np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8),
    )
    fresh.replace(path)
    return path


def read_shard(path: Path) -> Shard:
    """Reads one shard."""
    with np.load(path) as file:
        images = file["images"]
        masks = np.unpackbits(file["masks"], axis=-1, count=images.shape[2]).astype(bool)
        return Shard(images, masks, file["size_ids"], json.loads(file["facts"].tobytes()))


def shard_paths(name: str, build: Path = BUILD) -> list[Path]:
    """Lists the finished shards of a set."""
    return sorted(p for p in (build / "shards" / name).glob("*.npz") if not p.name.endswith(".new.npz"))


def _render_one(task: tuple[str, int, str]) -> str:
    name, index, build = task
    torch.set_num_threads(1)
    return str(render_shard(name, index, build=Path(build)))


def render_set(name: str, scenes: int, *, workers: int = 2, build: Path = BUILD) -> None:
    """Renders a whole set with several processes; repeated, it only renders what is missing."""
    tasks = [(name, i, str(build)) for i in range(-(-scenes // SHARD))]
    if workers == 1:
        for done, task in enumerate(tasks, 1):
            _render_one(task)
            note(build, "shards", set=name, shard=done, of=len(tasks))
        return
    with torch.multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, _ in enumerate(pool.imap_unordered(_render_one, tasks), 1):
            note(build, "shards", set=name, shard=done, of=len(tasks))


def to_pixels(images: np.ndarray) -> torch.Tensor:
    """Turns (N, H, W, 3) uint8 into (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_images(pixels: torch.Tensor) -> np.ndarray:
    """Turns (N, 3, H, W) in [-1, 1] into (N, H, W, 3) uint8."""
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def each_shard(name: str, build: Path = BUILD) -> Iterator[Shard]:
    """Reads the finished shards of a set one by one."""
    yield from (read_shard(path) for path in shard_paths(name, build))
