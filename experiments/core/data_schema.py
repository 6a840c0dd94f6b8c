"""Data sets in configurations: a function of the package, or a file and its columns."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from experiments.core.registry import DATASETS


class Strict(BaseModel, frozen=True):
    """Unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def among(name: str, known: Iterable[str], more: str) -> str:
    """A name that is known; ValueError says which are, and what ``more`` would do."""
    if name not in known:
        raise ValueError(f"Input should be one of {', '.join(known)}, {more}; found {name!r}")
    return name


class Columns(Strict, frozen=True):
    """A data set of one's own: a file, or two, and the names of its columns.

    Attributes
    ----------
    path : str
        An .h5ad, or a .csv or .tsv with a header, a first column of samples' names, and a column
        per feature; from the folder of the configuration.
    background_path : str or None
        A second file with the background, where ``path`` holds the target alone.
    condition : str or None
        Column that tells target and background apart in a single file.
    target, background : list of str
        Its values.
    labels : str
        Column of what scores compare with.
    groups : str or None
        Column of donors, mice or the like.
    layer : str or None
        Of the .h5ad; X by default.
    sha256 : str
        Of the content of all files; taken when the configuration is read, so that rows of a file
        that has changed are told apart.
    folder : Path
        Of the configuration.
    """

    path: str
    labels: str
    background_path: str | None = None
    condition: str | None = None
    target: list[str] = []
    background: list[str] = []
    groups: str | None = None
    layer: str | None = None
    sha256: str = ""
    folder: Path = Field(default=Path(), exclude=True)

    @model_validator(mode="after")
    def _two_sets(self) -> Columns:
        one = self.condition, self.target, self.background
        if all(one) == bool(self.background_path) or (any(one) and self.background_path):
            raise ValueError("needs condition, target and background, or background_path")
        if both := sorted(set(self.target) & set(self.background)):
            raise ValueError(f"condition {both[0]!r} is in both target and background")
        if self.background_path == self.path:
            raise ValueError("path and background_path are one file")
        if self.layer and not self.path.endswith(".h5ad"):
            raise ValueError(f"layer: {self.path} has none; an .h5ad file has")
        return self


class Data(Strict, frozen=True):
    """A data set: a function of ``bcnmf_jax.datasets`` and its arguments, or a file of one's own.

    ``background_fraction`` keeps that share of the background's rows, drawn once for all runs.
    """

    name: str
    args: dict[str, int | float | str] = {}
    background_fraction: float = Field(default=1.0, gt=0, le=1)
    file: Columns | None = None

    @model_validator(mode="after")
    def _known(self) -> Data:
        if self.file is None:
            try:
                among(self.name, DATASETS, "or have a [data.file]")
            except ValueError as error:
                raise ValueError(f"name: {error}") from None
        elif self.name in DATASETS or self.args:
            raise ValueError("a data set with a file needs a name of its own, and takes no args")
        return self

    @property
    def described(self) -> dict[str, int | float | str]:
        """What a row says about the data beside the name."""
        part = {"background_fraction": self.background_fraction}
        own = {"sha256": self.file.sha256[:12]} if self.file else {}
        return self.args | own | (part if self.background_fraction < 1 else {})


def check_different(data: list[Data]) -> None:
    """Raise ValueError for two data sets that rows could not tell apart."""
    seen = [json.dumps([d.name, d.described], sort_keys=True) for d in data]
    if twice := [d.name for d, key in zip(data, seen, strict=True) if seen.count(key) > 1]:
        raise ValueError(f"data: {twice[0]} is there twice")
