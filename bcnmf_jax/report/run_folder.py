"""The folder that a run of the command line leaves, and that a report is made from.

::

    RUN/
      config.json                what was run, on what, and how it ended
      model/                     `BCNMF.save`; `bcnmf_jax.load` reads it (fit)
      tables/components.tsv      fit: feature, then one column of loadings per component
      tables/usage.tsv           fit: sample, set ("target", "background"), the columns of the
                                 cells' table that were asked for, then one column per component
      tables/restarts.tsv        fit: restart, value (reduced objective), result
      tables/path.tsv            sweep: alpha, n_components, restart, result, steps,
                                 x_explained, y_explained, dead_features, dead_components,
                                 effective_features, stability (of the components of all restarts
                                 of this alpha and number), on the features that were fitted
      tables/selection.tsv       select, and fit with "auto": one row per candidate
      tables/enrichment.tsv      fit with --group-key: one row per component
      tables/background.tsv      fit: one row per check of the background
      tables/comparison.tsv      compare: one row per method
      report.html                `bcnmf_jax.report.write`

Which tables there are depends on the command; a table that does not apply is not written. Tables
are tab-separated with a header; missing values are empty. Components are named as the estimator
names its outputs (``bcnmf0``, ...), those that target and background share ``background0``, ...

``config.json`` has the keys

======================  ==========================================================================
``format``              1; raised by a change that an older reader would misread
``command``, ``line``   "fit", "sweep", "select" or "compare"; the command as it was typed
``started``             date and time, UTC, ISO 8601
``seconds``             wall time
``versions``            ``{"bcnmf_jax": ..., "python": ..., "jax": ..., ...}``
``device``              "cpu", "gpu" or "tpu"
``sources``             list of ``{"role": "target" | "background" | "data", "path", "sha256"}``; of
                        a folder the sha256 of its files' names and sha256
``data``                how the sources were read: ``condition_key``, ``target``, ``background``
                        (lists of conditions), ``layer``, ``scale``, ``common``
``parameters``          those of the estimator, sweep, selection or comparison, as asked for;
                        ``group_key`` among them, where there is a test or there are splits
``samples``             ``{"target": n, "background": m}``
``features``            g
``scale``               ``{"applied": "none" | "log", "why": a sentence}``
``columns``             columns of obs that were asked for, as usage.tsv names them
``result``              of fit: ``result``, ``n_components``, ``n_background_components``,
                        ``alpha``, ``objective``, ``steps``, ``diagnostics``, ``outcome`` and
                        ``reasons`` (None without "auto"); of select: the selection without its
                        table; of sweep: ``fits`` and their number by ``results``; of fit and
                        sweep ``fitted_features``, their number; of compare: {}
``warnings``            list of sentences
======================  ==========================================================================
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bcnmf_jax.estimator.model_files import RUN_MODEL
from bcnmf_jax.extras import require
from bcnmf_jax.report.run_forms import (
    RunFolderError,
    check_config,
    check_table,
    texts_of,
)
from bcnmf_jax.report.run_values import identity, plain
from bcnmf_jax.storage.files import resolved, whole_file, write_bytes
from bcnmf_jax.storage.folders import contents, left_over, recover, recovered, replaced
from bcnmf_jax.storage.json_text import parsed
from bcnmf_jax.storage.locks import locked

FORMAT = 1
CONFIG = "config.json"
MODEL = RUN_MODEL
TABLES = "tables"
REPORT = "report.html"
ROWS = "rows.jsonl"
"""Rows of a sweep that was interrupted, while others are missing."""
ENTRIES = (CONFIG, MODEL, TABLES, REPORT)
"""All that a run writes into its folder."""


def read_config(run: str | Path) -> dict[str, Any]:
    """Read and check ``config.json`` of a run folder.

    Raises
    ------
    RunFolderError
        For a folder that is not there or no run, one of a later format, and values that are not
        what they should be.
    """
    path = Path(run) / CONFIG
    try:
        recovered(run, ENTRIES)
        config = parsed(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        what = "has no config.json" if Path(run).is_dir() else "is no folder"
        raise RunFolderError(f"{run} is no run of bcnmf: it {what}") from error
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}") from error
    if isinstance(config, dict) and config.get("format", FORMAT) != FORMAT:
        raise RunFolderError(
            f"{path} has format {config['format']!r}, this version reads {FORMAT}; use the version "
            "of bcnmf_jax that wrote it"
        )
    return check_config(config, str(path))


def write_config(run: Path, config: dict[str, Any]) -> None:
    """Write ``config.json``, whole or not at all."""
    text = json.dumps(plain({"format": FORMAT} | config), indent=1, allow_nan=False)
    write_bytes(run / CONFIG, f"{text}\n".encode())


def write_table(run: Path, name: str, columns: Any) -> None:
    """Write a table of a run from a frame, a dictionary of columns or a list of rows."""
    frame = require("pandas", "cli").DataFrame(columns)
    with whole_file(run / TABLES / f"{name}.tsv") as partial:
        frame.to_csv(partial, sep="\t", index=False)


def read_table(
    run: str | Path, name: str, text: Sequence[str] = (), *, needed: bool = False
) -> Any:
    """A table of a run as a pandas DataFrame, or None where the run has none.

    Names of features and samples, and the columns ``text``, are read as they stand: "01" is no
    number.

    Raises
    ------
    RunFolderError
        For a table that cannot be read, or lacks what it should have; one that is not there, where
        it is ``needed``.
    """
    path, pandas = Path(run) / TABLES / f"{name}.tsv", require("pandas", "cli")
    if not path.is_file():
        if needed:
            raise RunFolderError(f"{run} has no {TABLES}/{name}.tsv")
        return None
    try:
        with warnings.catch_warnings():
            # Values beyond the header are an error, not a column to drop.
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            # A feature may be called NA or nan: only empty fields are missing.
            frame = pandas.read_csv(
                path, sep="\t", keep_default_na=False, na_values=[""], index_col=False,
                dtype=dict.fromkeys((*texts_of(name), *text), str),
            )  # fmt: skip
    except Exception as error:  # pandas raises many types for what is no table
        raise RunFolderError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    return check_table(frame, name, str(path))


def finished(out: Path, config: dict[str, Any], *, overwrite: bool) -> dict[str, Any] | None:
    """The configuration of the same run where ``out`` holds it; None where a run may be written.

    Raises
    ------
    RunFolderError
        Where ``out`` holds another run, or an unfinished one, and may not be written over, or
        anything else.
    """
    if not out.exists() or (out.is_dir() and not contents(out)):
        return None
    if out.is_file():
        raise RunFolderError(f"{out} is a file; name a folder for --out")
    try:
        found = read_config(out)
    except RunFolderError as error:
        raise RunFolderError(f"{error}; choose another folder for --out") from error
    if overwrite:
        return None
    if identity(found) == identity(config):
        if "result" not in found:
            raise RunFolderError(f"{out} holds this run, unfinished; pass --overwrite")
        return found
    raise RunFolderError(_refusal(out, "another run", found))


@contextmanager
def claimed(
    out: Path, config: dict[str, Any], *, overwrite: bool
) -> Iterator[dict[str, Any] | None]:
    """Hold the lock of the folder of a run, and give what `finished` gives.

    A folder that holds the same run need not be one that can be written.

    Raises
    ------
    RunFolderError
        As `finished`.
    InUseError
        If another process writes there.
    OSError
        If it cannot be made or written.
    """
    done = finished(out, config, overwrite=overwrite)
    if done and not left_over(out, ENTRIES):
        yield done
        return
    with locked(out) as folder:
        recover(folder, ENTRIES)
        yield finished(folder, config, overwrite=overwrite)


@contextmanager
def writing(out: Path, config: dict[str, Any], *, overwrite: bool) -> Iterator[Path]:
    """Give a folder for a run, which is moved into ``out`` once the block ends without error.

    What ``out`` holds of a run is replaced then, and nothing else. An error, or an interruption,
    leaves nothing but the rows of a sweep: that folder is given again to the same run.

    Parameters
    ----------
    out : path
        Where `claimed` has found room, within its block.
    config : dict
        At least what `identity` reads.
    overwrite : bool
        Rows of another sweep may be dropped.

    Raises
    ------
    RunFolderError
        For rows of another sweep.
    OSError
        If the run cannot be moved into ``out``; it is kept for the next `claimed` of ``out``.
    """

    def resumes(part: Path) -> bool:
        if not (part / ROWS).exists():
            return False
        found = read_config(part)
        if identity(found) == identity(config):
            return True
        if overwrite:
            return False
        raise RunFolderError(_refusal(out, "the fits of a sweep that was interrupted", found))

    room = replaced(resolved(out), ENTRIES, passing=(ROWS,), resumes=resumes, keep=True)
    with room as part:
        write_config(part, config)
        yield part


def _refusal(out: Path, what: str, found: dict[str, Any]) -> str:
    return (
        f"{out} holds {what} ({found.get('line', found['command'])}); choose another folder for "
        "--out, or pass --overwrite"
    )
