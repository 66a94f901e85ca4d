"""Makes the stored panoramas from the npm package `@pmndrs/assets` (CC0): pictures and light.

`npm pack @pmndrs/assets@1.7.0`, then `python -m toybox.world.panoramas.convert pmndrs-assets-1.7.0.tgz`; it needs
`pip install OpenEXR scipy`. The package holds 18 panoramas of Poly Haven, 512 x 256, each an EXR in base64.
"""

import base64
import re
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from toybox.world.panoramas.store import FOLDER, LIGHT_COLUMNS, LIGHT_ROWS, LIGHTS, shown

QUALITY = 97
_BRIGHT = 5.0  # how many times brighter than its surroundings a spot is that shrinking left a dark ring around
_BURNT = 10.0  # light of windows and lamps, beyond which black spots beside it are never real
_SUN = np.array([0.92, 0.88, 0.8], np.float32)  # the least a lamp's channels have beside its brightest: some lost two
# Exposure of each panorama in stops beside the measured one, set by eye.
_STOPS = {
    "apartment": 0.1,
    "bridge": 0.0,
    "city": 0.0,
    "dawn": -0.2,
    "esplanade": -0.4,
    "forest": -0.3,
    "hall": -0.3,
    "lab": 0.0,
    "lobby": -0.1,
    "night": -3.6,
    "park": -0.1,
    "sky": -0.2,
    "studio": 0.0,
    "sunrise": -0.3,
    "sunset": -0.2,
    "venice": -0.1,
    "warehouse": -0.2,
    "workshop": -0.4,
}
_GRADES = {"night": (0.6, 0.88, 1.42)}  # the camera saw lamps beyond the horizon; eyes see a blue night
_LIFTS = {"night": 3.6}  # how much more light the ground takes: eyes see it where the camera does not


def unpack(package: Path) -> dict[str, np.ndarray]:
    """Reads the panoramas of the package.

    Args:
        package: The `.tgz` that `npm pack` wrote.

    Returns:
        Linear light by name, float32 (H, W, 3), cleaned of rings and of light below zero.

    Raises:
        FileNotFoundError: The package is not there.
        ValueError: It holds no panoramas.
    """
    if not package.is_file():
        raise FileNotFoundError(
            f"no package at {package}: the file pmndrs-assets-1.7.0.tgz is needed; run npm pack @pmndrs/assets@1.7.0"
        )
    found = {}
    with tarfile.open(package) as archive:
        for member in archive.getmembers():
            match = re.fullmatch(r"package/hdri/(\w+)\.exr\.js", member.name)
            stream = archive.extractfile(member) if match else None
            if match and stream is not None:
                found[match.group(1)] = cleaned(_read(stream.read().decode("ascii")))
    if not found:
        raise ValueError(
            f"{package} holds no package/hdri/*.exr.js: the npm package @pmndrs/assets 1.7.0 is needed; pack it again"
        )
    return found


def _read(module: str) -> np.ndarray:
    """Decodes one module's EXR."""
    import OpenEXR

    packed = re.search(r"base64,([A-Za-z0-9+/=]+)", module)
    if packed is None:
        raise ValueError("a panorama's module holds no base64 text: version 1.7.0 is needed; pack the package again")
    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(base64.b64decode(packed.group(1)))
        file.flush()
        with OpenEXR.File(file.name) as opened:
            return opened.channels()["RGB"].pixels.astype(np.float32)


def cleaned(light: np.ndarray) -> np.ndarray:
    """Removes what shrinking left around lamps and the sun: rings of too little light, even below zero.

    Args:
        light: float32 (H, W, 3).

    Returns:
        float32 of the same shape, nowhere below zero; dark rings near bright spots take the middle of their surroundings.
    """
    from scipy import ndimage

    light = np.maximum(light, 0)
    light = np.where(
        light.max(-1, keepdims=True) > _BURNT, np.maximum(light, light.max(-1, keepdims=True) * _SUN), light
    )
    around = np.stack([ndimage.median_filter(light[..., channel], 9, mode="wrap") for channel in range(3)], -1)
    peak = ndimage.maximum_filter(light.mean(-1), size=11, mode="wrap")
    ringed = peak > _BRIGHT * (around.mean(-1) + 1e-4)
    light = np.where(ringed[..., None] & (light < 0.75 * around), around, light)
    burnt = (peak > _BURNT) & (light.min(-1) < 0.02 * peak)
    return np.where(burnt[..., None], np.maximum(light, ndimage.grey_closing(light, size=(7, 7, 1))), light)


def scale_of(light: np.ndarray) -> float:
    """Measures the factor that exposes a panorama: the middle of ground and horizon becomes a middle grey.

    Args:
        light: float32 (H, W, 3).

    Returns:
        What to multiply it with.
    """
    band = light[round(0.35 * len(light)) : round(0.8 * len(light))].mean(-1)
    return float(0.2 / np.exp(np.log(band + 1e-3).mean()))


def graded(name: str, light: np.ndarray) -> np.ndarray:
    """Exposes a panorama and gives it its white balance.

    Args:
        name: Which.
        light: float32 (H, W, 3), linear.

    Returns:
        float32 of the same shape; 1 is white.
    """
    below = np.clip((np.arange(len(light)) / len(light) - 0.49) / 0.05, 0, 1)[:, None, None].astype(np.float32)
    lifted = light * (1 + (_LIFTS.get(name, 1.0) - 1) * below)
    balance = np.asarray(_GRADES.get(name, (1.0, 1.0, 1.0)), np.float32)
    return lifted * balance * np.float32(scale_of(light) * 2.0 ** _STOPS.get(name, 0.0))


def shrunk(light: np.ndarray) -> np.ndarray:
    """Shrinks light to the grid of the store by plain means, so that no light is lost.

    Args:
        light: float32 (H, W, 3) with H and W multiples of 32 and 64.

    Returns:
        float16 (32, 64, 3).
    """
    rows, columns = light.shape[0] // LIGHT_ROWS, light.shape[1] // LIGHT_COLUMNS
    blocks = light[: rows * LIGHT_ROWS, : columns * LIGHT_COLUMNS].reshape(LIGHT_ROWS, rows, LIGHT_COLUMNS, columns, 3)
    return blocks.mean((1, 3)).astype(np.float16)


def main(package: Path, folder: Path = FOLDER) -> None:
    """Writes a picture for each panorama and one file of light.

    Args:
        package: The `.tgz`.
        folder: Where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lights = {}
    for name, light in sorted(unpack(package).items()):
        scaled = graded(name, light)
        picture = Image.fromarray(np.rint(shown(scaled) * 255).astype(np.uint8))
        picture.save(folder / f"{name}.webp", quality=QUALITY, method=6, use_sharp_yuv=True)
        lights[name] = shrunk(scaled)
    np.savez_compressed(folder / LIGHTS, **lights)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m toybox.world.panoramas.convert PACKAGE.tgz")
    main(Path(sys.argv[1]))
