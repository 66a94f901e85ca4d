"""The command line: exit codes, three-part errors, JSON, nothing lost."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ipseity.surfaces.cli import app


def call(*words: object) -> Result:
    return CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, [str(word) for word in words])


def refused(result: Result, *needles: str) -> None:
    said = result.output
    assert result.exit_code == 2, said
    assert "needed" in said and "to do" in said
    assert "Traceback" not in said
    for needle in needles:
        assert needle.lower() in " ".join(said.lower().split()), f"'{needle}' is not in:\n{said}"


RECIPE = """
name = "cli"
runs = "{out}/runs"
sets = "{out}/sets"
[subject]
photos = "{photos}"
class_noun = "mug"
[base]
use = "sdxl"
weights = "{weights}"
[regularization]
use = "structured"
images = 2
[fit]
max_train_steps = 2
save_every = 1
[draw]
num_inference_steps = 1
[evaluate]
pick_scenes = ["on the beach"]
score_scenes = ["in the jungle"]
score = ["toy_vit"]
images_per_scene = 1
"""


@pytest.fixture
def recipe(tmp_path: Path, subject_folder: Path, tiny_folder: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(out=tmp_path, photos=subject_folder, weights=tiny_folder))
    return path


def test_a_run_from_the_command_line(recipe: Path, tmp_path: Path) -> None:
    assert call("synthesize", recipe).exit_code == 0
    trained = call("train", recipe, "--json")
    assert trained.exit_code == 0, trained.output
    events = [json.loads(line) for line in trained.stdout.splitlines()]
    assert {"Stepped", "Saved", "Scored", "Picked", "Measured", "Wrote"} <= {event["event"] for event in events}
    run = next((tmp_path / "runs").iterdir())
    assert call("evaluate", run).exit_code == 0
    assert (run / "report" / "report.html").is_file()
    assert call("generate", run, "a photo of a sks mug", "-n", 1).exit_code == 0
    assert len(list((run / "generated").glob("*.png"))) == 1
    assert call("export", run, "--to", "kohya").exit_code == 0
    assert "finished" in call("list", "runs", "--out", tmp_path / "runs").output


def test_dry_run_makes_nothing(recipe: Path, tmp_path: Path) -> None:
    result = call("train", recipe, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Memory forecast" in result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recipe.toml"]


def test_show_prints_the_prompts_and_draws_nothing(recipe: Path, tmp_path: Path) -> None:
    result = call("synthesize", recipe, "--show", "--json")
    data = json.loads(result.stdout)
    assert len(data["requests"]) == 2
    assert all("sks" in caption for caption in data["captions"])
    assert not any("sks" in request["prompt"] for request in data["requests"])
    assert not (tmp_path / "sets").exists()


@pytest.mark.parametrize(
    ("settings", "needles"),
    [
        (["base.use=sdxxl"], ["did you mean 'sdxl'"]),
        (["method.use=lorra"], ["did you mean 'lora'"]),
        (["method.rnk=4"], ["method.rnk", "did you mean 'rank'"]),
        (["fit.max_train_steps=-1"], ["fit.max_train_steps"]),
        (["fit.learning_rate=much"], ["fit.learning_rate"]),
        (["nonsense.a=1"], ["'nonsense' is not a table"]),
        (["broken"], ["table.key=value"]),
        (["evaluate.score=['toy_clip']"], ["toy_clip"]),
        (["subject.photos=nowhere"], ["nowhere"]),
        (["base.weights=nowhere/here"], ["nowhere/here", "download"]),
        (["captions.use=none"], ["captions.use"]),
    ],
)
def test_bad_recipes_are_refused(recipe: Path, settings: list[str], needles: list[str]) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    refused(call("train", recipe, *words), *needles)


def test_unknown_recipe_names_the_shelf() -> None:
    refused(call("train", "data-centrik"), "data-centric")


def test_a_recipe_that_is_not_toml(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("this is = = no toml")
    refused(call("train", tmp_path / "x.toml"), "is not toml")


def test_new_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "mine.toml"
    assert call("new", target, "--from", "dreambooth-lora").exit_code == 0
    before = target.read_bytes()
    refused(call("new", target), "exists already")
    assert target.read_bytes() == before


@pytest.mark.parametrize("verb", [["generate", "x", "a prompt"], ["evaluate", "x"], ["export", "x"]])
def test_what_is_no_run_is_refused(verb: list[str], tmp_path: Path) -> None:
    refused(call(verb[0], tmp_path, *verb[2:]), "no run folder")


def test_pickled_weights_are_refused(recipe: Path, tiny_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "pickled"
    shutil.copytree(tiny_folder, broken)
    for path in broken.rglob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))
    refused(call("train", recipe, "--set", f"base.weights={broken}"), "pickle")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(recipe: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    refused(call("synthesize", recipe, "--set", f"sets={locked}/sets"), "cannot be written")


def test_a_full_disk_is_a_sentence_and_loses_nothing(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("synthesize", recipe).exit_code == 0
    full = OSError(28, "No space left on device")
    from ipseity.core import files

    def no_room(fd: int) -> None:
        raise full

    monkeypatch.setattr(files.os, "fsync", no_room)
    refused(call("train", recipe), "disk is full")
    monkeypatch.undo()
    assert call("train", recipe).exit_code == 0


def test_a_reader_that_has_seen_enough_is_no_fault() -> None:
    command = f"set -o pipefail; {shlex.quote(sys.executable)} -m ipseity.surfaces.cli list recipes --json | true"  # gone before we write
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 128 + signal.SIGPIPE)


def test_list_shows_every_shelf() -> None:
    said = json.loads(call("list", "--json").stdout)
    assert {
        "bases",
        "methods",
        "captions",
        "regularizations",
        "metrics",
        "encoders",
        "engines",
        "recipes",
    } <= said.keys()
    assert {"toybox", "sdxl", "sd15"} <= {row["name"] for row in said["bases"]}
    refused(call("list", "basses"), "bases")


def test_doctor_looks_at_the_machine_and_at_photos(subject_folder: Path, tmp_path: Path) -> None:
    assert "Python" in call("doctor").output
    assert call("doctor", subject_folder).exit_code == 0
    refused(call("doctor", tmp_path), str(tmp_path.name))
