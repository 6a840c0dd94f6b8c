"""What the benchmarks write, and how they read a path."""

import dataclasses
import json

import numpy as np
import pytest

from benchmarks import quality, report, walks

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
