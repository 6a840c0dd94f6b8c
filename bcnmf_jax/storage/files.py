"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MARK = ".bcnmf-"
"""First letters of the names of temporary files and folders; random digits follow."""
WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH
"""Rights to write, of which a read-only file has none, though an administrator may write it."""


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Give an empty file beside another, whose place it takes once the block ends without error.

    Its name ends as that of the other does, so that a writer sees the format. Missing folders are
    made. After an error or an interruption everything is as it was. A link stays a link: the file
    that it points to is replaced.

    Raises
    ------
    OSError
        For a folder or anything else that is no regular file, a file that is read-only, links in a
        circle, and for what cannot be written; all but the last before the block begins.
    """
    path = resolved(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder; name a file", str(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "this is no regular file; name another", str(path))
    if path.exists() and not (path.stat().st_mode & WRITE and os.access(path, os.W_OK)):
        said = "this file is read-only; make it writable, or name another"
        raise PermissionError(errno.EACCES, said, str(path))
    # Names have at most 255 bytes.
    partial = path.with_name(f"{unique()}.{path.name[-50:]}")
    made = make_folders(path.parent)
    try:
        partial.touch(exist_ok=False)  # before the work for it is done
        yield partial
        sync(partial)
        if path.exists():
            shutil.copymode(path, partial)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        remove_folders(made)
        raise


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a whole file, as `whole_file`."""
    with whole_file(path) as partial:
        partial.write_bytes(content)


def unique() -> str:
    """A name that nothing else has."""
    return f"{MARK}{secrets.token_hex(8)}"


def resolved(path: str | Path) -> Path:
    """Absolute path without links.

    Raises
    ------
    OSError
        For links that lead in a circle.
    """
    found = Path(os.path.realpath(path))
    for part in (found, *found.parents):
        if part.is_symlink():
            said = "this link leads in a circle; remove it, or name another path"
            raise OSError(errno.ELOOP, said, str(part))
    return found


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    number = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(number)
    except OSError as error:  # not every file system does that for folders
        if not (path.is_dir() and error.errno in (errno.EINVAL, errno.ENOTSUP)):
            raise
    finally:
        os.close(number)


def make_folders(folder: Path, attempts: int = 100) -> list[Path]:
    """Make a folder and those above it; returns those that were missing, the deepest first."""
    made: list[Path] = []
    try:
        for missing in reversed([part for part in (folder, *folder.parents) if not part.exists()]):
            with suppress(FileExistsError):  # another process was faster
                missing.mkdir()
                made.insert(0, missing)
    except FileNotFoundError:  # another process has removed the folder above, which it had made
        remove_folders(made)
        if not attempts:
            raise
        return make_folders(folder, attempts - 1)
    except BaseException:
        remove_folders(made)
        raise
    return made


def remove_folders(made: list[Path]) -> None:
    """Remove the folders that `make_folders` made, where they are empty."""
    with suppress(OSError):
        for folder in made:
            folder.rmdir()
