"""Reads the archives of KayKit's figurines and props, and recolours their palettes exactly."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from toybox.world.colours import RGB, SHADES, shade
from toybox.world.figures.surface import TEXTURED, rows

FOLDER = Path(__file__).resolve().parents[2] / "assets" / "kaykit"
ACROSS, DOWN = 8, 4  # swatches of a palette
# Skins and hair, beside the world's colour words.
TONES: dict[str, RGB] = {
    "fair": (248, 204, 170),
    "tan skin": (222, 166, 122),
    "brown skin": (164, 108, 74),
    "dark skin": (112, 72, 52),
    "blond": (232, 192, 104),
    "auburn": (172, 84, 44),
    "chestnut": (112, 70, 48),
    "raven": (52, 46, 52),
    "silver hair": (196, 198, 206),
}
_LUMA = np.array([0.30, 0.59, 0.11], np.float32)


@dataclass(frozen=True)
class Part:
    """One mesh of an archive.

    Attributes:
        table: (n, 16) vertices as `surface.rows` makes them.
        faces: (k, 3) corners.
        joints: (n, 4) joints of the skeleton, or None for a prop.
        weights: (n, 4) their shares, adding up to 1.
        areas: Share of the surface in each swatch of the palette, (32,).
    """

    table: np.ndarray
    faces: np.ndarray
    joints: np.ndarray | None
    weights: np.ndarray | None
    areas: np.ndarray


@lru_cache(maxsize=2)
def archive(name: str) -> dict[str, np.ndarray]:
    """Reads an archive.

    Args:
        name: "figurines" or "props".

    Returns:
        Its arrays by name.

    Raises:
        FileNotFoundError: The archive is missing.
    """
    path = FOLDER / f"{name}.npz"
    if not path.is_file():
        raise FileNotFoundError(
            f"no archive at {path}: the converted KayKit meshes are needed; restore toybox/assets/kaykit from the "
            "repository, or run: python -m toybox.world.figures.convert FOLDER"
        )
    with np.load(path) as arrays:
        return dict(arrays)


@lru_cache(maxsize=256)
def part(name: str, key: str) -> Part:
    """Gives one mesh.

    Args:
        name: The archive.
        key: The mesh in it: "Knight.Knight_Body", "furniture.chair_A".

    Returns:
        The mesh, dequantized. Shared: do not change it.

    Raises:
        KeyError: The archive has no such mesh.
    """
    arrays = archive(name)
    box = arrays[f"{key}/box"]
    position = arrays[f"{key}/position"].astype(np.float32) * box[3] + box[:3]
    normal = arrays[f"{key}/normal"].astype(np.float32) / 127
    uv = arrays[f"{key}/uv"].astype(np.float32) / 65535
    faces = arrays[f"{key}/faces"].astype(np.int32)
    table = rows(position, normal, uv=uv, finish=TEXTURED)
    joints = weights = None
    if f"{key}/joints" in arrays:
        joints = arrays[f"{key}/joints"].astype(np.int64)
        weights = arrays[f"{key}/weights"].astype(np.float32)
        weights /= weights.sum(1, keepdims=True)
    return Part(table, faces, joints, weights, _areas(position, uv, faces))


def _areas(position: np.ndarray, uv: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Adds up how much surface lies in each swatch."""
    a, b, c = (position[faces[:, corner]] for corner in range(3))
    size = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    swatch = swatches(uv[faces].mean(1))
    total = np.bincount(swatch, size, minlength=ACROSS * DOWN)
    return total / total.sum()


def swatches(uv: np.ndarray) -> np.ndarray:
    """Returns: the number of the swatch, 0..31 row by row, under texture coordinates (n, 2)."""
    column = np.clip((uv[:, 0] * ACROSS).astype(int), 0, ACROSS - 1)
    return np.clip((uv[:, 1] * DOWN).astype(int), 0, DOWN - 1) * ACROSS + column


def palette(name: str, key: str, wanted: tuple[tuple[int, str], ...] = ()) -> np.ndarray:
    """Gives a palette, some of its swatches recoloured.

    Each swatch keeps its own run from light to dark; its brightness is mapped to the word's dark, base and light
    shade, so that the colour is exact whatever the swatch's own is.

    Args:
        name: The archive.
        key: The palette: a character or a pack.
        wanted: Pairs of a swatch's number and a colour word.

    Returns:
        uint8 (h, w, 3). Shared: do not change it.
    """
    return _palette(name, key, tuple(sorted(wanted)))


@lru_cache(maxsize=512)
def _palette(name: str, key: str, wanted: tuple[tuple[int, str], ...]) -> np.ndarray:
    texture = archive(name)[f"texture/{key}"]
    if not wanted:
        return texture
    result = texture.copy()
    tall, wide = texture.shape[0] // DOWN, texture.shape[1] // ACROSS
    for swatch, word in wanted:
        top, left = swatch // ACROSS * tall, swatch % ACROSS * wide
        cell = texture[top : top + tall, left : left + wide].astype(np.float32) / 255
        result[top : top + tall, left : left + wide] = toned(cell, word)
    return result


def toned(cell: np.ndarray, word: str) -> np.ndarray:
    """Maps the brightness of pixels to the shades of a colour word.

    Args:
        cell: float (h, w, 3) in 0..1.
        word: One of the world's colour words, or of `TONES`.

    Returns:
        uint8 (h, w, 3); the lightest third is between base and light, the darkest between dark and base.
    """
    luma = cell @ _LUMA
    low, middle, high = np.quantile(luma, (0.02, 0.45, 0.98))
    low, high = min(low, middle - 0.2), max(high, middle + 0.25)
    base = np.array(TONES.get(word) or shade(word), np.float32)
    dark = np.array(SHADES[word].dark, np.float32) if word in SHADES else base * 0.55
    light = np.array(SHADES[word].light, np.float32) if word in SHADES else base + 0.5 * (255 - base)
    ramp = np.stack([0.65 * dark + 0.35 * base, base, 0.6 * light + 0.4 * base])
    mapped = np.stack([np.interp(luma, (low, middle, high), ramp[:, channel]) for channel in range(3)], -1)
    return (mapped + 0.5).astype(np.uint8)
