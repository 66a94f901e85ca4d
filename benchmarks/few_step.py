"""What the toybox's few-step LoRA saves and what it costs: 25 steps with guidance beside 4 without, from equal seeds.

    python -m benchmarks.few_step --out few_step

Three ways draw the same prompts and seeds: the base at its usual settings, the base with the few steps alone (guidance kept),
and the base with its LoRA. They take turns, and of each the median time an image is told. Every picture of the same prompt
and seed begins at the same noise, so the sheet shows them side by side. What it says of them:

* class, colour, place: share that the toybox's checker names rightly, with its 95 % interval, where `build/toybox` holds
  one (`python -m toybox.train checker`); prompts are combinations that training never saw.
* spread: mean distance (1 - cosine, `toy_vit`) between pictures of one prompt; lower is less variety.
* away: mean distance (1 - cosine, `toy_vit`) to the picture that the base draws at its usual settings from the same noise;
  the first row's is that of a picture from other noise.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from toybox.train.fewstep import GUIDANCE, STEPS, load_few_step
from toybox.train.measure import GOALS, held_out_combinations, interval
from toybox.train.package import SHIPPED
from toybox.train.runs import BUILD, weights_path
from toybox.train.sheet import draw, tile

USUAL, SHORT, QUICK = "25 steps, guidance 4", f"{STEPS} steps, guidance 4", f"{STEPS} steps with the LoRA, no guidance"
Way = Callable[[list[str], list[int]], np.ndarray]


def ways(folder: Path, batch: int) -> dict[str, Way]:
    """Give each way of drawing; its pictures are (N, H, W, 3) uint8."""
    own = StableDiffusionXLPipeline.from_pretrained(folder, dtype=torch.float32, add_watermarker=False)
    quick = load_few_step(folder)
    return {
        USUAL: lambda prompts, seeds: draw(own, prompts, seeds, batch=batch, guidance=GUIDANCE, steps=25),
        SHORT: lambda prompts, seeds: draw(own, prompts, seeds, batch=batch, guidance=GUIDANCE, steps=STEPS),
        QUICK: lambda prompts, seeds: draw(quick, prompts, seeds, batch=batch, guidance=1.0, steps=STEPS),
    }


def draw_in_turns(
    drawers: dict[str, Way], prompts: list[str], seeds: list[int], *, batch: int
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Draw everything a batch at a time, way after way, so that a change of the machine's speed meets all.

    Returns:
        Pictures (N, H, W, 3) and seconds an image of each batch; the first batch warms up and is drawn twice.
    """
    pictures: dict[str, list[np.ndarray]] = {name: [] for name in drawers}
    seconds: dict[str, list[float]] = {name: [] for name in drawers}
    for way in drawers.values():
        way(prompts[:batch], seeds[:batch])
    for start in range(0, len(prompts), batch):
        some = slice(start, start + batch)
        for name, way in drawers.items():
            begun = time.perf_counter()
            pictures[name].append(way(prompts[some], seeds[some]))
            seconds[name].append((time.perf_counter() - begun) / len(prompts[some]))
    return {name: np.concatenate(made) for name, made in pictures.items()}, seconds


def looks(pictures: np.ndarray) -> torch.Tensor:
    """Embed pictures as unit vectors (N, D) with the encoder that never helped to make them."""
    from ipseity.core.registry import find

    kind: Any = find("encoders", "toy_vit")
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        return kind.load(kind.Options()).embed(pixels)


def spread(embedded: torch.Tensor, each: int) -> float:
    """Give the mean distance between pictures of one prompt; `each` of a prompt follow one another."""
    groups = embedded.view(-1, each, embedded.shape[-1])
    distances = 1 - groups @ groups.mT
    return float(distances.sum() / (len(groups) * each * (each - 1)))


def marks(pictures: np.ndarray, combos: list[dict[str, str]], build: Path) -> dict[str, tuple[float, float, float]]:
    """Let the checker name what it sees; nothing where there is no checker."""
    if not weights_path(build, "checker").exists():
        return {}
    from toybox.train.checker import guess, load_checker

    said = guess(*load_checker(build), pictures)
    return {key: interval([one[key] == combo[key] for one, combo in zip(said, combos, strict=True)]) for key in GOALS}


def page(rows: list[dict[str, Any]], command: str) -> str:
    """Lay out the rows."""
    lines = [
        "# Few steps\n",
        f"`{command}`\n",
        "| drawn in | s an image | faster | class | colour | place | spread | away |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        told = [
            f"{row[key][0]:.2f} ({row[key][1]:.2f}-{row[key][2]:.2f})" if key in row else "no checker" for key in GOALS
        ]
        speed = f"{row['seconds']:.3f} | {row['faster']:.1f} x"
        lines.append(f"| {row['way']} | {speed} | {' | '.join(told)} | {row['spread']:.3f} | {row['away']:.3f} |")
    return "\n".join(lines) + "\n"


def beside(pictures: dict[str, np.ndarray], each: int, prompts: int) -> Image.Image:
    """Lay out the first picture of each prompt: a column for each, a row for each way."""
    return tile(np.concatenate([made[::each][:prompts] for made in pictures.values()]), prompts)


def main() -> None:
    """Draw, measure and print one row a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=60, help="combinations (%(default)s)")
    parser.add_argument("--each", type=int, default=4, help="pictures of each, at least 2 (%(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="pictures drawn at once (%(default)s)")
    parser.add_argument("--folder", type=Path, default=SHIPPED, help="a packaged base with its LoRA")
    parser.add_argument("--build", type=Path, default=BUILD, help="where the checker is")
    parser.add_argument("--out", type=Path, default=None, help="folder for a page, its numbers and a sheet")
    chosen = parser.parse_args()
    combos = [one for one in held_out_combinations(chosen.prompts) for _ in range(chosen.each)]
    prompts, seeds = [one["prompt"] for one in combos], [1000 + index for index in range(len(combos))]
    pictures, seconds = draw_in_turns(ways(chosen.folder, chosen.batch), prompts, seeds, batch=chosen.batch)
    embedded = {name: looks(made) for name, made in pictures.items()}
    usual, other = embedded[USUAL], spread(embedded[USUAL], chosen.each)
    rows = []
    for name, made in pictures.items():
        ratios = [a / b for a, b in zip(seconds[USUAL], seconds[name], strict=True)]
        rows.append(
            {
                "way": name,
                "seconds": statistics.median(seconds[name]),
                "faster": statistics.median(ratios),
                "spread": spread(embedded[name], chosen.each),
                "away": other if name == USUAL else float((1 - (embedded[name] * usual).sum(1)).mean()),
                **marks(made, combos, chosen.build),
            }
        )
    told = f"python -m benchmarks.few_step --prompts {chosen.prompts} --each {chosen.each} --batch {chosen.batch}"
    text = page(rows, told)
    print(text)
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "few_step.md").write_text(text, encoding="utf-8")
        (chosen.out / "few_step.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        beside(pictures, chosen.each, 12).save(chosen.out / "few_step.png")


if __name__ == "__main__":
    main()
