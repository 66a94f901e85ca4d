"""Whatever is given from outside: a three-part refusal, exit code 2, and nothing made or lost."""

import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import Result

from tests.fixtures.bad_images import READ, REFUSED, good_folder
from tests.surfaces.test_cli import call, refused

QUICK = (
    "fit.max_train_steps=2", "fit.save_every=1", "regularization.images=2", "draw.num_inference_steps=1", "data.crops=1",
    "evaluate.pick_scenes=['on the beach']", "evaluate.score_scenes=['in the jungle']", "evaluate.score=['toy_vit']",
    "evaluate.images_per_scene=1",
)  # fmt: skip
UNET = "unet/diffusion_pytorch_model.safetensors"


def personalize(photos: Path, weights: Path, out: Path, *more: str) -> Result:
    settings = [word for setting in QUICK for word in ("--set", setting)]
    return call(
        "personalize", photos, "--class", "mug", "--base", "sdxl", "--weights", weights, "--out", out / "runs",
        *settings, *more,
    )  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_photos_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    folder = good_folder(tmp_path / "photos")
    REFUSED[name](folder / name)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    refused(personalize(folder, tmp_path / "none", tmp_path / "out"), name)
    assert not (tmp_path / "out").exists()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before, "no photo is touched"


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    linked = good_folder(tmp_path / "linked")
    (linked / "x.png").symlink_to(good_folder(tmp_path / "other") / "00.png")
    for folder, words in (
        (tmp_path / "empty", "no photo"),
        (tmp_path / "other" / "00.png", "is a file"),
        (tmp_path / "nowhere", "not there"),
        (linked, "outside"),
    ):
        refused(personalize(folder, tmp_path / "none", tmp_path / "out"), words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [1, 1000])
def test_one_photo_and_a_thousand(tmp_path: Path, tiny_folder: Path, count: int) -> None:
    folder = good_folder(tmp_path / "photos", count, (64, 64))
    result = personalize(folder, tiny_folder, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert ("is only 1 photo" if count == 1 else "There are 1000 photos") in said
    assert not (tmp_path / "out").exists()


def test_odd_photos_are_used_and_told(tmp_path: Path, tiny_folder: Path) -> None:
    folder = good_folder(tmp_path / "photos", 2)
    for name, (make, _) in READ.items():
        make(folder / name)
    result = personalize(folder, tiny_folder, tmp_path / "out", "--dry-run")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert all(words in said for _, words in READ.values() if words)


def _pickled(folder: Path) -> None:
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))


def _disguised(folder: Path) -> None:
    (folder / UNET).write_bytes(pickle.dumps({"conv_in.weight": 1}))


def _truncated(folder: Path) -> None:
    path = folder / UNET
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _changed(tensor: torch.Tensor | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        tensors = load_file(folder / UNET)
        del tensors["conv_in.weight"]
        kept = {} if tensor is None else {"conv_in.weight": tensor}
        save_file({**tensors, **kept}, folder / UNET, {"format": "pt"})

    return change


@pytest.mark.parametrize(
    ("change", "needle"),
    [
        (_pickled, "pickle"),
        (_disguised, "damaged or cut short"),
        (_truncated, "damaged or cut short"),
        (_changed(torch.zeros(7, 4, 3, 3)), "conv_in.weight"),
        (_changed(torch.full((32, 4, 3, 3), torch.nan)), "NaN"),
        (_changed(None), "lacks 1 tensors"),
        (lambda folder: (folder / "unet/config.json").write_text("{"), "unet cannot be loaded"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "lacks tokenizer"),
    ],
)
def test_weights_that_cannot_be_used(
    tmp_path: Path, subject_folder: Path, tiny_folder: Path, change: Callable[[Path], object], needle: str
) -> None:
    broken = tmp_path / "weights"
    shutil.copytree(tiny_folder, broken)
    change(broken)
    refused(personalize(subject_folder, broken, tmp_path / "out"), needle)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "needle"),
    [
        (["evaluate.pick=toy_clipp"], "did you mean 'toy_clip'"),
        (["evaluate.score=['toy_vitt']"], "did you mean 'toy_vit'"),
        (["evaluate.metrics=['identity','prompt_fidelity','diversty']"], "did you mean 'diversity'"),
        (["evaluate.metrics=['diversity']"], "'identity' is missing"),
        (["evaluate.pick=toy_vit", "evaluate.score=['toy_clip']"], "does not read both"),
        (["evaluate.pick_scenes=[]"], "evaluate.pick_scenes"),
        (["evaluate.pick=clip"], "picks the checkpoint and is not here"),
        (["data.resolution=100000"], "data.resolution"),
    ],
)
def test_what_would_fail_only_at_the_end_is_refused_at_once(
    tmp_path: Path, subject_folder: Path, settings: list[str], needle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ipseity.vision.clip import CLIP

    monkeypatch.setattr(CLIP, "missing", classmethod(lambda cls: "its weights are not on this machine"))
    words = [word for setting in settings for word in ("--set", setting)]
    refused(personalize(subject_folder, tmp_path / "none", tmp_path / "out", *words), needle)
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_cannot_be_made(tmp_path: Path, subject_folder: Path, tiny_folder: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(personalize(subject_folder, tiny_folder, tmp_path / "file"), "cannot be written")
    refused(call("new", tmp_path / "file" / "recipe.toml"), "cannot be written")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes, where the system lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)]
    if (
        os.name != "posix"
        or not shutil.which("mount")
        or subprocess.run(mount, check=False, capture_output=True).returncode
    ):
        pytest.skip("no small disk can be made here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tmp_path: Path, small_disk: Path, subject_folder: Path, tiny_folder: Path) -> None:
    def go(out: Path) -> Result:
        return personalize(subject_folder, tiny_folder, out, "--set", "method.rank=2")

    def complete() -> dict[Path, bytes]:
        folders = [path.parent for path in small_disk.glob("runs/*/checkpoints/*/done.json")]
        return {path: path.read_bytes() for folder in folders for path in folder.iterdir()}

    filling, before = small_disk / "filling", {}
    for left_kib in (20, 300, 550):
        filling.write_bytes(b"")
        used = sum(path.stat().st_size for path in small_disk.rglob("*") if path.is_file())
        filling.write_bytes(bytes(4 * 2**20 - used - left_kib * 1024 - 64 * 1024))
        refused(go(small_disk), "disk is full")
        after = complete()
        assert before.items() <= after.items(), "a complete checkpoint was lost"
        before = after
        filling.unlink()
    assert before, "no checkpoint was complete when the disk was full"
    assert go(small_disk).exit_code == 0
    assert go(tmp_path / "roomy").exit_code == 0
    runs = [next((root / "runs").iterdir()) for root in (small_disk, tmp_path / "roomy")]
    learned = [load_file(run / "identity.safetensors") for run in runs]
    assert all(torch.equal(learned[0][name], learned[1][name]) for name in learned[1])
