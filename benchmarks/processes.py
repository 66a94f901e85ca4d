"""Runs a program as a process of its own, and tells its seconds and the most memory it held.

The process that measures stays small and imports no torch: a child's peak can never read lower than what its parent held
when it was begun.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    """How a program went."""

    seconds: float
    """By the clock."""
    peak_gib: float
    said: str


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Ended:
    """Run a command from the repository's root folder; a failure ends the benchmark with the command's last words."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    whole = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **(env or {})}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=whole, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        words = said.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:3])} ... ended with {process.returncode}:\n{words[-3000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB elsewhere
    return Ended(seconds, usage.ru_maxrss * unit / 2**30, words)
