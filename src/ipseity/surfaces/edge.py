"""The outermost edge of the command line: flows are followed, and errors become a message and an exit code."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer

from ipseity.surfaces.show import Interrupted, Unforeseen, complain, follow, is_first, say


def run(make: Any, *, as_json: bool, debug: bool, recipe: Any = None) -> None:
    """Follow a flow; where its recipe wants several processes, they run the same command instead."""
    from ipseity import api

    def work() -> None:
        code = api.relaunch_for(recipe(), sys.argv[1:]) if recipe else None
        if code is not None:
            raise typer.Exit(code)
        follow(make(), as_json=as_json)

    guard(work, as_json=as_json, debug=debug)


def tell(make: Any, *, as_json: bool, debug: bool) -> None:
    """Print a result that is no flow."""

    def print_it() -> None:
        data, render = make()
        say(data, as_json=as_json, render=render)

    guard(print_it, as_json=as_json, debug=debug)


@contextmanager
def ending_interrupts() -> Iterator[None]:
    """Take a request to end (SIGTERM, as cluster schedulers and `kill` send it) as Ctrl-C: save, then leave."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def guard(act: Any, *, as_json: bool, debug: bool) -> None:
    """Do something; an error becomes a message and an exit code."""
    from ipseity import api

    try:
        with ending_interrupts():
            act()
    except KeyboardInterrupt:
        if is_first():
            complain(
                Interrupted("Interrupted. What was complete is saved; the same command goes on from there."),
                as_json=as_json,
            )
        raise typer.Exit(130) from None
    except typer.Exit:
        raise
    except BrokenPipeError:  # who read our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except api.IpseityError as error:
        if debug:
            raise
        complain(error, as_json=as_json)
        raise typer.Exit(error.exit_code) from error
    except Exception as error:
        if debug:
            raise
        complain(
            Unforeseen(
                f"Something broke: {type(error).__name__}: {error}. This is a fault of ipseity; repeat with --debug and report it."
            ),
            as_json=as_json,
        )
        raise typer.Exit(1) from error
