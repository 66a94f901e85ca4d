"""Captions {plain, structured} x regularization {none, class images, structured}: same method, equal steps, toybox subjects.

    python -m benchmarks.ablation --subjects 6 --seeds 2 --jobs 2 --hours 3

Every cell is an ordinary run, scored by evaluators that did not pick it. All combinations of a subject run beside each
other, and the first seed of all subjects before the second, so that whatever time leaves is a fair table. The command stops
when the hours are used up, names the cells that did not run, and goes on where it was when repeated.
"""

import argparse
import itertools
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from benchmarks.cells import (
    KEYS,
    Arm,
    Cell,
    Row,
    Standing,
    add_options,
    arm_recipe,
    closing,
    command,
    interval,
    run_cells,
    write_page,
)  # fmt: skip
from ipseity.core.files import read_json

CAPTIONS, REGULARIZATIONS = ("plain", "structured"), ("none", "class_images", "structured")
MORE = ("output_preservation", "l2")
"""Regularizations that show no pictures; compared when asked for."""
BASELINE: Arm = ("plain", "class_images")
COLUMNS = (*KEYS, "leakage/efficientnet_lite2", "leakage/toy_vit")
"""What is shown: leakage is how much nearer the subject the plain class word came, so less is better."""
BESIDE = {"before": "untrained base", "reach": "photos decoded"}
"""Kinds of scores that no combination changes."""
SPLITS = Path(__file__).parent / "splits.toml"
Block = dict[Arm, Row]


def arms(chosen: argparse.Namespace) -> tuple[Arm, ...]:
    """List the combinations that are compared."""
    return tuple(itertools.product(CAPTIONS, chosen.regularizations))


def cells(chosen: argparse.Namespace) -> list[Cell]:
    """List the runs, the most needed first."""
    folder = Path(str(files("ipseity") / "assets" / "subjects"))
    names = tomllib.loads(SPLITS.read_text(encoding="utf-8"))["toybox"][chosen.split]
    chosen_ones = [folder / name for name in names if not chosen.only or name in chosen.only][: chosen.subjects]
    nouns = {path: read_json(path / "subject.json")["class_noun"] for path in chosen_ones}
    return [
        Cell(
            {"subject": path.name, "captions": arm[0], "regularization": arm[1], "seed": seed},
            arm_recipe(path, nouns[path], arm, chosen, seed=seed),
        )
        for seed, path, arm in itertools.product(range(chosen.seeds), chosen_ones, arms(chosen))
    ]


def blocks(rows: list[Row], wanted: Sequence[Arm]) -> dict[tuple[str, int], Block]:
    """Give (subject, seed) -> its runs, of those that are complete: only they are compared."""
    found: dict[tuple[str, int], Block] = {}
    for row in rows:
        found.setdefault((row["subject"], row["seed"]), {})[row["captions"], row["regularization"]] = row
    return {place: block for place, block in found.items() if block.keys() >= set(wanted)}


def page(standing: Standing, chosen: argparse.Namespace) -> str:
    """Lay out means, paired differences to plain captions with class images, and the flags."""
    whole = blocks(standing.rows, arms(chosen))
    subjects = {subject for subject, _ in whole}
    lines = [
        "# Captions and regularization, like for like\n",
        f"`{command('ablation', chosen, told=('split', 'subjects', 'seeds', 'regularizations'))}`" + (f" `--only {' '.join(chosen.only)}`" if chosen.only else "") + "\n",
        f"Means over subjects and seeds for which all combinations ran (subjects: {len(subjects)}; runs of each combination: {len(whole)}); "
        "in brackets the paired difference to plain captions with class images and its 95 % interval over subjects. "
        "Without regularization a step shows one picture, else two.\n",
        "| captions | regularization | runs | " + " | ".join(COLUMNS) + " | runs with flags |", "|---|---|---|" + "---|" * len(COLUMNS) + "---|",
    ]  # fmt: skip
    for arm in arms(chosen) if whole else ():
        words = [compared(whole, arm, key) for key in COLUMNS]
        raised = [flag for block in whole.values() for flag in block[arm]["flags"]]
        told = ", ".join(f"{raised.count(name)} {name}" for name in sorted(set(raised))) or "0"
        lines.append(f"| {arm[0]} | {arm[1]} | {len(whole)} | " + " | ".join(words) + f" | {told} |")
    for kind, title in BESIDE.items() if whole else ():
        words = [compared(whole, BASELINE, f"{kind}/{key}") for key in COLUMNS]
        lines.append(f"| {title} | - | - | " + " | ".join(words) + " | - |")
    return "\n".join([*lines, "", *flags(standing.rows), *closing(standing)]) + "\n"


def compared(whole: dict[tuple[str, int], Block], arm: Arm, key: str) -> str:
    """Write a combination's mean, and its difference to the baseline: seeds are averaged within a subject first."""
    values = [block[arm]["scores"].get(key) for block in whole.values()]
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    gaps: dict[str, list[float]] = {}
    for (subject, _), block in whole.items():
        mine, base = block[arm]["scores"].get(key), block[BASELINE]["scores"].get(key)
        if mine is not None and base is not None:
            gaps.setdefault(subject, []).append(mine - base)
    mean = f"{sum(there) / len(there):.3f}"
    if arm == BASELINE or not gaps:
        return mean
    return mean + " ({:+.3f}; {:+.3f} to {:+.3f})".format(*interval([sum(gap) / len(gap) for gap in gaps.values()]))


def flags(rows: list[Row]) -> list[str]:
    """List the flags that were raised, run by run."""
    raised = [
        f"* {row['subject']}, {row['captions']}, {row['regularization']}, seed {row['seed']}: {text}"
        for row in rows
        for text in row["flags"].values()
    ]
    return ["Flags raised: " + ("none." if not raised else f"\n\n{chr(10).join(raised)}"), ""]


def main() -> None:
    """Run what time allows and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=6, help="the first so many subjects of the split (%(default)s)")
    parser.add_argument("--split", choices=("development", "reporting"), default="reporting", help="(%(default)s)")
    parser.add_argument(
        "--regularizations", nargs="+", choices=(*REGULARIZATIONS, *MORE), default=list(REGULARIZATIONS),
        help="class_images must be among them, since all are held against it",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=2, help="(%(default)s)")
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="only these subjects")
    add_options(parser, work="build/ablation")
    chosen = parser.parse_args()
    if BASELINE[1] not in chosen.regularizations:
        parser.error(
            f"--regularizations {' '.join(chosen.regularizations)}: {BASELINE[1]} is missing, what all others are held against; add it"
        )

    def show(standing: Standing) -> None:
        write_page(chosen.out, "ablation", page(standing, chosen), standing.rows)

    spent = run_cells(cells(chosen), jobs=chosen.jobs, hours=chosen.hours, show=show)
    print((chosen.out / "ablation.md").read_text(encoding="utf-8") + "\n" + spent)


if __name__ == "__main__":
    main()
