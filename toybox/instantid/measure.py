"""Scores drawn people whom training never saw, by a face recognizer that had no part in the conditioning; resumable."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ipseity.core.files import writing
from ipseity.core.image import to_images
from toybox.instantid.cache import fit
from toybox.instantid.draw import Artist, couples, spread
from toybox.instantid.rows import Row
from toybox.train.shards import to_pixels

KINDS = ("drawn", "bare")
"""With the identity, and the base alone with the same words and noise."""


@dataclass(frozen=True)
class Trial:
    """What is drawn to be scored.

    Attributes:
        people: held-out people; those come first who stand first in the set.
        seeds: pictures of each.
        points: "reference" keeps the face where it stood in the reference, as in use; "target" puts it where the other
            view has it.
        prompt: for every picture; unset takes the caption of the other view.
        same_network: whether the recognizer that conditions may score too, which says little.
    """

    people: int = 50
    seeds: int = 3
    points: str = "reference"
    prompt: str | None = None
    same_network: bool = False


@dataclass(frozen=True)
class Judged:
    """Unit embeddings of what is compared; None where no face was found."""

    references: list[np.ndarray | None]
    targets: list[np.ndarray | None]
    pictures: list[list[np.ndarray | None]]


def measure(artist: Artist, rows: Path, *, out: Path, scorer: Any, trial: Trial) -> dict[str, Any]:
    """Draws what is missing, scores everything, and writes figures.json and figures.md.

    Args:
        artist: draws.
        rows: people whom training never saw, each shown at least twice.
        out: receives the pictures and the figures.
        scorer: a face encoder.
        trial: what is drawn.

    Returns:
        The figures.

    Raises:
        ValueError: the scorer is the network that conditions, or the folder holds another trial.
    """
    if scorer.space == artist.facts["space"] and not trial.same_network:
        raise ValueError(
            f"{scorer.name} scores in '{scorer.space}', which also conditions. Another network must judge. "
            "Name another scorer, or say --same-network and tell it with every figure."
        )
    pairs = couples(rows, trial.people)
    _agree(out / "plan.json", artist, trial=trial, pairs=pairs)
    for kind in KINDS:
        _draw(artist, pairs, folder=out / kind, trial=trial, kind=kind)
    trips = [_round_trip(artist, row) for pair in pairs for row in pair]
    seen = _unit([_vector(scorer, row.image) for pair in pairs for row in pair])
    told = {
        "scorer": {"name": scorer.name, "space": scorer.space, "auc": auc(seen[::2], seen[1::2])},
        "conditioning": artist.facts["space"],
        "people": len(pairs),
        "pictures": len(pairs) * trial.seeds,
        "manner": asdict(artist.manner),
        "trial": asdict(trial),
        "step": artist.facts["step"],
    }
    passed = _unit([_vector(scorer, image) for image in trips])
    told["scorer"]["auc_round_trip"] = auc(passed[::2], passed[1::2])
    told["real"] = real_figures(seen[::2], seen[1::2])
    for kind in KINDS:
        drawn = [
            _unit([_vector(scorer, Image.open(_path(out / kind, i, s))) for s in range(trial.seeds)])
            for i in range(len(pairs))
        ]
        told[kind] = figures(Judged(seen[::2], seen[1::2], drawn))
    with writing(out / "figures.json") as draft:
        draft.write_text(json.dumps(told, indent=1) + "\n")
    with writing(out / "figures.md") as draft:
        draft.write_text(table(told))
    return told


def auc(first: Sequence[np.ndarray | None], second: Sequence[np.ndarray | None]) -> float:
    """Gives how often a person's two views are more alike than two views of two people; halves for ties.

    Args:
        first: unit embeddings, one a person; None where no face was found.
        second: of the same people in the same order.
    """
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(both) < 2:
        return float("nan")
    alike = np.stack([a for a, _ in both]) @ np.stack([b for _, b in both]).T
    same, others = np.diag(alike), alike[~np.eye(len(both), dtype=bool)]
    return float((same[:, None] > others).mean() + 0.5 * (same[:, None] == others).mean())


def copy_paste(drawn: np.ndarray, reference: np.ndarray, target: np.ndarray) -> float:
    """Places a drawn face between the reference (1) and another true view of the person (-1), by angles.

    Args:
        drawn: unit embedding.
        reference: unit embedding of what was given.
        target: unit embedding of the other view.

    Source: arXiv:2510.14975, the copy-paste measure of MultiID-Bench.
    """
    to_target, to_reference, between = (
        math.acos(float(np.clip(a @ b, -1, 1))) for a, b in ((drawn, target), (drawn, reference), (reference, target))
    )
    return (to_target - to_reference) / max(between, 1e-6)


def figures(judged: Judged) -> dict[str, Any]:
    """Gives means over people with 95 % intervals; each as [mean, low, high].

    Likeness is given over the pictures in which a face was found, and once with 0 for those in which none was, since leaving
    faces out would otherwise be rewarded.

    Args:
        judged: unit embeddings.
    """
    shape = (len(judged.pictures), len(judged.pictures[0]))
    table_of = {name: np.full(shape, np.nan) for name in ("target", "reference", "stranger", "copy_paste")}
    found = np.zeros(shape)
    for i, seeds in enumerate(judged.pictures):
        reference, target = judged.references[i], judged.targets[i]
        others = [one for j, one in enumerate(judged.targets) if j != i and one is not None]
        for s, drawn in enumerate(seeds):
            if drawn is None:
                continue
            found[i, s] = 1
            if others:
                table_of["stranger"][i, s] = float(np.mean(np.stack(others) @ drawn))
            if reference is None or target is None:
                continue
            table_of["target"][i, s] = float(drawn @ target)
            table_of["reference"][i, s] = float(drawn @ reference)
            table_of["copy_paste"][i, s] = copy_paste(drawn, reference, target)
    known = np.array([a is not None and b is not None for a, b in zip(judged.references, judged.targets, strict=True)])
    whole = np.where(found > 0, table_of["target"], 0.0)[known]
    rows = {name: list(spread(values)) for name, values in table_of.items()}
    return {
        **rows,
        "target_or_zero": list(spread(whole)) if len(whole) else [float("nan")] * 3,
        "face_found": list(spread(found)),
    }


def real_figures(first: Sequence[np.ndarray | None], second: Sequence[np.ndarray | None]) -> dict[str, Any]:
    """Gives the same for true photos: how alike two views of a person are, and views of two people."""
    both = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    if len(both) < 2:
        return {}
    alike = np.stack([a for a, _ in both]) @ np.stack([b for _, b in both]).T
    others = (alike.sum(1) - np.diag(alike)) / (len(both) - 1)
    missing = 1 - sum(one is not None for one in [*first, *second]) / (2 * len(first))
    return {"target": list(spread(np.diag(alike))), "stranger": list(spread(others)), "face_found": [1 - missing] * 3}


def table(told: dict[str, Any]) -> str:
    """Says the figures as a table in Markdown."""
    judge, columns = told["scorer"], ("target", "target_or_zero", "reference", "stranger", "copy_paste", "face_found")
    lines = [
        f"Scored by {judge['name']} ({judge['space']}), conditioned by {told['conditioning']}; {told['people']} people, "
        f"{told['pictures']} pictures, step {told['step']}.",
        f"The scorer tells people apart at AUC {judge['auc']:.3f}, and {judge['auc_round_trip']:.3f} after the base's autoencoder.",
        "",
        f"| | {' | '.join(columns)} |",
        f"|---{'|---' * len(columns)}|",
    ]
    for name in ("real", *KINDS):
        cells = [_cell(told[name].get(column)) for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "Means over people, in brackets 95 % intervals over people.", ""])


def _cell(value: Sequence[float] | None) -> str:
    return "" if value is None else f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def _draw(artist: Artist, pairs: Sequence[tuple[Row, Row]], *, folder: Path, trial: Trial, kind: str) -> None:
    """Draws the pictures of each person that are not there yet."""
    for number, (reference, target) in enumerate(pairs):
        seeds = [seed for seed in range(trial.seeds) if not _path(folder, number, seed).is_file()]
        if not seeds:
            continue
        prompts = [trial.prompt or target.caption] * len(seeds)
        posed = target if trial.points == "target" else reference
        images = artist.bare(prompts, seeds) if kind == "bare" else artist.draw(reference, prompts, seeds, posed=posed)
        for seed, image in zip(seeds, images, strict=True):
            with writing(_path(folder, number, seed)) as draft:
                image.save(draft, format="PNG")


def _path(folder: Path, person: int, seed: int) -> Path:
    return folder / f"{person:04d}-{seed}.png"


def _agree(path: Path, artist: Artist, *, trial: Trial, pairs: Sequence[tuple[Row, Row]]) -> None:
    """Keeps pictures of two trials apart."""
    told = {
        "trial": asdict(trial),
        "manner": asdict(artist.manner),
        "step": artist.facts["step"],
        "space": artist.facts["space"],
    }
    told = json.loads(json.dumps({**told, "recipe": artist.facts["recipe"], "first": pairs[0][0].key}))
    if path.is_file() and json.loads(path.read_text()) != told:
        raise ValueError(f"{path.parent} holds pictures of another trial. One folder holds one. Name another folder.")
    with writing(path) as draft:
        draft.write_text(json.dumps(told, indent=1) + "\n")


@torch.no_grad()
def _round_trip(artist: Artist, row: Row) -> Image.Image:
    """Sends a picture through the base's autoencoder: what no drawn picture can be better than."""
    vae = artist.base.parts()["vae"]
    pixels = to_pixels(np.array(fit(row, artist.base.resolution).image)[None]).to(artist.base.device, vae.dtype)
    return to_images(vae.decode(vae.encode(pixels).latent_dist.mean).sample)[0]


def _vector(scorer: Any, image: Image.Image) -> np.ndarray | None:
    """Embeds the largest face of a picture; None where there is none."""
    found = scorer.faces(image.convert("RGB"))
    return found[0].embedding.double().numpy() if found else None


def _unit(vectors: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
    return [None if one is None else one / np.linalg.norm(one) for one in vectors]
