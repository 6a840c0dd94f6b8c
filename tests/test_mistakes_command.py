"""Mistakes in files and options of `bcnmf`: one clear line each, and nothing is written."""

import anndata
import numpy as np
import pandas as pd
import pytest

from tests.commands import KEYS, bcnmf, files  # noqa: F401 (fixtures)
from tests.mistakes import before_any_fit

MISTAKES = {
    "no such file": (["fit", "gone.csv", "B", "--out", "OUT"], "no file or folder 'gone.csv'"),
    "unknown kind": (["fit", "x.docx", "B", "--out", "OUT"], "of no kind that is known"),
    "bad value": (["fit", "nan.csv", "B", "--out", "OUT"], "20 missing values"),
    "negative": (["fit", "negative.csv", "B", "--out", "OUT"], "1 negative values"),
    "other features": (["fit", "T", "few.csv", "--out", "OUT"], "few.csv lacks 18 of the 20"),
    "a constant target": (["fit", "constant.csv", "B", "--out", "OUT"], "constant"),
    "unknown column": (["fit", "C", *KEYS, "--columns", "age", "--out", "OUT"], "column 'age'"),
    "unknown key": (
        ["fit", "C", "--condition-key", "x", "--target", "a", "--background", "b", "--out", "OUT"],
        "no column 'x'; it has stim, sample",
    ),
    "unknown condition": (
        ["fit", "C", *KEYS[:3], "maybe", *KEYS[4:], "--out", "OUT"],
        "--target 'maybe' does not occur in 'stim'",
    ),
    "condition in both": (
        ["fit", "C", *KEYS, "--target", "no", "--out", "OUT"], "'no' is in both"
    ),
    "a column of a component": (
        ["fit", "C", *KEYS, "--columns", "bcnmf0", "--out", "OUT"],
        "column 'bcnmf0' of obs has a name that tables give to components",
    ),
    "a group of that name": (
        ["fit", "C", *KEYS, "--group-key", "background12", "--out", "OUT"], "column 'background12'"
    ),
    "columns of one name": (
        ["fit", "C", *KEYS, "--columns", "sample", "--columns", "obs.sample", "--out", "OUT"],
        "two columns of obs would be called 'obs.sample'",
    ),
    "a missing condition": (
        ["fit", "holed.h5ad", *KEYS[:5], "nan", "--out", "OUT"],
        "--background 'nan' does not occur in 'stim'",
    ),
    "an empty condition": (
        ["fit", "holed.h5ad", *KEYS[:5], "", "--out", "OUT"],
        "it has other, yes; 30 samples have none, and are left out",
    ),
    "counts that are missing": (
        ["fit", "gaps.csv", "B", "--missing", "mask", "--out", "OUT"],
        "logarithms are asked for (all values are whole numbers",
    ),
    "a file for a run": (["fit", "T", "B", "--out", "T"], "target.csv is a file; name a folder"),
    "a file as a run": (["report", "T"], "target.csv is no run of bcnmf: it is no folder"),
    "no layer": (["fit", "C", *KEYS, "--layer", "x", "--out", "OUT"], "no layer 'x'"),
    "layer of csv": (["fit", "T", "B", "--layer", "x", "--out", "OUT"], "has no layers"),
    "objective": (["fit", "T", "B", "--objective", "x", "--out", "OUT"], "objective must be one"),
    "alpha": (["fit", "T", "B", "--alpha", "-1", "--out", "OUT"], "alpha must be"),
    "missing": (["fit", "T", "B", "--missing", "x", "--out", "OUT"], "missing must be"),
    "no run": (["report", "OUT"], "is no run of bcnmf"),
    "no model": (["transform", "DATA", "T", "--out", "c.tsv"], "has no config.json"),
    "data set": (["data", "x", "--out", "OUT"], "there is no data set 'x'"),
    "setting": (["data", "beta_simulation", "--set", "m=1", "--out", "OUT"], "arguments are beta"),
    "its value": (["data", "beta_simulation", "--set", "n=x", "--out", "OUT"], "n is a number"),
}  # fmt: skip
USAGE = {
    "no out": ["fit", "T", "B"],
    "one file": ["fit", "T", "--out", "OUT"],
    "both forms": ["fit", "T", "B", *KEYS, "--out", "OUT"],
    "restarts": ["fit", "T", "B", "--restarts", "0", "--out", "OUT"],
    "seed": ["fit", "T", "B", "--seed", "-1", "--out", "OUT"],
    "sweep of auto": ["sweep", "T", "B", "--objective", "auto", "--out", "OUT"],
    "sweep in turn": ["sweep", "T", "B", "--objective", "sequential", "--out", "OUT"],
    "a word": ["fit", "T", "B", "--n-components", "many", "--out", "OUT"],
    "scale": ["fit", "T", "B", "--scale", "square", "--out", "OUT"],
    "list": ["sweep", "T", "B", "--alphas", "0;1", "--out", "OUT"],
    "format": ["data", "beta_simulation", "--format", "x", "--out", "OUT"],
    "command": ["fitt"],
    "option": ["fit", "T", "B", "--outt", "OUT"],
}


@pytest.fixture(scope="module")
def odd(files):
    """The folder of the data with files that nothing can be done with."""
    frame = pd.read_csv(files / "target.csv", index_col=0)
    (files / "x.docx").write_text("text")
    (frame.iloc[:1] * np.nan).to_csv(files / "nan.csv")
    (frame * 0 + 1).to_csv(files / "constant.csv")
    frame.iloc[:, :2].to_csv(files / "few.csv")
    frame.where(np.arange(frame.size).reshape(frame.shape) != 3).to_csv(files / "gaps.csv")
    cells = anndata.read_h5ad(files / "cells.h5ad")
    cells.obs["stim"] = cells.obs["stim"].cat.remove_categories("no")
    cells.write_h5ad(files / "holed.h5ad")
    changed = frame.copy()
    changed.iloc[2, 3] = -1
    changed.to_csv(files / "negative.csv")
    return files


def given(arguments, odd, tmp_path):
    """Arguments with T, B, C, DATA and OUT as paths."""
    names = {"T": "target.csv", "B": "background.csv", "C": "cells.h5ad", "DATA": "."}
    names |= {
        n: n for n in ("x.docx", "nan.csv", "negative.csv", "few.csv", "constant.csv", "gaps.csv")
    }
    names["holed.h5ad"] = "holed.h5ad"
    paths = {k: str(odd / v) for k, v in names.items()} | {"OUT": str(tmp_path / "out")}
    return [paths.get(a, a) for a in arguments]


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_gives_one_clear_line(what, odd, bcnmf, tmp_path):
    arguments, message = MISTAKES[what]
    with before_any_fit():
        code, stdout, stderr = bcnmf(*given(arguments, odd, tmp_path))
    notes = ("; scale ", "bcnmf: background: ")
    lines = [line for line in stderr.splitlines() if not any(n in line for n in notes)]
    assert code == 1 and stdout == "" and len(lines) == 1, stderr
    assert lines[0].startswith("bcnmf: error: ") and message in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", USAGE)
def test_a_command_that_is_not_understood_ends_with_2(what, odd, bcnmf, tmp_path):
    code, stdout, stderr = bcnmf(*given(USAGE[what], odd, tmp_path))
    assert code == 2 and stdout == "" and "Error" in stderr and "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == []
