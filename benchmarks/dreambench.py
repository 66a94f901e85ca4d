"""Runs `personalize` on the real photos of DreamBench, on the toybox, beside class images at equal steps.

    python -m benchmarks.dreambench --data FOLDER --jobs 2 --hours 4

FOLDER is a copy of github.com/google/dreambooth's `dataset` folder. Each subject is trained twice: structured captions
with a structured set, and plain captions with class images. Both start from the data-centric recipe, so rank, rate, steps,
size of the set, seeds and the way of picking are the same. The result is scored by evaluators that did not pick it, on a
photo that neither trained nor picked, beside the untrained base and real photos.

Finished runs are found again, so the command can be repeated after an interruption; the page is written anew after each
run and tells what is missing.
"""

import argparse
import tomllib
from pathlib import Path
from typing import Any

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
    number,
    run_cells,
    write_page,
)  # fmt: skip

KEY, FIDELITY = "identity/efficientnet_lite2", "prompt_fidelity/minilm_conse"
SPLITS = Path(__file__).parent / "splits.toml"
OURS, PLAIN = "data-centric", "class images"
ARMS: dict[str, Arm] = {OURS: ("structured", "structured"), PLAIN: ("plain", "class_images")}
TITLES = {
    KEY: "Identity: similarity of EfficientNet-Lite2 to the photo that only scores",
    FIDELITY: "Prompt fidelity: MiniLM over what EfficientNet-Lite2 sees",
}


def classes(data: Path) -> dict[str, str]:
    """Read subject -> class noun from the dataset's own text file."""
    lines = (data / "prompts_and_classes.txt").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip() == "subject_name,class")
    rows = (line.split(",") for line in lines[start + 1 :] if line.count(",") == 1)
    return {name.strip(): noun.strip() for name, noun in rows}


def development() -> frozenset[str]:
    """Name the subjects on which the recipe was chosen: they count in the table, but not among those that only report."""
    return frozenset(tomllib.loads(SPLITS.read_text(encoding="utf-8"))["dreambench"]["development"])


def cells(chosen: argparse.Namespace) -> list[Cell]:
    """List the runs, a subject's two beside each other, so that an interruption leaves whole subjects."""
    subjects = [
        (chosen.data / name, noun)
        for name, noun in sorted(classes(chosen.data).items())
        if (chosen.data / name).is_dir() and (not chosen.only or name in chosen.only)
    ]
    return [
        Cell({"subject": photos.name, "arm": arm}, arm_recipe(photos, noun, ARMS[arm], chosen))
        for photos, noun in subjects[: chosen.subjects]
        for arm in ARMS
    ]


def pairs(rows: list[Row]) -> dict[str, dict[str, Row]]:
    """Give subject -> arm -> row of the subjects that have both."""
    found: dict[str, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["subject"], {})[row["arm"]] = row
    return {name: arms for name, arms in found.items() if arms.keys() == ARMS.keys()}


def levels(arms: dict[str, Row], key: str) -> list[float | None]:
    """Give a subject's score of both arms, of the untrained base, and of real photos as the base shows them and as they are."""
    ours = arms[OURS]["scores"]
    return [
        ours.get(key),
        arms[PLAIN]["scores"].get(key),
        *(ours.get(f"{kind}/{key}") for kind in ("before", "reach", "real")),
    ]


def page(standing: Standing, chosen: argparse.Namespace) -> str:
    """Lay out one table a question, and the flags."""
    both = pairs(standing.rows)
    told = ("subjects",) if chosen.subjects is not None else ()
    lines = [
        "# Real photos on the toybox\n",
        f"`{command('dreambench', chosen, told=told)} --data FOLDER`" + (f" `--only {' '.join(chosen.only)}`" if chosen.only else "") + "\n",
        f"{len(both)} of {standing.total // 2} subjects of DreamBench ran with both arms. The arms differ in captions and in the "
        "regularization set only; the checkpoint was picked by another evaluator, on other photos, prompts and seeds.\n",
    ]  # fmt: skip
    for key, title in TITLES.items():
        lines += compared(both, key, title)
    lines += means(both)
    lines += flags(standing.rows)
    return "\n".join([*lines, *closing(standing)]) + "\n"


def compared(both: dict[str, dict[str, Row]], key: str, title: str) -> list[str]:
    """Lay out a score subject by subject, with how often ours beats both others."""
    lines = [f"## {title}\n", "| subject | data-centric | class images | untrained | photos decoded | real photos | beats both |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    beats, complete = 0, {}
    for name, arms in both.items():
        ours, plain, bare, reach, real = levels(arms, key)
        word = "-"
        if ours is not None and plain is not None and bare is not None:
            complete[name] = {PLAIN: ours - plain, "the untrained base": ours - bare}
            beats += ours > max(plain, bare)
            word = "yes" if ours > max(plain, bare) else "no"
        lines.append(f"| {name} | " + " | ".join(map(number, (ours, plain, bare, reach, real))) + f" | {word} |")
    lines.append(f"\n* Data-centric beats both on {beats} of {len(complete)} subjects.")
    reporting = {name: row for name, row in complete.items() if name not in development()}
    for other in (PLAIN, "the untrained base"):
        if complete:
            lines.append(f"* Minus {other}: {_gap(complete, other)}.")
        if reporting and len(reporting) < len(complete):
            lines.append(f"  Without the subjects that the recipe was chosen on: {_gap(reporting, other)}.")
    return [*lines, ""]


def _gap(complete: dict[str, dict[str, float]], other: str) -> str:
    mean, low, high = interval([row[other] for row in complete.values()])
    above = sum(row[other] > 0 for row in complete.values())
    return f"{mean:+.3f} (95 % interval over {len(complete)} subjects {low:+.3f} to {high:+.3f}; above on {above})"


def means(both: dict[str, dict[str, Row]]) -> list[str]:
    """Lay out the means over subjects by every evaluator that scored."""
    lines = [
        "## Means over subjects, by each evaluator\n",
        "| metric/evaluator | data-centric | class images | untrained | photos decoded | real photos | minus class images |",
        "|---|---|---|---|---|---|---|",
    ]
    known = {key for arms in both.values() for key in arms[OURS]["scores"] if key.count("/") == 1}
    for key in (*KEYS, *sorted(known - set(KEYS))):
        columns = list(zip(*(levels(arms, key) for arms in both.values()), strict=True))
        if not columns or any(value is None for column in columns[:2] for value in column):
            continue
        gaps = [ours - plain for ours, plain in zip(*columns[:2], strict=True)]
        middle = [_mean(column) for column in columns]
        gap = "{:+.3f} ({:+.3f} to {:+.3f})".format(*interval(gaps))
        lines.append(f"| {key} | " + " | ".join(map(number, middle)) + f" | {gap} |")
    return [*lines, ""]


def flags(rows: list[Row]) -> list[str]:
    """List the flags that were raised, run by run."""
    raised = [f"* {row['subject']}, {row['arm']}: {text}" for row in rows for text in row["flags"].values()]
    counts = [
        f"{arm}: {sum(bool(row['flags']) for row in rows if row['arm'] == arm)} of {sum(row['arm'] == arm for row in rows)}"
        for arm in ARMS
    ]
    return ["## Flags\n", f"Runs with a raised flag, {', '.join(counts)}.\n", *raised, *([""] if raised else [])]


def _mean(values: tuple[Any, ...]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def main() -> None:
    """Run what time allows and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--subjects", type=int, default=None, help="only the first so many subjects")
    parser.add_argument("--only", nargs="*", default=None, metavar="NAME", help="only these subjects")
    add_options(parser, work="build/dreambench")
    chosen = parser.parse_args()

    def show(standing: Standing) -> None:
        write_page(chosen.out, "dreambench", page(standing, chosen), standing.rows)

    spent = run_cells(cells(chosen), jobs=chosen.jobs, hours=chosen.hours, show=show)
    print((chosen.out / "dreambench.md").read_text(encoding="utf-8") + "\n" + spent)


if __name__ == "__main__":
    main()
