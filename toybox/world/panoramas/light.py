"""What the light of a panorama does to a thing that stands in it.

The light comes from the stored map of true proportions, so a sun outside the view still lights the thing.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from toybox.world.description import Light
from toybox.world.panoramas.projection import Camera
from toybox.world.panoramas.store import LIGHT_COLUMNS, LIGHT_ROWS, panorama, shown

_ALBEDO = 0.6  # a thing of middle brightness
_USUAL = 0.62  # how bright such a thing is shown on a usual day, in sRGB
_CUSHION = 48  # side of the grid that a cut-out's relief is guessed on
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)
# Factors that turn a light's harmonics into what a matte surface receives, in shares of pi: R. Ramamoorthi and
# P. Hanrahan, "An Efficient Representation for Irradiance Environment Maps" (2001).
_BANDS = np.array([1.0, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25], np.float32)


@dataclass(frozen=True)
class Mood:
    """How a place lights things on the whole.

    Attributes:
        tint: Red, green and blue around 1.
        dim: Brightness, 1 on a usual day.
    """

    tint: tuple[float, float, float]
    dim: float


def _basis(directions: np.ndarray) -> np.ndarray:
    """Evaluates the nine real spherical harmonics; directions (..., 3) of unit length: right, up, ahead."""
    x, y, z = directions[..., 0], directions[..., 1], directions[..., 2]
    ones = np.full_like(x, 0.282095)
    first = (0.488603 * y, 0.488603 * z, 0.488603 * x)
    second = (1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z**2 - 1), 1.092548 * x * z)
    return np.stack([ones, *first, *second, 0.546274 * (x**2 - y**2)], -1)


@lru_cache(maxsize=1)
def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """Gives the direction (2048, 3) and the solid angle (2048,) of each cell of a light map."""
    rise = (0.5 - (np.arange(LIGHT_ROWS) + 0.5) / LIGHT_ROWS) * np.pi
    turn = ((np.arange(LIGHT_COLUMNS) + 0.5) / LIGHT_COLUMNS - 0.5) * 2 * np.pi
    rise, turn = np.meshgrid(rise, turn, indexing="ij")
    directions = np.stack([np.sin(turn) * np.cos(rise), np.sin(rise), np.cos(turn) * np.cos(rise)], -1)
    angles = np.cos(rise) * (np.pi / LIGHT_ROWS) * (2 * np.pi / LIGHT_COLUMNS)
    return directions.reshape(-1, 3).astype(np.float32), angles.ravel().astype(np.float32)


@lru_cache(maxsize=32)
def _harmonics(name: str) -> np.ndarray:
    """Projects a panorama's light on the harmonics, (9, 3)."""
    directions, angles = _sphere()
    return (_basis(directions) * angles[:, None]).T @ panorama(name).light.reshape(-1, 3)


def received(name: str, normals: np.ndarray) -> np.ndarray:
    """Computes the light that matte surfaces give back when they take in what falls on them.

    Args:
        name: The panorama.
        normals: Unit normals (..., 3) in the panorama's frame: right of yaw 0, up, ahead at yaw 0.

    Returns:
        Linear red, green and blue (..., 3), float32, of a white surface; never below zero.
    """
    return np.maximum(_basis(np.asarray(normals, np.float32)) @ (_BANDS[:, None] * _harmonics(name)), 0)


def _turned(directions: np.ndarray, yaw: float) -> np.ndarray:
    """Turns directions of a view (right, up, ahead) into the panorama's frame."""
    cos, sin = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    right, up, ahead = directions[..., 0], directions[..., 1], directions[..., 2]
    return np.stack([right * cos + ahead * sin, up, ahead * cos - right * sin], -1)


def _untwisted(direction: np.ndarray, yaw: float) -> np.ndarray:
    """Turns a direction of the panorama's frame into a view's (right, up, ahead)."""
    return _turned(direction, -yaw)


@lru_cache(maxsize=32)
def mood(name: str) -> Mood:
    """Measures tint and brightness of a thing that stands anywhere in a panorama.

    Args:
        name: The panorama.

    Returns:
        The mood: a quarter of the color cast stays, as eyes and cameras adapt to the rest.
    """
    around = np.deg2rad(np.arange(0, 360, 30))
    ring = np.stack([np.sin(around), np.full_like(around, 0.35), np.cos(around)], -1)
    fallen = received(name, ring / np.linalg.norm(ring, axis=-1, keepdims=True)).mean(0)
    cast = (fallen / max(float(fallen @ _LUMA), 1e-6)) ** 0.25
    tint = np.clip(cast / cast.mean(), 0.93, 1.07)
    bright = float(shown(np.array(_ALBEDO * float(fallen @ _LUMA)))) / _USUAL
    red, green, blue = (round(float(share), 3) for share in tint)
    return Mood((red, green, blue), round(float(np.clip(bright, 0.74, 1.03)), 3))


@dataclass(frozen=True)
class Beam:
    """The main light of a panorama.

    Attributes:
        towards: Unit vector to it in the panorama's frame: right of yaw 0, up, ahead at yaw 0.
        hardness: 0 where the light comes from everywhere, 1 where all of it comes from one spot.
    """

    towards: tuple[float, float, float]
    hardness: float


@lru_cache(maxsize=32)
def beam(name: str) -> Beam:
    """Finds the main light: the middle of what is brighter than most of the upper half.

    Args:
        name: The panorama.

    Returns:
        The beam.
    """
    directions, angles = _sphere()
    luma = panorama(name).light.reshape(-1, 3) @ _LUMA
    upper = directions[:, 1] > 0.05
    extra = np.maximum(luma - np.quantile(luma[upper], 0.6), 0) * angles * upper
    pull = extra @ directions
    length = max(float(np.linalg.norm(pull)), 1e-9)
    right, up, ahead = (float(share) for share in pull / length)
    return Beam((right, up, ahead), round(length / max(float(luma @ angles), 1e-9), 3))


def main_light(name: str, camera: Camera) -> Light:
    """Estimates where the light on a thing comes from, seen from a camera.

    Args:
        name: The panorama.
        camera: The view; only its yaw matters.

    Returns:
        The light in degrees: azimuth -90 is the left, 0 the camera's side; beyond 90 it shines from behind the thing.
        The strength compares the side of the thing that the camera sees with the mean of all sides: 0.93 to 1.06.
    """
    right, up, ahead = _untwisted(np.array(beam(name).towards), camera.yaw)
    sides = _turned(np.array([[0, 0.2, -0.98], [0.98, 0.2, 0], [-0.98, 0.2, 0], [0, 0.2, 0.98]]), camera.yaw)
    seen = received(name, sides) @ _LUMA
    strength = float(np.clip((seen[0] / max(float(seen.mean()), 1e-6)) ** 0.35, 0.93, 1.06))
    return Light(
        azimuth=round(float(np.rad2deg(np.arctan2(right, -ahead))), 1),
        elevation=round(float(np.rad2deg(np.arcsin(np.clip(up, -1, 1)))), 1),
        strength=round(strength, 3),
    )


def relit(thing: Image.Image, name: str, camera: Camera, *, share: float = 0.75) -> Image.Image:
    """Shades a flat cut-out by the light around it, as if it were a cushion of its outline.

    Args:
        thing: RGBA, cropped to what shows.
        name: The panorama.
        camera: The view it will stand in.
        share: 0 changes nothing, 1 gives the whole contrast of the light.

    Returns:
        A new RGBA image of the same size and alpha. Its mean brightness stays about the same: the place's tint and
        brightness are applied apart.
    """
    alpha = thing.getchannel("A")
    normals = cushion(alpha)
    luma = received(name, _turned(normals, camera.yaw)) @ _LUMA  # the light's color is left out: a red apple stays red
    solid = np.asarray(alpha.resize((luma.shape[1], luma.shape[0]), Image.Resampling.BOX)) > 128
    middle = float(luma[solid].mean() if solid.any() else luma.mean())
    gains = np.clip(np.clip(luma / max(middle, 1e-6), 0.2, 3.0) ** (0.5 * share), 0.55, 1.4)
    gains = gains / max(float(gains[solid].mean() if solid.any() else 1.0), 0.5)
    gains = np.asarray(Image.fromarray(gains.astype(np.float32)).resize(thing.size, Image.Resampling.BICUBIC))
    pixels = np.array(thing)
    pixels[..., :3] = np.clip(pixels[..., :3] * gains[..., None] + 0.5, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels, "RGBA")


def _softened(field: np.ndarray, radius: float) -> np.ndarray:
    """Blurs a small field by a bell curve along both axes."""
    for _ in range(2):
        steps = np.arange(len(field), dtype=np.float32)
        bell = np.exp(-((steps[:, None] - steps[None]) ** 2) / (2 * radius**2)).astype(np.float32)
        field = (bell / bell.sum(1, keepdims=True) @ field).T
    return field


def cushion(alpha: Image.Image) -> np.ndarray:
    """Guesses the normals of a cut-out: flat in the middle, turned outwards towards its outline.

    Args:
        alpha: Mode L.

    Returns:
        Unit normals float32 (h, w, 3) on a small grid of the same shape, its longer side 48: right, up, ahead; the
        middle looks at the camera (0, 0, -1).
    """
    wide, tall = alpha.size
    shrink = _CUSHION / max(alpha.size)
    inner = (max(2, round(wide * shrink)), max(2, round(tall * shrink)))
    small = np.asarray(alpha.resize(inner, Image.Resampling.BOX), np.float32) / 255
    padded = np.pad(small, _CUSHION // 4)
    height = sum(reach * _softened(padded, reach * _CUSHION) for reach in (0.04, 0.09, 0.16))
    edge = slice(_CUSHION // 4, -(_CUSHION // 4))
    down, right = (slope[edge, edge] for slope in np.gradient(height * _CUSHION * 1.6))
    normals = np.stack([-right, down, -np.ones_like(down)], -1)
    return (normals / np.linalg.norm(normals, axis=-1, keepdims=True)).astype(np.float32)
