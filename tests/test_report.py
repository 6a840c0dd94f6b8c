"""The page of a run: what it says, and that names in the data are text in it."""

import base64
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest

from bcnmf_jax.report import _embedding as embedding
from bcnmf_jax.report import write
from bcnmf_jax.report._contents import read_run
from bcnmf_jax.report._programs import programs
from bcnmf_jax.report._trust import judge, light
from bcnmf_jax.report.run_folder import read_table, write_config, write_table
from bcnmf_jax.report.run_forms import RunFolderError
from tests.report_runs import base, candidates, fit_run, path_rows

BAD = "<script>alert('x')</script>"
WORSE = '"><img src=x onerror=alert(1)>&amp;{{ 7 * 7 }}'


class Page(HTMLParser):
    """Elements of a page with their attributes, its text, and the contents of its scripts."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text, self.scripts, self.inside = [], [], {}, None
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = dict(attrs).get("id", tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = None

    def handle_data(self, data):
        if self.inside is None:
            self.text.append(data)
        else:
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + data

    @property
    def words(self):
        return re.sub(r"\s+", " ", "".join(self.text))

    def values(self, name):
        return [attrs[name] for _, attrs in self.elements if name in attrs]


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def unpacked(text):
    return np.frombuffer(base64.b64decode(text), "<u2")


def enrichment(q, *, level="group", note=None):
    """An enrichment table of one target and one background component."""
    rows = [("bcnmf0", "target", q), ("background0", "background", 0.001)]
    names = ("component", "kind", "q")
    return [dict(zip(names, row, strict=True)) | {"level": level, "note": note} for row in rows]


def test_needs_nothing_else_and_all_its_links_lead_somewhere(run):
    fit_run(run)
    path = write(run)
    assert path == run / "report.html"
    page, ids = Page(path), None
    assert page.values("src") == []
    ids = Counter(page.values("id"))
    assert max(ids.values()) == 1
    for link in page.values("href"):
        assert link == "data:," or link == "https://arxiv.org/abs/2602.22387" or link[1:] in ids
    assert {"samples-data", "lookup-data"} <= set(page.scripts)
    assert "@import" not in page.scripts["style"] and "url(" not in page.scripts["style"]


def test_names_from_data_are_text(tmp_path):
    pages = []
    for folder, name in (("plain", "harmless"), ("bad", BAD), ("worse", WORSE)):
        names = {"feature": f"f {name}", "sample": f"s {name}", "donor": f"d {name}"}
        (tmp_path / folder).mkdir()
        fit_run(tmp_path / folder, names=names, config={"line": name, "warnings": [name]})
        write_table(tmp_path / folder, "enrichment", enrichment(0.01, note=name))
        page = Page(write(tmp_path / folder))
        assert f"d {name}" in page.words and f"f {name}" in page.words
        assert json.loads(page.scripts["lookup-data"])["features"][0] == f"f {name}"
        assert json.loads(page.scripts["samples-data"])["names"][0] == f"s {name}"
        pages.append(Counter(tag for tag, _ in page.elements))
    assert pages[0] == pages[1] == pages[2]


@pytest.mark.parametrize("name", ["NA", "null", "nan", "None", "__proto__", " "])
def test_names_that_look_like_missing_values_are_names(name, run):
    fit_run(run, names=dict.fromkeys(("feature", "sample", "donor"), name))
    page = Page(write(run))
    refuse = {"parse_constant": pytest.fail}  # what no browser reads
    assert json.loads(page.scripts["lookup-data"], **refuse)["features"][0] == name
    drawn = json.loads(page.scripts["samples-data"], **refuse)
    assert drawn["names"][0] == name
    assert name in next(c["levels"] for c in drawn["columns"] if c["name"] == "donor")


def test_samples_of_one_name_are_two(run):
    fit_run(run, names={"sample": "cell1"})
    drawn = json.loads(Page(write(run)).scripts["samples-data"])
    assert drawn["names"][:3] == ["cell1", "cell1", "cell2"] and drawn["total"] == 100


@pytest.mark.parametrize(
    ("names", "config", "words"),
    [
        ({"feature": ""}, {}, "'feature' must have text in each row; row 1 is empty"),
        ({"sample": ""}, {}, "'sample' must have text in each row; row 1 is empty"),
        ({}, {"columns": ["bcnmf0"]}, "columns has 'bcnmf0', the name of another"),
        ({}, {"columns": ["condition", "set"]}, "columns has 'set', the name of another"),
    ],
)
def test_names_that_no_page_can_hold_are_refused(names, config, words, run):
    fit_run(run, names=names, config=config)
    with pytest.raises(RunFolderError, match=words):
        write(run)


def test_says_what_was_done_and_how_to_repeat_it(run):
    fit_run(run)
    words = Page(write(run)).words
    assert "60 target samples, 40 background samples, 30 features, 02 January 2026" in words
    assert "bcnmf fit cells.h5ad --out run" in words and "5e" * 32 in words
    assert "bj.load('run/model')" in words and "arXiv 2602.22387" in words
    assert "Scale: log (the data are counts)" in words


@pytest.mark.parametrize(
    ("change", "table", "level", "sentence"),
    [
        ({}, None, "care", "Nothing in this run tests"),
        ({"outcome": "contrast found", "reasons": ["Because."]}, None, "good", "Contrast found. B"),
        ({"outcome": "no contrast found", "reasons": []}, None, "stop", "No contrast found"),
        ({"outcome": "no power", "reasons": []}, None, "care", "No power"),
        ({"result": "collapsed"}, None, "stop", "Lower alpha"),
        ({"result": "nonfinite"}, None, "stop", "not finite"),
        ({"result": "max_steps"}, None, "care", "still moving after 80 steps"),
        ({"diagnostics": {"dead_features": 10}}, None, "care", "10 of 30 features"),
        ({"fitted_features": 15, "diagnostics": {"dead_features": 10}}, None, "care",
         "10 of 15 features"),
        ({"diagnostics": {"dead_components": 1}}, None, "care", "hold nothing"),
        ({}, ("restarts", {"value": [1.0, 2.0], "result": "converged"}), "care", "1 of 2 starts"),
        ({}, ("restarts", {"value": [1.0], "result": ["converged"]}), "care", "one start"),
        ({}, ("enrichment", enrichment(0.01)), "good", "1 of 1 programs"),
        ({}, ("enrichment", enrichment(0.2)), "care", "0 of 1 programs"),
        ({}, ("enrichment", enrichment(None, note="not testable: x")), "care", "Not testable: x"),
        ({}, ("enrichment", enrichment(0.01, level="cell")), "care", "no evidence on donors"),
        (
            {"outcome": "contrast found"},
            ("background", {"name": ["size"], "level": ["unsuitable"], "advice": ["Get more."]}),
            "stop", "Get more.",
        ),
        (
            {"outcome": "contrast found"},
            ("background", {"name": ["size"], "level": ["ok"], "advice": [""]}),
            "good", "All 1 checks",
        ),
    ],
)  # fmt: skip
def test_trust(run, change, table, level, sentence):
    fit_run(run, result=change)
    if table:
        write_table(run, *table)
    verdicts = judge(read_run(run))
    (found,) = [v for v in verdicts if sentence in v.sentence]
    assert (found.level, light(verdicts)) == (level, level)
    page = Page(write(run))
    assert f"trust {level}" in page.values("class") and sentence in page.words


def test_a_plain_contrast_must_explain_less_of_the_background(run):
    alone = {"objective": "contrastive", "n_background_components": 0, "outcome": "contrast found"}
    levels = {}
    for y in (0.1, 0.3):
        found = {"x_explained": 0.2, "y_explained": y, "dead_features": 20}
        fit_run(run, result=alone | {"diagnostics": found})
        levels[y] = {v.topic: v.level for v in judge(read_run(run))}
    assert (
        levels[0.1]["Explained variance"] == "good" and levels[0.3]["Explained variance"] == "care"
    )
    assert levels[0.1]["Dead features"] == "good"  # with squared error, features are meant to leave


def test_features_and_usage_of_components(run):
    codes, basis = fit_run(run)
    found = programs(read_run(run), read_run(run).fitted)
    assert [p.shared for p in found] == [False, False, True, True]
    first = found[0]
    order = basis[0].argsort()[::-1]
    assert [f.name for f in first.features[:5]] == [f"gene{j}" for j in order[:5]]
    assert first.features[0].share == pytest.approx(basis[0].max())
    assert first.features[0].specificity == pytest.approx((basis[0] / basis.sum(0))[order[0]])
    share = codes[:, 0] / codes.sum(1)
    means = {g.name: (g.size, g.mean) for g in first.usage[""]}
    assert means["target"] == (60, pytest.approx(share[:60].mean()))
    donors = {g.name: g.mean for g in first.usage["donor"]}
    assert donors["donor1, background"] == pytest.approx(
        share[60:][np.arange(60, 100) % 4 == 1].mean()
    )
    assert "condition" not in first.usage  # the same groups as the sets


def test_the_page_carries_loadings_and_usage(run):
    codes, basis = fit_run(run)
    page = Page(write(run))
    looked = json.loads(page.scripts["lookup-data"])
    for row, program in zip(basis, looked["programs"], strict=True):
        back = unpacked(program["loadings"]) / 65535 * program["high"]
        np.testing.assert_allclose(back, row, atol=row.max() / 65535)
    drawn = json.loads(page.scripts["samples-data"])
    share = codes[:, 1] / codes.sum(1)
    program = drawn["programs"][1]
    back = unpacked(program["values"]) / 65535 * program["high"]
    np.testing.assert_allclose(back, share, atol=1 / 65535)
    sets, condition, donor = drawn["columns"]
    assert (unpacked(sets["index"]) == np.repeat([0, 1], [60, 40])).all()
    assert condition["levels"][unpacked(condition["index"])[-1]] == "control"
    assert donor["levels"][unpacked(donor["index"])[5]] == "donor1"


def test_names_that_look_like_numbers_stay_as_they_are(run):
    fit_run(run, names={"feature": "001", "sample": "1e3", "donor": "02"})
    fitted = read_run(run).fitted
    assert fitted.features[0] == "001" and fitted.samples[0] == "1e3"
    assert fitted.columns["donor"][0] == "02"
    usage = read_table(run, "usage").assign(donor=["07", *[None] * 99])
    write_table(run, "usage", usage)
    assert set(read_run(run).fitted.columns["donor"]) == {"07", "missing"}


def test_many_samples_are_drawn_in_part_and_the_page_says_so(run, monkeypatch):
    fit_run(run)
    monkeypatch.setattr(embedding, "MOST_SAMPLES", 30)
    page = Page(write(run))
    drawn = json.loads(page.scripts["samples-data"])
    assert len(drawn["names"]) == len(unpacked(drawn["x"])) == 30 and drawn["total"] == 100
    assert "30 of 100 samples, taken at random" in page.words


def test_a_collapsed_fit_has_a_page(run):
    fit_run(run, result={"result": "collapsed"})
    usage = read_table(run, "usage")
    usage[["bcnmf0", "bcnmf1", "background0", "background1"]] = 0.0
    write_table(run, "usage", usage)
    page = Page(write(run))
    assert "All codes are zero" in page.words and "Do not rely on this run" in page.words


@pytest.mark.parametrize(
    ("command", "result", "tables", "titles", "trust"),
    [
        ("sweep", {"fits": 18, "results": {"converged": 12, "collapsed": 6}},
         {"path": path_rows()}, ["Alpha path"], "Use with care"),
        ("select", {"outcome": "contrast found", "reasons": ["Sure."], "objective": "nmf",
                    "alpha": 0, "n_components": 2, "n_background_components": 1},
         {"selection": candidates()}, ["Choice without labels"], "Nothing speaks against"),
        ("compare", {}, {"comparison": [{"method": "PCA", "x_explained": 0.5}]},
         ["Comparison with other methods"], ""),
    ],
)  # fmt: skip
def test_pages_of_other_commands(run, command, result, tables, titles, trust):
    write_config(run, base(command) | {"result": result})
    for name, rows in tables.items():
        write_table(run, name, rows)
    page = Page(write(run))
    assert all(title in page.words for title in [*titles, "Reproduce"])
    assert "Programs" not in page.words and trust in page.words
    assert ("trust" in page.values("id")) == bool(trust)


def test_a_path_shows_medians_and_crosses_where_fits_failed(run):
    write_config(run, base("sweep") | {"result": {"fits": 18, "results": {"converged": 18}}})
    write_table(run, "path", path_rows())
    page = Page(write(run))
    assert page.values("class").count("failed") == 2 * 4  # two lines in each of four charts
    assert "4 components, alpha 1: 0.5" in page.words  # what a point of the first chart says


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("restarts", {"value": [1.0]}, "restarts.tsv has no column 'result'"),
        ("usage", {"sample": ["a"], "set": ["target"]}, "usage.tsv has no column 'bcnmf0'"),
        ("usage", {"sample": ["a"], "set": ["third"], "condition": "", "donor": ""}
         | {f"{kind}{k}": 1.0 for kind in ("bcnmf", "background") for k in (0, 1)}, "'third'"),
        ("components", {"feature": ["a"], "bcnmf0": ["much"]}, "'bcnmf0' must hold numbers"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_named_and_the_page_stays(run, table, columns, words):
    fit_run(run)
    before = write(run).read_bytes()
    write_table(run, table, columns)
    with pytest.raises(RunFolderError, match=words):
        write(run)
    assert (run / "report.html").read_bytes() == before
    assert sorted(p.name for p in run.iterdir()) == ["config.json", "report.html", "tables"]


def test_writes_elsewhere(run, tmp_path):
    fit_run(run)
    assert write(run, tmp_path / "pages" / "a.html") == tmp_path / "pages" / "a.html"
    assert not (run / "report.html").exists()
    with pytest.raises(RunFolderError, match="no run of bcnmf"):
        write(tmp_path / "pages")
