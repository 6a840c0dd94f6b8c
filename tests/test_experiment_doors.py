"""A data set, a method and a study from files outside the repository."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from experiments import study
from experiments.core.config import ConfigError, load
from experiments.core.data import load_data
from experiments.core.registry import METHODS, known
from experiments.core.units import units
from experiments.paper import tables
from experiments.run import main, suited

MINE = """
import numpy as np
from experiments.core.registry import method

@method("mine", label="my projection", colour="#123456", marker="x", contrast=True)
def mine(target, background, key, *, rank, alpha, power):
    of = lambda x: x.T @ x / len(x)
    components = np.linalg.eigh(of(target) - alpha * of(background))[1][:, ::-1][:, :rank].T
    return (target @ components.T) ** power, components
"""
CONFIG = """
modules = ["mine.py"]
restarts = 2
[[data]]
name = "my cells"
[data.file]
path = "cells.csv"
condition = "condition"
target = ["treated"]
background = ["control", "sham"]
labels = "kind"
groups = "donor"
[[method]]
method = "mine"
ranks = [2]
alphas = [0.5, 1.0]
settings = { power = 2 }
default = { rank = 2, alpha = 1.0 }
[[method]]
method = "nmf"
losses = ["kl"]
ranks = [2]
"""
STUDY = """
import pandas as pd
from experiments.core.formats import Table
from experiments.core.study import Study, digest

def jobs():
    return [({"config_hash": digest(3), "n": n}, lambda n=n: {"square": n * n}) for n in range(3)]

def table(rows):
    body = [[str(row["n"]), str(row["square"])] for row in rows]
    return Table("squares", "Squares", "All.", ["n", "square"], body, pd.DataFrame(rows))

STUDY = Study("squares", jobs, table)
"""


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    values = rng.poisson(2, (30, 8))
    frame = pd.DataFrame(values, columns=[f"g{i}" for i in range(8)])
    frame.index = [f"s{i}" for i in range(30)]
    frame["condition"] = ["treated"] * 14 + ["control"] * 10 + ["sham"] * 5 + ["other"]
    frame["kind"], frame["donor"] = ["NA", "b"] * 15, ["d1", "d2", "d3"] * 10
    frame.to_csv(tmp_path / "cells.csv")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.toml").write_text(CONFIG)
    yield tmp_path
    METHODS.pop("mine", None)


def test_a_file_is_a_data_set(folder):
    data = load_data(load(folder / "mine.toml").data[0])
    assert data.target.shape == (14, 8) and data.background.shape == (15, 8)
    assert data.counts is not None and not np.array_equal(data.counts["target"], data.target)
    assert set(data.labels) == {0, 1} and set(data.background_groups) == {"d1", "d2", "d3"}
    frame = pd.read_csv(folder / "cells.csv", index_col=0, keep_default_na=False)
    np.testing.assert_array_equal(data.counts["target"], frame.iloc[:14, :8])


def test_two_annotated_files_are_a_data_set(folder):
    anndata = pytest.importorskip("anndata")
    frame = pd.read_csv(folder / "cells.csv", index_col=0, keep_default_na=False)
    for name, at in (("a", slice(0, 14)), ("b", slice(14, 30))):
        part = frame.iloc[at]
        anndata.AnnData(part.iloc[:, :8].astype("float32"), obs=part.iloc[:, 8:]).write_h5ad(
            folder / f"{name}.h5ad"
        )
    text = CONFIG.replace('"cells.csv"', '"a.h5ad"\nbackground_path = "b.h5ad"')
    text = text.replace('condition = "condition"\ntarget = ["treated"]\n', "")
    (folder / "two.toml").write_text(text.replace('background = ["control", "sham"]\n', ""))
    data = load_data(load(folder / "two.toml").data[0])
    assert data.target.shape == (14, 8) and data.background.shape == (16, 8)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('labels = "kind"', 'labels = "sort"', "no column 'sort'"),
        ('["treated"]', '["treat"]', "no sample has condition treat"),
        ('"cells.csv"', '"cell.csv"', "cell.csv"),
        ('groups = "donor"', "", "could not convert string to float: 'd1'"),
        ('condition = "condition"', "", "needs condition, target and background"),
        ('["control", "sham"]', '["control", "treated"]', "'treated' is in both"),
        ('groups = "donor"', 'layer = "raw"', "cells.csv has none"),
        ("power = 2", "power = 2, q = 1", "settings: got an unexpected keyword argument 'q'"),
        ("power = 2", "power = 2, alpha = 1.0", "have other meanings"),
        ("ranks = [2]", 'ranks = [2]\ninits = ["nndsvd"]', "leave them out"),
        ('name = "my cells"', 'name = "mixseq"', "needs a name of its own"),
        ('["mine.py"]', '["my.py"]', "modules: there is no file"),
        ('method = "mine"', 'method = "mein"', "or registered by a file in modules; found 'mein'"),
    ],
)
def test_what_a_file_lacks_is_one_line(folder, capsys, old, new, said):
    (folder / "mine.toml").write_text(CONFIG.replace(old, new))
    assert main([str(folder / "mine.toml"), "--out", str(folder / "rows")]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "Traceback" not in error


def test_a_function_is_a_method(folder):
    asked = [str(folder / "mine.toml"), "--out", str(folder / "rows"), "--workers", "1"]
    assert main(asked) == 0
    path = folder / "rows" / "mine.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    mine = [row for row in rows if row["method"] == "mine"]
    assert len(rows) == 6 and len(mine) == 4 and {row["alpha"] for row in mine} == {0.5, 1.0}
    assert all(row["label"] == "my projection" and row["options"] == {"power": 2} for row in mine)
    assert all(row["auc"] is not None and row["result"] == "converged" for row in rows)
    assert known("mine").colour == "#123456" and known("unknown").label == "unknown"
    # A file whose content has changed gives rows of another configuration.
    before = path.read_bytes()
    assert main(asked) == 0 and path.read_bytes() == before
    with (folder / "cells.csv").open("a") as file:
        file.write("s30," + "1," * 8 + "treated,b,d1\n")
    assert main(asked) == 2 and path.read_bytes() == before


def test_rows_of_a_method_that_has_changed_are_refused(folder, capsys):
    asked = [str(folder / "mine.toml"), "--out", str(folder / "rows"), "--workers", "1"]
    assert main(asked) == 0
    before = (folder / "rows" / "mine.jsonl").read_bytes()
    (folder / "mine.py").write_text(MINE.replace("power, components", "(power + 1), components"))
    assert main(asked) == 2 and "another configuration" in capsys.readouterr().err
    assert (folder / "rows" / "mine.jsonl").read_bytes() == before


def test_a_method_that_writes_into_its_arguments_changes_no_other(folder):
    rows = []
    for body in ("pass", "target[:] = 0"):
        (folder / "mine.py").write_text(MINE.replace("    of =", f"    {body}\n    of ="))
        out = folder / body[:4]
        assert main([str(folder / "mine.toml"), "--out", str(out), "--workers", "1"]) == 0
        lines = (out / "mine.jsonl").read_text().splitlines()
        rows.append([r["x_explained"] for r in map(json.loads, lines) if r["method"] == "nmf"])
    assert rows[0] == rows[1]


def test_alphas_in_total_units_are_those_of_the_row(folder):
    (folder / "mine.py").write_text(MINE.replace("    of =", "    assert alpha != 1.0\n    of ="))
    text = CONFIG.replace("alphas = [0.5, 1.0]", 'alphas = [1.0]\nalpha_unit = "total"')
    (folder / "mine.toml").write_text(text.replace("default = { rank = 2, alpha = 1.0 }", ""))
    assert main([str(folder / "mine.toml"), "--out", str(folder / "rows"), "--workers", "1"]) == 0


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 +", "SyntaxError"),
        ("return 'text'", "must give codes"),
        ("1", "codes have shape ()"),
    ],
    ids=["syntax", "text", "nothing"],
)
def test_a_method_that_cannot_be_used_is_named(folder, capsys, body, said):
    head = MINE[: MINE.index("    of =")]
    (folder / "mine.py").write_text(f"{head}    {body}\n")
    assert main([str(folder / "mine.toml"), "--out", str(folder / "rows"), "--workers", "1"]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error.splitlines()[-1] and "Traceback" not in error


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.rename(columns={"g1": "g0"}), "several columns are named 'g0'"),
        (lambda f: f.rename(index={"s1": "s0"}), "several samples are named 's0'"),
        (lambda f: f.assign(g0=-1), "holds negative values, -1 the lowest"),
        (lambda f: f.assign(kind=[None, *f["kind"][1:]]), "missing values"),
    ],
    ids=["columns", "samples", "negative", "labels"],
)
def test_a_table_that_cannot_be_used_is_named(folder, capsys, change, said):
    frame = pd.read_csv(folder / "cells.csv", index_col=0, keep_default_na=False)
    change(frame).to_csv(folder / "cells.csv")
    assert main([str(folder / "mine.toml"), "--out", str(folder / "rows")]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert said in error and "cells.csv" in error


def test_conditions_are_text(folder):
    frame = pd.read_csv(folder / "cells.csv", index_col=0, keep_default_na=False)
    codes = {"treated": "01", "control": "2", "sham": "3", "other": ""}
    frame.assign(condition=frame["condition"].map(codes)).to_csv(folder / "cells.csv")
    text = CONFIG.replace('["treated"]', '["01"]').replace('["control", "sham"]', '["2", "3"]')
    (folder / "mine.toml").write_text(text)
    data = load_data(load(folder / "mine.toml").data[0])
    assert data.target.shape == (14, 8) and data.background.shape == (15, 8)


def test_one_data_set_twice_is_refused(folder):
    data = CONFIG[CONFIG.index("[[data]]") : CONFIG.index("[[method]]")]
    (folder / "mine.toml").write_text(CONFIG.replace("[[method]]", f"{data}[[method]]", 1))
    with pytest.raises(ConfigError, match="my cells is there twice"):
        load(folder / "mine.toml")


def test_codes_of_another_shape_are_refused(folder, capsys):
    (folder / "mine.py").write_text(MINE.replace("[:, :rank]", "[:, :1]"))
    assert main([str(folder / "mine.toml"), "--out", str(folder / "rows")]) == 2
    assert "mine: codes have shape (14, 1), expected (14, 2)" in capsys.readouterr().err


def test_a_name_is_registered_once(folder):
    (folder / "mine.py").write_text(MINE.replace('method("mine"', 'method("pca"'))
    with pytest.raises(ConfigError, match="'pca' is registered already"):
        load(folder / "mine.toml")


def test_a_file_is_a_study(tmp_path, capsys):
    (tmp_path / "squares.py").write_text(STUDY)
    asked = [str(tmp_path / "squares.py"), "--out", str(tmp_path)]
    assert study.main([*asked, "--most", "2"]) == 0 and study.main(asked) == 0
    assert "square" in capsys.readouterr().out
    rows = [json.loads(line) for line in (tmp_path / "squares.jsonl").read_text().splitlines()]
    assert [row["square"] for row in rows] == [0, 1, 4]
    (tmp_path / "squares.py").write_text(STUDY.replace("digest(3)", "digest(4)"))
    assert study.main(asked) == 2 and "another configuration" in capsys.readouterr().err
    assert study.main(["nothing"]) == 2 and "no study 'nothing'" in capsys.readouterr().err
    odd = {
        "return []": "no jobs",
        "return [({'n': 1}, dict)]": "config_hash among",
        "return [({'config_hash': '', 'n': 1}, dict)] * 2": "same first fields",
    }
    for jobs, said in odd.items():
        text = STUDY.replace("return [(", f"{jobs}\n    return [(", 1)
        (tmp_path / "squares.py").write_text(text)
        assert study.main([*asked[:-1], str(tmp_path / "new")]) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "squares.py").write_text("import nothing_of_this_name")
    assert study.main(asked) == 2 and "ModuleNotFoundError" in capsys.readouterr().err
    (tmp_path / "squares.py").write_text("STUDY = 1")
    assert study.main(asked) == 2 and "is no experiments.core" in capsys.readouterr().err


def test_missing_values_and_settings_called_auto(folder):
    config = load(folder / "mine.toml")
    data = load_data(config.data[0])
    todo = units(config)
    seen = {name: np.ones_like(x) for name, x in data.data().items()}
    masked = dataclasses.replace(data, mask=seen)
    assert {u.method.method for u in suited(todo, data)} == {"mine", "nmf"}
    assert {u.method.method for u in suited(todo, masked)} == {"nmf"}
    text = CONFIG.replace("power = 2", 'power = 2, mode = "auto"')
    (folder / "mine.toml").write_text(text)
    (folder / "mine.py").write_text(MINE.replace("power):", "power, mode):"))
    assert main([str(folder / "mine.toml"), "--out", str(folder / "rows"), "--workers", "1"]) == 0
    asked = ["--results", str(folder / "rows"), "--out", str(folder / "tables")]
    asked += ["--choices", str(folder / "none"), "--studies", str(folder / "none")]
    tables.main([*asked, "--modules", str(folder / "mine.py")])
    assert "my projection" in (folder / "tables" / "mine.md").read_text()
    with pytest.raises(SystemExit, match="there is no file"):
        tables.main([*asked, "--modules", str(folder / "none.py")])
