"""The run folder: its states, its refusals, and what is never lost."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ipseity.core.errors import RunError
from ipseity.core.events import Noticed, Saved, Scored, Stepped
from ipseity.core.files import read_json, write_json
from ipseity.core.identity import Identity
from ipseity.training.run import Run
from tests.training.test_loop import train
from tests.training.toy import FACTS, RECIPE, ToyLearner


def stepped(step: int) -> Stepped:
    return Stepped(step, 9, {"subject": 0.5}, 1e-4, 1.0, 0.1, 0.2)


def test_states_and_facts(tmp_path: Path) -> None:
    run = Run(tmp_path / "a" / "run")
    assert not run.is_begun and run.step == 0 and run.latest() is None
    with run.open(RECIPE, FACTS):
        assert run.manifest()["state"] == "running"
        run.tell(Noticed("ein Wort, größer"))
    manifest = run.manifest()
    assert manifest["state"] == "finished" and manifest["schema"] == 1 and manifest["photos"] == {"a.png": "1"}
    assert manifest["machine"]["libraries"]["torch"].startswith("2.") and manifest["started"] <= manifest["ended"]
    assert (run.folder / "recipe.toml").read_text() == RECIPE
    assert run.events() == [{"event": "Noticed", "message": "ein Wort, größer"}]


def test_failure_is_written_down_and_goes_on(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with pytest.raises(ValueError, match="broken"), run.open(RECIPE, FACTS):
        raise ValueError("broken thing")
    assert run.manifest()["state"] == "failed" and run.manifest()["message"] == "ValueError: broken thing"
    with run.open(RECIPE, FACTS):
        pass
    assert run.manifest()["state"] == "finished" and "message" not in run.manifest()
    assert [session["state"] for session in run.manifest()["sessions"]] == ["failed", "finished"]


def test_another_recipe_is_refused_with_the_difference(tmp_path: Path) -> None:
    with Run(tmp_path).open(RECIPE, FACTS):
        pass
    other = RECIPE.replace("12", "99")
    with pytest.raises(RunError) as refused, Run(tmp_path).open(other, {**FACTS, "recipe_hash": "xyz"}):
        pass
    assert "-max_train_steps = 12" in str(refused.value) and "+max_train_steps = 99" in str(refused.value)
    assert 'name = "toy"' not in str(refused.value), "only what differs"
    assert Run(tmp_path).manifest()["state"] == "finished", "a refusal leaves the folder as it was"


@pytest.mark.parametrize("changed", [{"photos": {"a.png": "2"}}, {"base_fingerprint": "g"}])
def test_other_data_are_refused(tmp_path: Path, changed: dict) -> None:
    with Run(tmp_path).open(RECIPE, FACTS):
        pass
    with pytest.raises(RunError, match=next(iter(changed))), Run(tmp_path).open(RECIPE, {**FACTS, **changed}):
        pass


def test_a_folder_of_another_age_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "manifest.json", {"schema": 999})
    with pytest.raises(RunError, match="schema 999"), Run(tmp_path).open(RECIPE, FACTS):
        pass


def test_two_cannot_write_one_folder(tmp_path: Path) -> None:
    with Run(tmp_path).open(RECIPE, FACTS):
        with pytest.raises(RunError, match=f"in use by process {os.getpid()}"), Run(tmp_path).open(RECIPE, FACTS):
            pass
        assert Run(tmp_path).manifest()["state"] == "running"


def test_the_lock_of_a_dead_process_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("99999999\n")
    with Run(tmp_path).open(RECIPE, FACTS):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_place_that_cannot_be_written_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"), Run(tmp_path / "file" / "run").open(RECIPE, FACTS):
        pass


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_read_only_folder_is_said_in_words(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="cannot be written"), Run(tmp_path / "run").open(RECIPE, FACTS):
        pass
    tmp_path.chmod(0o700)


def test_who_is_not_main_writes_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.open(RECIPE, FACTS, is_main=False):
        assert run.restore(ToyLearner(), None) == 0
        assert run.save(5) == tmp_path / "checkpoints/000005"
        assert run.keep_images(5, [Image.new("RGB", (8, 8))], ["x"]) == tmp_path / "previews/000005"
        assert run.keep(5, {}) == tmp_path / "identity.safetensors"
        assert list(run.record(iter([Noticed("hm")]))) == [Noticed("hm")]
    assert list(tmp_path.iterdir()) == []


def test_a_half_written_checkpoint_is_not_there_and_is_replaced(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.open(RECIPE, FACTS):
        run.restore(ToyLearner(), None)
        run.save(3)
        half = tmp_path / "checkpoints/000006"
        half.mkdir()
        (half / "identity.safetensors").write_bytes(b"half")
        assert [point.step for point in run.checkpoints()] == [3]
        run.save(6)
        assert [point.step for point in run.checkpoints()] == [3, 6]
    assert Identity.load(half / "identity.safetensors").token == "sks"


@pytest.mark.parametrize("name", ["identity.safetensors", "optimizer.safetensors", "done.json"])
def test_a_checkpoint_with_a_shortened_file_is_not_there(tmp_path: Path, name: str) -> None:
    train(tmp_path)
    path = tmp_path / "checkpoints/000012" / name
    path.write_bytes(path.read_bytes()[:-5])
    assert [point.step for point in Run(tmp_path).checkpoints()] == [5, 10]


def test_a_checkpoint_with_a_damaged_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    train(tmp_path)
    path = tmp_path / "checkpoints/000012/optimizer.safetensors"
    path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(RunError, match=r"remove .*000012.* to go on from an older one"):
        train(tmp_path)


def test_events_after_the_checkpoint_are_cut_off(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.open(RECIPE, FACTS):
        run.restore(ToyLearner(), None)
        run.tell(stepped(1))
        run.save(1)
        run.tell(Saved(1, run.save(1)))
        run.tell(Scored(1, {"identity": 0.5}))
        run.tell(stepped(2))
    with (tmp_path / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "Stepped", "st')  # a line that a crash cut
    assert [record["event"] for record in run.events()] == ["Stepped", "Saved", "Scored", "Stepped"]
    with run.open(RECIPE, FACTS):
        kept = [(record["event"], record["step"]) for record in run.events()]
    assert kept == [("Stepped", 1), ("Saved", 1), ("Scored", 1)], "facts about the checkpoint itself stay"


def test_a_checkpoint_that_was_not_told_is_told_on_resume(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with run.open(RECIPE, FACTS):
        run.restore(ToyLearner(), None)
        run.tell(stepped(1))
        run.save(1)
    with run.open(RECIPE, FACTS):
        assert [record["event"] for record in run.events()] == ["Stepped", "Saved"]


def test_events_before_any_checkpoint_happen_again(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for _ in range(2):
        with run.open(RECIPE, FACTS):
            run.tell(stepped(1))
    assert len(run.events()) == 1


def test_keeping_a_checkpoint(tmp_path: Path) -> None:
    train(tmp_path)
    run = Run(tmp_path)
    with run.open(RECIPE, FACTS):
        path = run.keep(10, {"scores": {"identity/toy": 0.5}, "where": tmp_path})
        with pytest.raises(RunError, match="no checkpoint of step 7"):
            run.keep(7, {})
    kept = Identity.load(path)
    assert kept.facts == {"scores": {"identity/toy": 0.5}, "where": str(tmp_path), "step": 10}
    source = Identity.load(tmp_path / "checkpoints/000010/identity.safetensors")
    assert all((kept.tensors[name] == source.tensors[name]).all() for name in source.tensors)


def test_recording_closes_what_it_records_and_passes_its_value(tmp_path: Path) -> None:
    closed = []

    def events():
        try:
            yield Noticed("one")
            yield Noticed("two")
        finally:
            closed.append(True)
        return "value"

    run = Run(tmp_path)
    with run.open(RECIPE, FACTS):
        first = run.record(events())
        next(first)
        first.close()
        assert closed == [True]
        whole = run.record(events())
        assert [next(whole).message, next(whole).message] == ["one", "two"]
        with pytest.raises(StopIteration) as end:
            next(whole)
    assert end.value.value == "value"
    assert [record["message"] for record in run.events()] == ["one", "one", "two"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from ipseity.core.errors import RunError
from ipseity.training.loop import FitOptions, fit
from ipseity.training.run import Run
from tests.training.toy import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = Run(Path(sys.argv[1]))
try:
    with run.open(RECIPE, FACTS):
        options = FitOptions(max_train_steps=6, save_every=3)
        for event in run.record(fit(ToyLearner(), ToyBatches(), single(), run, options)):
            if type(event).__name__ == "Saved":
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
except RunError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit to file sizes here")
@pytest.mark.parametrize("allowed", [2500, 1300])  # the identity is cut; the events are cut
def test_a_disk_without_room_loses_nothing(tmp_path: Path, allowed: int) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), str(allowed)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert ended.returncode == 2, ended.stderr
    assert "cannot be written" in ended.stdout and "Traceback" not in ended.stderr
    assert [point.step for point in Run(tmp_path).checkpoints()] == [3]
    assert read_json(tmp_path / "manifest.json")["state"] in ("failed", "running")
    assert not list(tmp_path.rglob("*.part")), "no draft is left"
