"""Command line of the toybox's making: `python -m toybox.train all|shards|tokenizer|vae|text|unet|judges|...`."""

import argparse
import datetime
import os

import torch

from toybox.train.runs import BUILD, device, done_path, keep_memory, load_state, note


def minutes_left(args: argparse.Namespace, otherwise: float) -> float:
    """Returns the length of a schedule: `--minutes`, or up to `--until` (HH:MM, local time), or the default."""
    if args.until is None:
        return args.minutes or otherwise
    now = datetime.datetime.now()
    hour, minute = map(int, args.until.split(":"))
    goal = now.replace(hour=hour, minute=minute, second=0)
    if goal <= now:
        goal += datetime.timedelta(days=1)
    return (goal - now).total_seconds() / 60


def do_shards(args: argparse.Namespace) -> None:
    """Renders scenes; with `--encode` encodes what has no latents yet instead."""
    from toybox.train.latents import encode_shards
    from toybox.train.shards import render_set

    if args.encode:
        encode_shards(args.name or "train", part=(args.part, args.parts))
    else:
        render_set(args.name or "train", args.scenes, workers=args.workers)


def do_text(args: argparse.Namespace) -> None:
    """Trains the tokenizer (the encoders learn with the UNet)."""
    from toybox.train.tokenizer import prepare_tokenizer

    prepare_tokenizer(args.name or "train")


def do_vae(args: argparse.Namespace) -> None:
    """Trains the autoencoder."""
    from toybox.train.vae import train_vae

    train_vae(minutes_left(args, 20.0), batch=args.batch or 16)


def do_decoder(args: argparse.Namespace) -> None:
    """Trains the finished autoencoder's decoder alone, so that latents stay as they are."""
    from toybox.train.vae import tune_decoder

    tune_decoder(minutes_left(args, 10.0), batch=args.batch or 8)


def do_unet(args: argparse.Namespace) -> None:
    """Trains UNet and text encoders."""
    from toybox.train.fit import LEARNING_RATE, Plan, train_unet
    from toybox.train.package import SHIPPED

    minutes = minutes_left(args, 66.0)
    if args.until:  # a schedule holds the minutes of earlier runs too
        kept = load_state(BUILD / "checkpoints" / "unet.pt")
        minutes += kept["elapsed"] / 60 if kept else 0.0
    shipped = SHIPPED if args.from_shipped else None
    lr, ranks = args.lr or LEARNING_RATE, args.ranks
    scenes = tuple((args.name or "calm,train").split(","))
    train_unet(Plan(minutes, args.batch or 48, lr, shipped, ranks, args.hold, scenes))


def do_judges(args: argparse.Namespace) -> None:
    """Trains `toy_clip`, `toy_vit` or both (`--name`)."""
    from toybox.train.judges import render_members, train_judge

    if args.name != "toy_clip":
        render_members("members", args.groups)
        render_members("unseen members", 2)
    for name in [args.name] if args.name else ["toy_clip", "toy_vit"]:
        train_judge(name, minutes_left(args, 7.0))
    if not args.name:
        done_path(BUILD, "judges").write_text("trained\n")


def do_checker(args: argparse.Namespace) -> None:
    """Trains the classifier that checks drawn pictures, and gives its own accuracy on unseen renders."""
    from toybox.train.checker import train_checker

    train_checker(minutes_left(args, 7.0))


def do_sheet(args: argparse.Namespace) -> None:
    """Draws the fixed prompts with the averaged weights of the running training."""
    from toybox.train.sheet import draw_sheet

    draw_sheet(args.name or "now")


def do_fewstep(args: argparse.Namespace) -> None:
    """Distils the packaged base into a LoRA for four steps (`--name segments|consistency`), and lays it beside it."""
    from toybox.train.fewstep import KINDS, LEARNING_RATE, FewPlan, draw_few_sheet, train_few_step, write_few_step
    from toybox.train.package import SHIPPED

    minutes, kind = minutes_left(args, 30.0), args.name or KINDS[0]
    if kind not in KINDS:
        raise SystemExit(f"--name {kind} is no kind of distillation: choose {' or '.join(KINDS)}")
    if args.until:  # a schedule holds the minutes of earlier runs too
        kept = load_state(BUILD / "checkpoints" / "few_step.pt")
        minutes += kept["elapsed"] / 60 if kept else 0.0
    if train_few_step(FewPlan(minutes, kind, args.batch or 16, args.lr or LEARNING_RATE, shipped=SHIPPED)):
        write_few_step(SHIPPED)
        draw_few_sheet(SHIPPED)


def do_package(args: argparse.Namespace) -> None:
    """Writes the shipped folder and loads it once as a user would."""
    from toybox.train.package import check, package, size_mb

    random = package()
    check()
    note(BUILD, "package", megabytes=size_mb(), random=",".join(random) or "none")
    if random and not args.draft:
        raise SystemExit(f"still random: {', '.join(random)}; train them, or say --draft")


def do_unpack(_args: argparse.Namespace) -> None:
    """Lays out what ships as work products: before `shards --encode` and `unet --from-shipped` on a fresh machine."""
    from toybox.train.package import unpack

    unpack()


def do_measure(args: argparse.Namespace) -> None:
    """Measures the shipped folder and writes the figures to build/toybox/figures.json."""
    from toybox.train.card import write_card
    from toybox.train.measure import measure

    made = measure(count=args.count, only=args.name, part=(args.part, args.parts))
    if made.keys() >= {"base", "checker", "judges", "vae", "size"}:
        write_card()


def do_all(args: argparse.Namespace) -> None:
    """Makes everything in order; stages that are done are left alone."""
    from toybox.train.shards import render_set

    for name, scenes in (("calm", args.scenes), ("train", args.scenes), ("clip", 8_000), ("unseen", 1_500)):
        render_set(name, scenes, workers=args.workers)
    do_text(args)
    for stage, run in (
        ("vae", do_vae),
        ("decoder", do_decoder),
        ("latents", None),
        ("judges", do_judges),
        ("checker", do_checker),
        ("unet", do_unet),
    ):
        if done_path(BUILD, stage).exists():
            continue
        if run is None:
            args.encode = True
            for args.name in ("calm", "train"):
                do_shards(args)
            args.name = None
            done_path(BUILD, stage).write_text("encoded\n")
        else:
            run(args)
    do_package(args)
    if not done_path(BUILD, "few_step").exists():
        do_fewstep(args)
    do_measure(args)


STAGES = {
    "all": do_all,
    "shards": do_shards,
    "text": do_text,
    "vae": do_vae,
    "decoder": do_decoder,
    "unet": do_unet,
    "judges": do_judges,
    "checker": do_checker,
    "fewstep": do_fewstep,
    "sheet": do_sheet,
    "unpack": do_unpack,
    "package": do_package,
    "measure": do_measure,
}


def main() -> None:
    """Parses the command line and runs one stage."""
    parser = argparse.ArgumentParser(prog="python -m toybox.train", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--name", help="which set, judge, sheet or figure")
    parser.add_argument("--minutes", type=float, help="length of the schedule")
    parser.add_argument("--until", help="end of the schedule as HH:MM, instead of --minutes")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--scenes", type=int, default=36_000)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--groups", type=int, default=12, help="files of 64 members for toy_vit")
    parser.add_argument("--ranks", type=int, default=1, help="processes that share a step of the UNet's training")
    parser.add_argument("--hold", type=float, default=0.55, help="share of the schedule after which the rates fall")
    parser.add_argument("--encode", action="store_true")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--draft", action="store_true")
    parser.add_argument("--from-shipped", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_memory()
    note(BUILD, "commands", command=args.stage, device=str(device()))
    STAGES[args.stage](args)


if __name__ == "__main__":
    main()
