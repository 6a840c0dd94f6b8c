"""Tables and figures from recorded rows: right numbers, fair choices, equal bytes, clear errors."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from experiments.core.records import read_rows
from experiments.core.summary import own_defaults, pairs, summarise
from experiments.paper import tables
from tests.recorded import everything, restarts, row, write

ROOT = Path(__file__).parent.parent


def _settings(tmp_path, *rows):
    return summarise(read_rows(write(tmp_path / "results", *rows)))


def _cells(path):
    lines = [line for line in path.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_quartiles_counts_and_the_share_of_failures(tmp_path):
    rows = restarts([0.1, 0.2, 0.3, 0.4, 0.9])
    rows[0]["result"] = rows[1]["result"] = "collapsed"
    rows[4] = row(seed=4, result="nonfinite")
    (setting,) = (row for _, row in _settings(tmp_path, *rows).iterrows())
    # The fit that was not finite has no score; the collapsed ones have.
    assert setting["ari_primary_median"] == pytest.approx(0.25)
    assert setting["ari_primary_q1"] == pytest.approx(0.175)
    assert setting["results"] == "2 converged, 2 collapsed, 1 nonfinite"
    assert (setting["restarts"], setting["failed"]) == (5, 0.6)
    assert pd.isna(setting["cosine_median"])


def test_the_oracle_is_the_best_median_that_did_not_mostly_collapse(tmp_path):
    best = restarts([0.9, 0.9, 0.9], alpha=3.0, default=False)
    for each in best[:2]:
        each["result"] = "collapsed"
    once = restarts([0.8, 0.8, 0.1], alpha=2.0, default=False)
    once[0]["result"] = "collapsed"
    rows = [*restarts([0.1, 1.0, 0.2]), *once, *best]
    (pair,) = pairs(_settings(tmp_path, *rows))
    assert pair.default is not None and pair.oracle is not None
    assert (pair.default["alpha"], pair.oracle["alpha"]) == (1.0, 2.0)


@pytest.mark.parametrize("default_alpha", [0.5, 1.0, 2.0])
def test_a_tie_of_the_oracle_goes_to_the_default(tmp_path, default_alpha):
    rows = [
        row
        for alpha in (0.5, 1.0, 2.0)
        for row in restarts([0.5, 0.5], alpha=alpha, default=alpha == default_alpha)
    ]
    (pair,) = pairs(_settings(tmp_path, *rows))
    assert pair.oracle is not None and pair.oracle["alpha"] == default_alpha


def test_where_every_setting_collapsed_the_tables_say_so(tmp_path):
    results = write(tmp_path / "results", *restarts([0.9, 0.9], result="collapsed"))
    tables.main(["--results", str(results), "--out", str(tmp_path / "out")])
    default, oracle = _cells(tmp_path / "out/mnist01.md")[2:4]
    assert default[:4] == ["bcNMF, squared error", "default", "K=5, α=1", "0.900"]
    assert "2 collapsed" in default
    assert oracle[1:4] == ["*oracle*", "*more than half failed everywhere*", "*–*"]
    assert "0.900† / *–*" in (tmp_path / "out/overview.md").read_text()


def test_a_contrast_that_a_method_chose_itself_is_one_setting(tmp_path):
    rows = [
        row(method="cpca", seed=seed, alpha=alpha, options={"alpha_mode": "auto"})
        for seed, alpha in enumerate([2.0, 3.0, 4.0])
    ]
    rows += restarts([0.2], method="cpca", alpha=3.0, default=False)
    settings = _settings(tmp_path, *rows)
    assert sorted(settings["restarts"]) == [1, 3]
    tables.main(["--results", str(tmp_path / "results"), "--out", str(tmp_path / "out")])
    assert "K=5, α=auto (3)" in (tmp_path / "out/mnist01.md").read_text()


def test_the_table_of_a_data_set_shows_default_oracle_and_published(tmp_path):
    results = write(tmp_path / "results", *everything())
    tables.main(["--results", str(results), "--out", str(tmp_path / "out")])
    rows = _cells(tmp_path / "out/mnist01.md")
    kinds = {(row[1], row[2], row[3]) for row in rows}
    assert ("default", "K=5, α=1", "0.200 [0.150, 0.250]") in kinds
    assert ("*oracle*", "*K=5, α=2*", "*0.800 [0.750, 0.850]*") in kinds
    published = [row for row in rows if row[1] == "published, other draw / genes"]
    assert {row[3] for row in published} == {"0.857", "0.030", "0.863"}
    assert len({len(row) for row in rows}) == 1
    assert "over 3 restarts" in (tmp_path / "out/mnist01.md").read_text()
    numbers = pd.read_csv(tmp_path / "out/mnist01.csv")
    assert numbers.loc[numbers["oracle"], "ari_primary_median"].tolist() == [0.4, 0.8]


def test_a_series_is_tabulated_against_its_argument(tmp_path):
    results = write(tmp_path / "results", *everything())
    tables.main(["--results", str(results), "--out", str(tmp_path / "out")])
    rows = _cells(tmp_path / "out/beta_series.md")
    assert rows[0] == ["method", "row", "beta 0", "beta 8"]
    assert ["bcNMF, squared error", "default", *["0.900 [0.850, 0.950]"] * 2] in rows
    published = "published, other draw / genes; K=2, a=2, log"
    assert ["", published, "1.000", "0.998"] in rows
    assert {row[0] for row in _cells(tmp_path / "out/beta_series_details.md")[2:]} == {"0", "8"}


def test_ablations_show_every_setting_and_what_differs(tmp_path):
    results = write(tmp_path / "results", *everything())
    tables.main(["--results", str(results), "--out", str(tmp_path / "out")])
    rows = _cells(tmp_path / "out/ablation_damping.md")
    assert rows[0][:3] == ["data", "inner_steps", "ARI"]
    assert [row[1] for row in rows[2:]] == ["1", "5", "10"]  # as numbers, not as text
    text = (tmp_path / "out/ablation_damping.md").read_text()
    assert "For all rows: method bcNMF, squared error, K 5, α 1." in text
    assert len(_cells(tmp_path / "out/ablation_alpha_rank.md")) == 2 + 4


def test_a_configuration_with_its_own_default_says_so(tmp_path):
    rows = restarts([0.5]) + restarts([0.5], config="mouse")
    assert own_defaults(_settings(tmp_path, *rows)) == {}
    rows += restarts([0.5], config="demo", rank=2)
    assert own_defaults(_settings(tmp_path, *rows)) == {"demo": ["bcNMF, squared error K=2, α=1"]}
    tables.main(["--results", str(tmp_path / "results"), "--out", str(tmp_path / "out")])
    assert "this configuration has its own of" in (tmp_path / "out/demo.md").read_text()
    assert "demo has its own of" in (tmp_path / "out/overview.md").read_text()
    assert "the same for all data sets." in (tmp_path / "out/mouse.md").read_text()


def test_running_twice_changes_no_byte(tmp_path):
    results = write(tmp_path / "results", *everything())
    held = []
    for _ in range(2):
        # Each in its own process: hash seeds and caches differ between them.
        for module in ("tables", "figures"):
            command = [
                sys.executable,
                "-m",
                f"experiments.paper.{module}",
                "--results",
                str(results),
            ]
            out = ["--out", str(tmp_path / module)]
            subprocess.run([*command, *out], cwd=ROOT, check=True, capture_output=True)
        paths = [p for module in ("tables", "figures") for p in (tmp_path / module).iterdir()]
        held.append({path: path.read_bytes() for path in paths})
    assert held[0] == held[1]
    names = {path.name for path in held[0]}
    assert {"overview.png", "beta_series.svg", "alpha_path_mnist01.png"} <= names
    assert {"ablation_damping.svg", "ablation_alpha_rank.png", "overview.tex"} <= names
    assert not any(name.endswith(".partial") for name in names)


def test_the_order_of_lines_does_not_matter(tmp_path):
    rows = everything()
    for folder, lines in (("a", rows), ("b", rows[::-1])):
        results = write(tmp_path / folder, *lines)
        tables.main(["--results", str(results), "--out", str(tmp_path / f"{folder}_out")])
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / f"{folder}_out").iterdir()}
        for folder in "ab"
    )
    assert first == second
