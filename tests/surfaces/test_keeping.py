"""`ipseity inspect` and `ipseity forget` as they are typed."""

import json
import re
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from ipseity.core.identity import Identity
from ipseity.flows.provenance import Seal
from ipseity.surfaces.keeping import register
from tests.fixtures.bad_images import photo, text_named_jpg
from tests.surfaces.test_cli import refused

STEERING = "a photo\x1b]0;gotcha\x07 of [bold]a mug[/bold] é"


@pytest.fixture
def call(tmp_path: Path):
    """A command line with just these verbs, and a folder of its own for the user's key."""
    app = typer.Typer()
    register(app)
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "IPSEITY_CONFIG": str(tmp_path / "config")})

    def call_it(*words: object) -> Result:
        return runner.invoke(app, [str(word) for word in words])

    return call_it


def test_inspect_tells_people_and_programs(call, tmp_path: Path) -> None:
    path = Seal("1").write(tmp_path / "x.png", photo(), {"prompt": STEERING, "seed": 7}, {"parameters": STEERING})
    said = call("inspect", path)
    assert said.exit_code == 0 and "anybody can write" in said.output and re.search(r"asked.seed\s+│ 7\b", said.output)
    assert "\x1b" not in said.output and "\x07" not in said.output, "a stranger's words must not steer the terminal"
    assert "[bold]a mug[/bold] é" in said.output
    data = json.loads(call("inspect", path, "--json").stdout)
    assert data["facts"]["asked"]["prompt"] == STEERING and data["text"]["signature"] == "none"


def test_inspect_refuses_in_words(call, tmp_path: Path) -> None:
    text_named_jpg(tmp_path / "diary.jpg")
    refused(call("inspect", tmp_path / "diary.jpg"), "not a picture")
    refused(call("inspect", tmp_path / "nothing.png"), "is not there")
    error = json.loads(call("inspect", tmp_path / "nothing.png", "--json").stderr)
    assert error["error"] == "RunError" and error["todo"]


def test_forget_lists_first_and_deletes_when_told(call, tmp_path: Path) -> None:
    path = Identity({"embedding": torch.ones(4)}, "tiny", "f" * 64, "instantid", "ada", "person").save(tmp_path / "ada.safetensors")  # fmt: skip
    assert "personal data" in call("inspect", path).output
    listed = call("forget", path)
    assert listed.exit_code == 0 and "--yes" in listed.output and str(path) in listed.output and path.exists()
    done = json.loads(call("forget", path, "--yes", "--json").stdout)
    assert done["deleted"] and done["goes"][0]["path"] == str(path) and not path.exists()
    refused(call("forget", path, "--yes"), "is not there")
