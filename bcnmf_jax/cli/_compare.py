"""``bcnmf compare``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from bcnmf_jax.cli import _show as show
from bcnmf_jax.cli._inputs import Inputs
from bcnmf_jax.cli._options import MODEL, RUN, DataOptions, FitOptions, GroupKey, RunOptions
from bcnmf_jax.cli._progress import OnProgress, working
from bcnmf_jax.cli._record import carry_out
from bcnmf_jax.cli._results import estimator
from bcnmf_jax.report.run_folder import read_table, write_table

SUMMARY = ("method", "alpha", "target_variance", "background_variance", "ari_primary", "auc")
"""Columns that are shown."""
SCORES = ("ari_primary", "nmi_primary", "auc", "auc_chance", "auc_logistic")
"""Of `bcnmf_jax.metrics.score`, with labels."""


@dataclass(frozen=True)
class Setting:
    """Settings of a comparison, common and by method."""

    n_components: Annotated[
        int, typer.Option(help="Components of every method.", rich_help_panel=MODEL)
    ] = 10
    alpha: Annotated[
        float, typer.Option(help="Contrast per sample, of bcNMF.", rich_help_panel=MODEL)
    ] = 1.0

    def parameters(self) -> dict[str, Any]:
        """As `BCNMF` takes them."""
        return {"n_components": self.n_components, "alpha": self.alpha}


def compare(
    data: DataOptions,
    setting: Setting,
    model: FitOptions,
    run: RunOptions,
    group_key: GroupKey = None,
    labels_key: Annotated[
        str | None,
        typer.Option(
            help="Column of obs with labels of the target, for scores only.", rich_help_panel=RUN
        ),
    ] = None,
) -> None:
    """Compare bcNMF with PCA, contrastive PCA, gcPCA and NMF.

    Of every method the same is asked: what share of the target's variance, and of the
    background's, lies in the space of its components. A contrast has much of the first and little
    of the second. Labels score what was found and choose nothing.

    Examples:

    - bcnmf compare treated.csv untreated.csv --n-components 5 --alpha 1 --out COMPARE

    - bcnmf compare cells.h5ad --condition-key role --target target --background background
      --labels-key cell_type --n-components 5 --out COMPARE
    """
    parameters = setting.parameters() | model.parameters()
    estimator(parameters)

    def work(folder: Path, inputs: Inputs) -> dict[str, Any]:
        rows = working(
            "comparing",
            lambda tell: compared(inputs, parameters, labels_key, group_key, tell),
        )
        write_table(folder, "comparison", rows)
        return {}

    keys = {"labels_key": labels_key, "group_key": group_key}
    columns = list(keys.values())
    config = carry_out(
        "compare", data, run, parameters | keys, work, loss=model.loss, columns=columns
    )
    shown(config, run)


def compared(
    inputs: Inputs,
    parameters: dict[str, Any],
    labels_key: str | None,
    group_key: str | None,
    tell: OnProgress,
) -> list[dict[str, Any]]:
    """A row for each method."""
    from bcnmf_jax.metrics import score

    arrays, rows = inputs.arrays(), []
    keys = labels_key, group_key
    labels, groups = (None if key is None else inputs.target.groups(key) for key in keys)
    every = methods(parameters)
    for fit in every:
        began = time.perf_counter()
        found = fit(arrays["target"], arrays["background"])
        row: dict[str, Any] = {"method": found.name, "alpha": found.alpha, "result": found.result}
        row |= {"components": len(found.components), "seconds": time.perf_counter() - began}
        for role, values in arrays.items():
            row[f"{role}_variance"] = variance_within(values, found.components)
        if labels is not None:
            seed = parameters["random_state"]
            scores = score(found.codes, labels, groups, random_state=seed, shared=found.shared)
            row |= {key: scores[key] for key in SCORES}
        rows.append(row)
        tell(len(rows) / len(every))
    return rows


class Found(NamedTuple):
    """Result of a method: codes (n, k), components (k, g), and codes on shared components."""

    name: str
    codes: NDArray
    components: NDArray
    alpha: float | None
    result: str = ""
    shared: NDArray | None = None


def methods(parameters: dict[str, Any]) -> list[Callable[[NDArray, NDArray], Found]]:
    """The baselines and the model, as functions of target and background."""
    from bcnmf_jax.baselines import cpca, gcpca, nmf, pca

    rank, seed = parameters["n_components"], parameters["random_state"]

    def baseline(name: str, method: Callable[..., Any], x: NDArray, y: NDArray) -> Found:
        found = method(x, y, rank, random_state=seed)
        return Found(name, found.codes, found.components, found.alpha)

    def model(x: NDArray, y: NDArray) -> Found:
        # All features, as the others take them.
        fitted = estimator(parameters | {"n_top_features": None}).fit(x, background=y)
        full, k = fitted.transform(x, full=True), len(fitted.components_)
        return Found(
            f"bcNMF, {fitted.objective_}", full[:, :k], fitted.components_, fitted.alpha_,
            fitted.result_, full[:, k:],
        )  # fmt: skip

    pairs = (("PCA", pca), ("cPCA", cpca), ("gcPCA", gcpca), ("NMF", nmf))
    return [*(partial(baseline, name, method) for name, method in pairs), model]


def variance_within(values: NDArray, components: NDArray) -> float:
    """Share of the variance about the mean that lies in the space of the components."""
    space = np.linalg.svd(components.astype(np.float64), full_matrices=False)
    axes = space[2][space[1] > 1e-10 * space[1][0]]
    centred = values - values.mean(0, dtype=np.float64)
    return float(((centred @ axes.T) ** 2).sum() / (centred**2).sum())


def shown(config: dict[str, Any], run: RunOptions) -> None:
    """The comparison on stdout."""
    rows = read_table(run.out, "comparison", needed=True).to_dict("records")
    if run.as_json:
        return show.emit({"out": run.out, "methods": rows})
    kept = [{k: row[k] for k in SUMMARY if k in row} for row in rows]
    show.table("Share of variance in the space of the components", kept)
    print(f"{run.out} was written in {config['seconds']:.1f} s")
