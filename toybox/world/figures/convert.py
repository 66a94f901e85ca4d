"""Turns KayKit's glTF folders into the two small archives of the toybox: `python -m toybox.world.figures.convert FOLDER`.

Needs `pygltflib`; nothing else of the world does. Positions are quantized to 16 bits, normals to 8, texture
coordinates to 16, and the actions are baked to a few frames of joint matrices, so that numpy alone can read them.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toybox.world.figures.blobs import turned
from toybox.world.figures.motions import FRAMES, Frame
from toybox.world.figures.props import PROPS

TARGET = Path(__file__).resolve().parents[2] / "assets" / "kaykit"
PACKS = ("adventurers", "city", "furniture", "halloween", "restaurant")
CHARACTERS = ("Knight", "Mage", "Rogue", "Rogue_Hooded")
TEXTURE_SIDE = 256
_TYPES = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class Source:
    """One glTF file: its tables, node tree and actions."""

    def __init__(self, path: Path) -> None:
        """Reads a file.

        Args:
            path: A `.gltf` (its buffer beside it) or `.glb`.

        Raises:
            FileNotFoundError: The file is missing.
        """
        from pygltflib import GLTF2

        if not path.is_file():
            raise FileNotFoundError(
                f"no glTF file at {path}: the folder of the KayKit packs ({', '.join(PACKS)}) is needed; pass its path"
            )
        self.gltf: Any = GLTF2().load(str(path))
        uri = self.gltf.buffers[0].uri
        self._data: bytes = (path.parent / uri).read_bytes() if uri else self.gltf.binary_blob()
        self.parent = {child: index for index, node in enumerate(self.gltf.nodes) for child in node.children or []}
        self.index = {node.name: index for index, node in enumerate(self.gltf.nodes)}

    def table(self, accessor: int) -> np.ndarray:
        """Returns: the rows of an accessor, (count, width)."""
        entry = self.gltf.accessors[accessor]
        view = self.gltf.bufferViews[entry.bufferView]
        kind, width = _TYPES[entry.componentType], _WIDTHS[entry.type]
        start = (view.byteOffset or 0) + (entry.byteOffset or 0)
        if view.byteStride and view.byteStride != width * np.dtype(kind).itemsize:
            raise ValueError(f"accessor {accessor} is interleaved; packed buffers are needed: export it again")
        return np.frombuffer(self._data, kind, entry.count * width, start).reshape(entry.count, width)

    def rest(self) -> np.ndarray:
        """Returns: the local matrices of all nodes at rest, (n, 4, 4)."""
        return np.stack([_matrix(node.translation, node.rotation, node.scale) for node in self.gltf.nodes])

    def action(self, name: str, share: float) -> np.ndarray:
        """Samples an action.

        Args:
            name: Its name in the file.
            share: When, as a share of its length in 0..1.

        Returns:
            (n, 4, 4) local matrices of all nodes.
        """
        action = next(entry for entry in self.gltf.animations if entry.name == name)
        tracks: dict[int, dict[str, np.ndarray]] = {}
        when = share * max(float(self.table(sampler.input).max()) for sampler in action.samplers)
        for channel in action.channels:
            sampler = action.samplers[channel.sampler]
            times, values = self.table(sampler.input)[:, 0], self.table(sampler.output)
            tracks.setdefault(channel.target.node, {})[channel.target.path] = _sample(times, values, when)
        local = self.rest()
        for index, track in tracks.items():
            node = self.gltf.nodes[index]
            local[index] = _matrix(
                track.get("translation", node.translation),
                track.get("rotation", node.rotation),
                track.get("scale", node.scale),
            )
        return local

    def world(self, local: np.ndarray) -> np.ndarray:
        """Returns: the matrices from each node to the scene, (n, 4, 4)."""
        done: dict[int, np.ndarray] = {}

        def place(index: int) -> np.ndarray:
            if index not in done:
                above = self.parent.get(index)
                done[index] = local[index] if above is None else place(above) @ local[index]
            return done[index]

        return np.stack([place(index) for index in range(len(local))])

    def part(self, node: int) -> dict[str, np.ndarray]:
        """Reads the triangles of a node, in the node's own space.

        Args:
            node: Index of a node with a mesh.

        Returns:
            Tables `position`, `normal`, `uv`, `faces`, and `joints` and `weights` where it is skinned.
        """
        tables: dict[str, list[np.ndarray]] = {}
        count = 0
        for piece in self.gltf.meshes[self.gltf.nodes[node].mesh].primitives:
            at = piece.attributes
            wanted = {"position": at.POSITION, "normal": at.NORMAL, "uv": at.TEXCOORD_0}
            wanted |= {"joints": at.JOINTS_0, "weights": at.WEIGHTS_0} if at.JOINTS_0 is not None else {}
            for name, accessor in wanted.items():
                tables.setdefault(name, []).append(self.table(accessor))
            tables.setdefault("faces", []).append(self.table(piece.indices).reshape(-1, 3).astype(int) + count)
            count += len(tables["position"][-1])
        return {name: np.concatenate(rows) for name, rows in tables.items()}


def _sample(times: np.ndarray, values: np.ndarray, when: float) -> np.ndarray:
    """Reads a track between its keys; rotations stay of unit length and take the short way."""
    right = int(np.clip(np.searchsorted(times, when), 1, max(1, len(times) - 1))) if len(times) > 1 else 0
    left = max(0, right - 1)
    share = 0.0 if right == left else float(np.clip((when - times[left]) / (times[right] - times[left]), 0, 1))
    one, two = values[left], values[right]
    if len(one) == 4:
        two = two if one @ two >= 0 else -two
        mixed = one * (1 - share) + two * share
        return mixed / np.linalg.norm(mixed)
    return one * (1 - share) + two * share


def _matrix(move: Sequence[float] | None, turn: Sequence[float] | None, scale: Sequence[float] | None) -> np.ndarray:
    """Makes a matrix from translation, quaternion (x, y, z, w) and scale."""
    x, y, z, w = (0, 0, 0, 1) if turn is None else turn
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= np.ones(3) if scale is None else np.asarray(scale)
    matrix[:3, 3] = 0 if move is None else move
    return matrix


def _below(source: Source, name: str) -> set[int]:
    """Collects a node and all nodes under it."""
    found, stack = set(), [source.index[name]]
    while stack:
        found.add(stack.pop())
        stack = [child for child, parent in source.parent.items() if parent in found and child not in found]
    return found


def pose(source: Source, frame: Frame, skeleton: Sequence[str]) -> np.ndarray:
    """Bakes one frame.

    Args:
        source: A character.
        frame: Which action when, and what is taken from another one.
        skeleton: Names of the joints wanted.

    Returns:
        (j, 4, 4) matrices from the space of the rest pose to the posed figure.
    """
    local = source.action(frame.action, frame.share)
    for joint, action, share in frame.parts:
        other, chosen = source.action(action, share), sorted(_below(source, joint))
        local[chosen] = other[chosen]
    world = source.world(local)
    for joint, *degrees in frame.bends:
        below, around = sorted(_below(source, joint)), np.eye(4)
        around[:3, 3] = world[source.index[joint]][:3, 3]
        world[below] = around @ turned(*degrees) @ np.linalg.inv(around) @ world[below]
    bind = source.world(source.rest())
    tilt = turned(frame.lean, 0, 0)
    chosen = [source.index[name] for name in skeleton]
    return tilt @ world[chosen] @ np.linalg.inv(bind[chosen])


def _packed(part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Quantizes the tables of a part."""
    position = part["position"].astype(np.float64)
    low, high = position.min(0), position.max(0)
    step = max(float((high - low).max()), 1e-6) / 65535
    packed = {
        "box": np.array([*low, step], np.float32),
        "position": np.rint((position - low) / step).astype(np.uint16),
        "normal": np.rint(part["normal"] * 127).astype(np.int8),
        "uv": np.rint(np.clip(part["uv"], 0, 1) * 65535).astype(np.uint16),
        "faces": part["faces"].astype(np.uint16),
    }
    if "joints" in part:
        packed |= {
            "joints": part["joints"].astype(np.uint8),
            "weights": np.rint(part["weights"] * 255).astype(np.uint8),
        }
    return packed


def _texture(path: Path) -> np.ndarray:
    """Reads a palette at the size that is kept."""
    side = (TEXTURE_SIDE, TEXTURE_SIDE)
    return np.asarray(Image.open(path).convert("RGB").resize(side, Image.Resampling.BOX))


def _character(source: Source, skeleton: Sequence[str]) -> dict[str, dict[str, np.ndarray]]:
    """Reads all parts of a character in the space of its rest pose, each bound to the joints of the skeleton."""
    skin = source.gltf.skins[0]
    order = np.array(
        [skeleton.index(source.gltf.nodes[j].name) if source.gltf.nodes[j].name in skeleton else 0 for j in skin.joints]
    )
    bind = source.world(source.rest())
    parts = {}
    for index, node in enumerate(source.gltf.nodes):
        if node.mesh is None:
            continue
        part = source.part(index)
        if "joints" in part:
            part["joints"] = order[part["joints"]]
        else:
            part["position"] = part["position"] @ bind[index][:3, :3].T + bind[index][:3, 3]
            part["normal"] = part["normal"] @ bind[index][:3, :3].T
            joint = skeleton.index(source.gltf.nodes[source.parent[index]].name)
            part["joints"] = np.tile([joint, 0, 0, 0], (len(part["position"]), 1))
            part["weights"] = np.tile([1.0, 0, 0, 0], (len(part["position"]), 1))
        parts[node.name] = _packed(part)
    return parts


def figurines(folder: Path) -> dict[str, np.ndarray]:
    """Reads the characters, their gear and their actions.

    Args:
        folder: The folder of the packs.

    Returns:
        Arrays by name: `<part>/<table>`, `texture/<character>`, `motion/<name>` (f, j, 3, 4) and `index` (JSON).
    """
    home = folder / "adventurers" / "Characters" / "gltf"
    sources = {name: Source(home / f"{name}.glb") for name in CHARACTERS}
    first = sources[CHARACTERS[0]]
    skinned = [first.part(i) for i, node in enumerate(first.gltf.nodes) if node.skin is not None]
    used = np.unique(np.concatenate([part["joints"][part["weights"] > 0] for part in skinned]))
    names = [first.gltf.nodes[joint].name for joint in first.gltf.skins[0].joints]
    skeleton = [*(names[joint] for joint in used), "handslot.l", "handslot.r"]
    arrays: dict[str, np.ndarray] = {}
    parts: dict[str, list[str]] = {}
    for name, source in sources.items():
        for part, tables in _character(source, skeleton).items():
            parts.setdefault(name, []).append(part)
            arrays |= {f"{name}.{part}/{table}": rows for table, rows in tables.items()}
        arrays[f"texture/{name}"] = _texture(home / f"{name.split('_')[0].lower()}_texture.png")
    for motion, frames in FRAMES.items():
        arrays[f"motion/{motion}"] = np.stack([pose(first, frame, skeleton)[:, :3] for frame in frames]).astype(
            np.float32
        )
    bind = first.world(first.rest())
    arrays["bind"] = np.stack([bind[first.index[name]] for name in skeleton])[:, :3].astype(np.float32)
    arrays["index"] = _json({"skeleton": skeleton, "parts": parts})
    return arrays


def things(folder: Path) -> dict[str, np.ndarray]:
    """Reads the props.

    Args:
        folder: The folder of the packs.

    Returns:
        Arrays by name: `<pack>.<file>/<table>`, `texture/<pack>`.
    """
    arrays: dict[str, np.ndarray] = {}
    for key in sorted({key for prop in PROPS.values() for key in prop.files}):
        pack, name = key.split(".")
        home = folder / pack / "Assets" / "gltf"
        source = Source(home / f"{name}.gltf")
        world = source.world(source.rest())
        pieces = [(source.part(i), world[i]) for i, node in enumerate(source.gltf.nodes) if node.mesh is not None]
        arrays |= {f"{key}/{table}": rows for table, rows in _packed(_joined(pieces)).items()}
        if f"texture/{pack}" not in arrays:
            arrays[f"texture/{pack}"] = _texture(home / source.gltf.images[0].uri)
    return arrays


def _joined(pieces: list[tuple[dict[str, np.ndarray], np.ndarray]]) -> dict[str, np.ndarray]:
    """Puts the pieces of a thing together in one space."""
    tables: dict[str, list[np.ndarray]] = {"position": [], "normal": [], "uv": [], "faces": []}
    count = 0
    for part, matrix in pieces:
        tables["position"].append(part["position"] @ matrix[:3, :3].T + matrix[:3, 3])
        turned = part["normal"] @ matrix[:3, :3].T
        tables["normal"].append(turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9))
        tables["uv"].append(part["uv"])
        tables["faces"].append(part["faces"] + count)
        count += len(part["position"])
    return {name: np.concatenate(rows) for name, rows in tables.items()}


def _json(value: Any) -> np.ndarray:
    """Keeps a small structure in an archive, as bytes of JSON."""
    return np.frombuffer(json.dumps(value, sort_keys=True).encode(), np.uint8)


def main(folder: Path) -> None:
    """Writes `figurines.npz`, `props.npz` and the licence.

    Args:
        folder: The folder of the packs.
    """
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, arrays in (("figurines", figurines(folder)), ("props", things(folder))):
        np.savez_compressed(TARGET / f"{name}.npz", allow_pickle=False, **arrays)
        print(f"{name}.npz: {len(arrays)} arrays, {(TARGET / f'{name}.npz').stat().st_size / 1e6:.2f} MB")
    (TARGET / "LICENSE").write_text(
        (folder / "adventurers" / "LICENSE.txt").read_text(encoding="utf-8"), encoding="utf-8"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m toybox.world.figures.convert FOLDER (the folder of the KayKit packs)")
    main(Path(sys.argv[1]))
