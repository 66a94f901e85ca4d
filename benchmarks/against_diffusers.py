"""Images a second and memory, beside diffusers' own `train_dreambooth_lora_sdxl.py`, on the toybox with equal settings.

The script is not committed: take it from diffusers' repository (`examples/dreambooth/`), from a release that is not newer
than the one installed, and name it with `--script`. Both sides train a LoRA of the same rank on the same photos and class
images, one of each a step, with the prior loss, in fp32, without drawing anything. Each program runs twice, with few and
with many steps, and the difference of the two times counts: imports, loading and caching fall out. The order turns with
each round, so that a change of the machine's speed meets all. Peaks are those of the whole process.

    python -m benchmarks.against_diffusers --script train_dreambooth_lora_sdxl.py
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.processes import run

RANK, SIDE, IMAGES_A_STEP = 16, 128, 2
HERE = Path(__file__).parent
THEIRS, CACHED, ENCODED = "diffusers' script", "ipseity", "ipseity, latents not cached"
Program = Callable[[int], Sequence[str]]


def theirs(script: Path, pictures: Path, steps: int, out: Path) -> list[str]:
    """Give the command that runs diffusers' script."""
    options = {
        "pretrained_model_name_or_path": files("ipseity") / "assets" / "toybox",
        "instance_data_dir": pictures / "photos", "instance_prompt": "a photo of a sks mug",
        "class_data_dir": pictures / "classes", "class_prompt": "a photo of a mug",
        "num_class_images": len(list((pictures / "classes").iterdir())),
        "resolution": SIDE, "rank": RANK, "train_batch_size": 1, "max_train_steps": steps, "learning_rate": 5e-4,
        "adam_weight_decay": 1e-2, "lr_scheduler": "constant", "lr_warmup_steps": 0, "checkpointing_steps": 10**6,
        "dataloader_num_workers": 0, "mixed_precision": "no", "seed": 0, "output_dir": out,
    }  # fmt: skip
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return [sys.executable, "-c", _LAUNCH, str(HERE / "stand_in"), str(script), "--with_prior_preservation", *words]


_LAUNCH = """
import importlib.util, runpy, sys
stand_in = sys.argv[1]
sys.argv = sys.argv[2:]
if importlib.util.find_spec("torchvision") is None:
    # transformers must find out that torchvision is absent before the stand-in is there for the script
    from transformers.utils import is_torchvision_available
    is_torchvision_available()
    sys.path.insert(0, stand_in)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def ours(pictures: Path, steps: int, *, cached: bool) -> list[str]:
    """Give the command that runs this package's loop on the same pictures."""
    words = ["--pictures", str(pictures), "--steps", str(steps), "--rank", str(RANK)]
    return [sys.executable, "-m", "benchmarks.lora_steps", *words, *([] if cached else ["--uncached"])]


def measure(programs: dict[str, Program], *, few: int, many: int, rounds: int) -> list[dict[str, Any]]:
    """Run every program with few and many steps, round after round, and give a row for each."""
    rates: dict[str, list[float]] = {name: [] for name in programs}
    peaks, forecasts = dict.fromkeys(programs, 0.0), dict.fromkeys(programs, float("nan"))
    for turn in range(rounds):
        order = list(programs)[turn % len(programs) :] + list(programs)[: turn % len(programs)]
        for name in order:
            short, long = run(programs[name](few)), run(programs[name](many))
            rates[name].append(IMAGES_A_STEP * (many - few) / (long.seconds - short.seconds))
            peaks[name] = max(peaks[name], long.peak_gib)
            told = [json.loads(line) for line in long.said.splitlines() if line.startswith('{"forecast_gib"')]
            forecasts[name] = told[-1]["forecast_gib"] if told else float("nan")
            print(f"round {turn + 1}: {name}: {rates[name][-1]:.2f} images/s, {long.peak_gib:.2f} GiB", flush=True)
    rows = []
    for name in programs:
        ratios = [a / b for a, b in zip(rates[name], rates[THEIRS], strict=True)]
        rows.append(
            {
                "program": name,
                "images_per_second": statistics.median(rates[name]),
                "ratio": statistics.median(ratios),
                "ratio_range": [min(ratios), max(ratios)],
                "peak_gib": peaks[name],
                "memory_ratio": peaks[name] / peaks[THEIRS],
                "forecast_gib": forecasts[name] if forecasts[name] == forecasts[name] else None,
            }
        )
    return rows


def page(rows: Sequence[dict[str, Any]], chosen: argparse.Namespace) -> str:
    """Lay out the rows, with a note on what stood in for what."""
    lines = [
        "# Beside diffusers' training script\n",
        f"`python -m benchmarks.against_diffusers --script train_dreambooth_lora_sdxl.py --few {chosen.few} --many {chosen.many} --rounds {chosen.rounds}`\n",
        "| program | images/s | ratio (range) | peak GiB | ratio | forecast GiB |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["ratio_range"]
        forecast = "-" if row["forecast_gib"] is None else f"{row['forecast_gib']:.2f}"
        speed = f"{row['images_per_second']:.2f} | {row['ratio']:.2f} ({low:.2f} to {high:.2f})"
        lines.append(f"| {row['program']} | {speed} | {row['peak_gib']:.2f} | {row['memory_ratio']:.2f} | {forecast} |")
    return "\n".join([*lines, "", note(chosen.script, chosen.rounds)]) + "\n"


def note(script: Path, rounds: int) -> str:
    """Say what is equal, what stood in for what, and what is counted."""
    asked = re.search(r'check_min_version\("([^"]+)"\)', script.read_text(encoding="utf-8"))
    said = [
        f"Toybox, {SIDE} px, LoRA of rank {RANK} on the denoiser's attention, AdamW, fp32, batches of one photo and one class image, prior loss on. "
        f"Median of {rounds} rounds of (many - few) steps, so that starting, loading and caching do not count; peaks are of the whole process.",
        f"The script asks for diffusers {asked.group(1) if asked else 'of an unknown version'}; installed is {version('diffusers')}, "
        f"with torch {version('torch')} on {os.environ.get('OMP_NUM_THREADS') or os.cpu_count()} threads.",
        "It encodes its pictures in each step and its two prompts once; so does the row without cached latents.",
    ]
    if find_spec("torchvision") is None:
        said.append(
            "torchvision is not installed: for the script's resizing, cropping and normalizing, done once before its first step, "
            "a stand-in through Pillow is used (benchmarks/stand_in)."
        )
    if find_spec("tensorboard") is None:
        said.append("tensorboard is not installed: the script runs without a tracker.")
    return " ".join(said)


def main() -> None:
    """Print one row a program, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", type=Path, required=True, help="diffusers' train_dreambooth_lora_sdxl.py")
    parser.add_argument("--few", type=int, default=20, help="steps of the short run (%(default)s)")
    parser.add_argument("--many", type=int, default=120, help="steps of the long run (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for a page and its numbers; else they are printed"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        pictures = Path(scratch) / "pictures"
        run([sys.executable, "-m", "benchmarks.lora_steps", "--prepare", str(pictures)])
        programs: dict[str, Program] = {
            THEIRS: lambda steps: theirs(chosen.script.resolve(), pictures, steps, Path(scratch) / "out"),
            CACHED: lambda steps: ours(pictures, steps, cached=True),
            ENCODED: lambda steps: ours(pictures, steps, cached=False),
        }
        rows = measure(programs, few=chosen.few, many=chosen.many, rounds=chosen.rounds)
    text = page(rows, chosen)
    print("\n" + text)
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "against_diffusers.md").write_text(text, encoding="utf-8")
        (chosen.out / "against_diffusers.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
