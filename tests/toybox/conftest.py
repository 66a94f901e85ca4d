"""What tests that draw in three dimensions stand on."""

from functools import lru_cache

import pytest

from toybox.world.context import open_context


@lru_cache(maxsize=1)
def _missing() -> str | None:
    """Gives the reason why nothing can be drawn in three dimensions here, or None."""
    try:
        open_context("things are")
    except RuntimeError as error:
        return str(error)
    return None


@pytest.fixture
def driver() -> None:
    """Skips where no OpenGL driver is."""
    if reason := _missing():
        pytest.skip(reason)
