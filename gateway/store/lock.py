"""The state directory belongs to one gateway at a time: two would write one database, and send its queue twice."""

import contextlib
import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import StoreError

log = logging.getLogger(__name__)

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder itself: that needs no room on the disk, and ends with the process however it ends.

    Raises StoreError if another gateway holds it, or if it can't be opened.
    """
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}. Remedy: run it as the user that owns this folder") from error
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "ask it (ocpp-gateway status), stop it first, or give this one a state_dir of its own"
            raise StoreError(f"{folder}: another gateway runs with this state_dir. Remedy: {remedy}") from None
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise StoreError(f"{folder}: {error.strerror}") from error
            log.warning("%s can't be locked (%s): see to it that only one gateway uses it", folder, error.strerror)
        yield
    finally:
        os.close(held)
