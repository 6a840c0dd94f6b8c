"""A run from its options to its folder: what every command that leaves one does alike."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bcnmf_jax.cli import _show as show
from bcnmf_jax.cli._inputs import Inputs, read_inputs, sources
from bcnmf_jax.cli._options import DataOptions, RunOptions
from bcnmf_jax.cli._progress import working
from bcnmf_jax.extras import versions
from bcnmf_jax.report.run_folder import REPORT, claimed, write_config, writing
from bcnmf_jax.report.run_values import column_names


def carry_out(
    command: str,
    data: DataOptions,
    run: RunOptions,
    parameters: dict[str, Any],
    work: Callable[[Path, Inputs], dict[str, Any]],
    *,
    loss: str,
    columns: Sequence[str | None] = (),
    masked: bool = False,
    report: bool = True,
) -> dict[str, Any]:
    """Read the data, do the work in a folder that becomes the run, and write the report.

    Parameters
    ----------
    command, data, run, parameters
        As config.json lists them.
    work : callable
        ``work(folder, inputs)`` writes tables and gives config.json's ``result``.
    loss : str
        Which the scale goes by.
    columns : sequence of str
        Columns of obs that are needed; None is left out.
    masked : bool
        Missing values are taken, and masked.
    report : bool

    Returns
    -------
    dict
        What config.json holds; of the same run, where the folder holds it already.
    """
    clock, keys = time.perf_counter(), given(*columns)
    config = begun(command, data, parameters, keys)
    with claimed(run.out, config, overwrite=run.overwrite) as done:
        if done:
            show.say(f"{run.out} holds this run already; --overwrite does it again")
            config = done
        else:
            with (
                show.noticing() as warned,
                writing(run.out, config, overwrite=run.overwrite) as folder,
            ):
                inputs = working("reading", lambda _: read_inputs(data, loss, keys, masked))
                scale = inputs.scale
                show.say(f"{inputs.size()}; scale {scale['applied']} ({scale['why']})")
                config |= inputs.described() | {"result": work(folder, inputs), "warnings": warned}
                config["seconds"] = round(time.perf_counter() - clock, 3)
                write_config(folder, config)
        if report and not (run.out / REPORT).exists():
            from bcnmf_jax.report import write

            working("writing the report", lambda _: write(run.out, run.out / REPORT))
    return config


def begun(
    command: str, data: DataOptions, parameters: dict[str, Any], columns: list[str]
) -> dict[str, Any]:
    """Record of a run before its data are read."""
    import jax

    read = {k: v for k, v in asdict(data).items() if k not in ("file", "background_file")}
    return {
        "command": command,
        "line": shlex.join(["bcnmf", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "device": jax.default_backend(),
        "sources": sources(data),
        "data": read,
        "parameters": parameters,
        "columns": column_names(columns),
    }


def given(*names: str | None) -> list[str]:
    """The names that are given, each once."""
    return list(dict.fromkeys(name for name in names if name is not None))
