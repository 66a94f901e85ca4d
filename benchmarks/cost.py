"""What training costs against steps, number of photos, size of the set and resolution, on the toybox.

    python -m benchmarks.cost

Around one middle point, one value at a time is changed. Each point is a whole training in a process of its own: the set is
drawn, pictures and captions are encoded, the steps are made. Starting and loading do not count. Told are seconds and the
memory peak of every point, and by which power the seconds grow: the slope of a straight line through the logarithms, with
its 95 % interval. One power is that of the stage that the value drives, the other that of the whole.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import run
from ipseity.evaluation.charts import line_chart

MIDDLE = {"steps": 40, "photos": 4, "images": 8, "resolution": 128, "inference_steps": 15}
AXES: Mapping[str, Sequence[int]] = {
    "steps": (20, 40, 80, 160),
    "photos": (2, 4, 8, 16),
    "images": (4, 8, 16, 32),
    "resolution": (64, 96, 128, 192),
}
QUICK_MIDDLE = {"steps": 4, "photos": 2, "images": 2, "resolution": 64, "inference_steps": 2}
QUICK_AXES: Mapping[str, Sequence[int]] = {
    "steps": (4, 8, 12),
    "photos": (2, 4),
    "images": (2, 4),
    "resolution": (64, 96),
}
DRIVES = {"steps": ("fit", "steps"), "photos": ("cache", "encoding"), "images": ("set", "drawing"), "resolution": ("fit", "steps")}  # fmt: skip
TITLES = {"steps": "steps", "photos": "photos", "images": "pictures in the set", "resolution": "px a side"}
STAGES = ("set", "cache", "fit")
GOAL_GIB = 2.0
"""What training the toybox should stay under."""
T_975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10)
"""Student's t at 97.5 %, for 1 degree of freedom and up."""
STYLE = (
    "text{font:11.5px system-ui,sans-serif;fill:#6a665f}.title{font-size:13px;font-weight:600;fill:#1d1c1a}"
    ".grid{stroke:#e3e0d9}.curve{fill:none;stroke:#2f6b7d;stroke-width:2.2}.dot{fill:#2f6b7d}"
)
Point = dict[str, Any]


def measure(middle: Mapping[str, int], axes: Mapping[str, Sequence[int]], repeats: int) -> list[Point]:
    """Run every point, there and back again, and give a row for each run. A first run, which warms up, does not count."""
    changed = [{**middle, axis: value} for axis, values in axes.items() for value in values if value != middle[axis]]
    settings = [dict(middle), *changed]
    rows = []
    measure_point(QUICK_MIDDLE)
    for turn in range(repeats):
        for number, setting in enumerate(settings[:: -1 if turn % 2 else 1]):
            rows.append(measure_point(setting))
            print(f"{turn + 1}/{repeats}, {number + 1}/{len(settings)}: {json.dumps(rows[-1])}", flush=True)
    return rows


def measure_point(setting: Mapping[str, int]) -> Point:
    """Train in a process of its own."""
    words = [word for key, value in setting.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    ended = run([sys.executable, "-m", "benchmarks.cost_point", *words])
    told = json.loads(ended.said.strip().splitlines()[-1])
    return {**setting, **told, "total": sum(told[stage] for stage in STAGES), "peak_gib": ended.peak_gib}


def along(rows: Sequence[Point], middle: Mapping[str, int], axis: str) -> list[Point]:
    """Give the runs in which nothing but one value was changed."""
    here = [row for row in rows if all(row[key] == value for key, value in middle.items() if key != axis)]
    return sorted(here, key=lambda row: row[axis])


def power(rows: Sequence[Point], axis: str, stage: str) -> str:
    """Write the slope of log seconds over log value, with its 95 % interval by Student's t."""
    across, up = (np.log([row[key] for row in rows]) for key in (axis, stage))
    spread = across - across.mean()
    slope = float((spread * up).sum() / (spread**2).sum())
    free = len(rows) - 2
    if free < 1:
        return f"{slope:.2f}"
    rest = up - up.mean() - slope * spread
    error = math.sqrt(float((rest**2).sum()) / free / float((spread**2).sum()))
    reach = T_975[min(free, len(T_975)) - 1] * error
    return f"{slope:.2f} ({slope - reach:.2f} to {slope + reach:.2f})"


def page(rows: Sequence[Point], middle: Mapping[str, int], axes: Mapping[str, Sequence[int]], words: str) -> str:
    """Lay out the powers, every point, and memory."""
    usual = ", ".join(f"{middle[axis]} {title}" for axis, title in TITLES.items())
    highest = max(rows, key=lambda row: row["peak_gib"])
    missed = [row["peak_gib"] / row["forecast_gib"] for row in rows]
    lines = [
        "# What training costs\n",
        f"`python -m benchmarks.cost{words}`\n",
        f"LoRA on the toybox, structured captions and set, pictures drawn in {middle['inference_steps']} denoising steps. Unless changed: {usual}. "
        "Starting and loading do not count. A power of 1 is proportional, 0 costs nothing more.\n",
        "| value | from | to | power of the stage it drives (95 %) | power of the whole (95 %) |",
        "|---|---|---|---|---|",
    ]
    for axis, values in axes.items():
        here, (stage, what) = along(rows, middle, axis), DRIVES[axis]
        powers = f"{what}: {power(here, axis, stage)} | {power(here, axis, 'total')}"
        lines.append(f"| {TITLES[axis]} | {min(values)} | {max(values)} | {powers} |")
    lines += ["\n![Seconds of training against each value](cost.svg)\n"]
    for axis, values in axes.items():
        lines += points(along(rows, middle, axis), axis, values)
    lines.append(
        f"Memory: highest peak {highest['peak_gib']:.2f} GiB, forecast for that run {highest['forecast_gib']:.2f}; "
        f"measured over forecast {min(missed):.2f} to {max(missed):.2f} in all runs. The goal for the toybox is under {GOAL_GIB:.0f} GB: "
        f"{'kept' if highest['peak_gib'] * 2**30 < GOAL_GIB * 1e9 else 'missed'}."
    )
    return "\n".join(lines) + "\n"


def points(rows: Sequence[Point], axis: str, values: Sequence[int]) -> list[str]:
    """Lay out the medians of the runs at each value."""
    lines = [
        f"| {TITLES[axis]} | drawing s | encoding s | steps s | all s | peak GiB | forecast GiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for value in values:
        here = [row for row in rows if row[axis] == value]
        middles = [statistics.median(row[key] for row in here) for key in (*STAGES, "total")]
        memory = [max(row[key] for row in here) for key in ("peak_gib", "forecast_gib")]
        lines.append(
            f"| {value} | " + " | ".join([*(f"{n:.1f}" for n in middles), *(f"{n:.2f}" for n in memory)]) + " |"
        )
    return [*lines, ""]


def drawing(rows: Sequence[Point], middle: Mapping[str, int], axes: Mapping[str, Sequence[int]]) -> str:
    """Draw the seconds of the whole against each value, side by side."""
    parts = []
    for number, (axis, values) in enumerate(axes.items()):
        here = along(rows, middle, axis)
        curve = [(value, statistics.median(row["total"] for row in here if row[axis] == value)) for value in values]
        left, top = 470 * (number % 2), 270 * (number // 2)
        chart = str(line_chart([(float(x), y) for x, y in curve], about=f"Seconds against {TITLES[axis]}"))
        # the charts of a report run over steps; here each has its own axis
        chart = chart.replace(">step</text>", f">{TITLES[axis]}</text>", 1)
        placed = chart.replace("<svg ", f'<svg x="{left}" y="{top + 24}" width="460" height="240" ', 1)
        parts.append(
            f'<text class="title" x="{left + 46}" y="{top + 18}">Seconds against {TITLES[axis]}</text>{placed}'
        )
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 930 540" width="930" height="540">'
    return f'{head}<style>{STYLE}</style><rect width="930" height="540" fill="#fff"/>{"".join(parts)}</svg>\n'


def main() -> None:
    """Measure, and write the page, its picture and its numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2, help="runs of each point (%(default)s)")
    parser.add_argument(
        "--quick", action="store_true", help="tiny values, to see that it works; its figures mean nothing"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("docs/results"), help="where the page is written (%(default)s)"
    )
    chosen = parser.parse_args()
    middle, axes = (QUICK_MIDDLE, QUICK_AXES) if chosen.quick else (MIDDLE, AXES)
    rows = measure(middle, axes, 1 if chosen.quick else chosen.repeats)
    text = page(rows, middle, axes, " --quick" if chosen.quick else f" --repeats {chosen.repeats}")
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "cost.md").write_text(text, encoding="utf-8")
    (chosen.out / "cost.svg").write_text(drawing(rows, middle, axes), encoding="utf-8")
    (chosen.out / "cost.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
