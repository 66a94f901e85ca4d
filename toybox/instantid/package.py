"""Writes what a run has learned as InstantID's own files: an image adapter with the space of its embeddings, and a ControlNet."""

import copy
import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ipseity.core.files import write_tensors, writing
from toybox.instantid.student import Make, Student
from toybox.instantid.train import read_base
from toybox.train import runs

FACTS = "instantid.json"
NET = "ControlNetModel"


def adapter_tensors(student: Student) -> dict[str, dict[str, Tensor]]:
    """Returns the adapter under the published names: `image_proj` and `ip_adapter`.

    Source: the layout of InstantX/InstantID's ip-adapter.bin, as diffusers' `load_ip_adapter` reads it.
    """
    held = student.projection.state_dict()
    proj = {name: value for name, value in held.items() if not name.startswith("layers.")}
    for layer in range(len(student.projection.layers)):
        here = f"layers.{layer}."
        for ours, theirs in (("ln0", "norm1"), ("ln1", "norm2")):
            proj |= {f"{here}0.{theirs}.{end}": held[f"{here}{ours}.{end}"] for end in ("weight", "bias")}
        proj[f"{here}0.to_q.weight"] = held[f"{here}attn.to_q.weight"]
        proj[f"{here}0.to_kv.weight"] = torch.cat([held[f"{here}attn.to_{part}.weight"] for part in "kv"])
        proj[f"{here}0.to_out.weight"] = held[f"{here}attn.to_out.0.weight"]
        proj |= {f"{here}1.0.{end}": held[f"{here}ff.0.{end}"] for end in ("weight", "bias")}
        proj[f"{here}1.1.weight"] = held[f"{here}ff.1.net.0.proj.weight"]
        proj[f"{here}1.3.weight"] = held[f"{here}ff.1.net.2.weight"]
    keys = {}
    for index, one in student.processors.items():
        keys |= {f"{index}.to_k_ip.weight": one.to_k_ip[0].weight, f"{index}.to_v_ip.weight": one.to_v_ip[0].weight}
    return {"image_proj": proj, "ip_adapter": {name: value.detach() for name, value in keys.items()}}


def write_student(student: Student, target: Path, *, space: str, as_bin: bool = False) -> None:
    """Writes adapter and net in fp16.

    Args:
        student: what has been trained.
        target: the folder.
        space: names the space of the embeddings; it goes into the file's header.
        as_bin: writes `ip-adapter.bin`, which other programs read and which records no space, in place of safetensors.
    """
    target.mkdir(parents=True, exist_ok=True)
    half = {
        part: {name: value.detach().half().cpu().contiguous() for name, value in inside.items()}
        for part, inside in adapter_tensors(student).items()
    }
    for stale in ("ip-adapter.bin", "ip-adapter.safetensors"):  # two files of one kind would be refused
        (target / stale).unlink(missing_ok=True)
    if as_bin:
        with writing(target / "ip-adapter.bin") as draft:
            torch.save(half, draft)
    else:
        flat = {f"{part}.{name}": value for part, inside in half.items() for name, value in inside.items()}
        write_tensors(target / "ip-adapter.safetensors", flat, {"encoder": space})
    shutil.rmtree(target / NET, ignore_errors=True)
    copy.deepcopy(student.net).half().cpu().save_pretrained(target / NET, safe_serialization=True)


def trained_student(out: Path) -> tuple[Student, dict[str, Any]]:
    """Builds a run's student from its averaged weights.

    Args:
        out: the run's folder.

    Returns:
        The student beside its base, and the facts of its weights.

    Raises:
        FileNotFoundError: nothing has been trained.
    """
    kept = runs.load_state(out / "weights.pt")
    if kept is None:
        raise FileNotFoundError(
            f"{out / 'weights.pt'} is not there. Weights of a training are needed. Run `python -m toybox.instantid train` first."
        )
    recipe = json.loads(kept["recipe"])
    known = {one.name for one in fields(Make)} - {"width"}
    make = Make(kept["width"], **{name: value for name, value in recipe.items() if name in known})
    student = Student(read_base(Path(recipe["base"])), make, seed=recipe["seed"])
    with torch.no_grad():
        for name, value in student.learning().items():
            value.copy_(kept["weights"][name])
    facts = {"recipe": recipe, **{name: kept[name] for name in ("step", "seconds", "width", "space")}}
    return student.eval(), facts


def package(out: Path, target: Path, *, as_bin: bool = False) -> dict[str, Any]:
    """Writes the folder that `ipseity.methods.instantid` is given as `weights`.

    A part that was not trained is written as it began, silent, so that the folder is whole.

    Args:
        out: the run's folder.
        target: where to.
        as_bin: writes the adapter as a `.bin` file.

    Returns:
        The facts that are written beside the weights, sizes in megabytes (10^6) among them.

    Raises:
        FileNotFoundError: nothing has been trained.
    """
    student, facts = trained_student(out)
    write_student(student, target, space=facts["space"], as_bin=as_bin)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in student.named_children()}
    sizes = {
        path.relative_to(target).as_posix(): path.stat().st_size / 1e6 for path in sorted(target.rglob("*.safetensors"))
    }
    sizes |= {path.name: path.stat().st_size / 1e6 for path in target.glob("*.bin")}
    told = {**facts, "parameters": count, "megabytes": {name: round(size, 2) for name, size in sizes.items()}}
    told["total_megabytes"] = round(sum(sizes.values()), 2)
    with writing(target / FACTS) as draft:
        draft.write_text(json.dumps(told, indent=1) + "\n")
    return told
