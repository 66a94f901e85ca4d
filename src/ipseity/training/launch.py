"""Starting the same command again, in several processes."""

import os
import subprocess
import sys
from collections.abc import Sequence


def launched() -> bool:
    """Whether a launcher started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def relaunch(argv: Sequence[str], num_processes: int) -> int:
    """Run a module or a script in several processes on this machine, under torch's launcher.

    Args:
        argv: `-m package.module` or a script, and its arguments.
        num_processes: how many; each learns its place from its environment.

    Returns:
        The exit code: 0 when all ended well.
    """
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={num_processes}",
        *argv,
    ]
    threads = max(1, (os.cpu_count() or 1) // num_processes)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    return subprocess.run(command, env=environment, check=False).returncode
