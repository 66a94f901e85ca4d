"""Images a second of a regularization set, beside a plain loop over the stock pipeline that saves what it draws.

Both draw the same requests at the same batch size, steps, guidance and size, by turns, each time into an empty folder; of
the ratios of all rounds the median is told, and how far the pictures differ. Ours also names each picture by what made
it, makes sure that it is on the disk, looks the set over and writes its manifest; writing goes on beside drawing.

    python -m benchmarks.synthesis [--base tiny|toybox] [--images 16] [--batch 8] [--rounds 5] [--out docs/results]
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image

from benchmarks.loop_overhead import load, wait
from ipseity.core.drawing import DrawOptions, pipeline_for
from ipseity.core.rng import Rng
from ipseity.core.types import Request, Subject
from ipseity.data.filters import Looks, Sieve, sift
from ipseity.data.regularization.class_images import PLUGIN as CLASS_IMAGES
from ipseity.data.regularization.structured import PLUGIN as STRUCTURED
from ipseity.data.synthesis import artist, read_set, set_folder, synthesize
from ipseity.training.engines.single import Single, SingleOptions

GOAL, PAPER = 1.5, 2000
PARTS = {"text": "encode_prompt", "denoiser": "forward", "decoder": "decode"}
Row = dict[str, Any]


def requests_of(plugin: Any, count: int, **told: Any) -> tuple[Request, ...]:
    """What a regularization asks for, of a subject whose photos are not needed: part A has no captions to mirror."""
    options = plugin.Options.model_validate({"images": count, **told})
    return plugin.plan(Subject("mug", (), "mug", "sks"), (), options, Rng(0))


def variants(base: Any, given: argparse.Namespace) -> dict[str, tuple[tuple[Request, ...], DrawOptions] | None]:
    """What is drawn and how; None where the weights ship no few-step LoRA."""
    usual = {"num_inference_steps": given.steps, "batch_size": given.batch}
    one = requests_of(CLASS_IMAGES, given.images)
    many = requests_of(STRUCTURED, given.images, bank="toybox", share_a=0.0)
    few = {"batch_size": given.batch, "few_step": True}
    return {
        f"one sentence, {given.steps} steps, guidance 4": (one, DrawOptions.model_validate(usual)),
        f"a sentence each, {given.steps} steps, guidance 4": (many, DrawOptions.model_validate(usual)),
        f"a sentence each, {given.steps} steps, no guidance": (
            many,
            DrawOptions.model_validate({**usual, "guidance_scale": 1.0}),
        ),
        "a sentence each, few-step LoRA": (many, DrawOptions.model_validate(few)) if base.few_step else None,
    }


def plain(base: Any, requests: Sequence[Request], options: DrawOptions, folder: Path) -> None:
    """Draw and save as anybody would with diffusers alone."""
    pipeline = pipeline_for(base, options)
    pipeline.set_progress_bar_config(disable=True)
    folder.mkdir()
    for start in range(0, len(requests), options.batch_size):
        some = requests[start : start + options.batch_size]
        images = pipeline(
            prompt=[request.prompt for request in some],
            num_images_per_prompt=1,
            generator=[torch.Generator("cpu").manual_seed(request.seed) for request in some],
            num_inference_steps=options.num_inference_steps,
            guidance_scale=options.guidance_scale,
        ).images
        for number, image in enumerate(images, start):
            image.save(folder / f"{number:05d}.png")


def ours(base: Any, requests: Sequence[Request], options: DrawOptions, root: Path) -> None:
    """Make the set."""
    folder = set_folder(root, artist(base), requests, options)
    for _ in synthesize(base, requests, folder, options):
        pass


def difference(base: Any, requests: Sequence[Request], options: DrawOptions, drawn: tuple[Path, Path]) -> int:
    """Give the largest difference of any level, 0-255, between both sides' pictures that the set shows."""
    places = {request: number for number, request in enumerate(requests)}
    pairs = read_set(set_folder(drawn[0], artist(base), requests, options))
    return max(
        int(np.abs(np.asarray(image, int) - np.asarray(Image.open(drawn[1] / f"{places[made]:05d}.png"), int)).max())
        for made, image in pairs
    )


def seconds(work: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Give wall seconds, and those of the processor."""
    wait(device)
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wait(device)
    return time.perf_counter() - wall, time.process_time() - processor


def race(base: Any, name: str, requests: Sequence[Request], options: DrawOptions, rounds: int) -> Row:
    """Let both draw by turns; the first round warms up and compares the pictures."""
    took: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
    differs = 0
    for number in range(rounds + 1):
        with tempfile.TemporaryDirectory() as scratch:
            sides = {"ours": Path(scratch) / "ours", "plain": Path(scratch) / "plain"}
            work = {
                "ours": lambda at=sides["ours"]: ours(base, requests, options, at),
                "plain": lambda at=sides["plain"]: plain(base, requests, options, at),
            }
            for side in ("ours", "plain") if number % 2 else ("plain", "ours"):
                spent = seconds(work[side], base.device)
                took[side] += [spent] if number else []
            if not number:
                differs = difference(base, requests, options, (sides["ours"], sides["plain"]))
    wall = {side: statistics.median(one for one, _ in spent) for side, spent in took.items()}
    ratios = [sorted(b[k] / a[k] for a, b in zip(took["ours"], took["plain"], strict=True)) for k in (0, 1)]
    return {
        "way": name,
        "images_a_second": {side: len(requests) / one for side, one in wall.items()},
        "ratio": statistics.median(ratios[0]),
        "range": [ratios[0][0], ratios[0][-1]],
        "ratio_of_processor_time": statistics.median(ratios[1]),
        "difference": differs,
        "shares": shares(base, requests[: options.batch_size], options),
    }


def shares(base: Any, requests: Sequence[Request], options: DrawOptions) -> dict[str, float]:
    """Give the share of one batch's time that each part of the stock pipeline takes, and of saving without making sure."""
    pipeline = pipeline_for(base, options)
    parts = base.parts()
    denoiser = parts.get("unet") or parts["transformer"]
    spent = dict.fromkeys(PARTS, 0.0)
    owners = {"text": getattr(pipeline, "_pipeline", pipeline), "denoiser": denoiser, "decoder": parts["vae"]}

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        genuine = getattr(owners[part], PARTS[part])

        def work(*args: Any, **told: Any) -> Any:
            result: list[Any] = []
            spent[part] += seconds(lambda: result.append(genuine(*args, **told)), base.device)[0]
            return result[0]

        with patch.object(owners[part], PARTS[part], work):
            yield

    with tempfile.TemporaryDirectory() as scratch, timed("text"), timed("denoiser"), timed("decoder"):
        whole = seconds(lambda: plain(base, requests, options, Path(scratch) / "plain"), base.device)[0]
    return {**{part: one / whole for part, one in spent.items()}, "rest": 1 - sum(spent.values()) / whole}


def beside(side: int, count: int = 8) -> Row:
    """Give milliseconds a picture of what ours does beside drawing, and seconds to compare a set of the paper's size.

    All are the processor's own time. The pictures are shapes with grain, which compress about as photos do.
    """
    shapes = torch.nn.functional.interpolate(Rng(1).normal((count, 3, 16, 16)) * 50 + 128, size=side, mode="bicubic")
    grain = Rng(2).normal((count, 1, side, side)) * 2
    images = [Image.fromarray(one) for one in (shapes + grain).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()]
    device = torch.device("cpu")
    with tempfile.TemporaryDirectory() as scratch:

        def save() -> None:
            for number, image in enumerate(images):
                with (Path(scratch) / f"{number}.png").open("wb") as file:
                    image.save(file, format="PNG")
                    os.fsync(file.fileno())

        def read() -> None:
            Looks.of([Image.open(Path(scratch) / f"{number}.png").convert("RGB") for number in range(count)])

        written, looked = seconds(save, device)[1], seconds(read, device)[1]
    cells = torch.nn.functional.normalize(Rng(2).normal((PAPER, 3072)), dim=1).numpy()
    asked = [Request("a mug", seed) for seed in range(PAPER)]
    compared = seconds(lambda: sift(asked, Looks(cells, ("",) * PAPER), Sieve()) and None, device)[1]
    return {
        "side": side,
        "write_ms": 1000 * written / count,
        "look_ms": 1000 * looked / count,
        "compare_seconds": compared,
    }


def page(rows: Sequence[Row | str], extra: Sequence[Row], told: str) -> str:
    """Lay out what was measured."""
    lines = [
        "# Making regularization sets\n", f"`{told}`\n",
        "Images a second of `synthesize` beside a plain loop over the stock diffusers pipeline that saves its pictures: same requests, batch "
        f"size and settings, by turns, medians. The goal is {GOAL} times.\n",
        f"| what is drawn | images/s | plain loop | times as fast (lowest to highest) | by processor time | largest difference | {PAPER:,} images take |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for row in rows:
        if isinstance(row, str):
            lines.append(f"| {row} | not shipped | | | | | |")
            continue
        speed, (low, high) = row["images_a_second"], row["range"]
        lines.append(
            f"| {row['way']} | {speed['ours']:.2f} | {speed['plain']:.2f} | {row['ratio']:.2f} ({low:.2f} to {high:.2f}) "
            f"| {row['ratio_of_processor_time']:.2f} | {row['difference']} of 255 | {PAPER / speed['ours'] / 60:.0f} min |"
        )
    lines += [
        "\nWhere a plain batch's time goes:\n",
        "| what is drawn | text | denoiser | decoder | rest, saving too |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        if not isinstance(row, str):
            lines.append(f"| {row['way']} | {' | '.join(f'{100 * share:.1f} %' for share in row['shares'].values())} |")
    lines += [
        "\nWhat is done beside drawing, in processor time:\n",
        f"| side | writing, ms a picture | looking over, ms a picture | comparing {PAPER:,}, s |",
        "|---|---|---|---|",
    ]
    for row in extra:
        lines.append(
            f"| {row['side']} px | {row['write_ms']:.1f} | {row['look_ms']:.1f} | {row['compare_seconds']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", choices=("tiny", "toybox"), default="toybox")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="cpu")
    parser.add_argument("--images", type=int, default=16, help="pictures of a round (%(default)s)")
    parser.add_argument("--batch", type=int, default=8, help="pictures drawn at once (%(default)s)")
    parser.add_argument("--steps", type=int, default=25, help="denoising steps (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=None, help="folder for the page and its numbers")
    given = parser.parse_args()
    base = load(given.base, Single.start(SingleOptions(device=given.device)).device)
    rows: list[Row | str] = []
    for name, asked in variants(base, given).items():
        rows.append(race(base, name, *asked, given.rounds) if asked else name)
        print(json.dumps(rows[-1]), flush=True)
    extra = [beside(side) for side in (base.resolution, 1024)]
    told = f"python -m benchmarks.synthesis --base {given.base} --device {base.device.type} --images {given.images} --batch {given.batch}"
    told += f" --steps {given.steps} --rounds {given.rounds}"
    text = (
        page(rows, extra, told)
        + f"\n{base.device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}.\n"
    )
    print(text)
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "synthesis.md").write_text(text, encoding="utf-8")
        (given.out / "synthesis.json").write_text(json.dumps([*rows, *extra], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
