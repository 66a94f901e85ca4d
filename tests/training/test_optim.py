"""The learning rate as a function of the step, and the optimizer's state through a file."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ipseity.core.errors import RunError
from ipseity.training.optim import make_optimizer, pack_state, rate_at, unpack_state


def make(parameters: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
    return make_optimizer(parameters, learning_rate=0.1, betas=(0.9, 0.99), weight_decay=0.01)


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    made = torch.Generator().manual_seed(seed)
    return {name: nn.Parameter(torch.randn(shape, generator=made)) for name, shape in (("b", (3,)), ("a", (2, 3)))}


def move(values: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, times: int) -> None:
    for time in range(times):
        for value in values.values():
            value.grad = torch.sin(value.detach() + time)
        optimizer.step()


def test_schedules_at_their_ends() -> None:
    def rate(step: int, schedule: str) -> float:
        return rate_at(step, schedule, learning_rate=1.0, warmup=4, total=14)

    for schedule in ("constant", "linear", "cosine"):
        assert [rate(step, schedule) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rate(13, "constant") == 1.0
    assert rate(9, "linear") == pytest.approx(0.5) and rate(9, "cosine") == pytest.approx(0.5)
    assert 0 < rate(13, "cosine") < rate(13, "linear") == pytest.approx(0.1)


@given(st.integers(0, 400), st.integers(0, 500), st.sampled_from(["constant", "linear", "cosine"]), st.integers(1, 400))
def test_a_rate_stays_in_its_bounds(step: int, warmup: int, schedule: str, total: int) -> None:
    assert 0 <= rate_at(step, schedule, learning_rate=0.3, warmup=warmup, total=total) <= 0.3


def test_state_comes_back_exactly() -> None:
    one, other = parameters(), parameters()
    first, second = make(one), make(other)
    move(one, first, 3)
    state = {name: tensor.clone() for name, tensor in pack_state(first, one).items()}
    assert "exp_avg/a" in state and len(state) == 6
    unpack_state(second, other, state)
    for name in one:
        other[name].data.copy_(one[name])
    move(one, first, 4)
    move(other, second, 4)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("spoil", ["missing", "strange", "misshapen"])
def test_a_strange_state_is_refused(spoil: str) -> None:
    values = parameters()
    optimizer = make(values)
    move(values, optimizer, 1)
    state = pack_state(optimizer, values)
    if spoil == "missing":
        state = {key: value for key, value in state.items() if not key.endswith("/a")}
    elif spoil == "strange":
        state["exp_avg/zebra"] = torch.zeros(1)
    else:
        state["exp_avg/a"] = torch.zeros(7)
    with pytest.raises(RunError, match="zebra" if spoil == "strange" else "'a'"):
        unpack_state(make(values), values, state)
