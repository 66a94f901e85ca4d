"""Curves of all arms in one SVG file: the report's own charts laid over each other, one color an arm."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from markupsafe import escape

from benchmarks.proof.verdicts import Blocks, at_step, mean_over
from ipseity.core.files import write_text
from ipseity.evaluation.charts import HEIGHT, LEFT, WIDTH, Level, line_chart

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#666666", "#b8860b", "#56b4e9", "#000000")
"""Told apart by most eyes (after Okabe and Ito, 2002)."""
COLUMNS, LINE, HEAD = 2, 18, 22
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #222 } .title { font-weight: 600; font-size: 13px }
.grid { stroke: #e4e4e4 } .curve { fill: none; stroke-width: 2; stroke-linejoin: round }
.level, .name { display: none } .axis { fill: #666; font-size: 11px } .mark { stroke: #999; stroke-dasharray: 2 4 }
"""
Lines = Mapping[str, Sequence[tuple[float, float]]]


def draw_curves(path: Path, panels: Mapping[str, Lines], *, mark: float | None = None) -> None:
    """Write an SVG with one panel a score; a Markdown page shows it as a picture, since pages may not hold SVG themselves.

    Args:
        path: the file.
        panels: title -> arm -> (step, value).
        mark: the step to point out.
    """
    shown = {title: lines for title, lines in panels.items() if any(lines.values())}
    arms = list(dict.fromkeys(arm for lines in shown.values() for arm in lines))
    color = dict(zip(arms, COLORS * len(arms), strict=False))
    rows = -(-len(shown) // COLUMNS)
    width, panel = COLUMNS * WIDTH, HEIGHT + HEAD
    height = rows * panel + LINE * len(arms) + HEAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    ]
    styles = "".join(f".arm{number} .curve {{ stroke: {color[arm]} }} .arm{number} .dot {{ fill: {color[arm]} }} " for number, arm in enumerate(arms))  # fmt: skip
    parts += [f"<style>{STYLE}{styles}</style>", f'<rect width="{width}" height="{height}" fill="#fff"/>']
    for number, (title, lines) in enumerate(shown.items()):
        x, y = number % COLUMNS * WIDTH, number // COLUMNS * panel
        parts.append(f'<text class="title" x="{x + LEFT}" y="{y + 15}">{escape(title)}</text>')
        parts += _panel(lines, [arms.index(arm) for arm in lines], (x, y + HEAD), mark=mark)
    for number, arm in enumerate(arms):
        y = rows * panel + LINE * (number + 1)
        parts.append(f'<rect x="{LEFT}" y="{y - 9}" width="22" height="4" fill="{color[arm]}"/>')
        parts.append(f'<text x="{LEFT + 30}" y="{y}">{escape(arm)}</text>')
    write_text(path, "\n".join([*parts, "</svg>"]) + "\n")


def _panel(lines: Lines, numbers: Sequence[int], at: tuple[float, float], *, mark: float | None) -> list[str]:
    """Lay one chart an arm over the last; the same two hidden levels give all of them the same axes."""
    values = [value for points in lines.values() for _, value in points]
    ends = (Level("lowest", min(values)), Level("highest", max(values)))
    parts = []
    for number, (arm, points) in zip(numbers, lines.items(), strict=True):
        chart = str(line_chart(points, about=arm, mark=mark, levels=ends))
        place = f'<svg class="chart" x="{at[0]}" y="{at[1]}" width="{WIDTH}" height="{HEIGHT}"'
        placed = chart.replace('<svg class="chart"', place, 1)
        parts.append(f'<g class="arm{number}">{placed}</g>')
    return parts


def lines_of(blocks: Blocks, arms: Sequence[str], key: str) -> dict[str, list[tuple[float, float]]]:
    """Give arm -> its mean curve from the untrained base on."""
    found: dict[str, list[tuple[float, float]]] = {}
    for arm in arms:
        steps = sorted(set.intersection(*(set(block[arm].steps) for block in blocks.values())))
        start = [block[arm].untrained[key] for block in blocks.values() if key in block[arm].untrained]
        means = [(step, mean_over(blocks, arm, key, at_step(step))) for step in steps]
        points = [(float(step), mean) for step, mean in means if mean is not None]
        found[arm] = ([(0.0, fmean(start))] if start and points else []) + points
    return found
