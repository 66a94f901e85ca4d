"""Everything that a step reads, encoded once: latents, token rows, size numbers, points, embeddings, as files that are mapped.

A folder a shard holds plain .npy files, which are mapped into memory and not read, so that a set may be larger than memory and
any row of it can be had at any step.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ipseity.core.files import writing
from ipseity.core.image import to_pixels
from toybox.instantid.rows import Row, read_manifest, read_shard, shard_paths

ARRAYS = ("latents", "ids", "points", "boxes", "hints", "embedding")


@dataclass(frozen=True)
class Fitted:
    """A picture as training sees it.

    Attributes:
        image: RGB, square.
        scale: pixels of it to a pixel of the row's picture.
        corner: (left, top) of the cut, in pixels of the scaled picture.
        hints: SDXL's six numbers: original height and width, crop top and left, height and width of the target.
    """

    image: Image.Image
    scale: float
    corner: tuple[int, int]
    hints: tuple[int, int, int, int, int, int]

    def moved(self, points: np.ndarray) -> np.ndarray:
        """Moves (N, 2) points of the row's picture into this one."""
        return (points * self.scale - np.array(self.corner)).astype(np.float32)


def fit(row: Row, side: int) -> Fitted:
    """Scales a picture until its shorter side fits, and cuts the square that has the face nearest to its middle.

    Args:
        row: what is fitted.
        side: of the square in pixels.
    """
    image = row.image
    scale = side / min(image.size)
    grown = (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
    scaled = image if image.size == grown else image.resize(grown, Image.Resampling.LANCZOS)
    middle = (row.box.reshape(2, 2).mean(0) * scale - side / 2).round().astype(int)
    left, top = (int(np.clip(place, 0, full - side)) for place, full in zip(middle, grown, strict=True))
    cut = scaled.crop((left, top, left + side, top + side))
    return Fitted(cut, scale, (left, top), (image.height, image.width, top, left, side, side))


def cache_folder(rows: Path, base: Any, weights: Path) -> Path:
    """Returns where the encoded form of a set lies for one base: it hangs on autoencoder, tokenizers and resolution."""
    mark = hashlib.sha256(str(base.resolution).encode())
    for pattern in ("vae/*.safetensors", "vae/config.json", "tokenizer*/*.json", "tokenizer*/*.txt"):
        for path in sorted(weights.glob(pattern)):
            mark.update(path.read_bytes())
    return rows / "encoded" / mark.hexdigest()[:12]


def encode_rows(rows: Path, base: Any, weights: Path, *, batch: int = 16, part: tuple[int, int] = (0, 1)) -> Path:
    """Encodes every shard of a finished set that has not been encoded yet.

    Args:
        rows: the set.
        base: in the SDXL layout, loaded; its autoencoder and tokenizers are used.
        weights: the folder that the base was read from.
        batch: pictures that go through the autoencoder at once.
        part: `(i, n)` takes every n-th shard from the i-th.

    Returns:
        The folder of the encoded set.

    Raises:
        FileNotFoundError: the set is not finished.
    """
    folder = cache_folder(rows, base, weights)
    for path in shard_paths(rows)[part[0] :: part[1]]:
        if not (folder / path.stem / "done.json").is_file():
            _encode_shard(path, folder / path.stem, base, batch=batch)
    return folder


def _encode_shard(path: Path, folder: Path, base: Any, *, batch: int) -> None:
    read, fitted = [], []
    for row in read_shard(path):
        fitted.append(fit(row, base.resolution))
        read.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    if read:
        arrays["latents"] = _latents([one.image for one in fitted], base, batch)
        arrays["ids"] = token_rows([row.caption for row in read], base)
        arrays["points"] = np.stack([one.moved(row.points) for one, row in zip(fitted, read, strict=True)])
        arrays["boxes"] = np.stack(
            [one.moved(row.box.reshape(2, 2)).reshape(4) for one, row in zip(fitted, read, strict=True)]
        )
        arrays["hints"] = np.array([one.hints for one in fitted], np.float32)
        arrays["embedding"] = np.stack([row.embedding for row in read])
        if all(row.dense is not None for row in read):
            arrays["dense"] = np.stack([one.moved(row.dense) for one, row in zip(fitted, read, strict=True)])
    for name, array in arrays.items():
        with writing(folder / f"{name}.npy") as draft, draft.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    told = {"rows": len(read), "identities": [row.identity for row in read]}
    with writing(folder / "done.json") as draft:
        draft.write_text(json.dumps(told) + "\n")


@torch.no_grad()
def _latents(images: Sequence[Image.Image], base: Any, batch: int) -> np.ndarray:
    """Returns the means of the autoencoder's posteriors, scaled as the denoiser expects them, (N, C, h, w) fp16."""
    vae, rows = base.parts()["vae"], []
    for start in range(0, len(images), batch):
        pixels = to_pixels(images[start : start + batch]).to(base.device, vae.dtype)
        rows.append(vae.encode(pixels).latent_dist.mean.float().cpu() * vae.config.scaling_factor)
    return torch.cat(rows).half().numpy()


def token_rows(captions: Sequence[str], base: Any) -> np.ndarray:
    """Returns (N, 2, T) int32 token ids of captions, for the first and the second encoder, as stock pipelines make them."""
    told = base.tokenizers()
    made = [
        told[name](
            list(captions), padding="max_length", max_length=told[name].model_max_length, truncation=True
        ).input_ids
        for name in ("text_encoder", "text_encoder_2")
    ]
    return np.stack([np.array(rows, np.int32) for rows in made], 1)


class Corpus:
    """An encoded set; rows are numbered through all shards.

    Args:
        rows: the set.
        folder: its encoded form.

    Raises:
        FileNotFoundError: a shard has not been encoded.
        ValueError: no row is left.
    """

    def __init__(self, rows: Path, folder: Path) -> None:
        self.manifest = read_manifest(rows)
        places = [folder / path.stem for path in shard_paths(rows)]
        if missing := [place for place in places if not (place / "done.json").is_file()]:
            raise FileNotFoundError(
                f"{missing[0]} is not there. Every shard must be encoded. Run `python -m toybox.instantid encode` first."
            )
        told = [json.loads((place / "done.json").read_text()) for place in places]
        kept = [(place, one) for place, one in zip(places, told, strict=True) if one["rows"]]
        if not kept:
            raise ValueError(
                f"{rows} holds no row. At least one is needed. Read `dropped` in its manifest for the reasons."
            )
        names = [*ARRAYS, *(["dense"] if all((place / "dense.npy").is_file() for place, _ in kept) else [])]
        self._arrays = {name: [np.load(place / f"{name}.npy", mmap_mode="r") for place, _ in kept] for name in names}
        self._ends = np.cumsum([one["rows"] for _, one in kept])
        self.identities: list[str | None] = [name for _, one in kept for name in one["identities"]]
        people: dict[str, list[int]] = {}
        for number, name in enumerate(self.identities):
            if name is not None:
                people.setdefault(name, []).append(number)
        self._people = people

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def width(self) -> int:
        """Returns the width of an embedding."""
        return int(self._arrays["embedding"][0].shape[1])

    @property
    def has_dense(self) -> bool:
        """Returns whether the dense points are known of every row."""
        return "dense" in self._arrays

    @property
    def has_views(self) -> bool:
        """Returns whether somebody is shown twice."""
        return any(len(rows) > 1 for rows in self._people.values())

    def views(self, number: int) -> list[int]:
        """Returns the other rows that show the person of a row."""
        name = self.identities[number]
        return [] if name is None else [other for other in self._people[name] if other != number]

    def take(self, name: str, numbers: Sequence[int]) -> torch.Tensor:
        """Reads one array's rows.

        Args:
            name: one of `ARRAYS`, or "dense".
            numbers: of rows.
        """
        shards = np.searchsorted(self._ends, numbers, side="right")
        starts = np.concatenate([[0], self._ends])
        picked = [
            self._arrays[name][shard][number - starts[shard]] for shard, number in zip(shards, numbers, strict=True)
        ]
        return torch.from_numpy(np.stack(picked))
