"""Small charts as SVG text: colors come from the page's style sheet, so they follow light, dark and print."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 22, 30
Points = Sequence[tuple[float, float]]
MANY = 80
"""Lines with more points than this are drawn faintly, with their running mean over it."""


@dataclass(frozen=True)
class Level:
    """A dashed line across a chart."""

    name: str
    value: float


@dataclass(frozen=True)
class Frame:
    """Where values come to lie on the drawing."""

    x: tuple[float, float]
    y: tuple[float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Give the place of a point."""
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        down = HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)
        return round(LEFT + across * (WIDTH - LEFT - RIGHT), 1), round(down, 1)


def line_chart(points: Points, *, about: str, mark: float | None = None, levels: Sequence[Level] = ()) -> Markup:
    """Draw a value over steps.

    Args:
        points: (step, value), in order.
        about: what is seen, for those who cannot see it.
        mark: the step to point out.
        levels: values to compare with.
    """
    points = [(x, y) for x, y in points if math.isfinite(y)]
    if not points:
        return Markup("")
    frame = _frame(points, levels)
    parts = [_axes(frame, "step"), *(_level(frame, level) for level in levels)]
    if mark is not None:
        x, _ = frame.at(mark, frame.y[0])
        parts.append(f'<line class="mark" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    many = len(points) > MANY
    parts.append(_path(frame, _thin(points, 400), "faint" if many else "curve"))
    if many:
        parts.append(_path(frame, _thin(points, 40), "curve"))
    else:
        parts += [_dot(frame, x, y, "dot picked" if x == mark else "dot") for x, y in points]
    return _svg(parts, about)


def front_chart(points: Sequence[tuple[int, float, float]], front: Sequence[int], *, picked: int) -> Markup:
    """Draw saves by prompt fidelity (across) and identity (up), with the front and the picked one.

    Args:
        points: (step, identity, prompt fidelity) of each save.
        front: steps on the front.
        picked: the step that was chosen.
    """
    places = {step: (fidelity, identity) for step, identity, fidelity in points}
    frame = _frame(list(places.values()), (), margin=0.16)
    edge = sorted(places[step] for step in front if step in places)
    parts = [_axes(frame, "→ prompt fidelity"), _path(frame, edge, "edge")]
    for step, (x, y) in places.items():
        kind = "dot picked" if step == picked else "dot" if step in front else "dot beaten"
        across, down = frame.at(x, y)
        parts.append(_dot(frame, x, y, kind))
        parts.append(f'<text class="name" x="{across}" y="{round(down - 10, 1)}" text-anchor="middle">{step}</text>')
    parts.append('<text class="axis" x="4" y="11">↑ identity</text>')
    return _svg(parts, f"Identity against prompt fidelity of each save; step {picked} was picked")


def gauge(
    after: tuple[float, float, float], before: float | None, real: float | None, span: tuple[float, float]
) -> Markup:
    """Draw one score on a line: a ring for the untrained base, a dot with its interval, a bar for real photos.

    Args:
        after: mean and both ends of its interval.
        before: the untrained base's mean.
        real: the real photos' mean.
        span: values at both ends of the line.
    """
    width, middle = 200, 11

    def at(value: float) -> float:
        return round(8 + (min(max(value, span[0]), span[1]) - span[0]) / (span[1] - span[0]) * (width - 16), 1)

    mean, low, high = (at(value) for value in after)
    parts = [f'<line class="track" x1="4" x2="{width - 4}" y1="{middle}" y2="{middle}"/>']
    if span[0] < 0 < span[1]:
        parts.append(f'<line class="tick" x1="{at(0)}" x2="{at(0)}" y1="5" y2="17"/>')
    if real is not None:
        parts.append(f'<line class="real" x1="{at(real)}" x2="{at(real)}" y1="2" y2="20"/>')
    parts.append(f'<line class="interval" x1="{low}" x2="{high}" y1="{middle}" y2="{middle}"/>')
    if before is not None:
        parts.append(f'<circle class="ring" cx="{at(before)}" cy="{middle}" r="4.5"/>')
    parts.append(f'<circle class="dot picked" cx="{mean}" cy="{middle}" r="5.5"/>')
    return Markup(f'<svg class="gauge" viewBox="0 0 {width} 22" aria-hidden="true">{"".join(parts)}</svg>')


def _frame(points: Points, levels: Sequence[Level], margin: float = 0.06) -> Frame:
    xs, ys = [x for x, _ in points], [y for _, y in points] + [level.value for level in levels]
    return Frame(_padded(xs, margin), _padded(ys, max(margin, 0.08)))


def _padded(values: Sequence[float], margin: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * margin or abs(high) * 0.1 or 1.0
    return low - room, high + room


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Give round numbers between two values: multiples of 1, 2, 2.5 or 5 times a power of ten."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    stride = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / stride - 1e-9)
    return [round(number * stride, 12) for number in range(first, math.floor(high / stride + 1e-9) + 1)]


def _axes(frame: Frame, label: str) -> str:
    parts = []
    for value in ticks(*frame.y):
        _, y = frame.at(frame.x[0], value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="axis" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{value:g}</text>')
    for value in ticks(*frame.x, wanted=5):
        x, _ = frame.at(value, frame.y[0])
        parts.append(f'<text class="axis" x="{x}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{escape(label)}</text>')
    return "".join(parts)


def _level(frame: Frame, level: Level) -> str:
    _, y = frame.at(frame.x[0], level.value)
    line = f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>'
    return line + f'<text class="name" x="{WIDTH - RIGHT}" y="{y - 5}" text-anchor="end">{escape(level.name)}</text>'


def _path(frame: Frame, points: Points, kind: str) -> str:
    places = " ".join(f"{x},{y}" for x, y in (frame.at(*point) for point in points))
    return f'<polyline class="{kind}" points="{places}"/>'


def _dot(frame: Frame, x: float, y: float, kind: str) -> str:
    across, down = frame.at(x, y)
    return f'<circle class="{kind}" cx="{across}" cy="{down}" r="{6 if "picked" in kind else 3.5}"/>'


def _thin(points: Points, most: int) -> Points:
    """Average neighbors until at most this many points are left."""
    size = -(-len(points) // most)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _svg(parts: Sequence[str], about: str) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(about)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")
