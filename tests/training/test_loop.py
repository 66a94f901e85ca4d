"""The loop: what it teaches, tells, saves, and how it goes on after any end."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ipseity.core.drawing import DrawOptions
from ipseity.core.errors import Diverged, OutOfMemory
from ipseity.core.events import Event, Previewed, Saved, Stepped
from ipseity.core.identity import Identity
from ipseity.training.loop import FitOptions, Means, PreviewPlan, due, fit, weigh
from ipseity.training.run import Run
from tests.training.toy import FACTS, RECIPE, SettledLearner, ToyBatches, ToyLearner, single

OPTIONS = FitOptions(max_train_steps=12, learning_rate=1e-2, schedule="cosine", lr_warmup_steps=3, save_every=5)
PREVIEWS = PreviewPlan(("a photo of sks mug",), (7,), DrawOptions())


def train(folder: Path, options: FitOptions = OPTIONS, **more: object) -> tuple[list[Event], Identity]:
    """A whole run; gives its events and what was learned."""
    run, told, learner = Run(folder), [], more.pop("learner", None) or ToyLearner()
    batches = more.pop("batches", None) or ToyBatches()
    with run.open(RECIPE, FACTS):
        events = run.record(fit(learner, batches, single(), run, options, **more))
        while True:
            try:
                told.append(next(events))
            except StopIteration as end:
                return told, end.value


def assert_same(one: Identity, other: Identity) -> None:
    assert one.tensors.keys() == other.tensors.keys()
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, other.tensors[name]), name


def steps_told(folder: Path) -> list[int]:
    return [record["step"] for record in Run(folder).events() if record["event"] == "Stepped"]


def test_it_teaches(tmp_path: Path) -> None:
    events, _ = train(tmp_path / "run", FitOptions(max_train_steps=150, learning_rate=1e-2, save_every=150))
    losses = [event.losses["subject"] for event in events if isinstance(event, Stepped)]
    assert sum(losses[-20:]) / 20 < 0.5 * sum(losses[:5]) / 5


def test_it_tells_each_thing_in_order(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"preview_every": 6})
    events, identity = train(tmp_path / "run", options, previews=PREVIEWS)
    assert [event.step for event in events if isinstance(event, Stepped)] == list(range(1, 13))
    assert [event.step for event in events if isinstance(event, Saved)] == [5, 10, 12]
    assert [event.step for event in events if isinstance(event, Previewed)] == [6, 12]
    assert [type(event) for event in events[-3:]] == [Stepped, Previewed, Saved], "told, then drawn, then saved"
    first = events[0]
    assert isinstance(first, Stepped)
    assert first.total == 12 and first.learning_rate == pytest.approx(1e-2 / 4)
    assert set(first.losses) == {"subject", "regularization"} and first.seconds > 0 and first.memory_gib > 0.05
    assert (tmp_path / "run/previews/000006/00.png").is_file()
    assert_same(identity, Identity.load(tmp_path / "run/checkpoints/000012/identity.safetensors"))


def test_chance_depends_on_the_seed_alone(tmp_path: Path) -> None:
    torch.manual_seed(1)
    _, one = train(tmp_path / "one", seed=3)
    torch.manual_seed(2)
    _, same = train(tmp_path / "same", seed=3)
    _, other = train(tmp_path / "other", seed=4)
    assert_same(one, same)
    assert not torch.equal(one.tensors["up.weight"], other.tensors["up.weight"])


@pytest.mark.parametrize("last", [1, 4, 5, 7, 12])
def test_closing_and_going_on_is_one_unbroken_run(tmp_path: Path, last: int) -> None:
    _, unbroken = train(tmp_path / "unbroken")
    run = Run(tmp_path / "broken")
    flow = flowing(run)
    for event in flow:
        if isinstance(event, Stepped) and event.step == last:
            break
    flow.close()
    assert run.manifest()["state"] == "stopped"
    newest = run.latest()
    assert newest is not None and newest.step == last
    events, resumed = train(tmp_path / "broken")
    assert_same(unbroken, resumed)
    assert steps_told(run.folder) == list(range(1, 13))
    assert [event.step for event in events if isinstance(event, Stepped)] == list(range(last + 1, 13))
    saved = [record["step"] for record in run.events() if record["event"] == "Saved"]
    assert saved == [5, 10, 12], "a checkpoint that is due is told, even when the stop came between step and save"
    assert [point.step for point in run.checkpoints() if point.due] == [5, 10, 12]
    assert run.manifest()["state"] == "finished"


def flowing(run: Run, learner: ToyLearner | None = None) -> Iterator[Event]:
    """A flow as the lintel writes it: the run is held inside a generator."""
    with run.open(RECIPE, FACTS):
        yield from run.record(fit(learner or ToyLearner(), ToyBatches(), single(), run, OPTIONS))


class Interrupted(ToyLearner):
    """Ctrl-C comes while the loss of the eighth step is computed."""

    def loss(self, batch: object, rng: object) -> dict[str, torch.Tensor]:
        if rng.path[1] == 7:
            raise KeyboardInterrupt
        return super().loss(batch, rng)


def test_an_interrupt_inside_a_step_goes_back_to_its_beginning(tmp_path: Path) -> None:
    _, unbroken = train(tmp_path / "unbroken")
    run = Run(tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        list(flowing(run, Interrupted()))
    newest = run.latest()
    assert newest is not None and newest.step == 7 and run.manifest()["state"] == "stopped"
    assert_same(unbroken, train(tmp_path / "broken")[1])
    assert steps_told(run.folder) == list(range(1, 13))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Lets SIGINT interrupt, which processes in the background of a shell ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_inside_the_optimizer_waits_for_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, unbroken = train(tmp_path / "unbroken")
    step, made = torch.optim.AdamW.step, []

    def interrupted(self: torch.optim.AdamW, *given: object) -> object:
        made.append(1)
        if len(made) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *given)

    run = Run(tmp_path / "broken")
    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(flowing(run))
    assert steps_told(run.folder) == [1, 2, 3, 4], "the step that was made is told, though nobody heard it"
    newest = run.latest()
    assert newest is not None and newest.step == 4
    assert_same(unbroken, train(tmp_path / "broken")[1])


def test_a_gradient_that_is_not_finite_stops_before_it_does_harm(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match=r"step 8.*000005.*learning_rate"):
        train(tmp_path / "run", batches=ToyBatches(poison_at=7))
    run = Run(tmp_path / "run")
    assert run.manifest()["state"] == "failed" and "Diverged" in run.manifest()["message"]
    assert steps_told(run.folder) == list(range(1, 8))
    assert [point.step for point in run.checkpoints()] == [5], "what has diverged is not saved"


def test_too_little_memory_is_said_in_words(tmp_path: Path) -> None:
    class Greedy(ToyLearner):
        def loss(self, batch: object, rng: object) -> dict[str, torch.Tensor]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(OutOfMemory, match="accumulate"):
        train(tmp_path / "run", learner=Greedy())


def test_an_early_stop_is_an_end_like_any_other(tmp_path: Path) -> None:
    made: list[int] = []

    def enough() -> bool:
        made.append(1)
        return len(made) > 7

    events, identity = train(tmp_path / "run", should_stop=enough)
    assert isinstance(events[-1], Saved) and events[-1].step == 7
    assert Run(tmp_path / "run").manifest()["state"] == "finished"
    again, same = train(tmp_path / "run", should_stop=lambda: True)
    assert again == [], "a finished run that is opened again makes no step"
    assert_same(identity, same)


def test_a_learner_with_nothing_to_learn_makes_no_step(tmp_path: Path) -> None:
    batches = ToyBatches()
    events, identity = train(tmp_path / "run", learner=SettledLearner(), batches=batches)
    assert [type(event) for event in events] == [Saved] and batches.asked == []
    assert torch.equal(identity.tensors["face"], torch.ones(3))
    assert Run(tmp_path / "run").keep(0, {}) == tmp_path / "run/identity.safetensors"


def test_parts_of_a_step_make_the_gradient_of_the_whole(tmp_path: Path) -> None:
    batches = ToyBatches()
    train(tmp_path / "run", FitOptions(max_train_steps=2, accumulate=3, save_every=2), batches=batches)
    assert batches.asked == [(step, micro, 0) for step in range(2) for micro in range(3)]


def test_clipping_and_its_absence(tmp_path: Path) -> None:
    def norms(max_norm: float) -> list[float]:
        options = FitOptions(max_train_steps=2, max_norm=max_norm, save_every=2)
        events, _ = train(tmp_path / f"run{max_norm}", options)
        return [event.grad_norm for event in events if isinstance(event, Stepped)]

    assert norms(0)[0] == norms(1e-3)[0] > 1e-3, "the norm before clipping is told"


def test_weighing_takes_each_kind_over_its_own_samples() -> None:
    losses = {"subject": torch.tensor([1.0, 3.0]), "regularization": torch.tensor([5.0])}
    assert float(weigh(losses, {"regularization": 0.5})) == 2.0 + 0.5 * 5.0
    assert float(weigh({**losses, "regularization": torch.zeros(0)}, {})) == 2.0, "no sample, no share"
    with pytest.raises(AssertionError, match="without losses"):
        weigh({}, {})


def test_the_weight_of_the_prior_changes_what_is_learned(tmp_path: Path) -> None:
    _, half = train(tmp_path / "half", OPTIONS.model_copy(update={"prior_loss_weight": 0.5}))
    _, whole = train(tmp_path / "whole")
    assert not torch.equal(half.tensors["up.weight"], whole.tensors["up.weight"])


def test_means_count_samples_and_not_batches() -> None:
    means = Means()
    means.add({"subject": torch.tensor([1.0, 2.0, 3.0])})
    means.add({"subject": torch.tensor([10.0]), "regularization": torch.zeros(0)})
    assert means.read() == {"subject": 4.0}


@pytest.mark.parametrize(
    ("done", "every", "expected"), [(0, 5, False), (5, 5, True), (7, 5, False), (12, 5, True), (12, 0, False)]
)
def test_due(done: int, every: int, expected: bool) -> None:
    assert due(done, every, 12) is expected


def test_a_stop_asked_from_outside_is_asked_before_each_step(tmp_path: Path) -> None:
    stop: Callable[[], bool] = lambda: True  # noqa: E731 - a name for its type
    events, _ = train(tmp_path / "run", should_stop=stop)
    assert [type(event) for event in events] == [Saved] and events[0].step == 0
