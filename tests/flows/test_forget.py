"""Deleting a subject: all that was learned of it goes, and nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ipseity.core.errors import Refusal, RunError, WeightsError
from ipseity.core.files import write_json
from ipseity.core.identity import Identity
from ipseity.flows import forget as forgetting
from ipseity.flows.forget import forget
from ipseity.training.checkpoint import write_checkpoint
from ipseity.training.lock import locked
from ipseity.training.run import Run

RECIPE = """
sets = "{root}/sets"
[subject]
photos = "{root}/photos/{name}"
token = "{token}"
[data]
latent_cache = "{root}/cache"
"""


def learned() -> Identity:
    return Identity({"x": torch.ones(3)}, "tiny", "f" * 64, "lora", "sks", "mug")


def begin(root: Path, name: str, *, photo: str, token: str = "sks") -> Path:
    """Make a finished run of a subject with everything that ipseity writes."""
    folder = root / "runs" / f"2031-05-04-{name}"
    facts = {"recipe_hash": name, "photos": {"00.png": photo}, "set": "abcd"}
    with Run(folder).open(RECIPE.format(root=root, name=name.partition("-")[0], token=token), facts):
        pass
    write_checkpoint(
        folder / "checkpoints" / "000005", learned(), {"m": torch.ones(2)}, step=5, due=True, events_bytes=0
    )
    learned().save(folder / "identity.safetensors")
    for inside in ("previews/000005/00.png", "generated/00.png", "report/report.html", "events.jsonl", "export/x.bin"):
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        (folder / inside).write_text("x")
    return folder


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subjects with the same token; the first has two runs from the same photo."""
    house = tmp_path_factory.mktemp("forget") / "house"
    begin(house, "ada", photo="1" * 64)
    begin(house, "ada-again", photo="1" * 64)
    begin(house, "mug", photo="2" * 64)
    for place in ("sets/abcd/manifest.json", "photos/ada/00.png", "sets/pictures/aa/a.png"):
        (house / place).parent.mkdir(parents=True, exist_ok=True)
        (house / place).write_text("{}")
    (house / "cache").mkdir()
    (house / "cache" / f"latents-{'0' * 32}.safetensors").write_text("x")
    (house / "cache" / "notes.txt").write_text("mine")
    return house


@pytest.fixture
def root(house: Path, tmp_path: Path) -> Path:
    """A copy of it, with recipes that name the copy."""
    root = Path(shutil.copytree(house, tmp_path / "house"))
    for recipe in root.glob("runs/*/recipe.toml"):
        recipe.write_text(recipe.read_text().replace(str(house), str(root)))
    return root


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def why(data: dict, name: str) -> str:
    return " ".join(one["why"] for one in data["stays"] if Path(one["path"]).name == name)


def test_listing_changes_nothing_and_deleting_takes_just_that(root: Path) -> None:
    before = everything(root)
    run = root / "runs" / "2031-05-04-ada"
    listed = forget(run)
    assert everything(root) == before and not listed["deleted"]
    done = forget(run, sure=True)
    assert done["deleted"] and done["goes"] == listed["goes"]
    left = everything(root)
    gone = before.keys() - left.keys()
    assert not run.exists()
    cached = f"cache/latents-{'0' * 32}.safetensors"
    assert gone == {name for name in before if name.startswith("runs/2031-05-04-ada/")} | {
        "runs/2031-05-04-ada",
        cached,
    }
    assert all(before[name] == left[name] for name in left)
    assert "share" in why(listed, "abcd") and "never deleted" in why(listed, "ada")
    assert "same photos" in why(listed, "2031-05-04-ada-again") and not why(listed, "2031-05-04-mug")


def test_one_subject_among_runs(root: Path) -> None:
    for choice in ({}, {"token": "sks"}, {"token": "other"}, {"name": "nobody"}):
        with pytest.raises(RunError):
            forget(root / "runs", **choice, sure=True)
    assert len(list((root / "runs").iterdir())) == 3
    forget(root / "runs", token="sks", name="ada", sure=True)
    assert [path.name for path in (root / "runs").iterdir()] == ["2031-05-04-mug"]
    forget(root / "runs", token="sks", sure=True)
    assert not list((root / "runs").iterdir()) and (root / "photos" / "ada" / "00.png").exists()


def test_an_identity_file_alone_and_in_its_run(root: Path, tmp_path: Path) -> None:
    alone = learned().save(tmp_path / "kept.safetensors")
    (tmp_path / "beside.txt").write_text("x")
    assert [one["path"] for one in forget(alone, sure=True)["goes"]] == [str(alone)]
    assert not alone.exists() and (tmp_path / "beside.txt").exists()
    inside = root / "runs" / "2031-05-04-mug" / "checkpoints" / "000005" / "identity.safetensors"
    assert forget(inside)["subject"] == "mug"
    forget(inside, sure=True)
    assert not (root / "runs" / "2031-05-04-mug").exists()


def test_pictures_and_the_users_own_files_stay(root: Path) -> None:
    run = root / "runs" / "2031-05-04-mug"
    (run / "notes.txt").write_text("mine")
    told = forget(run, pictures=False, sure=True)
    assert sorted(everything(run)) == ["generated", "generated/00.png", "notes.txt"]
    assert "did not write" in why(told, "notes.txt") and "shall stay" in why(told, "generated")


def test_links_are_taken_away_and_never_followed(root: Path, tmp_path: Path) -> None:
    run, outside = root / "runs" / "2031-05-04-mug", tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (run / "previews" / "link").symlink_to(outside)
    (run / "log.txt").symlink_to(outside / "precious")
    (run / ".lock").unlink()
    (run / ".lock").symlink_to(outside / "precious")
    os.link(outside / "precious", run / "report" / "hard")
    (root / "elsewhere").symlink_to(root / "runs")
    told = forget(run, sure=True)
    assert not run.exists() and (outside / "precious").read_text() == "x"
    assert "not followed" in why(told, "outside") and "hard link" in why(told, "hard")
    for link in (root / "elsewhere",):
        with pytest.raises(RunError, match="is a link"):
            forget(link, name="ada", sure=True)
    (root / "cache" / f"latents-{'1' * 32}.safetensors").write_text("x")
    (root / "cache").rename(root / "far")
    (root / "cache").symlink_to(root / "far")
    told = forget(root / "runs", name="ada", sure=True)
    assert "link" in why(told, "cache") and len(list((root / "far").iterdir())) == 2


def a_set(root: Path) -> Path:
    write_json(root / "sets" / "abcd" / "manifest.json", {"format": "ipseity.set.1"})
    return root / "sets" / "abcd"


def somebodys_project(root: Path) -> Path:
    (root / "project").mkdir()
    (root / "project" / "recipe.toml").write_text("name = 'mine'")
    (root / "project" / "report").mkdir()
    return root / "project"


def photos(root: Path) -> Path:
    return root / "photos"


def picture(root: Path) -> Path:
    return root / "photos" / "ada" / "00.png"


def nothing(root: Path) -> Path:
    return root / "nothing"


@pytest.mark.parametrize("named", [a_set, somebodys_project, photos, picture, nothing])
def test_what_is_no_run_is_refused(root: Path, named: Callable[[Path], Path]) -> None:
    path = named(root)
    before = everything(root)
    with pytest.raises(Refusal) as refusal:
        forget(path, token="sks", sure=True)
    assert isinstance(refusal.value, RunError | WeightsError) and everything(root) == before


def test_a_run_in_use_is_left_alone(root: Path) -> None:
    run = root / "runs" / "2031-05-04-mug"
    before = everything(run)
    with locked(run / ".lock"), pytest.raises(RunError, match="in use"):
        forget(run, sure=True)
    assert everything(run).keys() == before.keys()


def test_what_cannot_be_deleted_is_named_and_holds_up_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, unlink = root / "runs" / "2031-05-04-mug", os.unlink

    def stubborn(path: object, **where: object) -> None:
        if str(path).endswith("optimizer.safetensors"):
            raise PermissionError(13, "Permission denied", str(path))
        unlink(path, **where)  # type: ignore[arg-type]

    monkeypatch.setattr(forgetting.os, "unlink", stubborn)
    with pytest.raises(RunError, match=r"1 of what belongs to mug .*optimizer\.safetensors \(Permission denied\)"):
        forget(run, sure=True)
    assert sorted(everything(run)) == [
        "checkpoints",
        "checkpoints/000005",
        "checkpoints/000005/optimizer.safetensors",
    ]


def test_an_interrupted_deletion_is_found_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, done = root / "runs" / "2031-05-04-mug", []

    def interrupted(path: Path) -> list[str]:
        if path.name == "recipe.toml":
            raise KeyboardInterrupt
        done.append(path.name)
        return delete(path)

    delete = forgetting._delete
    monkeypatch.setattr(forgetting, "_delete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        forget(run, sure=True)
    assert done[0] in ("identity.safetensors", "checkpoints"), "what tells most goes first"
    monkeypatch.undo()
    forget(root / "runs", name="mug", sure=True)
    assert not run.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_told(root: Path) -> None:
    run = root / "runs" / "2031-05-04-mug"
    (run / "checkpoints" / "000005").chmod(0o500)
    try:
        with pytest.raises(RunError, match="could not be deleted"):
            forget(run, sure=True)
    finally:
        (run / "checkpoints" / "000005").chmod(0o700)
    assert not (run / "identity.safetensors").exists()


def test_hostile_recipes_lead_nowhere(root: Path) -> None:
    run = root / "runs" / "2031-05-04-mug"
    for text in ("data = 3\nsubject = 4", "[data]\nlatent_cache = 5", "not toml [", ""):
        (run / "recipe.toml").write_text(text)
        assert not any("cache" in one["path"] for one in forget(run)["goes"])
    (run / "recipe.toml").write_text(f"[data]\nlatent_cache = '{root}/photos/ada'")
    forget(run, sure=True)
    assert (root / "photos" / "ada" / "00.png").exists()
