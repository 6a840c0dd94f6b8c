"""``bcnmf sweep``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bcnmf_jax.cli import _show as show
from bcnmf_jax.cli._inputs import Inputs
from bcnmf_jax.cli._options import (
    MODEL,
    DataOptions,
    FitOptions,
    RunOptions,
    TopFeatures,
    features_asked,
    values,
)
from bcnmf_jax.cli._progress import working
from bcnmf_jax.cli._record import carry_out
from bcnmf_jax.cli._results import estimator
from bcnmf_jax.report.run_folder import ROWS, read_table, write_table
from bcnmf_jax.report.run_forms import RunFolderError
from bcnmf_jax.report.run_values import plain
from bcnmf_jax.storage.lines import append_lines, read_lines

SUMMARY = ("x_explained", "y_explained", "dead_features", "stability")
AXES = ("alphas", "ranks")
MEASURED = ("x_explained", "y_explained", "dead_features", "dead_components", "effective_features")


@dataclass(frozen=True)
class Grid:
    """The axes of a sweep."""

    alphas: Annotated[
        str, typer.Option(help="Contrasts, with commas between.", rich_help_panel=MODEL)
    ] = "0,0.25,0.5,0.75,1,1.25,1.5,2,3"
    ranks: Annotated[
        str,
        typer.Option(help="Numbers of target components, with commas.", rich_help_panel=MODEL),
    ] = "2,5,10"
    top_features: TopFeatures = "auto"

    def parameters(self) -> dict[str, Any]:
        """The values of both axes, and the number of features."""
        return {
            "n_top_features": features_asked(self.top_features),
            "alphas": values(self.alphas, float, "--alphas"),
            "ranks": values(self.ranks, int, "--ranks"),
        }


def sweep(data: DataOptions, grid: Grid, model: FitOptions, run: RunOptions) -> None:
    """Fit every combination of alpha, number of components and start.

    The table tables/path.tsv shows where shared programs leave the components (the explained
    variance drops), where a fit collapses, and how alike the components of all starts are. After
    Ctrl-C the same command goes on where it stopped. All rows are fitted; of more than 5,000
    features the 3,000 with most to explain, on which everything in the table is measured (all of
    the objectives contrastive, the default, and published).

    Examples:

    - bcnmf sweep treated.csv untreated.csv --alphas 0,0.5,1,2 --ranks 2,4,8 --out SWEEP

    - bcnmf sweep cells.h5ad --condition-key stim --target stim --background ctrl --restarts 20
      --out SWEEP
    """
    model = replace(model, objective=model.objective or "contrastive")
    parameters = grid.parameters() | model.parameters()
    estimator({k: v for k, v in parameters.items() if k not in AXES})
    if model.objective in ("auto", "balanced", "sequential"):
        raise typer.BadParameter(
            f"{model.objective!r} cannot be swept; use background_first, or bcnmf select",
            param_hint="--objective",
        )

    def work(folder: Path, inputs: Inputs) -> dict[str, Any]:
        rows = read_rows(folder / ROWS)
        todo = missing(parameters, rows)
        if rows:
            show.say(f"{len(rows)} fits are done already, {len(todo)} settings are left")
        width = len(inputs.target.features)
        columns = taken(inputs, parameters)
        fitted = width if columns is None else len(columns)
        if fitted < width:
            show.say(
                f"{fitted} of {width} features are fitted and measured, those with most to explain"
            )
        if todo:
            rows += fit_cells(inputs.arrays(columns), parameters, todo, folder / ROWS)
        rows.sort(key=lambda r: (r["n_components"], r["alpha"], r["restart"]))
        write_table(folder, "path", rows)
        results = dict(Counter(row["result"] for row in rows))
        return {"fits": len(rows), "results": results, "fitted_features": fitted}

    config = carry_out("sweep", data, run, parameters, work, loss=model.loss)
    shown(config, run)


def taken(inputs: Inputs, parameters: dict[str, Any]) -> np.ndarray | None:
    """Places of the features that are fitted, as `BCNMF` takes them; None for all."""
    from bcnmf_jax.data.top_features import top, unexplained
    from bcnmf_jax.inference.features import count_taken
    from bcnmf_jax.model.losses import as_loss

    loss, sets = as_loss(parameters["loss"]), list(inputs.values().values())
    width = sets[0].shape[1]
    count = count_taken(parameters["n_top_features"], width, [parameters["objective"]], loss)
    return None if count is None else top(unexplained(sets, counts=not loss.bounded).misfit, count)


def missing(parameters: dict[str, Any], rows: list[dict[str, Any]]) -> list[tuple[int, float]]:
    """The settings without rows: number of components, and alpha."""
    done = {(row["n_components"], row["alpha"]) for row in rows}
    every = [(k, a) for k in parameters["ranks"] for a in parameters["alphas"]]
    return [cell for cell in dict.fromkeys(every) if cell not in done]


def fit_cells(
    arrays: dict[str, Any], parameters: dict[str, Any], todo: list[tuple[int, float]], path: Path
) -> list[dict[str, Any]]:
    """Fit the settings, and append the rows of each to the file as it ends."""

    def work(tell: Any) -> list[dict[str, Any]]:
        made = []
        for i, rows in enumerate(cells(arrays, parameters, todo)):
            append_lines(path, [rows])
            made += rows
            tell((i + 1) / len(todo))
        return made

    return working(f"fitting {len(todo)} settings", work)


def cells(
    arrays: dict[str, Any], parameters: dict[str, Any], todo: list[tuple[int, float]]
) -> Iterator[list[dict[str, Any]]]:
    """Rows of all starts, setting by setting."""
    import jax

    from bcnmf_jax.data.preparation import prepare
    from bcnmf_jax.fitting.grid import sweep
    from bcnmf_jax.fitting.plan import Plan
    from bcnmf_jax.fitting.result import result_name
    from bcnmf_jax.fitting.stop import Stop
    from bcnmf_jax.inference.selection.gains import stability
    from bcnmf_jax.model.losses import as_loss

    model = estimator({k: v for k, v in parameters.items() if k not in AXES})
    loss, rows = as_loss(model.loss), prepare(arrays)
    key, count = jax.random.key(model.random_state), model.n_restarts
    keys = jax.vmap(lambda r: jax.random.fold_in(key, r))(np.arange(count))
    for rank, alpha in todo:
        plan = Plan(model.objective, alpha, rank, model.n_background_components, loss)
        fits = sweep(
            plan.make, rows, alphas=[alpha], ranks=[rank], keys=keys, loss=loss,
            stop=Stop(model.tol, model.max_iter), **plan.extra,
        )[0, 0]  # fmt: skip
        alike = stability(np.asarray(fits.blocks["basis"])[:, :rank])
        results = result_name(fits.result)
        measured = {name: np.asarray(fits.diagnostics[name]) for name in MEASURED}
        yield [
            plain(
                {
                    "alpha": alpha,
                    "n_components": rank,
                    "restart": r,
                    "result": results[r],
                    "steps": int(fits.steps[r]),
                    **{name: value[r] for name, value in measured.items()},
                    "stability": alike,
                }
            )
            for r in range(count)
        ]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of the settings that are done.

    Raises
    ------
    RunFolderError
        For what is no such row.
    """
    try:
        cells = read_lines(path)
    except ValueError as error:
        raise RunFolderError(f"{error}; remove the file") from error
    known = {"n_components": int, "restart": int, "alpha": int | float, "result": str}
    for number, rows in cells.items():
        fine = isinstance(rows, list) and all(
            isinstance(row, dict) and all(isinstance(row.get(k), kind) for k, kind in known.items())
            for row in rows
        )
        if not fine:
            raise RunFolderError(f"{path}, line {number}: no rows of fits; remove the file")
    return [row for rows in cells.values() for row in rows]


def shown(config: dict[str, Any], run: RunOptions) -> None:
    """The end of a sweep, on stdout: medians over starts."""
    frame = read_table(run.out, "path", needed=True)
    if run.as_json:
        rows = frame.to_dict("records")
        return show.emit({"out": run.out} | config["result"] | {"rows": rows})
    found = frame.groupby(["n_components", "alpha"], as_index=False)
    medians = found[[c for c in SUMMARY if c in frame]].median()
    bad = (
        frame["result"]
        .isin(["collapsed", "nonfinite"])
        .groupby([frame["n_components"], frame["alpha"]])
    )
    medians["collapsed"] = bad.mean().to_numpy()
    fitted, width = config["result"].get("fitted_features"), config["features"]
    of = f", of {fitted} of {width} features" if fitted and fitted < width else ""
    show.table(f"Medians over starts{of}", medians.to_dict("records"))
    print(f"{run.out} was written in {config['seconds']:.1f} s")
