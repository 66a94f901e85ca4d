"""A base without what learns inside it, for the length of a block: what was there before stands in for it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

Place = tuple[Any, str, Any]
"""An object, the name of one of its attributes, and what stands there in the untouched base."""


@contextmanager
def standing_in(places: Sequence[Place]) -> Iterator[None]:
    """Put other things into places for the length of a block, and then back what was there, the very objects.

    Objects are exchanged and not their data: a parameter whose data changes under it would lose the hooks by which
    engines share gradients where the number format differs, and autocast would go on with its narrowed copy.
    """
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    try:
        for owner, name, other in places:
            setattr(owner, name, other)
        yield
    finally:
        for owner, name, one in kept:
            setattr(owner, name, one)


def beneath(parts: Iterable[nn.Module], kind: type, inner: str) -> list[Place]:
    """List where modules of a kind wrap another, with the one that is wrapped, which is their attribute `inner`."""
    return [
        (owner, name, getattr(child, inner))
        for part in parts
        for owner in part.modules()
        if not isinstance(owner, kind)
        for name, child in owner.named_children()
        if isinstance(child, kind)
    ]


def places_of(parts: Iterable[nn.Module], others: Mapping[nn.Parameter, nn.Parameter]) -> list[Place]:
    """List where parameters lie, shared ones at each of their places, with those that shall stand in for them."""
    return [
        (owner, name, others[parameter])
        for part in parts
        for owner in part.modules()
        for name, parameter in owner.named_parameters(recurse=False)
        if parameter in others
    ]
