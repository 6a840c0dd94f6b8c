"""Results of a fit: tables, record, and a summary of both on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from bcnmf_jax.cli import _show as show
from bcnmf_jax.cli._inputs import Inputs
from bcnmf_jax.cli._options import RunOptions
from bcnmf_jax.datasets.tables import Table
from bcnmf_jax.report.run_folder import REPORT, read_table, write_table
from bcnmf_jax.report.run_forms import OWN, RunFolderError
from bcnmf_jax.report.run_values import column_names

if TYPE_CHECKING:
    from bcnmf_jax.estimator.bcnmf import BCNMF

SETS = ("target", "background")
SHOWN = 6
"""Features that the summary names of each component."""


def estimator(parameters: dict[str, Any]) -> BCNMF:
    """The estimator, its parameters checked before any data are read."""
    from bcnmf_jax.estimator.bcnmf import BCNMF
    from bcnmf_jax.estimator.parameters import check_parameters

    model = BCNMF(**parameters)
    check_parameters(model)
    return model


def as_input(table: Table) -> Any:
    """Values for the estimator, with the names of features where it takes them."""
    if sparse.issparse(table.values):
        return table.values
    return pd.DataFrame(table.values, index=table.samples, columns=table.features)


def names(model: BCNMF) -> list[str]:
    """Names of all components, target components first."""
    shared = [f"background{k}" for k in range(len(model.background_components_))]
    return [*map(str, model.get_feature_names_out()), *shared]


def write_tables(folder: Path, model: BCNMF, inputs: Inputs, keys: list[str]) -> None:
    """Components, usage, restarts and what else the model knows."""
    basis = np.concatenate([model.components_, model.background_components_])
    loadings = dict(zip(names(model), basis, strict=True))
    write_table(folder, "components", {"feature": inputs.target.features} | loadings)
    usage, columns = [], column_names(keys)
    for role, table in (("target", inputs.target), ("background", inputs.background)):
        frame = usage_of(model, table)
        frame["set"] = role
        for name, key in zip(columns, keys, strict=True):
            frame[name] = table.column(key)
        usage.append(frame)
    order = [*OWN, *columns, *names(model)]
    write_table(folder, "usage", pd.concat(usage, ignore_index=True)[order])
    count = range(len(model.restarts_["value"]))
    write_table(folder, "restarts", {"restart": count, **model.restarts_})
    if model.selection_ is not None and model.selection_.table:
        write_table(folder, "selection", list(model.selection_.table))


def usage_of(model: BCNMF, table: Table) -> pd.DataFrame:
    """Codes on all components, one column each, after the samples' names."""
    codes = model.transform(as_input(table), full=True)
    frame = pd.DataFrame(codes, columns=names(model))
    frame.insert(0, "sample", table.samples)
    return frame


def outcome(model: BCNMF) -> dict[str, Any]:
    """Result of the fit, for config.json."""
    selection = model.selection_
    return {
        "result": model.result_,
        "n_components": len(model.components_),
        "n_background_components": len(model.background_components_),
        "alpha": model.alpha_,
        "objective": model.objective_,
        "steps": model.n_iter_,
        "fitted_features": int(model.features_.sum()),
        "diagnostics": model.diagnostics_,
        "outcome": selection and selection.outcome,
        "reasons": selection and list(selection.reasons),
    }


def shown(config: dict[str, Any], run: RunOptions) -> None:
    """The end of a fit, on stdout."""
    page, found = run.out / REPORT, config["result"]
    if run.as_json:
        about = {k: config[k] for k in ("samples", "features", "scale", "warnings", "seconds")}
        where = {"out": run.out, "report": page if page.exists() else None}
        return show.emit(where | found | about)
    x, y = (show.short(found["diagnostics"].get(f"{name}_explained")) for name in "xy")
    print(
        f"{found['objective']}, alpha {show.short(found['alpha'])}: {found['result']} after "
        f"{found['steps']} steps; explains {x} of the target and {y} of the background"
    )
    if found["outcome"]:
        print(f"{found['outcome']}: {'; '.join(found['reasons'])}")
    show.table("Components", summary(run.out))
    print(f"{page if page.exists() else run.out} was written in {config['seconds']:.1f} s")


def summary(out: Path) -> list[dict[str, Any]]:
    """Per component its mean usage in each set, and its first features."""
    components, usage = (read_table(out, name, needed=True) for name in ("components", "usage"))
    features = components.pop("feature")
    if lost := [name for name in components if name not in usage]:
        raise RunFolderError(f"{out}/tables/usage.tsv has no column {lost[0]!r}")
    mean = (usage[components.columns] * components.sum()).groupby(usage["set"]).mean().reindex(SETS)
    return [
        {
            "component": name,
            "usage in target": float(mean.loc["target", name]),
            "in background": float(mean.loc["background", name]),
            "first features": ", ".join(map(str, features[components[name].nlargest(SHOWN).index])),
        }
        for name in components
    ]
