"""What is true of a shipped subject, looked for in a picture; no model has a part in it, so no score can agree by kinship.

Each check proves itself first: on the subject's own views, none of which it was made from, and on another subject of the class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pillow
from PIL.Image import Image
from torch import Tensor

from ipseity.evaluation.metrics.parts.marks import Box, Marks, cut_marks, read_marks
from ipseity.evaluation.metrics.parts.palette import Palette, find, read_palette

COLOUR, COUNT, MARK, READABLE = "colour", "count", "mark", "readable"
CHECKS: Mapping[str, str] = {
    COLOUR: "largest share of the subject's palette found together in one of its outlines",
    COUNT: "1 where exactly one such outline is found, else 0",
    MARK: "best normalized correlation with its badge or letters",
    READABLE: "1 where that is nearer to what true views score than to what views without it score, else 0",
}
PIXELS = "pixels"
"""What the checks look through, where a score has its evaluator."""
TRUSTED = 0.8
"""How often a mark must score higher on its own views than where it is not, to be believed in at all."""


@dataclass(frozen=True)
class View:
    """A shipped photo with what is known of it."""

    image: Image
    mask: Image
    """L, 255 where the subject is."""
    box: Box | None = None
    """Where its mark is, if it shows enough of it."""


@dataclass(frozen=True)
class Proof:
    """What a check says where the truth is known."""

    check: str
    true: tuple[float, ...]
    """Of views of the subject, or of pictures of which the check should say 1."""
    other: tuple[float, ...]
    """Of views of another subject of the class (for marks, also of the same views with the mark painted over), or of pictures
    of which it should say 0."""

    @property
    def apart(self) -> float:
        """Give how often a true picture scores higher than another one; ties count half (area under the ROC curve)."""
        pairs = [(one > two) + 0.5 * (one == two) for one in self.true for two in self.other]
        return fmean(pairs)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is looked for, and how far it is to be believed."""

    palette: Palette
    marks: Marks | None
    """None where the subject bears none, or where its own views cannot be told by it."""
    readable_from: float
    """Correlation from which a mark counts as readable."""
    proofs: tuple[Proof, ...]

    def look(self, image: Image) -> dict[str, float]:
        """Check one picture.

        Returns:
            Values of `CHECKS`, in [0, 1] but for the correlation in [-1, 1]; those of the mark only where there is one.
        """
        places = find(image, self.palette)
        said = {COLOUR: places.best, COUNT: float(places.count == 1)}
        if self.marks is not None:
            mark = float(read_marks(image, self.marks).max())
            said |= {MARK: mark, READABLE: float(mark >= self.readable_from)}
        return said


def learn_truth(views: Sequence[View], others: Sequence[Image]) -> Truth:
    """Read a subject's palette and mark from its views, and prove the checks.

    Args:
        views: two or more of the subject.
        others: views of another subject of the class.
    """
    assert len(views) > 1 and others, "a proof needs a second view, and something that it is not"
    palette = read_palette([view.image for view in views], [view.mask for view in views])
    proofs = [*_prove_colour(views, others), _prove_count(views, palette)]
    shown = [(view.image, view.box) for view in views if view.box is not None]
    marks = cut_marks([image for image, _ in shown], [box for _, box in shown]) if shown else None
    if marks is None:
        return Truth(palette, None, 1.0, tuple(proofs))
    mark, readable, threshold = _prove_mark(views, others, marks)
    believed = marks if mark.apart >= TRUSTED else None
    return Truth(palette, believed, threshold, (*proofs, mark, *([readable] if believed else [])))


def side_by_side(left: View, right: View) -> Image:
    """Make a picture of two: each subject with what is around it fills one half; short panels have their edges drawn out."""
    side = left.image.height
    whole = Pillow.new("RGB", (side, side))
    for number, panel in enumerate((_panel(left, side), _panel(right, side))):
        rest = side - panel.height
        strips = ((0, rest // 2), (panel.height - 1, rest - rest // 2))  # row of the panel, rows to fill with it
        for (row, rows), top in zip(strips, (0, side - strips[1][1]), strict=True):
            if rows:
                whole.paste(
                    panel.crop((0, row, panel.width, row + 1)).resize((panel.width, rows)), (number * side // 2, top)
                )
        whole.paste(panel, (number * side // 2, rest // 2))
    return whole


def _panel(view: View, side: int) -> Image:
    """Cut the subject out of a photo, a tenth of its width wider on each side, and make it half a side wide."""
    box = view.mask.getbbox()
    assert box is not None, "an empty mask shows nothing"
    width = min(view.image.width, round(1.2 * max(box[2] - box[0], (box[3] - box[1]) / 1.8)))
    height = min(view.image.height, 2 * width)
    x, y = (box[0] + box[2] - width) // 2, (box[1] + box[3] - height) // 2
    x, y = (
        max(0, min(place, most)) for place, most in ((x, view.image.width - width), (y, view.image.height - height))
    )
    shape = side // 2, min(side, round(height * side / 2 / width))
    return view.image.convert("RGB").crop((x, y, x + width, y + height)).resize(shape, Pillow.Resampling.LANCZOS)


def _prove_colour(views: Sequence[View], others: Sequence[Image]) -> list[Proof]:
    """Check each view, and each other subject's, by palettes from all views but one."""
    true, other = [], []
    for row, view in enumerate(views):
        rest = [one for number, one in enumerate(views) if number != row]
        palette = read_palette([one.image for one in rest], [one.mask for one in rest])
        true.append(find(view.image, palette).best)
        other.append(find(others[row % len(others)], palette).best)
    return [Proof(COLOUR, tuple(true), tuple(other))]


def _prove_count(views: Sequence[View], palette: Palette) -> Proof:
    """Count in the views themselves, and in pictures of two of them."""
    images = [view.image for view in views]
    pairs = [side_by_side(view, views[row - 1]) for row, view in enumerate(views)]
    singles, doubles = ([float(find(image, palette).count == 1) for image in some] for some in (images, pairs))
    return Proof(COUNT, tuple(singles), tuple(doubles))


def _prove_mark(views: Sequence[View], others: Sequence[Image], marks: Marks) -> tuple[Proof, Proof, float]:
    """Read the mark in each view that shows it, by the cut-outs of the other views.

    It must be told from the views of the other subject, and from the same views with the mark painted over: else the
    check sees the color of the ground and not the mark.
    """
    shown = [(view.image, view.box) for view in views if view.box is not None]
    true = [_without(read_marks(image, marks), row) for row, (image, _) in enumerate(shown)]
    bare = [_without(read_marks(paint_over(image, box), marks), row) for row, (image, box) in enumerate(shown)]
    foreign = [float(read_marks(image, marks).max()) for image in others]
    threshold = (fmean(true) + max(fmean(bare), fmean(foreign))) / 2
    other = (*bare, *foreign)
    said = [tuple(float(value >= threshold) for value in values) for values in (true, other)]
    return Proof(MARK, tuple(true), other), Proof(READABLE, said[0], said[1]), threshold


def paint_over(image: Image, box: Box) -> Image:
    """Hide a mark: each row of its box runs from the color at its left edge to that at its right edge."""
    pixels = np.array(image.convert("RGB"), dtype=np.float32)
    left, top, right, bottom = box
    ends = pixels[top:bottom, [max(0, left - 1), min(image.width - 1, right)]]
    share = np.linspace(0, 1, right - left, dtype=np.float32)[None, :, None]
    pixels[top:bottom, left:right] = ends[:, :1] * (1 - share) + ends[:, 1:] * share
    return Pillow.fromarray(pixels.round().astype(np.uint8))


def _without(values: Float[Tensor, "N"], row: int) -> float:
    return float(torch.cat([values[:row], values[row + 1 :]]).max())
