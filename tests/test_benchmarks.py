"""What the benchmarks write, and how they read a path."""

import json

import numpy as np
import pytest

from benchmarks import quality, report

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
def test_arrival_is_the_first_look_with_a_small_gap(first, monkeypatch):
    gaps = [0.5 if first is None or i < first else 0.001 for i in range(7)]
    path = [(float(i), np.full(1, gap)) for i, gap in enumerate(gaps)]
    monkeypatch.setattr(quality, "value", lambda problem, basis: 10 * basis[0] - 3)
    assert quality.arrival(None, path, best=-3.0, worst=7.0) == first  # pyright: ignore


def test_restricting_features_bounds_kl():
    x, y = np.array([[1.0, 4.0, 0.0]]), np.array([[3.0, 4.0, 0.0], [3.0, 4.0, 0.0]])
    held = quality.bounded({"target": x, "background": y}, alpha=0.5)
    np.testing.assert_array_equal(held["target"], [[4.0, 0.0]])
    assert held["background"].shape == (2, 2)
