"""Ctrl-C and a request to end (SIGTERM) wait while something is done that must not be half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_USUAL = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
HELD = tuple(_USUAL)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold interrupts back until the block has ended; then the last one takes its course.

    Only the main thread receives them, so elsewhere there is nothing to hold.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[Any] = []
    before = {number: signal.signal(number, lambda *sent: held.append(sent)) for number in HELD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else _USUAL[number])
    for sent in held[-1:]:
        handler = before[sent[0]]
        if callable(handler):
            handler(*sent)
        elif handler is signal.SIG_DFL:
            signal.raise_signal(sent[0])
