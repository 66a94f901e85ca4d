"""Do letters of 10 pixels survive the autoencoder? A small reader, trained on crisp letters, reads them after a round trip."""

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from toybox.train.checker import round_trip
from toybox.train.runs import adamw
from toybox.train.shards import to_pixels

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
HEIGHT_PX = 10
SIDE, WINDOW, PITCH = 128, 24, 24
Placed = list[tuple[int, int, int]]
"""Which letter, and where its top left corner lies (x, y)."""


def font() -> ImageFont.FreeTypeFont:
    """Returns Pillow's own font at the size whose capitals are ten pixels high."""
    for size in range(8, 32):
        made = ImageFont.load_default(size)
        _, top, _, bottom = made.getbbox("H")
        if bottom - top >= HEIGHT_PX:
            return made
    raise SystemExit(f"no size of Pillow's font has capitals of {HEIGHT_PX} px")


def sheet(rng: np.random.Generator, letters: ImageFont.FreeTypeFont) -> tuple[np.ndarray, Placed]:
    """Draws 25 dark letters on a light ground."""
    image = Image.new("RGB", (SIDE, SIDE), tuple(int(v) for v in rng.integers(150, 256, 3)))
    pen, placed = ImageDraw.Draw(image), []
    for cell in range(25):
        which = int(rng.integers(len(ALPHABET)))
        x, y = (int(place * PITCH + 7 + rng.integers(0, 5)) for place in (cell % 5, cell // 5))
        ink = tuple(int(v) for v in rng.integers(0, 90, 3))
        pen.text((x, y), ALPHABET[which], fill=ink, font=letters, anchor="lt")
        placed.append((which, x, y))
    return np.asarray(image), placed


def windows(images: np.ndarray, placed: list[Placed]) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the surroundings of every letter (N, 3, 24, 24) and which letter it is."""
    margin = (WINDOW - HEIGHT_PX) // 2
    cut, which = [], []
    for image, letters in zip(images, placed, strict=True):
        wide = np.pad(image, ((WINDOW, WINDOW), (WINDOW, WINDOW), (0, 0)), mode="edge")
        for letter, x, y in letters:
            top, left = y + WINDOW - margin, x + WINDOW - margin
            cut.append(wide[top : top + WINDOW, left : left + WINDOW])
            which.append(letter)
    return to_pixels(np.stack(cut)), torch.tensor(which)


def sheets(seed: int, count: int) -> tuple[np.ndarray, list[Placed]]:
    """Draws sheets; equal seeds give equal sheets."""
    rng, letters = np.random.default_rng([17, seed]), font()
    made = [sheet(rng, letters) for _ in range(count)]
    return np.stack([image for image, _ in made]), [placed for _, placed in made]


def train_reader(count: int = 320, epochs: int = 14) -> nn.Module:
    """Trains the reader on crisp and on slightly blurred letters, never on decoded ones."""
    torch.manual_seed(6)
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 96, 3, 2, 1), nn.BatchNorm2d(96), nn.ReLU(),
        nn.Flatten(), nn.Linear(96 * 36, 128), nn.ReLU(), nn.Linear(128, len(ALPHABET)),
    )  # fmt: skip
    pixels, which = windows(*sheets(1, count))
    optimizer, rng = adamw(net.parameters(), 2e-3), np.random.default_rng(18)
    for _ in range(epochs):
        for rows in torch.from_numpy(rng.permutation(len(pixels))).split(128):
            seen = pixels[rows] + 0.05 * torch.from_numpy(rng.standard_normal(pixels[rows].shape, dtype=np.float32))
            if rng.random() < 0.5:
                seen = F.avg_pool2d(F.pad(seen, (1, 1, 1, 1), mode="reflect"), 3, 1)
            F.cross_entropy(net(seen), which[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()
    return net.eval()


def letter_figures(vae: AutoencoderKL, count: int = 60) -> dict[str, float]:
    """Returns the shares of letters read right, crisp and after a round trip."""
    reader, (images, placed) = train_reader(), sheets(2, count)
    out = {}
    for name, shown in (("crisp", images), ("decoded", round_trip(vae, images))):
        pixels, which = windows(shown, placed)
        with torch.no_grad():
            out[name] = float((reader(pixels).argmax(1) == which).float().mean())
    return out
