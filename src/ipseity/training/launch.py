"""Starting the same command again, in several processes."""

import logging
import os
import sys
from collections.abc import Sequence
from uuid import uuid4

from ipseity.core.errors import EngineError


def launched() -> bool:
    """Whether a launcher started this process."""
    return "WORLD_SIZE" in os.environ and "RANK" in os.environ


def relaunch(argv: Sequence[str], num_processes: int) -> int:
    """Run a module or a script in several processes on this machine, under torch's launcher.

    Args:
        argv: `-m package.module` or a script, and its arguments.
        num_processes: how many; each learns its place from its environment.

    Returns:
        The exit code: 0 when all ended well, else that of the first one that failed, or 130 after Ctrl-C.

    Raises:
        EngineError: a process was killed.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    threads = max(1, (os.cpu_count() or 1) // num_processes)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("torch.distributed.elastic")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the process that failed has said why
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        run_id=uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        max_restarts=0,  # the same command goes on; nothing is begun again behind the user's back
    )
    try:
        elastic_launch(config, sys.executable)(*argv)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:  # it had no chance to say anything
            raise EngineError(
                f"Process {rank} of {num_processes} was ended by signal {-failure.exitcode}, mostly for want of memory. "
                "The same command goes on from the newest checkpoint; fewer engine.num_processes need less."
            ) from error
        return failure.exitcode
    except SignalException as error:
        return 128 + int(error.sigval)  # as shells count; the processes were told and have saved
    return 0
