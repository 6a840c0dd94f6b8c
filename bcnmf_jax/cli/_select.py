"""``bcnmf select``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bcnmf_jax.cli import _show as show
from bcnmf_jax.cli._inputs import Inputs
from bcnmf_jax.cli._options import (
    MODEL,
    DataOptions,
    GroupKey,
    RunOptions,
    TopFeatures,
    features_asked,
    values,
)
from bcnmf_jax.cli._progress import OnProgress, working
from bcnmf_jax.cli._record import carry_out
from bcnmf_jax.report.run_folder import read_table, write_table

CRITERIA = (
    "objective", "alpha", "n_components", "score", "silhouette", "specificity", "net", "net_se",
)  # fmt: skip
"""Columns of the summary of candidates."""


def select(
    data: DataOptions,
    run: RunOptions,
    group_key: GroupKey = None,
    loss: Annotated[
        str,
        typer.Option(
            metavar="frobenius|kl", help="Squared error, or KL for counts.", rich_help_panel=MODEL
        ),
    ] = "frobenius",
    objectives: Annotated[
        str | None,
        typer.Option(help="Objectives to choose from, with commas.", rich_help_panel=MODEL),
    ] = None,
    alphas: Annotated[
        str | None, typer.Option(help="Contrasts to choose from.", rich_help_panel=MODEL)
    ] = None,
    ranks: Annotated[
        str | None,
        typer.Option(help="Numbers of target components to choose from.", rich_help_panel=MODEL),
    ] = None,
    criterion: Annotated[
        str,
        typer.Option(
            help="What takes a candidate: groups of the target that the background lacks, or the "
            "net gain on held-out samples.",
            metavar="separation|gain",
            rich_help_panel=MODEL,
        ),
    ] = "separation",
    top_features: TopFeatures = "auto",
    splits: Annotated[
        int | None, typer.Option(help="Random splits of both sets.", rich_help_panel=MODEL)
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of the splits.", min=0, max=2**32 - 1, rich_help_panel=MODEL)
    ] = 0,
) -> None:
    """Choose objective, alpha and number of components without labels.

    Whether there is a contrast is asked of held-out samples, or with --group-key of donors that are
    exchanged between the sets: the answer may be that there is none, or that the data are too few
    to tell. Which candidate is taken, by how far its components set groups of the target apart
    that the background lacks. Of many features and rows some are read, and the reasons say which.

    Examples:

    - bcnmf select treated.csv untreated.csv --out SELECT

    - bcnmf select cells.h5ad --condition-key stim --target stim --background ctrl
      --group-key donor --ranks 1,2,3,4 --out SELECT
    """
    given = {
        "objectives": objectives and objectives.split(","),
        "alphas": alphas and values(alphas, float, "--alphas"),
        "ranks": ranks and values(ranks, int, "--ranks"),
        "splits": splits,
        "random_state": seed,
        "criterion": criterion,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    asked["n_top_features"] = features_asked(top_features)

    def work(folder: Path, inputs: Inputs) -> dict[str, Any]:
        found = working(
            "selecting", lambda tell: selected(inputs, loss, group_key, tell, asked)
        ).to_dict()
        if rows := found.pop("table"):
            write_table(folder, "selection", rows)
        return found

    parameters = asked | {"loss": loss, "group_key": group_key}
    config = carry_out("select", data, run, parameters, work, loss=loss, columns=[group_key])
    shown(config, run)


def selected(
    inputs: Inputs, loss: str, group_key: str | None, tell: OnProgress, asked: dict[str, Any]
) -> Any:
    """The selection of the library."""
    from bcnmf_jax.inference.selection import select
    from bcnmf_jax.model.losses import as_loss

    groups = None
    if group_key:
        both = {"target": inputs.target, "background": inputs.background}
        groups = {k: t.groups(group_key) for k, t in both.items()}
    return select(inputs.values(), loss=as_loss(loss), groups=groups, on_progress=tell, **asked)


def shown(config: dict[str, Any], run: RunOptions) -> None:
    """The choice and its candidates, on stdout."""
    found, frame = config["result"], read_table(run.out, "selection")
    rows = [] if frame is None else frame.to_dict("records")
    if run.as_json:
        return show.emit({"out": run.out} | found | {"table": rows})
    print(f"{found['outcome']}: {'; '.join(found['reasons'])}")
    if rows:
        show.table("Candidates", [{k: row[k] for k in CRITERIA if k in row} for row in rows])
    if found["outcome"] == "contrast found":
        asked = config["parameters"].get("n_top_features", "auto")
        features = "" if asked == "auto" else f" --top-features {asked or 'all'}"
        print(
            f"bcnmf fit ... --objective {found['objective']} --alpha {found['alpha']:g} "
            f"--n-components {found['n_components']} "
            f"--n-background-components {found['n_background_components']}{features}"
        )
