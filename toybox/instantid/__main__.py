"""Command line: `python -m toybox.instantid rows|encode|train|package|sheet|measure`.

From nothing to a table, on the toybox:

    python -m toybox.instantid rows --out build/faces/train --people 20000
    python -m toybox.instantid rows --out build/faces/heldout --people 100 --split heldout
    python -m toybox.instantid train --rows build/faces/train --out build/instantid --minutes 90
    python -m toybox.instantid package --run build/instantid --out build/instantid/packaged
    python -m toybox.instantid sheet --weights build/instantid/packaged --rows build/faces/heldout --out sheet.png
    python -m toybox.instantid measure --weights build/instantid/packaged --rows build/faces/heldout --scorer faceres:FOLDER

With real photos and SDXL: `rows --photos FOLDER --encoder face_insightface`, then `accelerate launch -m toybox.instantid train
--base FOLDER --hidden 1280 --precision bf16 --checkpointing`.
"""

import argparse
import json
import os
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).resolve().parents[2] / "src" / "ipseity" / "assets" / "toybox"
PROMPTS = (
    "a photo of a person in the snow",
    "a portrait of a person, smiling, on the beach",
    "a photo of a person in the city",
)


def do_rows(args: argparse.Namespace) -> None:
    """Makes rows of people who do not exist, or of a folder of photos."""
    from toybox.instantid.people import People
    from toybox.instantid.photos import Photos, blip
    from toybox.instantid.rows import write_rows
    from toybox.instantid.scorer import read_scorer

    source: Any = (
        Photos(args.photos, people=args.folders_are_people)
        if args.photos
        else People(args.split, args.people, args.views, args.side, args.per_shard, args.seed, args.dense)
    )
    captioner = blip(args.captioner) if args.captioner else None
    part = (args.part, args.parts)
    told = write_rows(
        source, read_scorer(args.encoder), folder=args.out, captioner=captioner, smallest_px=args.smallest_px, part=part
    )
    print(json.dumps({name: told[name] for name in ("space", "shards", "done", "rows", "dropped")}, indent=1))


def do_encode(args: argparse.Namespace) -> None:
    """Encodes what has no latents yet; `train` does it too."""
    from toybox.instantid.cache import encode_rows
    from toybox.instantid.train import read_base

    print(encode_rows(args.rows, read_base(args.base), args.base, part=(args.part, args.parts)))


def do_train(args: argparse.Namespace) -> None:
    """Trains, or goes on."""
    from toybox.instantid.batches import Shown
    from toybox.instantid.train import Pace, Plan, train

    shown = Shown(
        drop=tuple(args.drop),
        reference=args.reference,
        landmarks=args.landmarks,
        face_weight=args.face_weight,
        times=args.times,
        size_hints=args.size_hints,
    )
    pace = Pace(
        args.minutes,
        args.steps,
        args.batch,
        args.accumulate,
        args.lr,
        args.warmup,
        args.hold,
        args.max_norm,
        args.average,
    )
    names = ("tokens", "hidden", "learns", "net_hears", "start", "precision", "checkpointing", "seed")
    train(Plan(args.rows, args.base, args.out, shown, pace, **{name: getattr(args, name) for name in names}))


def do_package(args: argparse.Namespace) -> None:
    """Writes the folder that `ipseity` reads, and says its size."""
    from toybox.instantid.package import package

    told = package(args.run, args.out, as_bin=args.bin)
    print(
        json.dumps(
            {name: told[name] for name in ("step", "space", "parameters", "megabytes", "total_megabytes")}, indent=1
        )
    )


def _artist(args: argparse.Namespace) -> Any:
    from toybox.instantid.draw import Artist, Manner
    from toybox.instantid.train import read_base

    manner = Manner(args.adapter_scale, args.control_scale, args.draw_steps, args.guidance)
    return Artist(args.weights, read_base(args.base), manner)


def do_sheet(args: argparse.Namespace) -> None:
    """Draws held-out people across prompts, the reference and its points beside."""
    from toybox.instantid.draw import sheet

    drawn = sheet(_artist(args), args.rows, args.prompts, people=args.people, seed=args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    drawn.save(args.out)


def do_measure(args: argparse.Namespace) -> None:
    """Draws and scores held-out people; repeated, it draws only what is missing."""
    from toybox.instantid.measure import Trial, measure, table
    from toybox.instantid.scorer import read_scorer

    trial = Trial(args.people, args.seeds, args.points, args.prompt, args.same_network)
    out, scorer = args.out or args.weights / "measured", read_scorer(args.scorer)
    print(table(measure(_artist(args), args.rows, out=out, scorer=scorer, trial=trial)))


def _rows_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", default="face_dlib", help="an encoder of ipseity that looks at faces")
    parser.add_argument("--photos", type=Path, help="a folder of photos, in place of people who do not exist")
    parser.add_argument("--folders-are-people", action="store_true")
    parser.add_argument("--captioner", type=Path, help="folder of a model that captions photos which have no .txt file")
    parser.add_argument("--split", choices=("train", "heldout"), default="train")
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--per-shard", type=int, default=128, help="people in a shard")
    parser.add_argument("--dense", action="store_true", help="keep the dense points too")
    parser.add_argument("--smallest-px", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=0)
    _parts(parser)


def _parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)


def _encode_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=SHIPPED)
    _parts(parser)


def _train_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--base", type=Path, default=SHIPPED, help="a folder in the diffusers layout of SDXL")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--learns", choices=("both", "adapter", "net"), default="both")
    parser.add_argument("--net-hears", choices=("identity", "text"), default="identity")
    parser.add_argument("--landmarks", choices=("five", "dense"), default="five")
    parser.add_argument("--drop", type=float, nargs=3, default=(0.05, 0.05, 0.05), metavar=("TEXT", "FACE", "BOTH"))
    parser.add_argument("--reference", choices=("same", "other"), default="same")
    parser.add_argument("--face-weight", type=float, default=0.0)
    parser.add_argument("--times", choices=("uniform", "bell"), default="uniform")
    parser.add_argument("--size-hints", choices=("row", "plain"), default="row")
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=256, help="width of the resampler; 1280 for SDXL")
    parser.add_argument("--start", choices=("silent", "copied"), default="silent")
    parser.add_argument("--minutes", type=float, default=90.0, help="length of the schedule, earlier runs counted in")
    parser.add_argument(
        "--steps", type=int, help="length in steps, in place of minutes; then a resumed run is bit-equal"
    )
    parser.add_argument("--batch", type=int, default=16, help="samples a step and process")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--hold", type=float, default=0.6, help="share of the schedule after which the rate falls")
    parser.add_argument("--max-norm", type=float, default=1.0)
    parser.add_argument(
        "--average", type=float, default=0.998, help="decay of the averaged weights; 0 keeps the live ones"
    )
    parser.add_argument("--precision", choices=("no", "bf16", "fp16"), default="no")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--seed", type=int, default=0)


def _package_words(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--bin", action="store_true", help="ip-adapter.bin, as published, in place of safetensors")


def _draw_words(parser: argparse.ArgumentParser, *, people: int) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="what `package` wrote")
    parser.add_argument("--rows", type=Path, required=True, help="people whom training never saw")
    parser.add_argument("--base", type=Path, default=SHIPPED)
    parser.add_argument("--people", type=int, default=people)
    parser.add_argument("--adapter-scale", type=float, default=0.8)
    parser.add_argument("--control-scale", type=float, default=0.8)
    parser.add_argument("--draw-steps", type=int, default=25)
    parser.add_argument("--guidance", type=float, default=4.0)


def _sheet_words(parser: argparse.ArgumentParser) -> None:
    _draw_words(parser, people=6)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--prompts", nargs="+", default=list(PROMPTS))
    parser.add_argument("--seed", type=int, default=0)


def _measure_words(parser: argparse.ArgumentParser) -> None:
    _draw_words(parser, people=50)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--scorer", required=True, help="faceres:FOLDER, or an encoder of ipseity that looks at faces")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--points", choices=("reference", "target"), default="reference")
    parser.add_argument("--prompt", help="for every picture; unset takes the caption of the other view")
    parser.add_argument("--same-network", action="store_true")


STAGES = {
    "rows": (do_rows, _rows_words),
    "encode": (do_encode, _encode_words),
    "train": (do_train, _train_words),
    "package": (do_package, _package_words),
    "sheet": (do_sheet, _sheet_words),
    "measure": (do_measure, _measure_words),
}


def main(words: list[str] | None = None) -> None:
    """Parses the command line and runs one stage."""
    parser = argparse.ArgumentParser(
        prog="python -m toybox.instantid", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, (work, say) in STAGES.items():
        one = stages.add_parser(name, help=work.__doc__)
        one.add_argument("--threads", type=int, default=os.cpu_count() or 1)
        say(one)
    args = parser.parse_args(words)
    import torch

    torch.set_num_threads(args.threads)
    STAGES[args.stage][0](args)


if __name__ == "__main__":
    main()
