"""Things that many tests stand on: photos of a drawn subject, and a tiny SDXL in a folder."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image, ImageDraw, ImageFilter

torch.set_num_threads(1)  # toy sizes: a second thread costs more than it brings
settings.register_profile("house", deadline=None)  # a busy machine makes no test fail
settings.load_profile("house")


def draw_photo(number: int, size: int = 160) -> Image.Image:
    """A red mug with a star on a wall and table that change from photo to photo."""
    chance = np.random.default_rng(number)
    wall, table = (tuple(int(c) for c in chance.integers(40, 220, 3)) for _ in range(2))
    image = Image.new("RGB", (size * 2, size * 2), wall)
    brush = ImageDraw.Draw(image)
    horizon = int(size * chance.uniform(1.1, 1.4))
    brush.rectangle((0, horizon, size * 2, size * 2), fill=table)
    for _ in range(14):
        x, y, r = chance.integers(0, size * 2, 2).tolist() + [int(chance.integers(4, 22))]
        brush.ellipse((x - r, y - r, x + r, y + r), fill=tuple(int(c) for c in chance.integers(0, 255, 3)))
    x, y, w = size + int(chance.integers(-30, 30)), horizon, int(size * chance.uniform(0.3, 0.45))
    brush.ellipse((x + w - 25, y - w, x + w + 45, y + w - 20), outline=(150, 20, 30), width=16)
    brush.rounded_rectangle((x - w, y - int(1.3 * w), x + w, y + w), 26, fill=(205, 35, 45))
    star = [
        (
            x + w * 0.5 * (1 if k % 2 == 0 else 0.45) * math.sin(k * math.pi / 5),
            y - w * 0.5 * (1 if k % 2 == 0 else 0.45) * math.cos(k * math.pi / 5),
        )
        for k in range(10)
    ]
    brush.polygon(star, fill=(250, 220, 60))
    noise = chance.normal(0, 7, (size, size, 3))
    small = np.asarray(image.filter(ImageFilter.GaussianBlur(1)).resize((size, size), Image.Resampling.LANCZOS)).astype(
        float
    )
    return Image.fromarray((small + noise).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="session", autouse=True)
def own_config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A configuration folder of the tests' own, so that no signing key is made in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPSEITY_CONFIG", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def subject_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos of one drawn mug."""
    folder = tmp_path_factory.mktemp("photos") / "star-mug"
    folder.mkdir()
    for number in range(6):
        draw_photo(number).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SDXL's architecture at toy widths, saved in the diffusers layout."""
    from ipseity.bases.sdxl import SDXL

    folder = tmp_path_factory.mktemp("weights") / "tiny-sdxl"
    SDXL.tiny().pipeline("text").save_pretrained(folder)
    return folder
