"""The proof: what captions and regularization do over a whole curve, to several times the steps at which class images peak.

    python -m benchmarks.proof one-x --jobs 2                fixes 1x on the development subjects; all else refuses without it
    python -m benchmarks.proof main --jobs 2 --hours 3       captions x regularization
    python -m benchmarks.proof objectives --jobs 2           output preservation, L2, slot dropout, crops
    python -m benchmarks.proof sizes --jobs 2                0 to 2,000 pictures, at steps of at least that number
    python -m benchmarks.proof slots --jobs 2                the structured set without one slot at a time
    python -m benchmarks.proof pages                         pictures chosen by rule, from what `main` left

Each command goes on where it was when repeated, tells after its first run how long everything takes, stops beginning runs when
the hours are used up, and lists what did not run. The first seed of all subjects comes before the second, and all arms of a
subject beside each other, so that whatever time leaves is a fair table. Arms that two stages share are run once.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cells import Cell, Standing, Work, run_cells
from benchmarks.proof.arms import CLASS, OURS, SIZES, STAGES, Span, Stage, Terms, make_cells, subjects_of
from benchmarks.proof.curve import read_curve
from benchmarks.proof.one_x import keep, read_one_x
from benchmarks.proof.page import find, lay_out
from benchmarks.proof.pictures import write_pictures
from ipseity.core.errors import Refusal, RunError
from ipseity.core.files import write_text

TRACE = Work("benchmarks.proof.curve", read_curve)


def main(words: Sequence[str] | None = None) -> None:
    """Run what the command line says."""
    chosen = _parser().parse_args(words)
    verbs = {"one-x": _one_x, "pages": _pages}
    try:
        verbs.get(chosen.verb, _stage)(chosen)
    except Refusal as refusal:
        print(refusal, file=sys.stderr)
        raise SystemExit(refusal.exit_code) from None


def _one_x(chosen: argparse.Namespace) -> None:
    """Run class images with plain captions on the development subjects and fix 1x."""
    terms = Terms(chosen.images, chosen.inference_steps, chosen.pictures, tuple(chosen.set))
    span, subjects = Span(chosen.steps, chosen.save_every), subjects_of("development", chosen.subjects)
    cells = make_cells((CLASS,), subjects, chosen.seeds, terms=terms, span=span, work=chosen.work)

    def show(standing: Standing) -> None:
        print(keep(standing, subjects, terms=terms, span=span, out=chosen.out), flush=True)

    _run(cells, chosen, show)


def _stage(chosen: argparse.Namespace) -> None:
    """Run a stage's arms on the reporting subjects and write its page."""
    stage, one_x, terms = STAGES[chosen.verb], *read_one_x(chosen.out)
    span, cells = _planned(chosen, stage, one_x, terms=terms)
    told = (_command(chosen), _shared(terms))
    compared = -1

    def show(standing: Standing) -> None:
        nonlocal compared
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in standing.rows)
        write_text(chosen.out / f"{chosen.verb}.json", f"[\n{rows}\n]\n")
        found = find(stage, standing, one_x=one_x, span=span, told=told)
        if len(found.blocks) != compared or len(standing.rows) + len(standing.left) == standing.total:
            compared = len(found.blocks)  # else nothing that is compared has changed
            lay_out(chosen.verb, found, chosen.out)

    _run(cells, chosen, show)


def _pages(chosen: argparse.Namespace) -> None:
    """Choose pictures by rule from what a stage left, and write their page."""
    stage, one_x, terms = STAGES[chosen.stage], *read_one_x(chosen.out)
    if unknown := [name for name in chosen.arms if name not in stage.names]:
        raise RunError(f"stage '{chosen.stage}' has no arm '{unknown[0]}'", f"two of: {'; '.join(stage.names)}", "name them with --arms")  # fmt: skip
    span, cells = _planned(chosen, stage, one_x, terms=terms)
    ready = {(cell.labels["subject"], cell.labels["seed"], cell.labels["arm"]): cell for cell in cells if cell.labels["arm"] in chosen.arms and read_curve(cell)}  # fmt: skip
    pairs: dict[str, list[tuple[Cell, Cell]]] = {name: [] for name in subjects_of("reporting", chosen.subjects)}
    for (subject, seed, arm), cell in ready.items():
        if arm == chosen.arms[0] and (other := ready.get((subject, seed, chosen.arms[1]))):
            pairs[str(subject)].append((cell, other))
    if not any(pairs.values()):
        found = f"no subject has run with both {' and '.join(chosen.arms)}"
        raise RunError(found, "whole curves of both", f"run `python -m benchmarks.proof {chosen.stage}` first, with the same options")  # fmt: skip
    print(write_pictures(pairs, one_x=one_x, span=span, quantile=chosen.quantile, out=chosen.out))


def _planned(chosen: argparse.Namespace, stage: Stage, one_x: int, *, terms: Terms) -> tuple[Span, list[Cell]]:
    """Say how long the stage's runs are, and list them."""
    steps = chosen.times * one_x
    if stage is STAGES["sizes"]:  # every picture of the largest set shall be shown
        steps = one_x * math.ceil(max(steps, *SIZES) / one_x)
    apart = math.ceil(steps / one_x / chosen.most_saves)
    span = Span(steps, max(1, apart * one_x // chosen.per_x))
    subjects = subjects_of("reporting", chosen.subjects)
    return span, make_cells(
        stage.arms, subjects, chosen.seeds, terms=terms, span=span, work=chosen.work, told=chosen.structured
    )


def _run(cells: Sequence[Cell], chosen: argparse.Namespace, show: Callable[[Standing], None]) -> None:
    if chosen.estimate:
        hours = sum(cell.weight for cell in cells) / 3600
        print(
            f"{len(cells)} runs, about {hours:.1f} h of one core on the machine that the weights were measured on, {hours / chosen.jobs:.1f} h with --jobs {chosen.jobs}."
        )
        return
    print(run_cells(cells, jobs=chosen.jobs, hours=chosen.hours, show=show, work=TRACE))


def _command(chosen: argparse.Namespace) -> str:
    words = [
        f"python -m benchmarks.proof {chosen.verb} --subjects {chosen.subjects} --seeds {chosen.seeds} --times {chosen.times}"
    ]
    words += [f"--per-x {chosen.per_x}"] if chosen.per_x != 1 else []
    return " ".join([*words, *(["--structured", *chosen.structured] if chosen.structured else [])])


def _shared(terms: Terms) -> str:
    more = f", {' '.join(terms.set)}" if terms.set else ""
    return (
        f"All share LoRA and the rates of the recipe `data-centric`, sets of {terms.images} pictures unless an arm says otherwise, {terms.inference_steps} denoising steps, "
        f"{terms.pictures} picture(s) of each of the six scenes that score{more}; one wording and one cut a photo unless an arm says otherwise."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.proof", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    first = verbs.add_parser("one-x", help="fix 1x")
    _running(first, subjects=4, seeds=1)
    first.add_argument("--steps", type=int, default=800, help="optimizer steps of each run (%(default)s)")
    first.add_argument("--save-every", type=int, default=50, help="steps between scored saves (%(default)s)")
    first.add_argument("--images", type=int, default=64, help="pictures in each set, here and later (%(default)s)")
    first.add_argument("--inference-steps", type=int, default=12, help="denoising steps, here and later (%(default)s)")
    first.add_argument(
        "--pictures", type=int, default=1, help="of each scene that scores, here and later (%(default)s)"
    )
    first.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further settings, here and later")
    for name, stage in STAGES.items():
        _shape(one := verbs.add_parser(name, help=stage.title))
        _running(one, subjects=8, seeds=2)
    pages = verbs.add_parser("pages", help="pictures chosen by rule")
    _shape(pages)
    pages.add_argument("--subjects", type=int, default=8, help="(%(default)s)")
    pages.add_argument("--seeds", type=int, default=2, help="(%(default)s)")
    pages.add_argument("--stage", choices=tuple(STAGES), default="main", help="whose runs (%(default)s)")
    pages.add_argument("--arms", nargs=2, default=[CLASS.name, OURS.name], metavar="ARM", help="shown in this order")
    pages.add_argument("--quantile", type=float, default=0.5, help="of the difference, .5 the median (%(default)s)")
    _places(pages)
    return parser


def _shape(parser: argparse.ArgumentParser) -> None:
    """Add what decides a stage's runs."""
    parser.add_argument("--times", type=int, default=5, help="the end of each run, in multiples of 1x (%(default)s)")
    parser.add_argument("--per-x", type=int, default=1, help="scored saves in each 1x (%(default)s)")
    parser.add_argument(
        "--most-saves", type=int, default=10, help="of 1x, beyond which saves are spread wider (%(default)s)"
    )
    parser.add_argument(
        "--structured", nargs="+", default=[], metavar="KEY=VALUE",
        help="further settings of the arms with structured captions, such as what describes the photos",
    )  # fmt: skip


def _running(parser: argparse.ArgumentParser, *, subjects: int, seeds: int) -> None:
    parser.add_argument("--subjects", type=int, default=subjects, help="the first so many of the split (%(default)s)")
    parser.add_argument("--seeds", type=int, default=seeds, help="runs of each arm and subject (%(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once; more than one get one core each")
    parser.add_argument(
        "--hours", type=float, default=3.0, help="begin no run that would not end in them (%(default)s)"
    )
    parser.add_argument("--estimate", action="store_true", help="say how long it would take, and run nothing")
    _places(parser)


def _places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--work", type=Path, default=Path("build/proof"), help="where runs and sets are kept (%(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("docs/results/proof"), help="where pages are written (%(default)s)"
    )


if __name__ == "__main__":
    main()
