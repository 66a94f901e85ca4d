"""Files of image adapters, told apart by their keys: their names say nothing that can be trusted."""

import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ipseity.core.errors import WeightsError
from ipseity.core.files import write_tensors
from ipseity.core.weights import PICKLES, check_file

Kind = Literal[
    "instantid", "plus", "plain", "full-face", "faceid", "faceid-plus", "photomaker-v1", "photomaker-v2", "unknown"
]
NAMES: Mapping[str, str] = {
    "instantid": "an adapter of face embeddings by a resampler (InstantID)",
    "plus": "an IP-Adapter Plus, or Plus-Face, which have the same keys",
    "plain": "a plain IP-Adapter",
    "full-face": "an IP-Adapter Full-Face",
    "faceid": "an IP-Adapter FaceID",
    "faceid-plus": "an IP-Adapter FaceID-Plus, of either version",
    "photomaker-v1": "a PhotoMaker of version 1",
    "photomaker-v2": "a PhotoMaker of version 2",
    "unknown": "no adapter that is known here",
}
PICTURES: tuple[Kind, ...] = ("plain", "plus", "full-face", "faceid", "faceid-plus")
"""IP-Adapters: what diffusers' loader takes, InstantID's aside."""
CLIP_WIDTHS = frozenset({1024, 1280, 1664})
"""Hidden widths of CLIP's picture encoders (L, H, bigG): a resampler that takes them looks at pictures, not at faces."""
HEAD_WIDTH = 64
DEPTH = 4
"""diffusers builds resamplers of this depth only, and drops further layers without a word."""
SECTIONS = ("image_proj", "ip_adapter", "id_encoder", "lora_weights")
_BLOCK = frozenset({
    "0.norm1.weight", "0.norm1.bias", "0.norm2.weight", "0.norm2.bias", "0.to_q.weight", "0.to_kv.weight",
    "0.to_out.weight", "1.0.weight", "1.0.bias", "1.1.weight", "1.3.weight",
})  # fmt: skip
_AROUND = frozenset({
    "latents", "proj_in.weight", "proj_in.bias", "proj_out.weight", "proj_out.bias", "norm_out.weight", "norm_out.bias",
})  # fmt: skip


_ENTRANCE: Mapping[str, str] = {
    "plain": "image_proj.proj.weight",
    "full-face": "image_proj.proj.0.weight",
    "faceid": "image_proj.proj.0.weight",
    "faceid-plus": "image_proj.proj.0.weight",
    "photomaker-v2": "id_encoder.qformer_perceiver.token_proj.0.weight",
}
"""The layer that embeddings enter by, of kinds other than InstantID and Plus."""


@dataclass(frozen=True)
class AdapterFile:
    """What a file's keys and shapes say of it."""

    path: Path
    kind: Kind
    shapes: Mapping[str, tuple[int, ...]]
    """Of each tensor, under its section's name and a dot."""
    encoder: str | None
    """Space of the embeddings that it was trained on, where its header records it."""

    @property
    def input_width(self) -> int:
        """Width of the embeddings that it takes: of faces where it takes such, else of pictures."""
        return self.shapes[_ENTRANCE.get(self.kind, "image_proj.proj_in.weight")][1]

    @property
    def picture_width(self) -> int | None:
        """Width of what a CLIP gives of pictures, where it takes such; None where it looks at faces alone."""
        if self.kind == "faceid-plus":
            return self.shapes["image_proj.perceiver_resampler.proj_in.weight"][1]
        return self.input_width if self.kind in ("plain", "plus", "full-face") else None

    @property
    def output_width(self) -> int:
        """Width of the tokens that it makes."""
        names = ("proj_out.bias", "perceiver_resampler.proj_out.bias", "norm.weight", "proj.3.weight")
        return next(self.shapes[f"image_proj.{name}"][0] for name in names if f"image_proj.{name}" in self.shapes)


def describe(path: Path) -> AdapterFile:
    """Say what kind of adapter a file holds, by its keys and shapes.

    Raises:
        WeightsError: it cannot be read, or is a pickle that holds more than tensors.
    """
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        shapes = check_file(path)
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
    else:
        shapes = {name: tuple(tensor.shape) for name, tensor in _flat(_unpickle(path)).items()}
        header = {}
    found = kind_of(shapes)
    by_width: tuple[Kind, ...] = ("instantid", "plus")  # the same keys: a header that says which is right at any width
    recorded: list[Kind] = [one for one in by_width if found in by_width and one == header.get("kind")]
    return AdapterFile(path, recorded[0] if recorded else found, shapes, header.get("encoder"))


def kind_of(shapes: Mapping[str, tuple[int, ...]]) -> Kind:
    """Tell adapters apart by their keys; `shapes` has each tensor under its section's name and a dot."""
    inside = {name.removeprefix("image_proj.") for name in shapes if name.startswith("image_proj.")}
    if any(name.startswith("id_encoder.") for name in shapes):
        second = any(name.startswith("id_encoder.qformer_perceiver.") for name in shapes)
        return "photomaker-v2" if second else "photomaker-v1"
    if not any(name.startswith("ip_adapter.") for name in shapes):
        return "unknown"
    if {"latents", "proj_in.weight"} <= inside:
        return "plus" if shapes["image_proj.proj_in.weight"][1] in CLIP_WIDTHS else "instantid"
    if "perceiver_resampler.proj_in.weight" in inside:
        return "faceid-plus"
    signs: tuple[tuple[str, Kind], ...] = (
        ("proj.3.weight", "full-face"), ("proj.weight", "plain"), ("proj.2.weight", "faceid"),
    )  # fmt: skip
    found: list[Kind] = [kind for sign, kind in signs if sign in inside]
    return found[0] if found else "unknown"


def find_adapter(folder: Path, kind: Kind | Collection[Kind] = "instantid") -> AdapterFile:
    """Find the adapter of a kind, or of one of several, in a folder and those below it, or take the file that is named.

    Raises:
        WeightsError: there is none, or there are several; the message says what each file is.
    """
    places = sorted(path for path in folder.rglob("*") if path.suffix in PICKLES | {".safetensors"})
    files = [folder] if folder.is_file() else [path for path in places if not (path.parent / "config.json").is_file()]
    kinds: Collection[str] = [kind] if isinstance(kind, str) else kind
    described = [describe(path) for path in files]
    fitting = [file for file in described if file.kind in kinds]
    if len(fitting) == 1:
        return fitting[0]
    seen = "; ".join(f"{file.path.name} is {NAMES[file.kind]}" for file in described) or "it holds no weight file"
    raise WeightsError(
        f"{folder}: {seen}",
        f"one file that is {' or '.join(NAMES[one] for one in kinds)}",
        "name that file itself" if fitting else "name the folder or file that has it",
    )


def read_adapter(path: Path) -> dict[str, dict[str, Tensor]]:
    """Read a file as diffusers' `load_ip_adapter` takes it: section -> name -> tensor.

    Raises:
        WeightsError: it cannot be read, or is a pickle that holds more than tensors.
    """
    if path.suffix != ".safetensors":
        return {section: dict(tensors) for section, tensors in _unpickle(path).items()}
    check_file(path)
    from safetensors.torch import load_file

    read: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load_file(path).items():
        section, _, rest = name.partition(".")
        read.setdefault(section, {})[rest] = tensor
    return read


def convert(source: Path, target: Path, *, encoder: str | None = None) -> AdapterFile:
    """Write an adapter as safetensors, tensor for tensor, with the space of its embeddings in the header.

    Args:
        source: a `.bin` or `.safetensors` file of any kind that is known.
        target: ends in `.safetensors`.
        encoder: as `FaceEncoder.space` names it; unset keeps what the source records.

    Raises:
        WeightsError: the source is no adapter, or records another encoder.
    """
    file = describe(source)
    if file.kind == "unknown":
        raise WeightsError(f"{source} is {NAMES['unknown']}", "an image adapter", "check the path")
    if encoder and file.encoder and encoder != file.encoder:
        raise _other_encoder(file, encoder)
    recorded = encoder or file.encoder
    header = {"format": "pt", "kind": file.kind} | ({"encoder": recorded} if recorded else {})
    tensors = {name: tensor.clone() for name, tensor in _flat(read_adapter(source)).items()}
    write_tensors(target, tensors, header)
    return describe(target)


def check_encoder(
    file: AdapterFile, space: str, *, width: int, told: str | None = None, key: str = "face_space"
) -> None:
    """Refuse embeddings of another encoder than the adapter was trained on, even of the same width.

    Args:
        file: the adapter.
        space: of the embeddings at hand.
        width: of the embeddings at hand.
        told: what the user says of an adapter that records nothing.
        key: the option by which the user says it.

    Raises:
        WeightsError: widths or spaces differ, or nobody knows the adapter's.
    """
    which = "face encoder" if key == "face_space" else "picture encoder"
    if file.input_width != width:
        raise WeightsError(
            f"{file.path.name} takes embeddings of width {file.input_width}, and '{space}' gives {width}",
            f"the {which} that the adapter was trained with",
            "choose the encoder that its card names",
        )
    if file.encoder and told and file.encoder != told:
        raise _other_encoder(file, told)
    expected = file.encoder or told
    if expected is None:
        raise WeightsError(
            f"{file.path.name} does not record which {which} it was trained with",
            "its name: embeddings of another one fit by width and mean nothing",
            f"set method.{key} = '{space}' if that is the one its card names",
        )
    if expected != space:
        raise _other_encoder(file, space, expected)


def check_resampler(file: AdapterFile) -> None:
    """Refuse a resampler that diffusers would cut down or misread.

    Raises:
        WeightsError: its depth or its heads are others than diffusers builds, or keys are missing or unknown.
    """
    start = "image_proj.perceiver_resampler." if file.kind == "faceid-plus" else "image_proj."
    shapes = {name.removeprefix(start): shape for name, shape in file.shapes.items() if name.startswith(start)}
    depth = len({name.split(".")[1] for name in shapes if name.startswith("layers.")})
    queries = shapes["layers.0.0.to_q.weight"][0] if "layers.0.0.to_q.weight" in shapes else 0
    if depth != DEPTH or not queries or queries % HEAD_WIDTH:
        raise WeightsError(
            f"{file.path.name}: its resampler has {depth} layers of {queries} query rows",
            f"{DEPTH} layers with a multiple of {HEAD_WIDTH} rows, which is what diffusers builds",
            "choose an adapter in the published layout",
        )
    around = _AROUND - {"latents"} if file.kind == "faceid-plus" else _AROUND
    expected = around | {f"layers.{layer}.{name}" for layer in range(DEPTH) for name in _BLOCK}
    if odd := sorted(expected ^ shapes.keys()):
        raise WeightsError(
            f"{file.path.name}: {len(odd)} tensors of its resampler are missing or unknown, the first of them {odd[0]}",
            "the published layout",
            "fetch the file again",
        )


def check_layers(file: AdapterFile, expected: Mapping[int, tuple[int, int]], base: str) -> None:
    """Hold an adapter's keys and values against a denoiser's cross-attentions.

    Args:
        file: the adapter.
        expected: position among the attention processors -> (hidden width, width of text).
        base: what messages call the denoiser's base.

    Raises:
        WeightsError: it was made for another network.
    """
    found = {
        int(match.group(1)): shape
        for name, shape in file.shapes.items()
        if (match := re.fullmatch(r"ip_adapter\.(\d+)\.to_k_ip\.weight", name))
    }
    if found.keys() != expected.keys():
        problem = f"{len(found)} attention layers, and base '{base}' has {len(expected)}"
    elif wrong := [index for index, shape in found.items() if shape != expected[index]]:
        problem = f"layer {wrong[0]} of shape {found[wrong[0]]}, and base '{base}' has {expected[wrong[0]]}"
    else:
        return
    raise WeightsError(
        f"{file.path.name} adapts {problem}",
        "an adapter for this base",
        "choose the base that the adapter's card names, or another adapter",
    )


def _unpickle(path: Path) -> dict[str, Any]:
    """Read a pickle that may hold dictionaries of tensors and nothing else."""
    if path.suffix not in PICKLES:
        raise WeightsError(f"{path} is no weight file", "a .safetensors or .bin file", "check the path")
    try:
        mapped = zipfile.is_zipfile(path)  # older files cannot be read piece by piece
        read = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        told = str(error).strip().splitlines()
        raise WeightsError(
            f"{path} cannot be read as tensors alone ({told[0][:160] if told else type(error).__name__})",
            "a whole file that holds dictionaries of tensors and nothing that runs",
            "fetch it again from its publisher, or take a .safetensors copy",
        ) from error
    plain = isinstance(read, dict) and all(isinstance(part, dict) for part in read.values())
    if not plain or not set(read) & set(SECTIONS):
        keys = ", ".join(str(key) for key in list(read)[:4]) if isinstance(read, dict) else type(read).__name__
        raise WeightsError(f"{path} holds {keys}", f"one of the sections {', '.join(SECTIONS)}", "check the path")
    return read


def _flat(sections: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{section}.{name}": tensor for section, inside in sections.items() for name, tensor in inside.items()}


def _other_encoder(file: AdapterFile, space: str, expected: str | None = None) -> WeightsError:
    return WeightsError(
        f"{file.path.name} was trained with embeddings of '{expected or file.encoder}', and these are of '{space}'",
        "the same encoder: vectors of two encoders have nothing to do with each other, whatever their width",
        "choose that encoder, or an adapter that was trained with this one",
    )
