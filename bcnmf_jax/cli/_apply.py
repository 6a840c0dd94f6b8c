"""``bcnmf transform`` and ``bcnmf report``: what is done with a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from numpy.typing import NDArray

from bcnmf_jax.cli._inputs import are_counts, dense, scaled
from bcnmf_jax.cli._progress import working
from bcnmf_jax.cli._replacing import Overwrite, check_file
from bcnmf_jax.cli._results import usage_of
from bcnmf_jax.datasets.tables import Table, TableError
from bcnmf_jax.datasets.tables import read_table as read_values
from bcnmf_jax.report.run_folder import ENTRIES, MODEL, REPORT, read_config, read_table
from bcnmf_jax.report.run_forms import RunFolderError
from bcnmf_jax.storage.files import whole_file
from bcnmf_jax.storage.folders import as_one

if TYPE_CHECKING:
    from bcnmf_jax.estimator.bcnmf import BCNMF

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]


def transform(
    run: Run,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Samples, as bcnmf fit reads them.")],
    out: Annotated[Path, typer.Option(help="Table of codes, .tsv or .tsv.gz.")],
    layer: Annotated[str | None, typer.Option(help="Layer of an .h5ad file.")] = None,
    overwrite: Overwrite = False,
) -> None:
    """Give the codes of samples on the components of a fit.

    Features are matched by name and may stand in any order. Where the fit took logarithms of
    counts, these samples are to be counts too, and are treated alike.

    Example:

    - bcnmf transform RUN more.csv --out codes.tsv
    """
    check_file(out, (data, *parts(run)), overwrite=overwrite)
    config, features, model = read_fit(run)
    applied, masked = config["scale"]["applied"], config["parameters"].get("missing") == "mask"
    with whole_file(out) as partial:
        table = working("reading", lambda _: matched(data, layer, features, applied, masked))
        codes = working("transforming", lambda _: usage_of(model, table))
        codes.to_csv(partial, sep="\t", index=False)
    print(f"{out}: {len(codes)} samples, {codes.shape[1] - 1} components")


def parts(run: Path) -> list[Path]:
    """Entries of a run but its report, which is written again from the others."""
    return [run / name for name in ENTRIES if name != REPORT]


def read_fit(run: Path) -> tuple[dict[str, Any], NDArray, BCNMF]:
    """Configuration, names of features and model of a run.

    Raises
    ------
    RunFolderError
        For a run without a model, or with one of other features.
    """
    return as_one(run, ENTRIES, lambda: _fit_of(run))


def _fit_of(run: Path) -> tuple[dict[str, Any], NDArray, BCNMF]:
    from bcnmf_jax.estimator.saved import load

    config = read_config(run)
    if config["command"] != "fit":
        raise RunFolderError(f"{run} is a run of bcnmf {config['command']}, which has no model")
    if "scale" not in config:
        raise RunFolderError(f"{run} holds an unfinished run, which has no model")
    features = read_table(run, "components", needed=True)["feature"].to_numpy(str)
    model = load(run / MODEL)
    if features.tolist() != list(getattr(model, "feature_names_in_", features)):
        raise RunFolderError(f"{run}: tables/components.tsv has other features than its model")
    return config, features, model


def matched(path: Path, layer: str | None, features: NDArray, applied: str, masked: bool) -> Table:
    """Samples with the features, and on the scale, of a fit.

    Raises
    ------
    TableError
        For features that are missing, values that are not taken, and logarithms of what are no
        counts.
    """
    table = read_values(path, layer)
    try:
        table = table.with_features(features)
        table.check(masked)
    except TableError as error:
        raise TableError(f"{path}: {error}") from error
    if applied == "log" and not are_counts(table):
        raise TableError(f"{path}: it holds no counts, of which this fit took logarithms")
    return dense(scaled(table, applied))[0]


def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="The page; by default report.html in the run.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the report of a run: one page that needs no network.

    Example:

    - bcnmf report RUN
    """
    from bcnmf_jax.report import write

    page = run / REPORT if out is None else out
    if page.resolve() != (run / REPORT).resolve():
        check_file(page, parts(run), overwrite=overwrite)
    print(working("writing", lambda _: write(run, page)))
