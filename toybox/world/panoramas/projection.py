"""Cuts perspective views from a panorama, and finds the ground under them.

Angles are in degrees. Yaw turns to the right (0 is the panorama's middle), pitch is up, the field of view is that of
both sides of the square picture.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from toybox.world.panoramas.store import Panorama, exposed

_FADED = 5.2  # distance, in heights of the camera, beyond which the ground shows no grain


@dataclass(frozen=True)
class Camera:
    """Where a view looks, in degrees."""

    yaw: float
    pitch: float = 0.0
    field: float = 70.0

    @property
    def horizon(self) -> float:
        """Height of the horizon in the picture, as a share from the top; may lie outside 0..1."""
        return 0.5 + float(np.tan(np.deg2rad(self.pitch)) / (2 * np.tan(np.deg2rad(self.field) / 2)))


def rays(camera: Camera, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives the directions of a view's pixels, before the turn by yaw.

    Args:
        camera: The view.
        side: Side of the picture in pixels.

    Returns:
        To the right float32 (1, side), up (side, 1) and ahead (side, 1): they broadcast to the picture.

    Raises:
        ValueError: The field of view is not in 1..150.
    """
    if not 1 <= camera.field <= 150:
        raise ValueError(f"field of view is {camera.field} degrees: 1 to 150 is needed; 50 to 90 looks like a photo")
    reach, pitch = np.tan(np.deg2rad(camera.field) / 2), np.deg2rad(camera.pitch)
    axis = (((np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1) * reach).astype(np.float32)
    down = axis[:, None]
    up = np.sin(pitch) - down * np.cos(pitch)
    ahead = np.cos(pitch) + down * np.sin(pitch)
    return axis[None, :], up.astype(np.float32), ahead.astype(np.float32)


def view(panorama: Panorama, camera: Camera, size: int, *, exposure: float = 0.0, blur: float = 0.0) -> Image.Image:
    """Cuts a perspective view.

    Args:
        panorama: What to cut from.
        camera: Where to look.
        size: Side of the picture in pixels.
        exposure: In stops; +1 doubles the light.
        blur: Radius of a soft blur in thousandths of the side.

    Returns:
        An RGB image of size x size.

    Raises:
        ValueError: The field of view is not in 1..150.
    """
    across, up, ahead = rays(camera, size)
    turn = np.arctan2(across, ahead) + np.float32(np.deg2rad(camera.yaw))
    rise = np.arctan2(up, np.sqrt(across**2 + ahead**2))
    image = Image.fromarray(exposed(_sample(panorama.packed, turn, rise), exposure))
    return image.filter(ImageFilter.GaussianBlur(blur * size / 1000)) if blur > 0 else image


def _sample(packed: np.ndarray, turn: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Reads a packed panorama in between its pixels; angles in radians of any shape, uint8 (..., 3) comes back."""
    rows, columns = packed.shape
    u = (turn / np.float32(2 * np.pi) % 1 + 0.5) * columns - 0.5 + columns
    v = np.clip((0.5 - rise / np.float32(np.pi)) * rows - 0.5, 0, rows - 1.001)
    left, top = u.astype(np.int32), v.astype(np.int32)
    across, down = (((share * 256).astype(np.uint16))[..., None] for share in (u - left, v - top))
    first, second, row = left % columns, (left + 1) % columns, top * columns
    flat = packed.ravel()  # four bytes a pixel: one number is fetched instead of three
    upper = _mixed(flat[row + first], flat[row + second], across)
    lower = _mixed(flat[row + columns + first], flat[row + columns + second], across)
    return np.ascontiguousarray(_between(upper, lower, down)[..., :3].astype(np.uint8))


def _mixed(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mixes packed pixels; shares are of 256, uint16 (..., 4) comes back."""
    bytes_ = (*one.shape, 4)
    return _between(one.view(np.uint8).reshape(bytes_), other.view(np.uint8).reshape(bytes_), share)


def _between(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Mixes bytes in whole numbers, rounding."""
    return (one * (256 - share) + other * share + np.uint16(128)) >> np.uint16(8)


@lru_cache(maxsize=64)
def _weights(height: float, side: int) -> np.ndarray:
    """Gives how much each row belongs to the near ground: 0 at the horizon, 1 half-way to the bottom."""
    rows = (np.arange(side, dtype=np.float32) + 0.5) / side
    return np.clip((rows - height) / max(0.06, 0.6 * (1 - height)), 0, 1)


def focused(sharp: Image.Image, camera: Camera, blur: float) -> Image.Image:
    """Softens what is far and keeps the near ground sharp, as a lens does that looks at something near.

    Args:
        sharp: A view.
        camera: Its camera.
        blur: Radius far away, in thousandths of the side.

    Returns:
        A new image.
    """
    soft = sharp.filter(ImageFilter.GaussianBlur(blur * sharp.width / 1000))
    column = np.rint(_weights(round(camera.horizon, 2), sharp.height) * 255).astype(np.uint8)
    mask = Image.fromarray(column[:, None]).resize(sharp.size, Image.Resampling.NEAREST)
    return Image.composite(sharp, soft, mask)


@lru_cache(maxsize=16)
def _relief(tile: bytes, count: int) -> np.ndarray:
    """Gives the light and shade of a texture around 0, float32 (count, count)."""
    grey = np.frombuffer(tile, np.uint8).reshape(count, count, 3).mean(-1)
    return (grey / grey.mean() - 1).astype(np.float32)


def grained(view_: Image.Image, camera: Camera, tile: np.ndarray, *, scale: float, strength: float) -> Image.Image:
    """Gives the near ground a fine grain that the panorama is too small to hold.

    The grain is the light and shade of a floor texture, laid on the ground in true perspective; the color stays the
    panorama's own.

    Args:
        view_: A view.
        camera: Its camera.
        tile: uint8 (N, N, 3), repeats without a seam.
        scale: Tiles per height of the camera above the ground.
        strength: 0 leaves the view as it is, 1 takes on the texture's full relief.

    Returns:
        A new image.
    """
    side, count = view_.width, tile.shape[0]
    first = max(0, round(camera.horizon * side) + 2)
    if first >= side - 1:
        return view_
    across, up, ahead = rays(camera, side)
    first += int((ahead[first:] > _FADED * np.maximum(-up[first:], 1e-3)).sum())  # farther ground shows no grain
    drop = np.minimum(up[first:], -1e-3)
    right, far = across / -drop, np.broadcast_to(ahead[first:] / -drop, (side - first, side))
    cos, sin = np.cos(np.deg2rad(camera.yaw)), np.sin(np.deg2rad(camera.yaw))
    u = ((right * cos + far * sin) * scale * count + 4096 * count).astype(np.int32) % count
    v = ((far * cos - right * sin) * scale * count + 4096 * count).astype(np.int32) % count
    near = np.clip(2.0 - 2.0 * far[:, :1] / _FADED, 0, 1) * strength
    gain = 1 + _relief(tile.tobytes(), count)[v, u] * near
    pixels = np.array(view_)
    pixels[first:] = np.clip(pixels[first:] * gain[..., None] + 0.5, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels)
