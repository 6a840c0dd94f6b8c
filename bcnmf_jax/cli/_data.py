"""``bcnmf data``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from bcnmf_jax.cli import _show as show
from bcnmf_jax.cli._progress import working
from bcnmf_jax.cli._replacing import Overwrite, check_folder
from bcnmf_jax.datasets.dataset import Dataset
from bcnmf_jax.extras import require
from bcnmf_jax.storage.files import whole_file

ROLE = "role"
"""Column of obs that tells target and background apart."""


def data(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A data set; without one they are listed.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write it to.")] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="csv|h5ad", help="Two tables and labels.csv, or one data.h5ad."
        ),
    ] = "csv",
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An argument of a simulation."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """List data sets and simulations, or write one as files that the other commands read.

    Written are counts where there are any. Labels are for scores alone. All but the simulations and
    digits_on_photos are read from files in the folder that BCNMF_DATA names.

    Examples:

    - bcnmf data

    - bcnmf data beta_simulation --set n=200 --out DEMO

    - bcnmf fit DEMO/target.csv DEMO/background.csv --n-components 2 --alpha 2 --out RUN
    """
    known = loaders()
    if name is None:
        rows = [
            {"data set": key, "arguments": arguments(load), "what": first_sentence(load)}
            for key, load in known.items()
        ]
        return show.table("Data sets", rows)
    if name not in known:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(known)}")
    if out is None:
        raise typer.BadParameter("name a folder to write to", param_hint="--out")
    if form not in ("csv", "h5ad"):
        raise typer.BadParameter(f"{form!r} is not csv or h5ad", param_hint="--format")
    settings = parsed(known[name], given or [])
    check_folder(out, overwrite=overwrite)
    made = working("loading", lambda _: known[name](**settings))
    files = working("writing", lambda _: (as_csv if form == "csv" else as_h5ad)(made, out))
    print(made.description)
    print(*files, sep="\n")


def loaders() -> dict[str, Callable[..., Dataset]]:
    """Functions that give a data set, by name."""
    import bcnmf_jax.datasets as datasets

    public = {name: getattr(datasets, name) for name in datasets.__all__}
    return {k: f for k, f in public.items() if inspect.isfunction(f) and _returns(f) is Dataset}


def _returns(function: Callable[..., Any]) -> Any:
    return inspect.signature(function, eval_str=True).return_annotation


def arguments(load: Callable[..., Dataset]) -> str:
    """The arguments of a loader and their defaults."""
    given = inspect.signature(load).parameters.values()
    return ", ".join(f"{p.name}={p.default}" for p in given)


def first_sentence(load: Callable[..., Dataset]) -> str:
    """First sentence of a loader's documentation."""
    text = (inspect.getdoc(load) or "").split("\n\n")[0].replace("\n", " ")
    return text.replace(":func:", "").replace("`", "")


def parsed(load: Callable[..., Dataset], given: list[str]) -> dict[str, Any]:
    """Arguments of a loader from KEY=VALUE.

    Raises
    ------
    ValueError
        For an argument that it does not have, and a value of another kind.
    """
    known, found = inspect.signature(load).parameters, {}
    for text in given:
        key, _, value = text.partition("=")
        if key not in known:
            raise ValueError(f"--set {text}: its arguments are {arguments(load) or 'none'}")
        kind = type(known[key].default)
        try:
            found[key] = kind(value)
        except ValueError as error:
            raise ValueError(f"--set {text}: {key} is a number") from error
    return found


def as_csv(made: Dataset, out: Path) -> list[Path]:
    """Write target.csv, background.csv and labels.csv."""
    files = {}
    for role, values in made.data("counts").items():
        whole = (values == np.round(values)).all()
        files[f"{role}.csv"] = pd.DataFrame(
            values.astype(int) if whole else values, named(role, len(values)), made.feature_names
        )
    labels = {"label": made.labels} | ({} if made.groups is None else {"group": made.groups})
    files["labels.csv"] = pd.DataFrame(labels, named("target", len(made.labels)))
    for name, frame in files.items():
        with whole_file(out / name) as partial:
            frame.to_csv(partial)
    return [out / name for name in files]


def as_h5ad(made: Dataset, out: Path) -> list[Path]:
    """Write data.h5ad, whose obs has role, label (empty in the background) and group."""
    anndata = require("anndata", "bio")
    sets = made.data("counts")
    obs = pd.DataFrame(
        {
            ROLE: np.repeat(list(sets), [len(v) for v in sets.values()]),
            "label": [*map(str, made.labels), *[""] * len(sets["background"])],
        },
        np.concatenate([named(role, len(values)) for role, values in sets.items()]),
    )
    if made.groups is not None and made.background_groups is not None:
        obs["group"] = np.concatenate([made.groups, made.background_groups])
    var = pd.DataFrame(index=made.feature_names)
    held = anndata.AnnData(np.concatenate(list(sets.values())), obs, var)
    with whole_file(out / "data.h5ad") as partial:
        held.write_h5ad(partial)
    return [out / "data.h5ad"]


def named(role: str, count: int) -> list[str]:
    """Names of samples."""
    return [f"{role}{i}" for i in range(count)]
