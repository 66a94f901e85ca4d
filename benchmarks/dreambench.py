"""Runs `personalize` on the real photos of DreamBench, on the toybox, beside class images at equal steps.

    python -m benchmarks.dreambench --data FOLDER --out docs/results

FOLDER is a copy of github.com/google/dreambooth's `dataset` folder. Each subject is trained twice (data-centric recipe;
plain captions with class images), picked and scored as `ipseity personalize` does. The table gives the similarity of
EfficientNet-Lite2 to the photo that only scores, beside the untrained base and real photos. Finished runs are found
again, so the command can be repeated after an interruption.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.cells import interval, run_cell, write_rows
from ipseity.recipe import parse, read_text

KEY = "identity/efficientnet_lite2"


def classes(data: Path) -> dict[str, str]:
    """Read subject -> class noun from the dataset's own text file."""
    lines = (data / "prompts_and_classes.txt").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.strip() == "subject_name,class")
    rows = (line.split(",") for line in lines[start + 1 :] if line.count(",") == 1)
    return {name.strip(): noun.strip() for name, noun in rows}


def recipe(shelf: str, subject: Path, noun: str, out: Path, steps: int) -> dict[str, Any]:
    """Give the shelf's recipe for a subject."""
    data = parse(read_text(Path(shelf)), shelf)
    data |= {"name": f"{shelf}-{subject.name}", "runs": str(out / "runs"), "sets": str(out / "sets")}
    data["subject"] = {"photos": str(subject), "class_noun": noun}
    data["fit"] |= {"max_train_steps": steps, "save_every": max(1, steps // 5)}
    return data


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--work", type=Path, default=Path("build/dreambench"))
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--only", nargs="*", default=None)
    chosen = parser.parse_args()
    rows = []
    for name, noun in sorted(classes(chosen.data).items()):
        folder = chosen.data / name
        if not folder.is_dir() or (chosen.only and name not in chosen.only):
            continue
        ours = run_cell(recipe("data-centric", folder, noun, chosen.work, chosen.steps))
        plain = run_cell(recipe("dreambooth-lora", folder, noun, chosen.work, chosen.steps))
        rows.append({"subject": name, "data_centric": ours[KEY], "class_images": plain[KEY], "untrained": ours[f"before/{KEY}"],
                     "real": ours.get(f"real/{KEY}"), "fidelity": ours.get("prompt_fidelity/minilm_conse"), "fidelity_class_images": plain.get("prompt_fidelity/minilm_conse"),
                     "fidelity_untrained": ours.get("before/prompt_fidelity/minilm_conse")})  # fmt: skip
        write_rows(chosen.out / "dreambench.json", rows)
        print(rows[-1], flush=True)
    beats = sum(row["data_centric"] > max(row["class_images"], row["untrained"]) for row in rows)
    lines = [f"# Real photos on the toybox\n\n`python -m benchmarks.dreambench --data FOLDER --steps {chosen.steps}`\n",
             "Similarity of EfficientNet-Lite2 to the photo that only scores.\n",
             "| subject | data-centric | class images | untrained | real photos |", "|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        numbers = (row["data_centric"], row["class_images"], row["untrained"], row["real"])
        lines.append(f"| {row['subject']} | " + " | ".join("-" if n is None else f"{n:.3f}" for n in numbers) + " |")
    for other in ("class_images", "untrained"):
        mean, low, high = interval([row["data_centric"] - row[other] for row in rows])
        lines.append(
            f"\nData-centric minus {other.replace('_', ' ')}: {mean:+.3f} ({low:+.3f} to {high:+.3f}, over {len(rows)} subjects)."
        )
    lines.append(f"\nData-centric beats both on {beats} of {len(rows)} subjects.")
    (chosen.out / "dreambench.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
