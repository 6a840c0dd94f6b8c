"""What tables refuse to be made of, and how they write numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from experiments.core.formats import Table, latex, markdown, number, score, spread
from experiments.core.records import RowError, read_lines_of, read_rows
from experiments.core.summary import pairs, summarise
from experiments.paper import figures, tables
from experiments.paper.published import read_published
from tests.recorded import restarts, row, write

ROOT = Path(__file__).parent.parent


def _settings(tmp_path, *rows):
    return summarise(read_rows(write(tmp_path / "results", *rows)))


@pytest.mark.parametrize("module", [tables, figures])
def test_no_rows_is_an_error_that_says_what_to_run(tmp_path, module):
    with pytest.raises(SystemExit, match=r"no recorded rows; make some with: python -m") as caught:
        module.main(["--results", str(tmp_path), "--out", str(tmp_path / "out")])
    assert caught.value.code != 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps(row(seed=1))[:50], "line 2: not a whole JSON object"),
        ("[1]", "line 2: found list, expected an object"),
        ('{"a": 1}', "line 2: not a recorded row, it has no alpha"),
        (json.dumps(row(seed=1, ari=float("nan"))), "line 2: NaN is not JSON"),
        (json.dumps(row(seed=1, ari="high")), "line 2: ari_primary is 'high', expected a number"),
        (json.dumps(row(seed=1, ari=True)), "line 2: ari_primary is True, expected a number"),
        (json.dumps(row(seed=1, default=1)), "line 2: default is 1, expected true or false"),
        (json.dumps(row(seed=1, config="mouse")), "line 2: the row belongs to config 'mouse'"),
        (json.dumps(row(seed=1, config_hash="h2")), "line 2: config_hash h2 differs from line 1"),
        (json.dumps(row(seed=0, ari=0.7)), "line 2: the same fit as line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    path = tmp_path / "mnist01.jsonl"
    path.write_text(f"{json.dumps(row())}\n{line}\n")
    with pytest.raises(SystemExit) as caught:
        tables.main(["--results", str(tmp_path), "--out", str(tmp_path / "out")])
    assert f"{path}, {message}" in str(caught.value)


def test_blank_lines_are_no_rows(tmp_path):
    (tmp_path / "mnist01.jsonl").write_text(f"\n{json.dumps(row())}\n \n")
    assert len(read_rows(tmp_path)) == len(read_lines_of(tmp_path / "mnist01.jsonl")) == 1


def test_other_rows_that_tables_cannot_be_made_of(tmp_path):
    with pytest.raises(RowError, match=r"mnist01: bcNMF, squared error has 2 default settings"):
        list(pairs(_settings(tmp_path, *restarts([0.5]), *restarts([0.5], alpha=2.0))))
    with pytest.raises(RowError, match="disagree on default"):
        _settings(tmp_path, row(), row(seed=1, default=False))
    (tmp_path / "results/mnist01.jsonl").write_text("")
    with pytest.raises(RowError, match=r"mnist01\.jsonl: no rows"):
        read_rows(tmp_path / "results")


def test_files_left_from_earlier_rows_are_reported(tmp_path, capsys):
    results = write(tmp_path / "results", *restarts([0.5, 0.6]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out/gone.md").write_text("")
    tables.main(["--results", str(results), "--out", str(tmp_path / "out")])
    assert "not rebuilt; delete them: gone.md" in capsys.readouterr().err


def test_neither_jax_nor_the_package_is_imported():
    code = (
        "import sys, experiments.core.records, experiments.core.summary, experiments.core.style; "
        "print([m for m in ('jax', 'bcnmf_jax', 'equinox', 'sklearn') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert run.stdout.strip() == "[]"


def test_published_numbers_are_whole():
    published = read_published()
    assert {each.data for each in published.numbers} >= {"mnist01", "mnist10", "mixseq", "mdd"}
    assert all(0 <= each.least <= each.most <= 1 for each in published.numbers)
    beta = [n for n in published.numbers if n.data == "beta_series" and n.kind == "published"]
    assert {each.at for each in beta} == {0, 1, 2, 4, 8, 16}
    assert all(each.series == "beta" for each in beta)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mark = ", "cannot be read"),
        ("mark = 'm'\n", "has no 'study'"),
        ("mark='m'\nlabels={}\n[[study]]\ndata='x'\n", "x: KeyError: 'numbers'"),
    ],
)
def test_wrong_published_numbers_name_the_file(tmp_path, text, message):
    path = tmp_path / "published.toml"
    path.write_text(text)
    with pytest.raises(RowError, match=message) as caught:
        read_published(path)
    assert str(path) in str(caught.value)


def test_numbers_in_cells():
    assert [number(v) for v in (0.0, 0.0004, 0.5, 123.4)] == ["0.000", "4e-04", "0.500", "123"]
    assert [score(v) for v in (-0.0004, 1.0, float("nan"))] == ["0.000", "1.000", "–"]
    assert spread(0.5, 0.4, 0.6) == "0.500 [0.400, 0.600]"
    assert spread(0.5, 0.5001, 0.4999) == "0.500"


def test_markdown_and_latex_escape_what_they_must():
    cells = ["50 % & max_steps", "*α_1*", "a|b †"]
    table = Table("t", "T", "C", ["x", "y", "z"], [cells], pd.DataFrame())
    assert r"| 50 % & max_steps | *α_1* | a\|b † |" in markdown(table)
    assert r"50 \% \& max\_steps & \emph{$\alpha$\_1} & a|b \textdagger{} \\" in latex(table)
    with pytest.raises(ValueError, match="t: a row of 1 for 3 cells"):
        Table("t", "T", "C", ["x", "y", "z"], [["one"]], pd.DataFrame())
