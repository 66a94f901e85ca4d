"""The report: one self-contained page that shows what was learned, how well, and how to repeat it."""

import base64
import dataclasses
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from PIL import Image as Pillow
from PIL.Image import Image

from ipseity.core.files import write_json, write_text
from ipseity.evaluation.charts import Level, front_chart, gauge, line_chart
from ipseity.evaluation.flags import Flag
from ipseity.evaluation.pick import Choice
from ipseity.evaluation.table import Row

LARGEST_BYTES = 3_000_000
"""A page that one can send by mail; pictures shrink until it fits."""
MOST_SAMPLES = 12


@dataclass(frozen=True)
class BeforeAfter:
    """One prompt drawn from one seed by the untrained base and with what was learned."""

    prompt: str
    seed: int
    before: Image | None
    after: Image


@dataclass(frozen=True)
class Shown:
    """A photo of the subject and what it was used for."""

    image: Image
    role: Literal["train", "pick", "score"]
    captions: tuple[str, ...] = ()
    """Every wording it was shown under; the first is the full one."""


@dataclass(frozen=True)
class Sample:
    """A regularization picture and its prompt."""

    image: Image
    prompt: str


@dataclass(frozen=True)
class Report:
    """Everything the page tells. Whatever is empty is left out of it."""

    subject: str
    """Its name, the page's heading."""
    verdict: str
    """One sentence."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Short facts for the head: class, token, base, method, date."""
    pairs: tuple[BeforeAfter, ...] = ()
    photos: tuple[Shown, ...] = ()
    samples: tuple[Sample, ...] = ()
    """Regularization pictures; the first dozen is shown."""
    samples_total: int = 0
    """How many there were in all."""
    losses: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    """Name -> (step, loss)."""
    saves: tuple[tuple[int, Mapping[str, float]], ...] = ()
    """Each save's picking scores, as `pick` was given them."""
    keys: tuple[str, str] = ("", "")
    """Which of them are identity and prompt fidelity."""
    untrained: Mapping[str, float] = field(default_factory=dict)
    """The same scores of the untrained base."""
    real: Mapping[str, float] = field(default_factory=dict)
    """The same scores of real photos."""
    choice: Choice | None = None
    rows: tuple[Row, ...] = ()
    flags: tuple[Flag, ...] = ()
    notes: tuple[str, ...] = ()
    """What was noticed, derived or could not be separated."""
    repeat: tuple[str, ...] = ()
    """Commands that make this result again."""
    use: tuple[str, ...] = ()
    """Commands that draw with it or export it."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Hashes, versions, seeds, licence."""


def write_report(folder: Path, report: Report) -> Path:
    """Write `scores.json` and then `report.html`, each in one move.

    Returns:
        The page's path.

    Raises:
        RunError: the folder cannot be written.
    """
    write_json(folder / "scores.json", _plain(_numbers(report)))
    path = folder / "report.html"
    write_text(path, render(report))
    return path


def render(report: Report) -> str:
    """Make the page; pictures shrink until it is small enough to send by mail."""
    from jinja2 import Environment, StrictUndefined

    room = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = room.from_string((files("ipseity.evaluation") / "template.html").read_text(encoding="utf-8"))
    drawn = {"charts": _charts(report), "groups": _groups(report), "number": _number, "most": MOST_SAMPLES}
    page = ""
    for scale in (1.0, 0.75, 0.5, 0.33, 0.2):
        page = template.render(report=report, uri=_pictures(scale), **drawn)
        if len(page) < LARGEST_BYTES:
            break
    return page


def _pictures(scale: float) -> Callable[[Image, int], str]:
    def uri(image: Image, side_px: int) -> str:
        """Give a picture as text, its longer side at most `side_px` times the scale."""
        side = max(24, round(side_px * scale))
        small = image.convert("RGB")
        small.thumbnail((side, side), Pillow.Resampling.LANCZOS)
        held = io.BytesIO()
        small.save(held, "WEBP", quality=86, method=4)
        return f"data:image/webp;base64,{base64.b64encode(held.getvalue()).decode()}"

    return uri


def _charts(report: Report) -> list[tuple[str, Any]]:
    """List the curves as (title, drawing)."""
    mark = None if report.choice is None else float(report.choice.step)
    charts = []
    for name, points in report.losses.items():
        charts.append((f"Loss: {name}", line_chart(points, about=f"Loss {name} over steps", mark=mark)))
    for title, key in zip(("Identity", "Prompt fidelity"), report.keys, strict=True):
        points = sorted((step, scores[key]) for step, scores in report.saves if key in scores)
        known = (("untrained base", report.untrained.get(key)), ("real photos", report.real.get(key)))
        levels = [Level(name, value) for name, value in known if value is not None]
        drawing = line_chart(points, about=f"{title} over steps", mark=mark, levels=levels)
        charts.append((f"{title} ({key.partition('/')[2]})", drawing))
    identity, fidelity = report.keys
    known = [(step, scores) for step, scores in report.saves if {identity, fidelity} <= scores.keys()]
    points = [(step, scores[identity], scores[fidelity]) for step, scores in known]
    if report.choice is not None and len(points) > 1:
        charts.append(("Both at once", front_chart(points, report.choice.front, picked=report.choice.step)))
    return [(title, drawing) for title, drawing in charts if drawing]


def _groups(report: Report) -> list[tuple[str, list[tuple[Row, Any]]]]:
    """Bundle rows by metric, each row with its gauge."""
    groups = []
    for metric in dict.fromkeys(row.metric for row in report.rows):
        rows = [row for row in report.rows if row.metric == metric]
        drawn = [gauge(_ends(row), _mean(row.before), _mean(row.real), _span(row)) for row in rows]
        groups.append((metric, list(zip(rows, drawn, strict=True))))
    return groups


def _ends(row: Row) -> tuple[float, float, float]:
    mean = row.after.mean
    return mean, mean if row.after.low is None else row.after.low, mean if row.after.high is None else row.after.high


def _number(value: float) -> str:
    """Write three decimals, with a true minus and no negative zero."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "\N{MINUS SIGN}")


def _mean(summary: Any) -> float | None:
    return None if summary is None else summary.mean


def _span(row: Row) -> tuple[float, float]:
    values = [*_ends(row), *(value for value in (_mean(row.before), _mean(row.real)) if value is not None)]
    if row.better == "lower":
        values.append(0.0)
    room = 0.15 * (max(values) - min(values)) or 0.05
    return min(values) - room, max(values) + room


def _numbers(report: Report) -> dict[str, Any]:
    """Everything but the pictures."""
    pictured = {"pairs", "photos", "samples"}
    kept = {f.name: getattr(report, f.name) for f in dataclasses.fields(report) if f.name not in pictured}
    drawn = [{"prompt": pair.prompt, "seed": pair.seed} for pair in report.pairs]
    photos = [{"role": photo.role, "captions": photo.captions} for photo in report.photos]
    return {"format": "ipseity.report.1", **kept, "pairs": drawn, "photos": photos}


def _plain(value: Any) -> Any:
    """Turn into what JSON knows; a number that is none becomes null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
