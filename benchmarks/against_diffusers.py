"""Images a second and memory, beside diffusers' own `train_dreambooth_lora_sdxl.py`, on the toybox with equal settings.

The script is not committed: take it from the release of diffusers that is installed (`examples/dreambooth/`) and name it
with `--script`. It imports a few transforms from torchvision; `benchmarks/stand_in` gives them through Pillow. Both sides
train a LoRA of the same rank on the same photos and class images, one of each a step, without drawing anything. Each
program runs twice, with few and with many steps, and the difference of the two times counts: imports, loading and caching
fall out. Runs alternate, so that a change of the machine's speed meets both.

    python -m benchmarks.against_diffusers --script train_dreambooth_lora_sdxl.py
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

RANK, FEW, MANY, SIDE = 16, 20, 120, 128
HERE = Path(__file__).parent


def theirs(script: Path, photos: Path, classes: Path, steps: int, out: Path) -> list[str]:
    """Give the command that runs diffusers' script."""
    options = {
        "pretrained_model_name_or_path": files("ipseity") / "assets" / "toybox",
        "instance_data_dir": photos, "instance_prompt": "a photo of a sks mug",
        "class_data_dir": classes, "class_prompt": "a photo of a mug", "num_class_images": len(list(classes.iterdir())),
        "resolution": SIDE, "rank": RANK, "train_batch_size": 1, "max_train_steps": steps, "learning_rate": 5e-4,
        "lr_scheduler": "constant", "lr_warmup_steps": 0, "checkpointing_steps": 10**6, "dataloader_num_workers": 0,
        "mixed_precision": "no", "seed": 0, "output_dir": out,
    }  # fmt: skip
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    return [sys.executable, str(script), "--with_prior_preservation", *words]


def ours(photos: Path, classes: Path, steps: int, *, cached: bool) -> list[str]:
    """Give the command that runs this package's loop on the same pictures."""
    words = ["--photos", str(photos), "--classes", str(classes), "--steps", str(steps)]
    return [sys.executable, "-m", "benchmarks.lora_steps", *words, *([] if cached else ["--uncached"])]


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; give its seconds and the most memory it held, in GiB."""
    paths = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    started = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said, _ = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:3])} ... ended with {process.returncode}:\n{said[-3000:]}")
    found = [json.loads(line) for line in said.splitlines() if line.startswith('{"peak_gib"')]
    return seconds, found[-1]["peak_gib"] if found else float("nan")


def with_peak(command: list[str]) -> list[str]:
    """Wrap a Python script so that it prints its own memory peak at the end."""
    code = (
        "import sys, runpy, resource, json; sys.argv = sys.argv[1:]\n"
        # transformers must find out that torchvision is absent before the stand-in is there for the script
        "from transformers.utils import is_torchvision_available\nis_torchvision_available()\n"
        f"sys.path.insert(0, {str(HERE / 'stand_in')!r})\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n    print(json.dumps({'peak_gib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}), flush=True)"
    )
    return [command[0], "-c", code, *command[1:]]


def main() -> None:
    """Print one row a program, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--script", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None, help="also write the rows as JSON")
    chosen = parser.parse_args()
    from benchmarks.lora_steps import make_class_images, tour_photos

    with tempfile.TemporaryDirectory() as scratch:
        photos, classes = tour_photos(Path(scratch) / "photos"), make_class_images(Path(scratch) / "classes")
        programs = {
            "diffusers script": lambda n: with_peak(theirs(chosen.script, photos, classes, n, Path(scratch) / "out")),
            "ipseity": lambda n: ours(photos, classes, n, cached=True),
            "ipseity, nothing cached": lambda n: ours(photos, classes, n, cached=False),
        }
        rates: dict[str, list[float]] = {name: [] for name in programs}
        peaks: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(chosen.rounds):
            for name, command in programs.items():
                (short, _), (long, peak) = timed(command(FEW)), timed(command(MANY))
                rates[name].append(2 * (MANY - FEW) / (long - short))
                peaks[name].append(peak)
    first = "diffusers script"
    rows = []
    for name in programs:
        ratio = [a / b for a, b in zip(rates[name], rates[first], strict=True)]
        rows.append({"program": name, "images_per_second": statistics.median(rates[name]), "ratio": statistics.median(ratio),
                     "ratio_range": [min(ratio), max(ratio)], "peak_gib": max(peaks[name])})  # fmt: skip
    print(
        f"{'program':26} {'images/s':>9} {'ratio':>6} {'range':>13} {'peak GiB':>9}   (rank {RANK}, {SIDE} px, 1 subject + 1 class image a step, fp32)"
    )
    for row in rows:
        low, high = row["ratio_range"]
        print(
            f"{row['program']:26} {row['images_per_second']:9.2f} {row['ratio']:6.2f} {low:6.2f}-{high:<6.2f} {row['peak_gib']:9.2f}"
        )
    if chosen.out:
        chosen.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    assert resource, "peaks are read with the resource module"
    main()
