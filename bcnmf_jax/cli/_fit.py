"""``bcnmf fit``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bcnmf_jax.cli import _show as show
from bcnmf_jax.cli._inputs import Inputs
from bcnmf_jax.cli._options import (
    DATA,
    MODEL,
    RUN,
    DataOptions,
    FitOptions,
    GroupKey,
    RunOptions,
    TopFeatures,
    features_asked,
    value_or_auto,
)
from bcnmf_jax.cli._progress import OnProgress, working
from bcnmf_jax.cli._record import carry_out, given
from bcnmf_jax.cli._results import as_input, estimator, outcome, shown, write_tables
from bcnmf_jax.report.run_folder import MODEL as MODEL_FOLDER
from bcnmf_jax.report.run_folder import write_table

if TYPE_CHECKING:
    from bcnmf_jax.estimator.bcnmf import BCNMF


@dataclass(frozen=True)
class Size:
    """Options of a single fit."""

    n_components: Annotated[
        str, typer.Option(metavar="K|auto", help="Target components.", rich_help_panel=MODEL)
    ] = "auto"
    alpha: Annotated[
        str,
        typer.Option(
            metavar="ALPHA|auto", help="Contrast per sample, at least 0.", rich_help_panel=MODEL
        ),
    ] = "auto"
    top_features: TopFeatures = "auto"
    missing: Annotated[
        str,
        typer.Option(
            metavar="raise|mask",
            help="Missing values: refuse, or leave out.",
            rich_help_panel=MODEL,
        ),
    ] = "raise"

    def parameters(self) -> dict[str, Any]:
        """As `BCNMF` takes them."""
        return {
            "missing": self.missing,
            "n_top_features": features_asked(self.top_features),
            "n_components": value_or_auto(self.n_components, int, "--n-components"),
            "alpha": value_or_auto(self.alpha, float, "--alpha"),
        }


def fit(
    data: DataOptions,
    size: Size,
    model: FitOptions,
    run: RunOptions,
    group_key: GroupKey = None,
    batch_key: Annotated[
        str | None,
        typer.Option(
            help="Column of obs with runs, plates or days, for the check of the background.",
            rich_help_panel=DATA,
        ),
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(help="More columns of obs for tables and report.", rich_help_panel=RUN),
    ] = None,
    permutations: Annotated[
        int,
        typer.Option(
            help="With --group-key: exchanges of groups in the test of enrichment, each of two "
            "small fits; 0 for no test.",
            rich_help_panel=RUN,
        ),
    ] = 199,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Write no report.html.", rich_help_panel=RUN)
    ] = False,
) -> None:
    """Fit components of a target that a background lacks.

    TARGET and BACKGROUND are csv, tsv (a header of feature names; samples in rows), h5ad, 10x
    folders or h5, mtx or npz. RUN then holds the model, tables and report.html.

    Examples:

    - bcnmf fit treated.csv untreated.csv --n-components 5 --out RUN

    - bcnmf fit cells.h5ad --condition-key stim --target stim --background ctrl --out RUN

    - bcnmf fit cells.h5ad --condition-key stim --target stim --background ctrl --group-key donor
      --out RUN

      What is left out is chosen without labels, or there is said to be no contrast.

    - bcnmf fit treated.h5 untreated.h5 --loss kl --objective background_first --out RUN
    """
    parameters = size.parameters() | model.parameters()
    estimator(parameters)

    def work(folder: Path, inputs: Inputs) -> dict[str, Any]:
        checks = working("checking the background", lambda _: checked(inputs, parameters, asked))
        write_table(folder, "background", checks)
        found = working("fitting", lambda tell: fitted(inputs, parameters, group_key, tell))
        write_tables(folder, found, inputs, keys)
        if (key := group_key) is not None and permutations:
            rows = working("testing", lambda tell: tested(found, inputs, key, permutations, tell))
            write_table(folder, "enrichment", rows)
        found.save(folder / MODEL_FOLDER)
        return outcome(found)

    asked = {"group_key": group_key, "batch_key": batch_key, "permutations": permutations}
    keys = given(data.condition_key, group_key, batch_key, *(columns or ()))
    config = carry_out(
        "fit", data, run, parameters | asked, work,
        loss=model.loss, columns=keys, masked=size.missing == "mask", report=not no_report,
    )  # fmt: skip
    shown(config, run)


def fitted(
    inputs: Inputs, parameters: dict[str, Any], group_key: str | None, tell: OnProgress
) -> BCNMF:
    """The fitted model; a choice of what is "auto" keeps groups whole. Passes over sparse data say
    in lines of their own how far they are."""
    from bcnmf_jax.estimator.watched import fit_watched
    from bcnmf_jax.fitting.callbacks import Callbacks

    tables = inputs.target, inputs.background
    mine, theirs = (t.groups(group_key) if group_key else None for t in tables)
    model = estimator(parameters | {"verbose": inputs.sparse})
    callbacks = Callbacks(model._say, lambda stage, share: tell(share, stage))
    target, background = map(as_input, tables)
    found = fit_watched(model, target, None, background, None, mine, theirs, callbacks)
    for line in () if inputs.sparse else found.told:  # which says it as it goes
        show.say(line)
    model._warn()
    return model


def checked(
    inputs: Inputs, parameters: dict[str, Any], asked: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of the check of the background; what they advise is said."""
    from bcnmf_jax.inference.background import background_check

    tables, count = (inputs.target, inputs.background), parameters["n_components"]
    marks: dict[str, Any] = {}
    for name in ("group", "batch"):
        if (key := asked[f"{name}_key"]) is not None:
            name = "groups" if name == "group" else name
            marks[name], marks[f"background_{name}"] = (t.groups(key) for t in tables)
    found = background_check(
        *map(as_input, tables), counts=inputs.counts, loss=parameters["loss"],
        n_components=None if count == "auto" else count,
        random_state=parameters["random_state"], **marks,
    )  # fmt: skip
    for advice in found.advice:
        show.say(f"background: {advice}")
    return found.to_dict()["rows"]


def tested(
    model: BCNMF, inputs: Inputs, key: str, permutations: int, tell: OnProgress
) -> list[dict[str, Any]]:
    """Rows of the test of enrichment; groups that are in both sets are pairs."""
    from bcnmf_jax.inference.enrichment_test import enrichment

    tables = inputs.target, inputs.background
    groups, others = (t.groups(key) for t in tables)
    both, fewer = set(groups) & set(others), min(len(set(groups)), len(set(others)))
    if 0 < len(both) < fewer:
        show.say(
            f"{len(both)} groups of {key!r} are in both sets, and these pairs alone are tested; "
            "call groups by other names in each set for a test without pairs"
        )
    found = enrichment(
        model, *map(as_input, tables), groups=groups, background_groups=others,
        pairs=bool(both), n_permutations=permutations,
        random_state=model.random_state, on_progress=tell,
    )  # fmt: skip
    if found.note:
        show.say(found.note)
    if found.testable:
        p, q = found.smallest
        show.say(
            f"enrichment: {found.permutations} exchanges; no target component can have a p below "
            f"{p:.2g}, the best of them no q below {q:.2g}"
        )
    return list(found.rows)
