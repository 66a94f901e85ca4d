"""What a captioner offers whose words people can read and change before training."""

from typing import Any, Protocol, runtime_checkable

from ipseity.core.types import Subject
from ipseity.data.sidecars import Words


@runtime_checkable
class Editable(Protocol):
    """A captioner that reads what the user says of each photo, and can tell what it would say itself."""

    @staticmethod
    def words(subject: Subject, options: Any) -> tuple[Words, ...]:
        """Give what is said of each photo, in order: the user's words, else the captioner's own."""
        ...
