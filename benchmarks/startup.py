"""How long `ipseity --help` takes, as a whole process, beside an empty Python and one that imports torch.

    python -m benchmarks.startup

Programs run in turns; of each the median is told, and the median of the ratios within a round. A first round, which fills
the system's file cache, does not count.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from benchmarks.processes import run

EMPTY, TORCH, OURS = "python -c pass", 'python -c "import torch"', "ipseity --help"


def programs() -> dict[str, list[str]]:
    """Give each program's command."""
    script = Path(sys.executable).with_name("ipseity")
    ours = [str(script)] if script.is_file() else [sys.executable, "-m", "ipseity.surfaces.cli"]
    return {
        EMPTY: [sys.executable, "-c", "pass"],
        TORCH: [sys.executable, "-c", "import torch"],
        OURS: [*ours, "--help"],
    }


def measure(rounds: int) -> dict[str, list[float]]:
    """Give the seconds of each program, round by round."""
    commands = programs()
    took: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds + 1):
        for name in sorted(commands, reverse=bool(turn % 2)):
            seconds = run(commands[name]).seconds
            took[name] += [seconds] if turn else []
    return took


def page(took: dict[str, list[float]]) -> str:
    """Lay out one row a program."""
    rounds = len(took[OURS])
    lines = [
        "# Starting up\n",
        f"`python -m benchmarks.startup --rounds {rounds}`\n",
        f"Medians of {rounds} whole processes, begun in turns; ratios are medians of the ratios within a round.\n",
        "| program | ms | lowest to highest | beside an empty Python | beside importing torch |",
        "|---|---|---|---|---|",
    ]
    for name, seconds in took.items():
        ratios = [
            statistics.median(a / b for a, b in zip(seconds, took[other], strict=True)) for other in (EMPTY, TORCH)
        ]
        spread = f"{1000 * min(seconds):.0f} to {1000 * max(seconds):.0f}"
        middle = 1000 * statistics.median(seconds)
        lines.append(f"| `{name}` | {middle:.0f} | {spread} | {ratios[0]:.2f} | {ratios[1]:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="(%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for a page and its numbers; else they are printed"
    )
    chosen = parser.parse_args()
    took = measure(chosen.rounds)
    text = page(took)
    print(text)
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "startup.md").write_text(text, encoding="utf-8")
        (chosen.out / "startup.json").write_text(json.dumps(took, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
