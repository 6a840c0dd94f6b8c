"""What the benchmarks write, and how they read a path."""

import dataclasses
import json
import sys
from contextlib import nullcontext

import numpy as np
import pytest

from benchmarks import answer, clock, own, quality, report, rivals, walks

ROW = {
    "name": "a fit", "ours": 0.0123456, "peer": None, "ratio": 2.0, "target": ">= 2", "met": True,
    "unit": "s", "machine": "one", "versions": {"jax": "1"},
}  # fmt: skip
PAGE = "# Page\n\n<!-- benchmark: fast -->\nold\n<!-- /benchmark -->\n\nend\n"


def test_page_is_filled_from_recorded_rows(tmp_path):
    empty = report.filled(PAGE, tmp_path)
    assert "not run yet" in empty and "old" not in empty and empty.endswith("end\n")
    report.save([ROW], tmp_path / "fast.json")
    assert [p.name for p in tmp_path.iterdir()] == ["fast.json"]
    assert json.loads((tmp_path / "fast.json").read_text()) == [ROW]
    page = report.filled(empty, tmp_path)
    assert "| a fit | 0.0123 |      | 2     | >= 2   | yes | s    |" in page
    assert "machine: one; versions: jax 1" in page
    assert report.filled(page, tmp_path) == page


@pytest.mark.parametrize("first", [0, 3, 6, None])
def test_arrival_is_the_first_look_with_a_small_gap(first):
    values = [2.0 if first is None or i < first else -2.99 for i in range(7)]
    if first == 3:
        values[5] = 2.0  # V may rise on the way
    assert walks.arrival(values.__getitem__, 7, best=-3.0, worst=7.0) == first
    gone = [*values[:-1], 2.0]
    assert walks.arrival(gone.__getitem__, 7, best=-3.0, worst=7.0) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "met", "word"),
    [(1.0, 3.0, True, "plain MU"), (1.0, 1.5, False, "plain MU"),
     (1.0, np.inf, True, "(plain MU not within"), (np.inf, 1.0, False, "(ours not within"),
     (np.inf, np.inf, None, "not within")],
)  # fmt: skip
def test_who_never_came_is_said(ours, theirs, met, word):
    problem = quality.Problem("one", "kl", None, {}, "published")
    times = {"ours": ours, "plain MU": theirs}
    (row,) = quality.compare(problem, times, {"machine": "", "versions": {}})
    assert row.met is met and word in row.name
    report.table([dataclasses.asdict(row)])
    json.dumps(dataclasses.asdict(row), allow_nan=False)


def test_restricting_features_bounds_kl():
    x, y = np.array([[1.0, 4.0, 0.0]]), np.array([[3.0, 4.0, 0.0], [3.0, 4.0, 0.0]])
    held = quality.bounded({"target": x, "background": y}, alpha=0.5)
    np.testing.assert_array_equal(held["target"], [[4.0, 0.0]])
    assert held["background"].shape == (2, 2)


def test_clock_measures_a_command_and_ends_one_that_is_late():
    hungry = "x = bytearray(200 * 2**20); x[::4096] = b'1' * len(x[::4096]); raise SystemExit(3)"
    found = clock.clocked(60.0, [sys.executable, "-c", hungry])
    assert found["code"] == 3 and found["peak"] > 0.2 and found["seconds"] > 0
    late = clock.clocked(0.2, [sys.executable, "-c", "import time; time.sleep(60)"])
    assert late["code"] is None and 0.2 <= late["seconds"] < 30


@pytest.fixture
def shell(tmp_path):
    """A command in this interpreter, as `answer.clocked` runs it."""
    return lambda code: answer.clocked([sys.executable, "-c", code], tmp_path / "log")


def test_a_cold_program_finds_no_compiled_programs(shell, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "somewhere")
    seconds, peak = shell("import os; assert 'JAX_COMPILATION_CACHE_DIR' not in os.environ")
    assert seconds > 0 and peak > 0


def test_a_large_process_does_not_hide_the_peak_of_a_small_one(shell):
    held = np.ones(30 * 2**20)
    assert shell("pass")[1] < held.nbytes / 2**30


def test_what_a_failed_program_said_is_told(shell):
    with pytest.raises(answer.FailedError, match=r"exit code 1(?s:.*)ValueError: no cells"):
        shell("raise ValueError('no cells')")


def test_agreement_takes_the_best_score_of_each_program_whatever_its_sign():
    carried = np.repeat([0, 1, -1], 20)
    noise = np.random.default_rng(0).normal(size=60)
    found = np.stack([noise, carried == 0, -2.0 * (carried == 1)], axis=1)
    assert answer.agreement(found, carried) == 1.0
    assert answer.agreement(found[:, :2], carried) < 0.9


MEASURED = answer.Answer(seconds=2.0, peak=0.5, agreement=0.9)


def test_rows_of_answers_say_why_there_is_none():
    theirs = {"A": answer.Answer(6.0, 1.0, 0.6), "B": "not installed", "C": answer.LATE}
    mine = {answer.FIRST: MEASURED, "again": None}
    rows = list(answer.compare("data", mine, theirs, {"machine": "", "versions": {}}))
    assert [(r.ours, r.peer, r.ratio) for r in rows[:3]] == [
        (2.0, 6.0, 3.0), (0.5, 1.0, 2.0), (0.9, 0.6, None)
    ]  # fmt: skip
    assert [r.name for r in rows[3::3]] == [
        "data: B (not installed)", "data: C (not within 30 min)",
        "data: ours, again (ours not within 30 min)",
    ]  # fmt: skip
    assert {r.peer for r in rows[3:]} == {None} and rows[9].ours is None


def test_answers_are_asked_of_the_programs_that_are_there(monkeypatch, tmp_path, capsys):
    asked = []

    def answered(command, folder, carried, run=None):
        asked.append((command, run))
        assert {p.name for p in folder.glob("*.h5ad")} == {"cells.h5ad", "counts.h5ad"}
        assert list(np.unique(carried, return_counts=True)[1]) == [20, 10, 10]
        np.save(folder / "seconds.npy", [3.0, 1.0])
        if "cNMF" in command:
            raise answer.FailedError("no components")
        return MEASURED

    peers = {"cNMF": "1", "contrastiveVI": None, "Wilcoxon": "2"}
    for name, value in {
        "answered": answered, "installed": lambda python: peers, "quiet": nullcontext,
        "clocked": lambda command, log: (1.0, 1.0),
    }.items():  # fmt: skip
        monkeypatch.setattr(answer, name, value)
    rows = answer.rows([(40, 1490)], answer.Settings(epochs=2))
    said = capsys.readouterr().err
    assert "PEERS_PYTHON" in said and "no components" in said
    names = {r.name: r for r in rows if r.unit == "s"}
    assert list(names) == [
        "40 x 1,490: cNMF, K 5 to 10 x 20 starts (failed)",
        "40 x 1,490: contrastiveVI, 2 epochs (not installed)",
        "40 x 1,490: Wilcoxon and a gene score",
        "40 x 1,490: ours, second call in a process", "40 x 1,490: ours, command line, second run",
    ]  # fmt: skip
    assert names["40 x 1,490: ours, second call in a process"].ours == 1.0
    assert rows[0].versions["scanpy"] == "2" and "scvi-tools" not in rows[0].versions
    assert [run for _, run in asked] == [None, None, "run", None, None]


def test_interpreter_of_peers_that_is_not_there_is_named():
    with pytest.raises(SystemExit, match=r"PEERS_PYTHON: 'no/python' cannot be run"):
        answer.installed("no/python")


def test_rivals_that_are_not_installed_have_no_version(monkeypatch, capsys):
    packages = {"here": ("numpy", "numpy"), "gone": ("no_such_module", "no-such-module")}
    monkeypatch.setattr(rivals, "PACKAGES", packages)
    assert rivals.versions() == {"here": np.__version__, "gone": None}
    assert "no_such_module" in capsys.readouterr().err


def test_usage_of_a_run_is_that_of_its_target_components(tmp_path):
    (tmp_path / "tables").mkdir()
    lines = [
        "sample set condition bcnmf0 background0",
        "a target target 1.5 2",
        "b background x 0 3",
    ]
    text = "".join(line.replace(" ", "\t") + "\n" for line in lines)
    (tmp_path / "tables" / "usage.tsv").write_text(text)
    np.testing.assert_array_equal(own.usage(tmp_path), [[1.5], [0.0]])
