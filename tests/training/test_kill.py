"""Killed at random moments, a run goes on and ends bit-equal to an unbroken one; nothing that was complete is lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ipseity.training.run import Run

ROOT = Path(__file__).parents[2]
NOT_REPEATABLE = ("seconds", "memory_gib", "folder")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize(("kind", "kills"), [("toy", 12), ("lora", 5)])
def test_kills_change_nothing(tmp_path: Path, kind: str, kills: int) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.training.killed", str(tmp_path), kind, str(kills), "3"]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    seen = json.loads(ended.stdout.splitlines()[-1])
    assert len(seen["kills"]) >= 2, "too few kills fell inside the training to say anything"
    assert any(kill["step"] > 0 for kill in seen["kills"]), "no kill fell after a checkpoint"
    assert seen["lost"] == []

    broken, unbroken = Run(tmp_path / "broken"), Run(tmp_path / "unbroken")
    assert [point.step for point in broken.checkpoints()] == [point.step for point in unbroken.checkpoints()]
    for one, other in zip(broken.checkpoints(), unbroken.checkpoints(), strict=True):
        for name in ("identity.safetensors", "optimizer.safetensors"):
            first, second = load_file(one.folder / name), load_file(other.folder / name)
            assert first.keys() == second.keys()
            assert all(torch.equal(first[key], second[key]) for key in first), f"step {one.step}: {name}"
    assert told(broken) == told(unbroken), "each step is told exactly once, with the same losses"


def told(run: Run) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in NOT_REPEATABLE} for record in run.events()]
