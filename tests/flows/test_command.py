"""`ipseity personalize` as a real process: killed at random moments, interrupted, and in several processes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from ipseity.core.identity import Identity
from ipseity.training.run import Run

ROOT = Path(__file__).parents[2]
KILLS = 5
COUNTED = ("Stepped", "Saved", "Scored", "Picked")
NOT_REPEATABLE = ("seconds", "memory_gib", "folder")

pytestmark = pytest.mark.slow


class Command:
    """One and the same command line, to be started again and again."""

    def __init__(self, photos: Path, weights: Path, out: Path, *settings: str) -> None:
        self.out = out
        out.mkdir()
        given = [
            "fit.max_train_steps=6", "fit.save_every=2", "fit.learning_rate=1e-3", "regularization.images=4",
            "draw.num_inference_steps=1", "draw.batch_size=1", "data.crops=2", "evaluate.pick_scenes=['on the beach']",
            "evaluate.score_scenes=['in the jungle']", "evaluate.score=['toy_vit']", "evaluate.images_per_scene=1", *settings,
        ]  # fmt: skip
        words = ["personalize", photos, "--class", "mug", "--base", "sdxl", "--weights", weights, "--out", out / "runs"]
        self.words = [str(word) for word in words] + [word for one in given for word in ("--set", one)] + ["--json"]

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        search = {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "ipseity.surfaces.cli", *self.words]
        errors = self.out / "errors.txt"
        with (
            ctrl_c_heard(),
            errors.open("w") as said,
            subprocess.Popen(
                command, env={**os.environ, **search}, stdout=subprocess.PIPE, stderr=said, text=True
            ) as process,
        ):
            yield process
            process.kill()

    def ends(self) -> list[dict[str, Any]]:
        with self.started() as process:
            told = [json.loads(line) for line in process.stdout or ()]
            assert process.wait() == 0, self.complaint()
        return told

    def complaint(self) -> str:
        return (self.out / "errors.txt").read_text()

    @property
    def run(self) -> Run:
        return Run(next((self.out / "runs").iterdir()))


@pytest.fixture(scope="module")
def unbroken(subject_folder: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    command = Command(subject_folder, tiny_folder, tmp_path_factory.mktemp("command") / "unbroken")
    assert command.ends()[-1]["what"] == "report"
    return command


@contextmanager
def ctrl_c_heard() -> Iterator[None]:
    """Let a child be interrupted even where a shell has put the tests in the background, whose processes ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stopped(
    command: Command, number: int, sent: signal.Signals, *, after: float = 0.0, of: tuple = COUNTED
) -> int | None:
    """Send a signal a little after the nth event; gives how the process ended, or None if it was done before."""
    with command.started() as process:
        seen = 0
        for line in process.stdout or ():
            seen += json.loads(line)["event"] in of
            if seen == number:
                time.sleep(after)
                if process.poll() is not None:
                    return None
                process.send_signal(sent)
                return process.wait(timeout=120)
        return None


def told(run: Run) -> list[dict[str, Any]]:
    records = [record for record in run.events() if record["event"] in COUNTED]
    return [{key: value for key, value in record.items() if key not in NOT_REPEATABLE} for record in records]


def content(path: Path) -> tuple[dict[str, str], dict[str, tuple]]:
    """A safetensors file's header and the bytes of each tensor; the library writes the header in any order."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        rows = {
            name: (value.shape, value.dtype, value.reshape(-1).view(torch.uint8).numpy().tobytes())
            for name, value in tensors.items()
        }
        return file.metadata() or {}, rows


def same(one: Command, other: Command) -> None:
    """Both ended with the same bits: identity, every checkpoint, the pictures of the set, and what was told."""
    first, second = one.run, other.run
    assert content(first.folder / "identity.safetensors") == content(second.folder / "identity.safetensors")
    assert [point.step for point in first.checkpoints() if point.due] == [2, 4, 6]
    for point in first.checkpoints():
        if point.due:
            twin = second.folder / "checkpoints" / point.folder.name
            for name in ("identity.safetensors", "optimizer.safetensors"):
                assert content(point.folder / name) == content(twin / name), f"step {point.step}: {name}"
    assert told(first) == told(second)
    pictures = [{p.name: p.read_bytes() for p in (c.out / "sets/pictures").rglob("*.png")} for c in (one, other)]
    assert pictures[0] == pictures[1] and len(pictures[0]) > 4, "the set's four, and the untrained base's"
    assert (first.folder / "report/report.html").is_file() and (second.folder / "report/report.html").is_file()


def test_killed_at_random_moments(unbroken: Command, subject_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    command, chance, fell = Command(subject_folder, tiny_folder, tmp_path / "broken"), random.Random(11), []
    for number in range(KILLS):
        # the first kill falls while the set is drawn; the others anywhere from the first step to the report
        of = ("Progressed",) if number == 0 else COUNTED
        before = complete(command)
        if stopped(command, chance.randint(1, 4), signal.SIGKILL, after=chance.uniform(0, 0.3), of=of) is not None:
            after = complete(command)
            assert before.items() <= after.items(), "a kill took away what was complete"
            fell.append(command.run.step if (command.out / "runs").is_dir() else 0)
    assert len(fell) >= 3, "too few kills fell inside the run to say anything"
    assert any(fell), "no kill fell after a checkpoint"
    command.ends()
    same(unbroken, command)


def complete(command: Command) -> dict[str, bytes]:
    if not (command.out / "runs").is_dir():
        return {}
    run = command.run
    return {
        f"{point.step} {path.name}": path.read_bytes() for point in run.checkpoints() for path in point.folder.iterdir()
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "asked to end"])
def test_interrupted_it_saves_and_goes_on(
    unbroken: Command, subject_folder: Path, tiny_folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    command = Command(subject_folder, tiny_folder, tmp_path / "interrupted")
    assert stopped(command, 3, number, of=("Stepped",)) == 130
    assert "the same command goes on" in command.complaint() and "Traceback" not in command.complaint()
    manifest = command.run.manifest()
    assert manifest["state"] == "stopped" and manifest["sessions"][-1]["at_step"] == command.run.step >= 3
    command.ends()
    assert command.run.manifest()["sessions"][-1]["from_step"] >= 3
    same(unbroken, command)


def test_two_processes(subject_folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    several = ("engine.use=accelerate", "engine.num_processes=2", "engine.device=cpu")
    command = Command(subject_folder, tiny_folder, tmp_path / "two", *several)
    assert stopped(command, 3, signal.SIGINT, of=("Stepped",)) == 130
    assert "Traceback" not in command.complaint()
    events = command.ends()
    assert events[-1]["what"] == "report", "only the first process speaks, and it goes on to the report"
    kinds = [record["event"] for record in told(command.run)]
    assert kinds.count("Stepped") == 6 and kinds.count("Scored") == 3 and kinds.count("Picked") == 1
    learned = Identity.load(command.run.folder / "identity.safetensors").tensors
    assert all(torch.isfinite(tensor).all() for tensor in learned.values())


def test_two_processes_are_refused_as_one(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    several = ("engine.use=accelerate", "engine.num_processes=2", "engine.device=cpu")
    command = Command(tmp_path / "empty", tiny_folder, tmp_path / "out", *several)
    with command.started() as process:
        assert process.wait(timeout=300) == 2
    lines = command.complaint().splitlines()
    assert len(lines) == 1 and json.loads(lines[0])["error"] == "SubjectError"
