"""Facts that flows tell while they run. Each is a frozen value; `record` gives the line that `events.jsonl` holds."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    def record(self) -> dict[str, Any]:
        """Give plain data, with the event's name under `event`."""
        return {"event": type(self).__name__, **{k: _plain(v) for k, v in dataclasses.asdict(self).items()}}


@dataclass(frozen=True)
class Noticed(Event):
    """Something unusual, or a value that was derived, with its reason."""

    message: str


@dataclass(frozen=True)
class Forecast(Event):
    """What a run will need."""

    peak_gib: float
    free_gib: float
    parts: Mapping[str, float]
    """What the peak is made of, in GiB."""


@dataclass(frozen=True)
class Progressed(Event):
    """A stretch of work other than training moved on."""

    stage: str
    """"synthesize", "look over the set", "cache latents", "cache regularization latents", "cache text", "draw", or what is drawn, in words."""
    done: int
    total: int


@dataclass(frozen=True)
class Stepped(Event):
    """One optimizer step was made."""

    step: int
    total: int
    losses: Mapping[str, float]
    """Mean over the step's samples, by name, before weighing."""
    learning_rate: float
    grad_norm: float
    seconds: float
    memory_gib: float


@dataclass(frozen=True)
class Previewed(Event):
    """Preview images were drawn."""

    step: int
    folder: Path


@dataclass(frozen=True)
class Saved(Event):
    """A checkpoint is complete."""

    step: int
    folder: Path


@dataclass(frozen=True)
class Scored(Event):
    """A checkpoint was scored by the evaluators that pick."""

    step: int
    scores: Mapping[str, float]
    """`metric/evaluator` -> value."""


@dataclass(frozen=True)
class Picked(Event):
    """The checkpoint to keep was chosen."""

    step: int
    reason: str


@dataclass(frozen=True)
class Measured(Event):
    """What the run needed in truth."""

    peak_gib: float
    forecast_gib: float
    seconds: float
    images_per_second: float


@dataclass(frozen=True)
class Wrote(Event):
    """A result lies ready."""

    what: str
    path: Path


@dataclass(frozen=True)
class Tabulated(Event):
    """A table of results is complete."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """As they are to be read, one a line."""


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return value
