"""Faces and their five points by three small networks in a row (MTCNN, arXiv:1604.02878), written for published weights."""

from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, linear, max_pool2d, prelu

from ipseity.core.errors import WeightsError

Weights = Mapping[str, Tensor]
CELL, STRIDE = 12, 2
"""The first network looks at squares of 12 pixels, two pixels apart."""
SHRINK = 0.709
"""From one level of the pyramid to the next: half the area."""
NETS = ("pnet", "rnet", "onet")


class MTCNN:
    """A detector whose points are in the order that InsightFace uses.

    Source:
        arXiv:1604.02878; boxes, crops and thresholds as in the package whose weights are read, facenet-pytorch 2.6.
    """

    def __init__(self, weights: Mapping[str, Weights]) -> None:
        self.weights = {net: {name: value.float() for name, value in weights[net].items()} for net in NETS}

    @classmethod
    def read(cls, folder: Path) -> "MTCNN":
        """Read `pnet.pt`, `rnet.pt` and `onet.pt`.

        Raises:
            WeightsError: one of them is not there or holds more than tensors.
        """
        try:
            return cls({net: torch.load(folder / f"{net}.pt", map_location="cpu", weights_only=True) for net in NETS})
        except (OSError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{folder} lacks the weights of MTCNN ({error})",
                "pnet.pt, rnet.pt and onet.pt",
                "pip install --no-deps facenet-pytorch==2.6.0",
            ) from error

    @torch.no_grad()
    def find(
        self,
        pixels: Float[Tensor, "3 H W"],
        *,
        smallest_px: float = 20,
        sure: tuple[float, float, float] = (0.6, 0.7, 0.7),
    ) -> list[tuple[Float[Tensor, "4"], Float[Tensor, "5 2"], float]]:
        """Find faces.

        Args:
            pixels: one picture in [-1, 1].
            smallest_px: side of the smallest face that is looked for.
            sure: least chance that each network must give.

        Returns:
            Box (left, top, right, bottom), points (x, y) and chance of each face, in pixels; largest first.
        """
        picture = (pixels.float()[None] + 1) * 127.5
        boxes = self._propose(picture, smallest_px, sure[0])
        for net, side, least in (("rnet", 24, sure[1]), ("onet", 48, sure[2])):
            kept, cuts = _cut(picture, boxes, side)
            if not len(kept):
                return []
            shift, chance, points = _look(self.weights[net], cuts, last=net == "onet")
            good = chance > least
            kept, shift, chance, points = kept[good], shift[good], chance[good], points[good]
            sides = kept[:, 2:] - kept[:, :2] + 1
            places = torch.stack([points[:, :5], points[:, 5:]], -1) * sides[:, None] + kept[:, None, :2] - 1
            boxes = kept + shift * sides.repeat(1, 2)
            picked = _apart(boxes if net == "onet" else kept, chance, 0.7, of_smaller=net == "onet")
            boxes, chance, places = boxes[picked], chance[picked], places[picked]
            if net == "rnet":
                boxes = _square(boxes)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        return [
            (boxes[index], places[index], float(chance[index])) for index in areas.argsort(descending=True).tolist()
        ]

    def _propose(self, picture: Tensor, smallest_px: float, least: float) -> Tensor:
        """Slide the first network over a pyramid of the picture."""
        height, width = picture.shape[-2:]
        scale, found = CELL / smallest_px, [torch.zeros(0, 5)]
        while min(height, width) * scale >= CELL:
            small = interpolate(picture, (int(height * scale + 1), int(width * scale + 1)), mode="area")
            shift, chance = _slide(self.weights["pnet"], small)
            rows, columns = (chance >= least).nonzero(as_tuple=True)
            corner = torch.stack([columns, rows], 1).float() * STRIDE
            low, high = ((corner + 1) / scale).floor(), ((corner + CELL) / scale).floor()
            boxes, sure = torch.cat([low, high], 1), chance[rows, columns]
            picked = _apart(boxes, sure, 0.5)
            moved = boxes + shift[:, rows, columns].T * (high - low).repeat(1, 2)
            found.append(torch.cat([boxes, moved, sure[:, None]], 1)[picked] if len(picked) else torch.zeros(0, 9))
            scale *= SHRINK
        rows = torch.cat([some for some in found if some.shape[1] == 9] or [torch.zeros(0, 9)])
        return _square(rows[_apart(rows[:, :4], rows[:, 8], 0.7)][:, 4:8])


def _slide(weights: Weights, picture: Tensor) -> tuple[Float[Tensor, "4 h w"], Float[Tensor, "h w"]]:
    """Give shifts of boxes and chances of faces at each place of a picture."""
    hidden = max_pool2d(_layer(weights, 1, _normal(picture)), 2, 2, ceil_mode=True)
    hidden = _layer(weights, 3, _layer(weights, 2, hidden))
    chance, shift = (conv2d(hidden, weights[f"conv4_{n}.weight"], weights[f"conv4_{n}.bias"]) for n in (1, 2))
    return shift[0], chance.softmax(1)[0, 1]


def _look(weights: Weights, cuts: Tensor, *, last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Give shifts of boxes, chances and points of cut-out squares; the middle network gives no points."""
    hidden = max_pool2d(_layer(weights, 1, _normal(cuts)), 3, 2, ceil_mode=True)
    hidden = _layer(weights, 3, max_pool2d(_layer(weights, 2, hidden), 3, 2, ceil_mode=True))
    if last:
        hidden = _layer(weights, 4, max_pool2d(hidden, 2, 2, ceil_mode=True))
    dense, heads = ("dense5", "dense6") if last else ("dense4", "dense5")
    flat = hidden.permute(0, 3, 2, 1).flatten(1)
    flat = prelu(_dense(weights, dense, flat), weights[f"prelu{dense[-1]}.weight"])
    chance, shift = (_dense(weights, f"{heads}_{n}", flat) for n in (1, 2))
    points = _dense(weights, f"{heads}_3", flat) if last else torch.zeros(len(flat), 10)
    return shift, chance.softmax(1)[:, 1], points


def _layer(weights: Weights, number: int, values: Tensor) -> Tensor:
    turned = conv2d(values, weights[f"conv{number}.weight"], weights[f"conv{number}.bias"])
    return prelu(turned, weights[f"prelu{number}.weight"])


def _dense(weights: Weights, name: str, values: Tensor) -> Tensor:
    return linear(values, weights[f"{name}.weight"], weights[f"{name}.bias"])


def _normal(values: Tensor) -> Tensor:
    return (values - 127.5) / 128


def _cut(picture: Tensor, boxes: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Cut squares out of a picture, less what lies outside of it, and scale them."""
    height, width = picture.shape[-2:]
    kept, cuts = [], []
    for index, (left, top, right, bottom) in enumerate(boxes.trunc().int().tolist()):
        part = picture[..., max(top, 1) - 1 : min(bottom, height), max(left, 1) - 1 : min(right, width)]
        if part.shape[-1] > 0 and part.shape[-2] > 0:
            kept.append(index)
            cuts.append(interpolate(part, (side, side), mode="area"))
    return boxes[kept], torch.cat(cuts) if cuts else picture.new_zeros(0, 3, side, side)


def _square(boxes: Tensor) -> Tensor:
    """Grow the shorter side of boxes to the longer one, about their middles."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.amax(1, keepdim=True)
    low = boxes[:, :2] + (sides - longest) / 2
    return torch.cat([low, low + longest], 1)


def _apart(boxes: Tensor, chance: Tensor, most: float, *, of_smaller: bool = False) -> Tensor:
    """Keep the likeliest of boxes that overlap, by their shared part of the union or of the smaller one."""
    if not len(boxes):
        return torch.zeros(0, dtype=torch.long)
    extra = float(of_smaller)  # the last stage counts pixels, the others measure
    low, high = (
        torch.maximum(boxes[:, None, :2], boxes[None, :, :2]),
        torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:]),
    )
    shared = (high - low + extra).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2] + extra).prod(-1)
    whole = torch.minimum(area[:, None], area) if of_smaller else area[:, None] + area - shared
    close = shared / whole > most
    kept: list[int] = []
    gone = torch.zeros(len(boxes), dtype=torch.bool)
    for index in chance.argsort(descending=True).tolist():
        if not gone[index]:
            kept.append(index)
            gone |= close[index]
    return torch.tensor(kept)
