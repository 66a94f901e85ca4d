"""A page of pictures chosen by rule: where two arms differ as they usually do, subject by subject."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from PIL.Image import Image

from benchmarks.cells import Cell, weights_mark
from benchmarks.proof.arms import Span
from benchmarks.proof.curve import curve_folder
from benchmarks.proof.page import IDENTITY
from ipseity.core.files import read_json, write_text, writing
from ipseity.data.subject import hold_out, read_subject
from ipseity.recipe import make_recipe

SIDE, GAP, HEAD = 128, 4, 30
Pair = tuple[Cell, Cell]
"""The second arm's run and the first arm's, of the same subject and seed."""


@dataclass(frozen=True)
class Found:
    """A picture of each arm from the same prompt and seeds."""

    pair: Pair
    place: int
    """Which of the checkpoint's pictures."""
    prompt: str
    seed: int
    difference: float
    """Of identity, the first arm less the second: mean over the evaluators."""


def choose(pairs: Sequence[Pair], step: int, quantile: float) -> Found:
    """Choose by rule: of all prompts and seeds the one whose difference stands at a quantile, the lower one of two.

    Args:
        pairs: of one subject.
        step: the checkpoint that is compared.
        quantile: 0 the worst for the first arm, .5 the median, 1 the best.
    """
    found = []
    for pair in pairs:
        drawn = [read_json(curve_folder(cell) / f"{step:06d}.json")["pictures"] for cell in pair]
        for place, (other, mine) in enumerate(zip(*drawn, strict=True)):
            keys = [key for key in IDENTITY if key in mine["scores"] and key in other["scores"]]
            gap = fmean(mine["scores"][key] - other["scores"][key] for key in keys)
            found.append(Found(pair, place, mine["prompt"], mine["seed"], gap))
    ranked = sorted(found, key=lambda one: (one.difference, one.pair[0].labels["seed"], one.place))
    return ranked[int(quantile * (len(ranked) - 1))]


def write_pictures(
    pairs: Mapping[str, Sequence[Pair]], *, one_x: int, span: Span, quantile: float, out: Path
) -> Path:  # fmt: skip
    """Write one contact sheet and its page; subjects are rows, in order.

    Args:
        pairs: subject -> runs of the two arms, one pair a seed; those without any are named.
        one_x: the early checkpoint that is shown.
        span: its end is the late one, by which is chosen.
        quantile: see `choose`.
        out: where to.
    """
    chosen = {subject: choose(some, span.steps, quantile) for subject, some in pairs.items() if some}
    other, mine = (str(cell.labels["arm"]) for cell in next(iter(chosen.values())).pair)
    early, late = ("1x", f"{span.steps / one_x:g}x")
    heads = ["photo", "untrained", *(f"{arm}\n{when}" for arm in (other, mine) for when in (early, late))]
    rows = [_row(found, (one_x, span.steps)) for found in chosen.values()]
    with writing(out / "pictures.png") as draft:
        sheet(rows, list(chosen), heads).save(draft, "PNG", optimize=True)
    told = [f"* **{subject}**: {_told(found)}" for subject, found in chosen.items()]
    rule = (
        f"Chosen by rule: for each subject, of all prompts and seeds of the drawing and of the run, the picture at which the identity of "
        f"*{mine}* less that of *{other}* at {late}, averaged over {' and '.join(IDENTITY)}, stands at quantile {quantile:g} (.5 is the median: half of "
        "the pictures show a larger difference, half a smaller one). Nobody looked before choosing."
    )
    columns = (
        "From the left: a photo that trained, what the untrained base draws for the class word at this prompt and seed, "
        f"*{other}* at {early} and {late}, *{mine}* at {early} and {late}; the same prompt and seed in each row."
    )
    left = [subject for subject, some in pairs.items() if not some]
    lacking = f"Not shown, since both arms have not run: {', '.join(left)}." if left else "All subjects are shown."
    page = ["# Pictures", rule, columns, f"![Contact sheet: {', '.join(chosen)}](pictures.png)", "\n".join(told), lacking, f"Weights {weights_mark()}."]  # fmt: skip
    write_text(out / "pictures.md", "\n\n".join(page) + "\n")
    return out / "pictures.md"


def sheet(rows: Sequence[Sequence[Image]], names: Sequence[str], heads: Sequence[str]) -> Image:
    """Lay pictures out in rows, with a head over each column and a name over each row."""
    font = ImageFont.load_default(11)
    step, line = SIDE + GAP, SIDE + GAP + 16
    whole = Pillow.new("RGB", (GAP + len(heads) * step, HEAD + len(rows) * line + GAP), "white")
    pen = ImageDraw.Draw(whole)
    for column, head in enumerate(heads):
        pen.multiline_text((GAP + column * step, 2), head, fill="black", font=font, spacing=2)
    for number, (name, images) in enumerate(zip(names, rows, strict=True)):
        top = HEAD + number * line
        pen.text((GAP, top), name, fill="#555555", font=font)
        for column, image in enumerate(images):
            whole.paste(image.convert("RGB").resize((SIDE, SIDE)), (GAP + column * step, top + 15))
    return whole


def _row(found: Found, steps: tuple[int, int]) -> list[Image]:
    recipe = make_recipe(found.pair[0].recipe)
    photo = hold_out(read_subject(recipe.subject)).train.photos[0].image
    other, mine = (curve_folder(cell) for cell in found.pair)
    name = f"{found.place:02d}.png"
    paths = [other / "untrained" / name, *(folder / f"{step:06d}" / name for folder in (other, mine) for step in steps)]
    return [_square(photo), *(_open(path) for path in paths)]


def _square(photo: Image) -> Image:
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return photo.crop((left, top, left + side, top + side))


def _open(path: Path) -> Image:
    with Pillow.open(path, formats=("PNG",)) as file:
        return file.convert("RGB")


def _told(found: Found) -> str:
    seed: Any = found.pair[0].labels["seed"]
    return f'"{found.prompt}", drawn with seed {found.seed}, run with seed {seed}: identity {found.difference:+.3f}.'
