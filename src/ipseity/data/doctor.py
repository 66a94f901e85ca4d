"""Looks over photos before any time is spent on them; says what is wrong and what to do, and changes nothing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL.Image import Image, Resampling

from ipseity.core.errors import SubjectError
from ipseity.data.likeness import Copy, copies
from ipseity.data.photos import Reading, list_photos, read_photo

FEW = 4
"""Below this, photos are scarce: nothing can be held out and the subject is seen from too few sides."""
MIN_SIDE_PX = 32
"""Shorter sides than this show nothing that could be learned."""
MAX_ASPECT = 2.5
"""Beyond this shape, a square cut loses most of the photo."""
BLURRED_BELOW = 25.0
"""Variance of the Laplacian of a gray picture of at most 512 px, 0-255; DreamBench's softest sharp photos have 80."""
FLAT_BELOW = 2.0
"""Standard deviation of gray levels, 0-255, under which a picture is one flat color."""
_BLUR_SIDE = 512


@dataclass(frozen=True)
class Finding:
    """One thing noticed about the photos."""

    path: Path
    """The photo, or the folder where it is about all of them."""
    level: Literal["stop", "warn", "note"]
    message: str
    """One or two sentences: what was found, what to do."""


@dataclass(frozen=True)
class Inspection:
    """Photos read, what could not be, and what was noticed."""

    readings: tuple[Reading, ...]
    findings: tuple[Finding, ...]
    refusal: SubjectError | None = None
    """The first of the refusals, if a photo cannot be used."""


def inspect_photos(folder: Path, *, resolution: int | None = None, max_photos: int = 50) -> list[Finding]:
    """Look over a folder of photos.

    Args:
        folder: where they lie; nothing in it is changed.
        resolution: the base's native side in pixels, if known.
        max_photos: how many are used at most, spread evenly over the names.

    Returns:
        Findings, the worst first. "stop" means that training would refuse.
    """
    try:
        return list(inspect(folder, resolution=resolution, max_photos=max_photos).findings)
    except SubjectError as error:
        return [Finding(folder, "stop", str(error))]


def inspect(folder: Path, *, resolution: int | None = None, max_photos: int = 50) -> Inspection:
    """Read the photos of a folder and look them over; see `inspect_photos`.

    Raises:
        SubjectError: the folder is not there or holds no photo.
    """
    paths = list_photos(folder)
    if not paths:
        raise SubjectError(
            f"there is no photo in {folder}",
            "at least one picture file (JPEG, PNG, WebP, ...)",
            "put 4 to 20 photos of the subject there, seen from different sides",
        )
    chosen = _spread(paths, max_photos)
    readings, refusals = _read_all(chosen, folder)
    findings = [Finding(path, "stop", str(error)) for path, error in refusals]
    findings += [finding for reading in readings for finding in _look(reading, resolution)]
    findings += _counted(folder, len(readings), len(chosen), len(paths))
    findings += _copied(
        [reading.photo.path for reading in readings], copies([reading.photo.image for reading in readings])
    )
    findings += _remarked(readings)
    stops = [finding for finding in findings if finding.level == "stop"]
    first = refusals[0][1] if refusals else _refusal(stops[0]) if stops else None
    order = ("stop", "warn", "note")
    return Inspection(tuple(readings), tuple(sorted(findings, key=lambda finding: order.index(finding.level))), first)


def is_flat(image: Image) -> bool:
    """Tell whether a picture is one flat color, such as the black frame that a broken sampler gives."""
    small = np.asarray(image.convert("RGB").resize((64, 64), Resampling.BOX), dtype=np.float32)
    return float(small.std(axis=(0, 1)).max()) < FLAT_BELOW


def sharpness(image: Image) -> float:
    """Measure the variance of the Laplacian; small numbers mean blur.

    Source:
        Pech-Pacheco et al., ICPR 2000: focus measured by the energy of the Laplacian.
    """
    gray = image.convert("L")
    gray.thumbnail((_BLUR_SIDE, _BLUR_SIDE))
    levels = np.asarray(gray, dtype=np.float32)
    middle = levels[1:-1, 1:-1]
    around = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:]
    return float((around - 4 * middle).var()) if middle.size else 0.0


def _spread(paths: Sequence[Path], count: int) -> list[Path]:
    return list(paths) if len(paths) <= count else [paths[index * len(paths) // count] for index in range(count)]


def _read_all(paths: Iterable[Path], folder: Path) -> tuple[list[Reading], list[tuple[Path, SubjectError]]]:
    readings, refusals = [], []
    for path in paths:
        try:
            readings.append(read_photo(path, folder))
        except SubjectError as error:
            refusals.append((path, error))
    return readings, refusals


def _look(reading: Reading, resolution: int | None) -> Iterator[Finding]:
    path, (height, width) = reading.photo.path, reading.size
    side = min(height, width)
    if side < MIN_SIDE_PX:
        yield Finding(
            path,
            "stop",
            f"{path.name} is only {width} x {height} pixels. At least {MIN_SIDE_PX} a side are needed: "
            "take it out, or replace it by the original",
        )
        return
    if is_flat(reading.photo.image):
        yield Finding(path, "stop", f"{path.name} shows one flat color. A photo of the subject is needed: take it out")
        return
    if resolution and side < resolution:
        yield Finding(
            path,
            "warn",
            f"{path.name} is {width} x {height} pixels and will be enlarged to {resolution}, which looks soft. "
            "Use the original or a larger copy if there is one.",
        )
    if sharpness(reading.photo.image) < BLURRED_BELOW:
        yield Finding(
            path, "warn", f"{path.name} looks blurred. Blur is learned too: replace it by a sharp photo if you can."
        )
    if max(height, width) > MAX_ASPECT * side:
        yield Finding(
            path,
            "warn",
            f"{path.name} is very long ({width} x {height}); only its middle is seen. Cut it around the subject.",
        )


def _counted(folder: Path, usable: int, chosen: int, found: int) -> Iterator[Finding]:
    if chosen < found:
        yield Finding(
            folder,
            "warn",
            f"There are {found} photos; {chosen} of them, spread evenly over the names, are used. "
            "Keep the best 10 to 20, or raise subject.max_photos.",
        )
    if 0 < usable < FEW:
        are = "is only 1 photo" if usable == 1 else f"are only {usable} photos"
        yield Finding(
            folder,
            "warn",
            f"There {are}. With {FEW} or more the subject is learned from more sides and the result is scored on "
            "photos that training has not seen: add some.",
        )


def _copied(paths: Sequence[Path], pairs: Sequence[Copy]) -> Iterator[Finding]:
    for pair in pairs:
        first, second = paths[pair.first].name, paths[pair.second].name
        kind = " ".join(word for word, holds in (("shifted", pair.shifted), ("mirrored", pair.mirrored)) if holds)
        what = f"a {kind} copy of" if kind else "the same picture as"
        more = " Writing and asymmetric parts are learned both ways round." if pair.mirrored else ""
        yield Finding(
            paths[pair.second],
            "warn",
            f"{second} is {what} {first} (or nearly so), which then counts double.{more} Take one of them out.",
        )


def _remarked(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Say each remark once, with the photos that it is about."""
    for remark in dict.fromkeys(remark for reading in readings for remark in reading.remarks):
        paths = [reading.photo.path for reading in readings if remark in reading.remarks]
        names = ", ".join(path.name for path in paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
        yield Finding(paths[0], "note", f"{names}: {remark}.")


def _refusal(finding: Finding) -> SubjectError:
    found, _, rest = finding.message.partition(". ")
    needed, _, todo = rest.partition(": ")
    for ending in (" are needed", " is needed"):
        needed = needed.removesuffix(ending)
    return SubjectError(f"{finding.path.parent / found}", needed[0].lower() + needed[1:], todo)
