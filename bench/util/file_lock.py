"""A lock on a file, for the processes of one machine, or of all where a network disk passes locks on."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
"""What disks answer that have no locks: Lustre without `-o flock`, NFS without lockd, some of FUSE."""


@contextmanager
def locked(path: str | Path) -> Iterator[bool]:
    """Hold the lock of this file, made where it is absent, waiting for it; yields False, and holds nothing, on a disk
    without locks. The system releases it where a process dies.

    Raises OSError where the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        yield _lock(descriptor)
    finally:
        os.close(descriptor)  # which releases it


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    return True
