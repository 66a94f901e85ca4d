"""What every engine must do, whoever wrote it."""

import math

import pytest
import torch
from torch import nn

from ipseity.core.errors import EngineError, RecipeError
from ipseity.core.registry import find, names
from ipseity.core.rng import Rng
from ipseity.training.engines.parts.machine import has_bf16, pick_device, pick_precision
from ipseity.training.loop import weigh
from ipseity.training.optim import make_optimizer
from tests.training.toy import ToyBatches, ToyLearner


@pytest.fixture(params=names("engines"))
def engine(request: pytest.FixtureRequest):
    plugin = find("engines", request.param)
    return plugin.start(plugin.Options(device="cpu"))


def prepared(engine, learner: ToyLearner):
    return engine.prepare(
        learner, make_optimizer(learner.trainable(), learning_rate=0.1, betas=(0.9, 0.999), weight_decay=0.0)
    )


def test_it_says_where_it_stands(engine) -> None:
    assert (engine.rank, engine.world, engine.is_main, engine.device.type) == (0, 1, True, "cpu")
    assert engine.gather({"loss": 0.5, "other": 2.0}) == {"loss": 0.5, "other": 2.0}
    engine.barrier()


def test_its_gradient_is_the_learners_own(engine) -> None:
    learner, bare = ToyLearner(dropout=0.0), ToyLearner(dropout=0.0)
    losses, _ = prepared(engine, learner)
    batch, rng = next(ToyBatches().at(0, 1)), Rng(1)
    with engine.micro_step(last=True):
        engine.backward(weigh(losses(batch, rng), {}))
    weigh(bare.loss(batch, rng), {}).backward()
    for name, parameter in learner.trainable().items():
        assert torch.equal(parameter.grad, bare.trainable()[name].grad), name
    assert learner.frozen.weight.grad is None


def test_parts_of_a_step_add_up(engine) -> None:
    learner, bare = ToyLearner(dropout=0.0), ToyLearner(dropout=0.0)
    losses, _ = prepared(engine, learner)
    for micro, batch in enumerate(ToyBatches().at(0, 2)):
        with engine.micro_step(last=micro == 1):
            engine.backward(weigh(losses(batch, Rng(micro)), {}) / 2)
        (weigh(bare.loss(batch, Rng(micro)), {}) / 2).backward()
    for name, parameter in learner.trainable().items():
        assert torch.allclose(parameter.grad, bare.trainable()[name].grad), name


def test_it_clips(engine) -> None:
    def after(max_norm: float) -> tuple[float, float]:
        value = nn.Parameter(torch.zeros(2))
        value.grad = torch.tensor([3.0, 4.0])
        return engine.clip([value], max_norm), float(value.grad.norm())

    assert after(1.0) == (5.0, pytest.approx(1.0, abs=1e-5))
    assert after(0) == after(math.inf) == (5.0, 5.0)


@pytest.mark.parametrize("name", names("engines"))
def test_its_options_have_a_form(name: str) -> None:
    schema = find("engines", name).Options.model_json_schema()
    assert schema["properties"]["use"]["const"] == name
    assert all("description" in field for field in schema["properties"].values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card")
@pytest.mark.parametrize("name", names("engines"))
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    plugin = find("engines", name)
    with pytest.raises(RecipeError, match=r"engine\.device is 'cuda'"):
        plugin.start(plugin.Options(device="cuda"))


def test_bf16_on_a_processor_without_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import ipseity.training.engines.parts.machine as machine

    cpu = torch.device("cpu")
    monkeypatch.setattr(machine, "_processor_has_bf16", lambda: False)
    assert pick_precision("auto", cpu) == pick_precision("no", cpu) == "no"
    with pytest.raises(RecipeError, match="mixed_precision"):
        pick_precision("bf16", cpu)
    monkeypatch.setattr(machine, "_processor_has_bf16", lambda: True)
    assert pick_precision("bf16", cpu) == "bf16"
    assert pick_precision("auto", cpu) == "no", "a processor repeats in fp32 unless it is told otherwise"


@pytest.mark.parametrize("name", names("engines"))
def test_bf16_computes_in_fewer_bits_and_learns_in_all(name: str) -> None:
    if not has_bf16(pick_device("cpu")):
        pytest.skip("this processor has no bf16 arithmetic")
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)  # the library keeps one precision a process
    plugin = find("engines", name)
    engine = plugin.start(plugin.Options(device="cpu", mixed_precision="bf16"))
    learner, bare = ToyLearner(dropout=0.0), ToyLearner(dropout=0.0)
    losses, _ = prepared(engine, learner)
    batch = next(ToyBatches().at(0, 1))
    narrow, whole = losses(batch, Rng(1))["subject"], bare.loss(batch, Rng(1))["subject"]
    assert not torch.equal(narrow.float(), whole) and torch.allclose(narrow.float(), whole, rtol=0.05)
    assert all(value.dtype == torch.float32 for value in learner.trainable().values())
    AcceleratorState._reset_state(reset_partial_state=True)


def test_several_processes_need_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    plugin = find("engines", "accelerate")
    with pytest.raises(EngineError, match="num_processes is 2, and 1 run"):
        plugin.start(plugin.Options(device="cpu", num_processes=2))
