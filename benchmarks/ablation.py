"""Captions {plain, structured} x regularization {none, class images, structured}: same method, equal steps, toybox subjects.

    python -m benchmarks.ablation --subjects 6 --seeds 2 --hours 3

Every cell is an ordinary run, scored by evaluators that did not pick it. The first run is timed and the total printed;
the command stops when the hours are used up, names the cells that did not run, and goes on where it was when repeated.
"""

import argparse
import itertools
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from benchmarks.cells import interval, run_cell, write_rows
from ipseity.core.files import read_json
from ipseity.recipe import parse, read_text

CAPTIONS, REGULARIZATIONS = ("plain", "structured"), ("none", "class_images", "structured")
KEYS = ("identity/toy_vit", "identity/efficientnet_lite2", "prompt_fidelity/minilm_conse")
BASELINE = ("plain", "class_images")


def recipe(subject: Path, captions: str, regularization: str, *, seed: int, steps: int, work: Path) -> dict[str, Any]:
    """Give the recipe of a cell."""
    data = parse(read_text(Path("data-centric")), "data-centric")
    facts = read_json(subject / "subject.json")
    data |= {
        "name": f"{subject.name}-{captions}-{regularization}",
        "seed": seed,
        "runs": str(work / "runs"),
        "sets": str(work / "sets"),
    }
    data["subject"] = {"photos": str(subject), "class_noun": facts["class_noun"]}
    data["captions"] = {"use": captions}
    images = data["regularization"]["images"]
    options = {"none": {}, "class_images": {"images": images}, "structured": {"images": images, "bank": "toybox"}}
    data["regularization"] = {"use": regularization, **options[regularization]}
    data["fit"] |= {"max_train_steps": steps, "save_every": max(1, steps // 5)}
    return data


def main() -> None:
    """Run what time allows and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--work", type=Path, default=Path("build/ablation"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    chosen = parser.parse_args()
    subjects = sorted(
        path.parent for path in Path(str(files("ipseity") / "assets" / "subjects")).glob("*/subject.json")
    )[: chosen.subjects]
    cells = list(itertools.product(range(chosen.seeds), subjects, CAPTIONS, REGULARIZATIONS))
    started, rows, left = time.perf_counter(), [], []
    for number, (seed, subject, captions, regularization) in enumerate(cells):
        if time.perf_counter() - started > chosen.hours * 3600:
            left.append(f"{subject.name}, {captions}, {regularization}, seed {seed}")
            continue
        scores = run_cell(recipe(subject, captions, regularization, seed=seed, steps=chosen.steps, work=chosen.work))
        rows.append(
            {"subject": subject.name, "captions": captions, "regularization": regularization, "seed": seed, **scores}
        )
        write_rows(chosen.out / "ablation.json", rows)
        if number == 0:
            print(
                f"one run: {time.perf_counter() - started:.0f} s; {len(cells)} runs: {(time.perf_counter() - started) * len(cells) / 3600:.1f} h",
                flush=True,
            )
    page = table(rows, left, chosen)
    (chosen.out / "ablation.md").write_text(page)
    print(page)


def table(rows: list[dict[str, Any]], left: list[str], chosen: argparse.Namespace) -> str:
    """Lay out means and paired differences to plain captions with class images."""
    lines = [f"# Captions and regularization, like for like\n\n`python -m benchmarks.ablation --subjects {chosen.subjects} --seeds {chosen.seeds} --steps {chosen.steps}`\n",
             "Means over subjects and seeds; in brackets the paired difference to plain captions with class images and its 95 % interval over subjects.\n",
             "| captions | regularization | runs | " + " | ".join(KEYS) + " |", "|---|---|---|" + "---|" * len(KEYS)]  # fmt: skip
    names = sorted({row["subject"] for row in rows})
    for cell in itertools.product(CAPTIONS, REGULARIZATIONS):
        here = [row for row in rows if (row["captions"], row["regularization"]) == cell]
        if not here:
            continue
        words = []
        for key in KEYS:
            mine = {name: _mean(here, name, key) for name in names}
            base = {
                name: _mean([r for r in rows if (r["captions"], r["regularization"]) == BASELINE], name, key)
                for name in names
            }
            both = [mine[n] - base[n] for n in names if mine[n] is not None and base[n] is not None]
            mean = sum(v for v in mine.values() if v is not None) / max(1, sum(v is not None for v in mine.values()))
            d = interval(both) if both and cell != BASELINE else None
            words.append(f"{mean:.3f}" + (f" ({d[0]:+.3f}; {d[1]:+.3f} to {d[2]:+.3f})" if d else ""))
        lines.append(f"| {cell[0]} | {cell[1]} | {len(here)} | " + " | ".join(words) + " |")
    lines.append("\nNot run: " + ("; ".join(left) if left else "nothing") + ".")
    return "\n".join(lines) + "\n"


def _mean(rows: list[dict[str, Any]], subject: str, key: str) -> float | None:
    values = [row[key] for row in rows if row["subject"] == subject and key in row]
    return sum(values) / len(values) if values else None


if __name__ == "__main__":
    main()
