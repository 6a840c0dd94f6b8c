"""Folders that one process at a time writes, and whose entries change together.

::

    FOLDER/
      .bcnmf-lock           held by the process that writes; the system lets go of it when that ends
      .bcnmf-0123456789abcdef/
        part/               what is being written
        new/                the same when it is whole: from here on it takes the place of the old
        aside/              old entries, which are being moved here
        old/                the same when none is left in FOLDER: new entries are being moved there
      ...                   the entries

Everything lies in the folder itself, which therefore may be empty, a link, a mount point or the
current folder, and may stand in a folder that cannot be written. An entry is moved by a rename. The
first of the entries is set aside before all others and moved in after them, so that a reader meets
it only with those it belongs to; `as_one` reads several of them. A process that is killed while
entries move leaves all that is needed to go on: `recover`, which writers and readers call, does.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from bcnmf_jax.storage.files import MARK, sync, unique
from bcnmf_jax.storage.locks import LOCK, WAIT, InUseError, locked

STAGE = PART, NEW, ASIDE, OLD = "part", "new", "aside", "old"
T = TypeVar("T")


def left_over(folder: Path, entries: Sequence[str]) -> bool:
    """Whether a process writes a folder, or was killed when it did."""
    return (folder / LOCK).exists() or bool(_stages(folder) or _halves(folder, entries))


def contents(folder: Path) -> set[str]:
    """Names in a folder without those of this module."""
    return {name for name in _names(folder) if not name.startswith(MARK)}


@contextmanager
def replaced(
    folder: Path,
    entries: Sequence[str],
    *,
    passing: Sequence[str] = (),
    resumes: Callable[[Path], bool] = lambda _: False,
    keep: bool = False,
) -> Iterator[Path]:
    """Give an empty folder, whose content takes the place of entries once the block ends.

    The lock must be held. After an error the entries are as they were.

    Parameters
    ----------
    folder : Path
        Other names in it stay as they are.
    entries : sequence of str
        All names that may be written; what the folder has of them is replaced.
    passing : sequence of str
        Names that may be written, too, and go once all entries are moved in.
    resumes : callable
        Whether a folder that an error or a kill left is given again, and left by an error.
    keep : bool
        What is whole stays where it cannot be moved in, and the next `recover` does.

    Raises
    ------
    ValueError
        If something else than entries was written.
    """
    recover(folder, entries)
    stage = None
    for found in _stages(folder):
        if stage is None and resumes(found / PART):
            stage = found
        else:
            _discard(found)
    stage = folder / unique() if stage is None else stage
    part = stage / PART
    try:
        part.mkdir(parents=True, exist_ok=True)
        for half in list(part.rglob(f"{MARK}*")):  # of files that a killed process was writing
            half.unlink()
        yield part
        if strange := contents(part) - {*entries, *passing}:
            raise ValueError(f"{sorted(strange)} are none of {', '.join(entries)}")
        for inner in (part, *(path for path in part.rglob("*") if path.is_dir())):
            sync(inner)
        os.replace(part, stage / NEW)
        _swap(stage, folder, entries)
    except BaseException as error:
        _undo(stage, folder, entries)
        if not keep and (stage / NEW).exists():
            os.replace(stage / NEW, part)
        whole = (stage / NEW).exists()
        if not whole and not resumes(part):
            _discard(stage)
        if whole and isinstance(error, OSError):
            raise OSError(
                f"what was written is whole, but cannot be moved into {folder} ({error}); the next "
                "command for this folder tries again"
            ) from error
        raise
    _discard(stage)


def recover(folder: str | Path, entries: Sequence[str]) -> None:
    """Move in what a killed process had written whole, and remove what it had not yet removed; the
    lock must be held.

    Raises
    ------
    OSError
        If that fails; nothing is lost then.
    """
    for stage in _stages(Path(folder)):
        if (stage / NEW).is_dir():
            _swap(stage, Path(folder), entries)
        if not (stage / PART).exists():
            _discard(stage)
    for path in _halves(Path(folder), entries):
        with suppress(OSError):
            path.unlink()


def recovered(folder: str | Path, entries: Sequence[str]) -> None:
    """`recover`, for a reader that misses the first entry.

    Raises
    ------
    InUseError, OSError
        If another process writes for long, or the folder cannot be written.
    """
    folder = Path(folder)
    if not (folder / entries[0]).exists() and any((s / NEW).is_dir() for s in _stages(folder)):
        with locked(folder, WAIT) as folder:
            recover(folder, entries)


def as_one(folder: str | Path, entries: Sequence[str], read: Callable[[], T]) -> T:
    """The value of a read of entries that belong together, repeated where they were replaced
    meanwhile. No lock is needed, nor a folder that can be written.

    Parameters
    ----------
    read : callable
        Reads the first of the entries before all others. What it raises is raised where the entries
        have stayed as they were.

    Raises
    ------
    InUseError
        If they are replaced again and again, for `WAIT` seconds.
    OSError
        As `recovered`.
    """
    folder, until = Path(folder), time.monotonic() + WAIT

    def state() -> tuple[int, ...] | None:
        recovered(folder, entries)
        try:
            found = os.stat(folder / entries[0])
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns

    before = state()
    while True:
        try:
            found = read()
        except Exception:
            after = state()
            if after == before:
                raise
        else:
            after = state()
            if after == before:
                return found
        if time.monotonic() > until:
            raise InUseError(f"{folder} is replaced again and again; wait for what writes it")
        before = after


def _stages(folder: Path) -> list[Path]:
    """Folders for what is being written that processes made, this one or those before."""
    return [
        path
        for path in _marked(folder, "")
        if path.is_dir() and not path.is_symlink() and _names(path) <= set(STAGE)
    ]


def _halves(folder: Path, entries: Sequence[str]) -> list[Path]:
    """Files of `whole_file` that killed processes left of entries."""
    return [path for name in entries for path in _marked(folder, f".{name}") if path.is_file()]


def _marked(folder: Path, end: str) -> list[Path]:
    """Paths in a folder with a name of `unique` and this end."""
    form = re.compile(re.escape(MARK) + "[0-9a-f]{16}" + re.escape(end))
    return [folder / name for name in sorted(_names(folder)) if form.fullmatch(name)]


def _names(folder: Path) -> set[str]:
    """Names in a folder; none where there is no such folder, or another process removes it."""
    try:
        return set(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _swap(stage: Path, folder: Path, entries: Sequence[str]) -> None:
    """Move old entries out and new ones in, or what is left of that to do."""
    new, aside, old = stage / NEW, stage / ASIDE, stage / OLD
    if not old.exists():
        aside.mkdir(exist_ok=True)
        for name in entries:
            _move(folder / name, aside / name)
        os.replace(aside, old)
    for name in reversed(entries):
        _move(new / name, folder / name)
    sync(folder)
    shutil.rmtree(new)


def _undo(stage: Path, folder: Path, entries: Sequence[str]) -> None:
    """Move new entries out and old ones in: `_swap`, backwards."""
    new, aside, old = stage / NEW, stage / ASIDE, stage / OLD
    if old.exists():
        new.mkdir(exist_ok=True)
        for name in entries:
            if not os.path.lexists(new / name):
                _move(folder / name, new / name)
        os.replace(old, aside)
    if aside.exists():
        for name in reversed(entries):
            _move(aside / name, folder / name)
        aside.rmdir()


def _move(path: Path, to: Path) -> None:
    if os.path.lexists(path):
        os.replace(path, to)


def _discard(stage: Path) -> None:
    """Remove what nobody needs; what cannot be removed stays for the next writer."""
    with suppress(OSError):
        shutil.rmtree(stage)
