"""A recorder of results: what public calls return, to the bit, before and after a change.

``python -m tests.results record FILE.npz`` runs every call of `tests.results_core` and
`tests.results_tools`, and stores all arrays, numbers and strings; ``compare FILE.npz`` runs them
again, prints a line per call, and exits with status 1 if anything differs. ``--only SUBSTRING``
runs the calls whose names hold it. Both runs are of one machine: others round differently.
"""

import argparse
import dataclasses
import hashlib
import sys
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from scipy import sparse

from tests import results_core, results_tools

CALLS = results_core.CALLS | results_tools.CALLS
LARGE = 100_000
"""Entries from which on an array is stored as a digest and its first thousand."""


def leaves(value, path=""):
    """Arrays, numbers and strings of a result: keys of dictionaries, all else by number."""
    if isinstance(value, pd.DataFrame):
        kept = {k: v.to_numpy() for k, v in value.items() if "seconds" not in str(k)}
        value = {"index": value.index.to_numpy()} | kept
    elif sparse.issparse(value):
        value = [value.tocsr().data, value.tocsr().indices, value.tocsr().indptr]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, f.name) for f in dataclasses.fields(value)]
    if isinstance(value, dict | list | tuple):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from leaves(part, f"{path}/{key}")
    elif isinstance(value, np.ndarray | np.generic | jax.Array | str | int | float | None):
        array = np.asarray("None" if value is None else value)
        array = array.astype(str) if array.dtype.kind == "O" else array
        if array.size > LARGE:
            yield f"{path}/sha256", np.asarray(hashlib.sha256(array.tobytes()).hexdigest())
        yield path, array.ravel()[:1000] if array.size > LARGE else array
    elif not callable(value):
        yield path, np.asarray("neither array nor number nor text")


def run(call):
    """What a call gives, or how it fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(leaves(call()))
    except Exception as error:
        return {"raised": np.asarray(f"{type(error).__name__}: {error}")}


def difference(old, new):
    """How two arrays differ; nothing where they are equal to the bit."""
    if old.dtype.kind == new.dtype.kind == "U":
        return "" if old.tolist() == new.tolist() else f"{old!s:.150} became {new!s:.150}"
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        return f"{old.dtype}{old.shape} became {new.dtype}{new.shape}"
    if old.tobytes() == new.tobytes():
        return ""
    one, two = old.astype(float), new.astype(float)
    gap = np.where((one == two) | (np.isnan(one) & np.isnan(two)), 0, np.abs(one - two))
    return f"by {gap.max():.3g}, relative {(gap / np.maximum(np.abs(one), 1e-300)).max():.3g}"


def verdict(old, new):
    """A line about a call: "same", or what differs, is missing, is new or has another name."""
    said = [(k, difference(old[k], new[k])) for k in old if k in new]
    said, found = [f"{k} {how}" for k, how in said if how], [k for k in new if k not in old]
    for name in (k for k in old if k not in new):
        alike = [k for k in found if not difference(old[name], new[k])]
        found = [k for k in found if k not in alike[:1]]
        said.append(f"{name} is now {alike[0]}" if alike else f"{name} is missing")
    said += [f"{name} is new" for name in found]
    raised = f" ({new['raised']})"[:150] if "raised" in new else ""
    more = f"; and {len(said) - 9} more" if len(said) > 9 else ""
    return ("; ".join(said[:9]) or "same") + more + raised


def main():
    """Record or compare; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default="", help="run the calls whose names hold this")
    asked, old, kept, differ = parser.parse_args(), {}, {}, 0
    for key, array in np.load(asked.file).items() if asked.command == "compare" else ():
        call, _, path = key.partition("|")
        old.setdefault(call, {})[path] = array
    for i, name in enumerate(k for k in CALLS | old if asked.only in k):
        if i % 60 == 59:
            jax.clear_caches()  # programs hold memory maps, of which a process has so many
        start = time.perf_counter()
        new = run(CALLS[name]) if name in CALLS else {}
        kept |= {f"{name}|{path}": array for path, array in new.items()}
        said = verdict(old.get(name, {}) if asked.command == "compare" else new, new)
        said = said if asked.command == "compare" else said.replace("same", f"{len(new)} arrays")
        differ += asked.command == "compare" and not said.startswith("same")
        print(f"{name}: {said} [{time.perf_counter() - start:.1f} s]", flush=True)
    if asked.command == "record":
        np.savez_compressed(asked.file, **kept)
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
