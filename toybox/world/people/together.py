"""Puts several people into one picture, with the mask of each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toybox.world.people.drawing import Drawn


@dataclass(frozen=True)
class Group:
    """Several people in one picture.

    Attributes:
        image: uint8 (H, W, 4) RGBA, not premultiplied.
        masks: uint8 (N, H, W): 255 where a person shows; nobody's masks overlap.
        points: float32 (N, 5, 2): the five facial points of each, in pixels, shifted like the person.
        boxes: float32 (N, 4): their faces.
    """

    image: np.ndarray
    masks: np.ndarray
    points: np.ndarray
    boxes: np.ndarray


def together(people: Sequence[Drawn], shifts: Sequence[int]) -> Group:
    """Stands people beside each other; who comes later stands in front.

    Args:
        people: Drawn in pictures of one size.
        shifts: By how many pixels each is moved to the right.

    Returns:
        The group.

    Raises:
        ValueError: Nobody is given, or the counts or sizes differ.
    """
    sizes = {drawn.image.shape for drawn in people}
    if not people or len(people) != len(shifts) or len(sizes) != 1:
        raise ValueError(
            f"{len(people)} people of {len(sizes)} sizes and {len(shifts)} shifts were given; "
            "a group needs at least one person, one size and a shift for each; draw all at one size"
        )
    height, width, _ = people[0].image.shape
    light, cover = np.zeros((height, width, 3)), np.zeros((height, width, 1))
    masks: list[np.ndarray] = []
    for drawn, shift in zip(people, shifts, strict=True):
        image = _moved(drawn.image, shift).astype(float)
        alpha = image[..., 3:] / 255
        light = light * (1 - alpha) + image[..., :3] * alpha
        cover = cover * (1 - alpha) + alpha
        front = _moved(drawn.mask, shift)
        masks = [np.where(front > 0, 0, mask).astype(np.uint8) for mask in masks] + [front]
    rgb = light / np.maximum(cover, 1e-6)
    return Group(
        image=np.rint(np.concatenate([rgb, 255 * cover], -1)).astype(np.uint8),
        masks=np.stack(masks),
        points=np.stack([drawn.points + [shift, 0] for drawn, shift in zip(people, shifts, strict=True)]).astype("f4"),
        boxes=np.stack([drawn.box + [shift, 0, shift, 0] for drawn, shift in zip(people, shifts, strict=True)]).astype(
            "f4"
        ),
    )


def _moved(picture: np.ndarray, shift: int) -> np.ndarray:
    """Moves a picture to the right; what comes in is empty."""
    out = np.zeros_like(picture)
    width = picture.shape[1]
    low, high = max(shift, 0), min(width + shift, width)
    if low < high:
        out[:, low:high] = picture[:, low - shift : high - shift]
    return out
