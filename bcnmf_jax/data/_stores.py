"""Zarr stores: filters and compressors in their metadata, checked before anything is decoded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bcnmf_jax.storage.json_text import parsed

CODECS = frozenset(
    "adler32 astype bitround blosc bytes bz2 categorize crc32 crc32c delta fixedscaleoffset "
    "fletcher32 gzip jenkins_lookup3 json2 lz4 lzma packbits pcodec quantize sharding_indexed "
    "shuffle transpose vlen-bytes vlen-utf8 zfpy zlib zstd".split()
)
"""Filters and compressors, by name, that turn bytes into numbers or text and do nothing else."""
FILES = (".zarray", "zarr.json", ".zmetadata")
"""Metadata of an array of zarr 2, of anything of zarr 3, and of a whole store of zarr 2."""
CONFIGURED = ("codecs", "index_codecs")
"""Keys under which a codec of zarr 3 holds others."""


def check_store(path: Path) -> None:
    """Look at the metadata of every group and array of a store in a folder.

    Raises
    ------
    ValueError
        For metadata that cannot be read, and a filter or compressor that is not among `CODECS`:
        "pickle" runs what the store says.
    """
    for where, metadata in _metadata(path):
        for codec in _codecs(metadata, where):
            if not (isinstance(codec, str) and codec.removeprefix("numcodecs.") in CODECS):
                raise ValueError(
                    f"{where} has the filter or compressor {codec!r}, which is not decoded here: "
                    f"it could run code; write the store with one of {', '.join(sorted(CODECS))}"
                )


def _metadata(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Metadata of a store, and where they stand; the folders of arrays, of chunks, are left out."""
    folders, seen = [root], set()
    while folders:
        folder = folders.pop()
        known = os.stat(folder)
        if (known.st_dev, known.st_ino) in seen:  # a link back to a folder that was read
            continue
        seen.add((known.st_dev, known.st_ino))
        files = [folder / name for name in FILES if (folder / name).is_file()]
        found = {path.name: _object(path) for path in files}
        for name, metadata in found.items():
            where = str(folder / name)
            yield where, metadata
            # Of all arrays once more, in one place: readers go by these where there are any.
            held = metadata if name == ".zmetadata" else metadata.get("consolidated_metadata")
            if held is not None:
                every = _checked(_checked(held, where).get("metadata", {}), where)
                yield from ((f"{where}, {key}", _checked(m, where)) for key, m in every.items())
        if ".zarray" in found or found.get("zarr.json", {}).get("node_type") == "array":
            continue
        with os.scandir(folder) as entries:
            folders += [Path(entry.path) for entry in entries if entry.is_dir()]


def _codecs(metadata: dict[str, Any], where: str) -> Iterator[Any]:
    """Names of all filters and compressors, those within others too."""
    waiting = [metadata[key] for key in ("filters", "compressor", "codecs") if key in metadata]
    while waiting:
        codec = waiting.pop()
        if isinstance(codec, list):
            waiting += codec
        elif isinstance(codec, dict):
            # zarr 2 goes by the one, zarr 3 by the other.
            yield from [codec[key] for key in ("id", "name") if key in codec] or [None]
            inner = _checked(codec.get("configuration", {}), where)
            waiting += [inner[key] for key in CONFIGURED if key in inner]
        elif codec is not None:
            yield codec


def _object(path: Path) -> dict[str, Any]:
    try:
        found = parsed(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    return _checked(found, str(path))


def _checked(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"{where} is no metadata of zarr: it holds {type(found).__name__}")
    return found
