"""One process at a time in a run's folder. The system lets go of the lock of a process that was killed."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipseity.core.errors import RunError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, with this process's number in it, for the length of a block.

    A file that a killed process left behind holds nobody up: it is the system's lock on it that counts.

    Raises:
        RunError: another process holds it.
        OSError: the file cannot be written.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not _take(handle):
            holder = os.read(handle, 64).decode(errors="replace").strip() or "unknown"
            raise RunError(
                f"{path.parent} is in use by process {holder}",
                "a run folder that nobody else writes",
                "wait until it ends or stop it, then repeat the command",
            )
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows: nothing to hold, and nothing is promised
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # some network file systems know no locks; there the folder is taken on trust
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EAGAIN)
    return True
