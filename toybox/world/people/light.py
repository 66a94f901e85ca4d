"""The lights that people stand in, and colors in linear light."""

import numpy as np

from toybox.world.description import Light
from toybox.world.people.person import RGB
from toybox.world.people.studio import Lamp


def linear(rgb: RGB) -> tuple[float, float, float]:
    """Turns sRGB in 0..255 into linear light."""
    red, green, blue = ((value / 255) ** 2.2 for value in rgb)
    return red, green, blue


def lamp(light: Light, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Lamp:
    """Sets up the lights: a warm key, a cool sky, and a rim from behind on the other side.

    Args:
        light: Where the key comes from and how strong it is.
        tint: Red, green and blue of the place's light.

    Returns:
        The lights.
    """
    a, e = np.deg2rad([light.azimuth, light.elevation])
    key = (float(np.sin(a) * np.cos(e)), float(np.sin(e)), float(np.cos(a) * np.cos(e)))
    gain = [light.strength * channel for channel in tint]

    def scaled(*rgb: float) -> tuple[float, float, float]:
        return tuple(value * share for value, share in zip(rgb, gain, strict=True))

    rim = np.array([-np.sign(light.azimuth or 1.0) * 0.75, 0.45, -0.62])
    rim /= np.linalg.norm(rim)
    return Lamp(
        key,
        scaled(1.24, 1.10, 0.97),
        scaled(0.44, 0.47, 0.54),
        scaled(0.28, 0.22, 0.19),
        tuple(rim),
        scaled(0.70, 0.73, 0.82),
    )
