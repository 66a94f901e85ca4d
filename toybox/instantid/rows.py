"""Rows of pictures with one face each, in tar shards that webdataset reads: written shard by shard, the manifest last."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from PIL import Image

from ipseity.core.faces import RIVAL, TINY_PX, Face, FaceEncoder
from ipseity.core.files import writing

MANIFEST = "manifest.json"
SCHEMA = 1
Captioner = Callable[[Image.Image], str]


@dataclass(frozen=True)
class Candidate:
    """A picture that may become a row.

    Attributes:
        image: RGB, upright.
        caption: what it shows; empty where nothing says it.
        name: what messages call it.
        identity: who it shows, where that is known.
        points: (5, 2) exact points in pixels, where the picture's maker knows them; unset takes the encoder's.
        dense: (K, 2) more points of the face in pixels, where they are known.
    """

    image: Image.Image
    caption: str
    name: str
    identity: str | None = None
    points: np.ndarray | None = None
    dense: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """One row of a shard.

    Attributes:
        key: its name in the set.
        image: RGB.
        caption: what it shows.
        points: (5, 2) in pixels: the eyes, the nose, the corners of the mouth, the picture's left before its right.
        box: (4,) left, top, right, bottom of the face in pixels.
        embedding: (D,) float32, as the face encoder gives it.
        space: names the space that the embedding lies in.
        identity: who it shows; unset where nobody knows.
        dense: (K, 2) more points in pixels, or None.
    """

    key: str
    image: Image.Image
    caption: str
    points: np.ndarray
    box: np.ndarray
    embedding: np.ndarray
    space: str
    identity: str | None = None
    dense: np.ndarray | None = None


class Source(Protocol):
    """Where pictures come from, cut into shards that can be made in any order."""

    shards: int

    def facts(self) -> dict[str, Any]:
        """Returns what decides every picture, as plain JSON."""
        ...

    def shard(self, index: int) -> Iterator[Candidate | str]:
        """Gives the pictures of a shard; a string is the reason why one cannot be had."""
        ...


def look(encoder: FaceEncoder, candidate: Candidate, *, smallest_px: float = TINY_PX) -> Face | str:
    """Finds the one face of a picture, or says why the picture is no use.

    Args:
        encoder: finds and embeds faces, as it will in use.
        candidate: the picture.
        smallest_px: shorter side that a face needs.

    Returns:
        The face, or a reason in a few words. Where the maker's points are known, the face found must lie on them.
    """
    found = encoder.faces(candidate.image)
    if not found:
        return "no face found"
    face = found[0]
    if len(found) > 1 and found[1].area_px > RIVAL * face.area_px:
        return "several faces"
    if face.shorter_px < smallest_px:
        return f"face under {smallest_px:g} pixels"
    if candidate.points is not None:
        apart = np.linalg.norm(candidate.points.mean(0) - face.points.numpy().mean(0))
        if apart > np.linalg.norm(candidate.points[:2].mean(0) - candidate.points[3:].mean(0)):
            return "face found elsewhere"
    return face


def webdataset() -> ModuleType:
    """Returns the library, or says how to get it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        import webdataset as library
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "webdataset is not installed. Rows are read and written by it. Run: pip install webdataset"
        ) from error
    return library


def write_rows(
    source: Source,
    encoder: FaceEncoder,
    *,
    folder: Path,
    captioner: Captioner | None = None,
    smallest_px: float = TINY_PX,
    part: tuple[int, int] = (0, 1),
) -> dict[str, Any]:
    """Writes a set of rows; repeated, it makes only the shards that are missing.

    Args:
        source: gives the pictures.
        encoder: looks at them.
        folder: receives `00000.tar`, beside each a `.json` with its counts, and at last the manifest.
        captioner: says what a picture shows where nothing else does; without one such pictures are dropped.
        smallest_px: shorter side that a face needs.
        part: `(i, n)` takes every n-th shard from the i-th, so that processes can share the work.

    Returns:
        The manifest, or the counts so far where other processes still work.

    Raises:
        ValueError: the folder holds rows of another source or encoder.
        ModuleNotFoundError: webdataset is not installed.
    """
    library = webdataset()
    plan = {"schema": SCHEMA, "source": source.facts(), "encoder": encoder.name, "space": encoder.space}
    plan |= {"licence": encoder.licence, "smallest_px": smallest_px, "shards": source.shards}
    _agree(folder, plan)
    for index in range(source.shards)[part[0] :: part[1]]:
        told = folder / f"{index:05d}.json"
        if not told.exists():
            counts = _write_shard(
                library,
                source.shard(index),
                encoder=encoder,
                path=told.with_suffix(".tar"),
                captioner=captioner,
                smallest_px=smallest_px,
            )
            _write_json(told, counts)
    return _finish(folder, plan)


def read_rows(folder: Path) -> Iterator[Row]:
    """Reads a finished set row by row, in order.

    Raises:
        FileNotFoundError: the set is not finished.
    """
    for path in shard_paths(folder):
        yield from read_shard(path)


def read_shard(path: Path) -> Iterator[Row]:
    """Reads the rows of one tar file; nothing in it is unpickled."""
    tar = webdataset().tariterators
    with path.open("rb") as file:  # the library's own opening leaves files open
        for sample in tar.group_by_keys(tar.tar_file_expander([{"url": str(path), "stream": file}])):
            yield _row(sample)


def _row(sample: Mapping[str, Any]) -> Row:
    told = json.loads(sample["json"])
    return Row(
        key=sample["__key__"],
        image=Image.open(io.BytesIO(sample["png"] if "png" in sample else sample["jpg"])).convert("RGB"),
        caption=sample["txt"].decode(),
        points=np.array(told["points"], np.float32),
        box=np.array(told["box"], np.float32),
        embedding=np.load(io.BytesIO(sample["embedding.npy"]), allow_pickle=False),
        space=told["space"],
        identity=told.get("identity"),
        dense=np.array(told["dense"], np.float32) if told.get("dense") else None,
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads what a finished set says of itself.

    Raises:
        FileNotFoundError: the set is not finished.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not there. A finished set of rows is needed. Run `python -m toybox.instantid rows` until it ends."
        )
    return json.loads(path.read_text())


def shard_paths(folder: Path) -> list[Path]:
    """Lists the tar files of a finished set in order.

    Raises:
        FileNotFoundError: the set is not finished.
    """
    return [folder / f"{index:05d}.tar" for index in range(read_manifest(folder)["shards"])]


def _agree(folder: Path, plan: Mapping[str, Any]) -> None:
    """Writes the plan into a fresh folder; refuses a folder with another one."""
    path, wanted = folder / "plan.json", json.loads(json.dumps(plan))
    if path.is_file():
        found = json.loads(path.read_text())
        if odd := [key for key in wanted if found.get(key) != wanted[key]]:
            raise ValueError(
                f"{folder} was begun with {odd[0]} = {found.get(odd[0])!r}, not {wanted[odd[0]]!r}. "
                "A set is made by one source and one encoder. Name another folder, or repeat the first command."
            )
        return
    _write_json(path, wanted)


def _write_shard(
    library: ModuleType,
    candidates: Iterator[Candidate | str],
    *,
    encoder: FaceEncoder,
    path: Path,
    captioner: Captioner | None,
    smallest_px: float,
) -> dict[str, Any]:
    """Writes one tar file in one move and returns what was kept and what was dropped."""
    dropped: Counter[str] = Counter()
    kept, people = 0, set()
    with writing(path) as draft, draft.open("wb") as file, library.TarWriter(file, encoder=False, mtime=0) as tar:
        for number, candidate in enumerate(candidates):
            made = (
                candidate
                if isinstance(candidate, str)
                else _sample(candidate, encoder, captioner=captioner, smallest_px=smallest_px)
            )
            if isinstance(made, str):
                dropped[made] += 1
                continue
            tar.write({"__key__": f"{path.stem}-{number:05d}", **made})
            kept += 1
            people.add(candidate.identity)
    return {"rows": kept, "identities": len(people - {None}), "dropped": dict(sorted(dropped.items()))}


def _sample(
    candidate: Candidate, encoder: FaceEncoder, *, captioner: Captioner | None, smallest_px: float
) -> dict[str, bytes] | str:
    face = look(encoder, candidate, smallest_px=smallest_px)
    if isinstance(face, str):
        return face
    caption = candidate.caption or (captioner(candidate.image) if captioner else "")
    if not caption:
        return "no caption"
    points = face.points.numpy() if candidate.points is None else candidate.points
    told = {
        "points": np.round(points, 3).tolist(),
        "box": [round(side, 3) for side in face.box],
        "score": round(face.score, 4),
        "size": [candidate.image.height, candidate.image.width],
        "space": encoder.space,
        "identity": candidate.identity,
        "name": candidate.name,
        "dense": None if candidate.dense is None else np.round(candidate.dense, 3).tolist(),
    }
    picture, vector = io.BytesIO(), io.BytesIO()
    lossless = max(candidate.image.size) <= 256
    candidate.image.save(
        picture, **({"format": "PNG"} if lossless else {"format": "JPEG", "quality": 95, "subsampling": 0})
    )
    np.save(vector, face.embedding.numpy().astype(np.float32), allow_pickle=False)
    return {
        "png" if lossless else "jpg": picture.getvalue(),
        "txt": caption.encode(),
        "json": json.dumps(told).encode(),
        "embedding.npy": vector.getvalue(),
    }


def _finish(folder: Path, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Adds the counts up; writes the manifest once every shard is there."""
    told = [json.loads(path.read_text()) for path in sorted(folder.glob("[0-9]*.json"))]
    dropped: Counter[str] = Counter()
    for one in told:
        dropped.update(one["dropped"])
    made = {
        **plan,
        "done": len(told),
        "rows": sum(one["rows"] for one in told),
        "dropped": dict(sorted(dropped.items())),
    }
    if len(told) == plan["shards"]:
        _write_json(folder / MANIFEST, made)
    return made


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with writing(path) as draft:
        draft.write_text(json.dumps(value, indent=1) + "\n")
