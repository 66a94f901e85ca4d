"""What a step is shown: drawn from seed, step and rank alone, so that a resumed run sees what an unbroken one would."""

import colorsys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from ipseity.core.image import to_pixels
from ipseity.core.keypoints import draw_keypoints
from toybox.instantid.cache import Corpus
from toybox.train.unet import draw_times

Landmarks = Literal["five", "dense"]


@dataclass(frozen=True)
class Shown:
    """How rows are shown.

    Attributes:
        drop: shares of samples that lose their text, their embedding, both. The paper drops nothing; guidance is then drawn with
            a condition that training never saw. Five per cent each is the usual remedy.
        reference: "same" takes the embedding of the very picture, as the paper does; "other" that of another view of the
            person, so that pose and light of the embedding's picture cannot be copied.
        landmarks: what the IdentityNet is shown of the face.
        face_weight: how much more the middle of a face counts than what is far from it; 0 is the paper's plain mean.
        times: "uniform" noise levels, as in the paper, or the toybox's "bell".
        size_hints: "row" tells the picture's own size and cut; "plain" the size it is drawn at, uncut.
    """

    drop: tuple[float, float, float] = (0.05, 0.05, 0.05)
    reference: Literal["same", "other"] = "same"
    landmarks: Landmarks = "five"
    face_weight: float = 0.0
    times: Literal["uniform", "bell"] = "uniform"
    size_hints: Literal["row", "plain"] = "row"

    def __post_init__(self) -> None:
        if len(self.drop) != 3 or min(self.drop) < 0 or sum(self.drop) > 1:
            raise ValueError(
                f"drop is {self.drop}. Three shares that sum to at most 1 are needed. Say for example 0.05 0.05 0.05."
            )


@dataclass(frozen=True)
class Batch:
    """One batch, already on its device.

    Attributes:
        clean: (B, C, h, w) latents of unit variance.
        noise: the same shape, standard normal.
        t: (B,) the checkpoint's own whole-numbered timesteps.
        ids: (B, 2, T) token rows.
        keep: (B, 1) zero where the text is dropped.
        embedding: (B, D) zeros where it is dropped.
        control: (B, 3, H, W) the drawn face in [0, 1].
        hints: (B, 6) SDXL's size numbers.
        weight: (B, 1, h, w) how much each place counts; mean 1.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    t: torch.Tensor
    ids: torch.Tensor
    keep: torch.Tensor
    embedding: torch.Tensor
    control: torch.Tensor
    hints: torch.Tensor
    weight: torch.Tensor

    def to(self, where: torch.device) -> "Batch":
        """Returns the batch on a device."""
        return Batch(**{name: value.to(where, non_blocking=True) for name, value in vars(self).items()})


def check_shown(corpus: Corpus, shown: Shown) -> None:
    """Refuses options that a set cannot serve.

    Raises:
        ValueError: nobody is shown twice, or the dense points are not known.
    """
    if shown.reference == "other" and not corpus.has_views:
        raise ValueError(
            "nobody is shown twice in these rows. References from another view need that. Say --reference same."
        )
    if shown.landmarks == "dense" and not corpus.has_dense:
        raise ValueError(
            "these rows lack dense points. They are kept by `rows --dense` of people. Say --landmarks five."
        )


@dataclass(frozen=True)
class Turn:
    """Which batch: all chance follows from it.

    Attributes:
        seed: of the run.
        step: optimizer step, or any number that differs between batches.
        rank: of the process.
        count: samples.
    """

    seed: int
    step: int
    rank: int
    count: int


def draw_batch(corpus: Corpus, shown: Shown, *, turn: Turn, side: int, levels: int) -> Batch:
    """Draws a batch.

    Args:
        corpus: the encoded set.
        shown: how rows are shown.
        turn: which batch.
        side: of the pictures in pixels.
        levels: noise levels of the base.

    Returns:
        A batch on the processor.
    """
    rng, count = np.random.default_rng([17, turn.seed, turn.step, turn.rank]), turn.count
    numbers = rng.integers(0, len(corpus), count).tolist()
    references = [_reference(corpus, number, rng) if shown.reference == "other" else number for number in numbers]
    text, face, both = np.cumsum(shown.drop)
    luck = rng.random(count)
    no_text = (luck < text) | ((luck >= face) & (luck < both))
    no_face = (luck >= text) & (luck < both)
    clean = corpus.take("latents", numbers).float()
    noise = torch.from_numpy(rng.standard_normal(clean.shape, dtype=np.float32))
    t = draw_times(rng, count) if shown.times == "bell" else torch.from_numpy(rng.random(count) * 1000).long()
    embedding = corpus.take("embedding", references) * torch.from_numpy(~no_face).float()[:, None]
    points = corpus.take("points" if shown.landmarks == "five" else "dense", numbers).numpy()
    hints = corpus.take("hints", numbers)
    if shown.size_hints == "plain":
        hints = torch.tensor([side, side, 0, 0, side, side], dtype=torch.float32).expand_as(hints)
    return Batch(
        clean,
        noise,
        t * levels // 1000,
        corpus.take("ids", numbers).long(),
        torch.from_numpy(~no_text).float()[:, None],
        embedding,
        draw_control(points, side, landmarks=shown.landmarks),
        hints,
        face_weights(corpus.take("boxes", numbers), clean.shape[-1], side=side, strength=shown.face_weight),
    )


def _reference(corpus: Corpus, number: int, rng: np.random.Generator) -> int:
    """Picks another row of the same person; who is shown once stands for themselves."""
    others = corpus.views(number)
    return others[int(rng.integers(len(others)))] if others else number


def draw_control(points: np.ndarray, side: int, *, landmarks: Landmarks = "five") -> torch.Tensor:
    """Draws faces as the IdentityNet is shown them.

    Args:
        points: (B, 5, 2), or (B, K, 2) where they are dense, in pixels.
        side: of the pictures.
        landmarks: five points with limbs as in use, or a small disc for each of many.

    Returns:
        (B, 3, side, side) in [0, 1].
    """
    draw = draw_keypoints if landmarks == "five" else draw_dense
    return (to_pixels([draw(rows, (side, side)) for rows in points]) + 1) / 2


def draw_dense(points: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """Draws many points on black, each a disc with a hue of its own.

    Args:
        points: (K, 2) in pixels.
        size: (height, width).
    """
    canvas = Image.new("RGB", (size[1], size[0]))
    pen, radius = ImageDraw.Draw(canvas), max(1.0, min(size) / 96)
    for index, (x, y) in enumerate(np.asarray(points, dtype=float).tolist()):
        hue = colorsys.hsv_to_rgb(index / len(points), 1.0, 1.0)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tuple(round(255 * part) for part in hue))
    return canvas


def face_weights(boxes: torch.Tensor, cells: int, *, side: int, strength: float) -> torch.Tensor:
    """Weighs the places of latents: a bell over the face's box, `1 + strength` in its middle, scaled to mean 1.

    Args:
        boxes: (B, 4) left, top, right, bottom in pixels.
        cells: side of the latents.
        side: of the pictures in pixels.
        strength: 0 gives ones.

    Returns:
        (B, 1, cells, cells).
    """
    places = (torch.arange(cells) + 0.5) * side / cells
    low, high = boxes[:, :2], boxes[:, 2:]
    middle, half = (low + high) / 2, ((high - low) / 2).clamp(min=1.0)
    across = (((places - middle[:, :1]) / half[:, :1]) ** 2)[:, None, :]
    down = (((places - middle[:, 1:]) / half[:, 1:]) ** 2)[:, :, None]
    weight = 1 + strength * torch.exp(-(across + down))
    return (weight / weight.mean((1, 2), keepdim=True))[:, None]


def squared_error(made: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Returns the weighted mean square (B,) of an error."""
    return (F.mse_loss(made.float(), wanted.float(), reduction="none") * weight).mean((1, 2, 3))
