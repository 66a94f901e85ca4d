"""Everything that can go wrong, as one tree.

    IpseityError
    ├── Refusal            the user can mend it; exit code 2
    │   ├── RecipeError      a recipe, an option or a name in it
    │   ├── SubjectError     the photos or what was said of them
    │   ├── CapabilityError  a base does not offer what a method needs
    │   ├── WeightsError     a checkpoint that cannot be trusted or does not fit
    │   ├── RunError         a run, set or report folder
    │   └── MissingPackage   an optional library is not installed
    └── Failure            something broke while running; exit code 1
        ├── Diverged         the loss or the gradient is no longer finite
        ├── OutOfMemory      the device has no room
        └── EngineError      a process or a device failed

Programming mistakes are `assert`. Each message has three parts: what was found, what is needed, what to do.
"""

from pathlib import Path


class IpseityError(Exception):
    """Anything that ipseity raises on purpose."""

    exit_code = 1


class Refusal(IpseityError):
    """The user can mend it.

    Args:
        found: what was found, naming the file, key or value.
        needed: what is needed instead.
        todo: what to do about it, as a sentence in the imperative.
    """

    exit_code = 2

    def __init__(self, found: str, needed: str, todo: str) -> None:
        self.found, self.needed, self.todo = found, needed, todo
        super().__init__(" ".join(_sentence(part) for part in (found, needed, todo)))

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        return type(self), (self.found, self.needed, self.todo)


class RecipeError(Refusal):
    """A recipe, an option or a name in it."""


class SubjectError(Refusal):
    """The photos, or what was said of them."""


class CapabilityError(Refusal):
    """A base does not offer what a method needs."""


class WeightsError(Refusal):
    """A checkpoint that cannot be trusted or does not fit."""


class RunError(Refusal):
    """A run, set or report folder."""


class MissingPackage(Refusal):
    """An optional library is not installed."""


class Failure(IpseityError):
    """Something broke while running."""


class Diverged(Failure):
    """The loss or the gradient is no longer finite.

    Args:
        step: optimizer step at which it was seen.
        norm: gradient norm of that step.
        last_good: newest complete checkpoint, if there is one.
    """

    def __init__(self, *, step: int, norm: float, last_good: Path | None) -> None:
        self.step, self.norm, self.last_good = step, norm, last_good
        kept = f"The newest good checkpoint is {last_good}." if last_good else "No checkpoint was saved before that."
        super().__init__(
            f"Training diverged at step {step}: the gradient norm is {norm}. {kept} Lower fit.learning_rate (a third is a good try) and run again."
        )


class OutOfMemory(Failure):
    """The device has no room."""


class EngineError(Failure):
    """A process or a device failed."""


def _sentence(part: str) -> str:
    part = part.strip()
    return part if not part or part[-1] in ".!?" else part + "."
