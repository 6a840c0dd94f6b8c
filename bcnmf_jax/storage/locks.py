"""Locks of folders: one process at a time writes there."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import filelock

from bcnmf_jax.storage.files import MARK, make_folders, remove_folders, resolved

LOCK = f"{MARK}lock"
WAIT = 60.0
"""Seconds for which a reader or a short writer waits for another writer."""


class InUseError(OSError):
    """Another process writes there."""


@contextmanager
def locked(folder: str | Path, wait: float = 0.0, name: str = LOCK) -> Iterator[Path]:
    """Hold the lock of a folder, which is made where it is missing; gives it without links.

    The lock's file is removed at the end, and the folder where it was made here and is empty. What
    a killed process leaves of them holds nobody up: in a folder that others may write, they may
    open the file too.

    Parameters
    ----------
    wait : float
        Seconds to wait for another process.
    name : str
        The lock's file.

    Raises
    ------
    InUseError
        If another process holds it.
    OSError
        If the folder cannot be made or written.
    """
    folder, made, attempts = resolved(folder), [], 100
    # Not of a thread: what ends a generator need not be the thread that began it.
    take = partial(filelock.FileLock, folder / name, timeout=wait, thread_local=False)
    lock = take()
    try:
        while not lock.is_locked:
            made = make_folders(folder) or made
            try:
                if _shared(folder):
                    lock = take(mode=0o666)
                lock.acquire()
            except FileNotFoundError:  # a process that ended has removed the folder that it made
                attempts -= 1
                if not attempts:
                    raise
            except filelock.Timeout:
                said = f"{folder} is being written by another process; wait for it, or name another"
                raise InUseError(said) from None
            except OSError as error:
                said = f"cannot be written: {error.strerror or error}"
                if isinstance(error, PermissionError) and (folder / name).exists():
                    said += (
                        f"; {folder / name} is another user's lock: if no process of theirs "
                        "writes here, remove that file, or ask them to"
                    )
                raise type(error)(error.errno, said, str(folder)) from None
        yield folder
    finally:
        try:
            if lock.is_locked:
                with suppress(OSError):
                    (folder / name).unlink()
        finally:
            lock.release()
            remove_folders(made)


def _shared(folder: Path) -> bool:
    """Whether others than its owner may write a folder."""
    return bool(folder.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
