"""Two processes on one machine: their weights must agree bit for bit, and only the first one writes."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ipseity.core.errors import EngineError
from ipseity.training.launch import relaunch
from ipseity.training.run import Run

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def ended(out: Path, kind: str, accumulate: int = 1) -> tuple[dict, dict]:
    out.mkdir()
    environment = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        argv = ["-m", "tests.training.two_processes", str(out), kind, str(accumulate)]
        assert relaunch(argv, 2) == 0
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    return load_file(out / "rank-0.safetensors"), load_file(out / "rank-1.safetensors")


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one if name != "losses")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_weights_agree_bit_for_bit(tmp_path: Path, accumulate: int) -> None:
    first, second = ended(tmp_path / "shared", "shared", accumulate)
    assert same(first, second)
    assert torch.equal(first["losses"], second["losses"]), "what is told is the mean over both"
    alone = ended(tmp_path / "alone", "alone", accumulate)
    assert not same(*alone), "without sharing they go apart: this test can fail"
    assert not same(first, alone[0]), "what was learned is not what the first process alone would learn"


@pytest.mark.parametrize("kind", ["output_preservation", "l2"])
def test_weights_agree_where_a_regularization_has_a_loss(tmp_path: Path, kind: str) -> None:
    assert same(*ended(tmp_path / "held", kind, 2))


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    first, second = ended(tmp_path / "out", "shared")
    told = [(tmp_path / "out" / f"told-{rank}.txt").read_text() for rank in (0, 1)]
    assert told[0] == told[1], "every process walks the same events"
    run = Run(tmp_path / "out" / "run")
    assert [record["step"] for record in run.events() if record["event"] == "Stepped"] == [1, 2, 3, 4, 5, 6]
    assert [point.step for point in run.checkpoints()] == [3, 6]
    saved = load_file(run.checkpoints()[-1].identity)
    assert all(torch.equal(saved[name], first[name]) for name in saved)


def test_unlike_beginnings_are_made_alike(tmp_path: Path) -> None:
    assert same(*ended(tmp_path / "out", "apart"))


def test_all_stop_when_one_wants_to(tmp_path: Path) -> None:
    assert same(*ended(tmp_path / "out", "stop"))
    told = [(tmp_path / "out" / f"told-{rank}.txt").read_text().splitlines() for rank in (0, 1)]
    assert told[0] == told[1] and told[0][-1] == "Saved 3"


def test_how_processes_ended_is_told() -> None:
    assert relaunch(["-c", "raise SystemExit(2)"], 2) == 2, "a refusal stays a refusal"
    with pytest.raises(EngineError, match="signal 9"):
        relaunch(["-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"], 2)
