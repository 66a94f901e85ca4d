"""A pack for InsightFace whose networks know one thing: a white spot on black is a face."""

from pathlib import Path

import numpy as np
import pytest

STRIDES = (8, 16, 32)
SIDE = 40.0
"""Half the side of the box around a spot, in pixels of the detector's picture."""


def write_pack(folder: Path, *, seed: int = 0) -> Path:
    """Write a detector with the outputs of SCRFD, and a recognizer that averages colors into 512 numbers."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(_detector(onnx), folder / "det.onnx")
    onnx.save(_recognizer(onnx, seed), folder / "rec.onnx")
    return folder


def _detector(onnx):
    """Score = brightness of the coarsest cell; box and points at fixed distances from its corner, in strides."""
    nodes, constants, outputs = [], [], []
    points = np.array([[-1, -1], [1, -1], [0, 0], [-0.8, 1], [0.8, 1]]) * SIDE / 2
    for stride in STRIDES:
        bright = np.full((2, 3, stride, stride), (20 if stride == 32 else 0) / (3 * stride**2), np.float32)
        made = {
            "score": (bright, np.full(2, -10.0 if stride == 32 else -30.0, np.float32), 1),
            "box": (np.zeros((8, 3, stride, stride), np.float32), np.full(8, SIDE / stride, np.float32), 4),
            "five": (np.zeros((20, 3, stride, stride), np.float32), np.tile(points.ravel() / stride, 2), 10),
        }
        for word, (weight, bias, width) in made.items():
            name = f"{word}{stride}"
            constants += [
                onnx.numpy_helper.from_array(weight, f"{name}_w"),
                onnx.numpy_helper.from_array(bias.astype(np.float32), f"{name}_b"),
                onnx.numpy_helper.from_array(np.array([-1, width], np.int64), f"{name}_s"),
            ]
            kernel = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
            nodes += [
                onnx.helper.make_node("Conv", ["input", f"{name}_w", f"{name}_b"], [f"{name}_c"], **kernel),
                onnx.helper.make_node("Transpose", [f"{name}_c"], [f"{name}_t"], perm=[2, 3, 0, 1]),
                onnx.helper.make_node("Reshape", [f"{name}_t", f"{name}_s"], [f"{name}_r"]),
                onnx.helper.make_node("Sigmoid" if word == "score" else "Identity", [f"{name}_r"], [name]),
            ]
    order = [f"{word}{stride}" for word in ("score", "box", "five") for stride in STRIDES]
    widths = {"score": 1, "box": 4, "five": 10}
    for name in order:
        shape = ["n", widths[name.rstrip("0123456789")]]
        outputs.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    return _model(onnx, nodes, [1, 3, "h", "w"], outputs, constants)


def _recognizer(onnx, seed):
    weight = np.random.default_rng(seed).normal(size=(3, 512)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        onnx.helper.make_node("Flatten", ["mean"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "weight"], ["out"]),
    ]
    out = onnx.helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, [1, 512])
    return _model(onnx, nodes, [1, 3, 112, 112], [out], [onnx.numpy_helper.from_array(weight, "weight")])


def _model(onnx, nodes, shape, outputs, constants):
    given = onnx.helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)
    graph = onnx.helper.make_graph(nodes, "toy", [given], outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model
