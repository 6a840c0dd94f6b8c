"""The command `bcnmf`: what it writes, what it says, how it ends, and that it goes on."""

import json
import signal
import subprocess
import sys
import time
from inspect import signature
from pathlib import Path

import anndata
import jax
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from typer.main import get_command

import bcnmf_jax as bj
from bcnmf_jax import cli
from bcnmf_jax.cli import _inputs as inputs
from bcnmf_jax.cli._app import app
from bcnmf_jax.cli._compare import methods
from bcnmf_jax.cli._options import FitOptions, RunOptions, default_cache
from bcnmf_jax.datasets import log_normalise
from bcnmf_jax.inference.selection import OUTCOMES
from bcnmf_jax.report.run_folder import read_config, read_table
from bcnmf_jax.report.run_forms import RunFolderError
from bcnmf_jax.storage.folders import contents
from tests.commands import (
    BACKGROUND,
    FEATURES,
    KEYS,
    SMALL,
    TARGET,
    bcnmf,  # noqa: F401 (a fixture)
    draw,
    files,  # noqa: F401 (a fixture)
    pair,
)


@pytest.fixture(scope="module")
def run(files, tmp_path_factory):
    """A run of `bcnmf fit` from two csv files."""
    out = tmp_path_factory.mktemp("runs") / "fit"
    with pytest.raises(SystemExit) as end:
        app(["fit", *pair(files), *SMALL, "--seed", "3", "--out", str(out)])
    assert end.value.code == 0
    return out


def everything(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# What a fit leaves


def test_a_run_says_what_was_done_and_to_what(run):
    config = read_config(run)
    assert config["command"] == "fit" and config["format"] == 1
    assert config["samples"] == {"target": 40, "background": 30} and config["features"] == 20
    assert [s["role"] for s in config["sources"]] == ["target", "background"]
    assert all(len(s["sha256"]) == 64 for s in config["sources"])
    assert config["parameters"]["n_components"] == 2 and config["parameters"]["random_state"] == 3
    assert config["versions"]["bcnmf_jax"] == bj.__version__
    checks = read_table(run, "background").set_index("name")
    assert checks.loc["size", "level"] == "warn" and checks.loc["size", "value"] == 30
    assert {p.name for p in run.iterdir()} == {"config.json", "model", "report.html", "tables"}
    assert [p.name for p in run.parent.iterdir()] == ["fit"]


def test_the_same_fit_as_in_python(run):
    x, y = log_normalise(TARGET), log_normalise(BACKGROUND)
    model = bj.BCNMF(2, n_restarts=2, max_iter=40, tol=1e-3, random_state=3)
    with pytest.warns(ConvergenceWarning):
        model.fit(x, background=y)
    components = read_table(run, "components")
    assert components["feature"].tolist() == FEATURES
    np.testing.assert_allclose(components[["bcnmf0", "bcnmf1"]], model.components_.T, rtol=1e-5)
    usage = read_table(run, "usage")
    assert usage["sample"].tolist()[:2] == ["target0", "target1"]
    for name, values in (("target", x), ("background", y)):
        mine = usage.loc[usage["set"] == name, ["bcnmf0", "bcnmf1"]]
        np.testing.assert_allclose(mine, model.transform(values), rtol=1e-3, atol=1e-3)
    assert read_table(run, "restarts")["result"].tolist() == model.restarts_["result"].tolist()
    with pytest.raises(FileNotFoundError, match="it is a run, whose model is in "):
        bj.load(run)
    loaded = bj.load(run / "model")
    assert np.array_equal(loaded.components_, model.components_)
    assert list(loaded.feature_names_in_) == FEATURES


def test_conditions_and_files_give_the_same_fit(run, files, bcnmf, tmp_path):
    out, held = tmp_path / "run", anndata.read_h5ad(files / "cells.h5ad")
    held.obs.loc[["73", "74"], "stim"] = np.nan
    held.write_h5ad(tmp_path / "cells.h5ad")
    code, stdout, stderr = bcnmf(
        "fit", tmp_path / "cells.h5ad", *KEYS, "--columns", "sample", "--layer", "raw", *SMALL,
        "--seed", "3", "--out", out, "--no-report", "--json",
    )  # fmt: skip
    assert code == 0
    found = json.loads(stdout)
    assert found["out"] == str(out) and found["report"] is None
    lost = "2 of 75 samples have no condition in 'stim' and are left out"
    assert f"warning: {lost}\n" in stderr and lost in found["warnings"]
    assert found["samples"] == {"target": 40, "background": 30}
    mine, other = (read_table(r, "components").drop(columns="feature") for r in (out, run))
    np.testing.assert_allclose(mine, other, rtol=1e-5)
    usage = read_table(out, "usage")
    assert usage["stim"].unique().tolist() == ["yes", "no"]
    assert usage["obs.sample"].tolist()[:3] == ["a", "b", "c"]
    assert usage["sample"].tolist()[:2] == ["0", "1"]
    assert read_config(out)["columns"] == ["stim", "obs.sample"]


@pytest.mark.parametrize(
    ("options", "applied"),
    [([], "log"), (["--loss", "kl", "--objective", "nmf"], "none"), (["--scale", "none"], "none")],
)
def test_what_is_done_with_counts_is_said_and_recorded(options, applied, files, bcnmf, tmp_path):
    _, stdout, stderr = bcnmf(
        "fit", *pair(files), *SMALL, *options, "--out", tmp_path / "run", "--no-report", "--json"
    )
    assert json.loads(stdout)["scale"]["applied"] == applied
    assert f"scale {applied} (" in stderr


def test_the_same_run_is_not_done_again_and_another_is_refused(run, files, bcnmf):
    before = everything(run)
    code, stdout, stderr = bcnmf("fit", *pair(files), *SMALL, "--seed", 3, "--out", run)
    assert code == 0 and "holds this run already" in stderr and "bcnmf0" in stdout
    code, _, stderr = bcnmf("fit", *pair(files), *SMALL, "--seed", 4, "--out", run)
    assert code == 1 and "holds another run" in stderr and "--overwrite" in stderr
    assert everything(run) == before


def test_overwriting_replaces_a_run_and_never_another_folder(files, bcnmf, tmp_path):
    out = tmp_path / "run"
    fit = ["fit", *pair(files), *SMALL, "--no-report", "--out", out]
    assert bcnmf(*fit)[0] == 0
    (out / "note.txt").write_text("mine")
    assert bcnmf(*fit, "--seed", 5, "--overwrite")[0] == 0
    assert read_config(out)["parameters"]["random_state"] == 5
    assert {p.name for p in out.iterdir()} == {"config.json", "model", "note.txt", "tables"}
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    code, _, stderr = bcnmf(*fit[:-1], mine, "--overwrite")
    assert code == 1 and "is no run of bcnmf" in stderr
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_codes_of_new_samples_are_those_of_the_fit(run, files, bcnmf, tmp_path):
    frame = pd.read_csv(files / "background.csv", index_col=0)
    frame[frame.columns[::-1]].to_csv(tmp_path / "reversed.csv")
    code, *_ = bcnmf("transform", run, tmp_path / "reversed.csv", "--out", tmp_path / "codes.tsv")
    assert code == 0
    codes, usage = pd.read_csv(tmp_path / "codes.tsv", sep="\t"), read_table(run, "usage")
    usage = usage[usage["set"] == "background"].reset_index(drop=True)
    assert codes["sample"].equals(usage["sample"])
    names = ["bcnmf0", "bcnmf1"]
    np.testing.assert_allclose(codes[names], usage[names], rtol=1e-5, atol=1e-5)
    (frame + 0.5).to_csv(tmp_path / "logs.csv")
    code, _, stderr = bcnmf("transform", run, tmp_path / "logs.csv", "--out", tmp_path / "c.tsv")
    assert code == 1 and "no counts" in stderr and not (tmp_path / "c.tsv").exists()


def test_files_that_are_there_are_replaced_where_that_is_asked_for(run, files, bcnmf, tmp_path):
    mine, page = tmp_path / "mine.csv", tmp_path / "page.html"
    mine.write_bytes((files / "background.csv").read_bytes())
    page.write_text("mine")
    before, own = mine.read_bytes(), everything(run)
    linked = tmp_path / "link.csv"
    linked.symlink_to(mine)
    transform, report = ["transform", run, mine, "--out"], ["report", run, "--out"]
    refused = [
        ([*transform, page], "--overwrite"), ([*report, page], "--overwrite"),
        *(([*transform, p, "--overwrite"], "is what this command reads") for p in (mine, linked)),
        ([*transform, run / "tables" / "usage.tsv", "--overwrite"], "is what this command reads"),
        ([*report, run / "config.json", "--overwrite"], "is what this command reads"),
    ]  # fmt: skip
    for command, message in refused:
        code, stdout, stderr = bcnmf(*command)
        assert code == 1 and stdout == "" and message in stderr and stderr.count("\n") == 1
    assert mine.read_bytes() == before and page.read_text() == "mine" and everything(run) == own
    assert bcnmf(*transform, page, "--overwrite")[0] == 0 and "bcnmf0" in page.read_text()
    assert bcnmf(*report, page, "--overwrite")[0] == 0 and "<html" in page.read_text()
    assert bcnmf("report", run)[0] == bcnmf(*report, run / "report.html")[0] == 0


def test_a_report_can_be_written_again(run, bcnmf, tmp_path):
    code, stdout, _ = bcnmf("report", run, "--out", tmp_path / "page.html")
    assert code == 0 and stdout.strip() == str(tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text()


def test_missing_values_are_refused_or_masked(files, bcnmf, tmp_path):
    for name in ("target.csv", "background.csv"):
        frame = np.log1p(pd.read_csv(files / name, index_col=0))
        if name == "target.csv":
            frame.iloc[3, 4] = np.nan
        frame.to_csv(tmp_path / name)
    fit = ["fit", *pair(tmp_path), *SMALL, "--no-report", "--out"]
    code, _, stderr = bcnmf(*fit, tmp_path / "run")
    assert code == 1 and "1 missing values (first: sample target3, feature g4)" in stderr
    assert bcnmf(*fit, tmp_path / "run", "--missing", "mask", "--objective", "nmf")[0] == 0
    assert read_table(tmp_path / "run", "components").notna().all(axis=None)


@pytest.mark.slow
def test_sparse_data_that_are_too_large_stay_sparse(files, bcnmf, tmp_path, monkeypatch):
    held = anndata.read_h5ad(files / "cells.h5ad")
    held.X = sparse.csr_matrix(held.X)
    held.write_h5ad(tmp_path / "cells.h5ad")
    cells = [tmp_path / "cells.h5ad", *KEYS]
    fit = ["fit", *cells, *SMALL, "--restarts", "1", "--no-report", "--out"]
    assert bcnmf(*fit, tmp_path / "dense")[0] == 0
    monkeypatch.setattr(inputs, "DENSE_BYTES", 100)
    code, _, stderr = bcnmf(*fit, tmp_path / "sparse")
    assert code == 0 and "[BCNMF] restart 1 of 1, fit: pass 10 of at most 40" in stderr
    dense, streamed = (
        read_table(tmp_path / n, "components").drop(columns="feature") for n in ("dense", "sparse")
    )
    np.testing.assert_allclose(streamed, dense, rtol=2e-2, atol=1e-3)
    code, _, stderr = bcnmf("sweep", *cells, "--out", tmp_path / "refused")
    assert code == 1 and "keep the most variable features" in stderr


# Sweeps


def swept(files, out, *more):
    grid = ["--alphas", "0,1", "--ranks", "2", "--restarts", "2", "--max-iter", "40", *more]
    return ["sweep", *pair(files), *grid, "--out", out]


def test_a_sweep_that_was_interrupted_goes_on_to_the_same_table(
    files, bcnmf, tmp_path, monkeypatch
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert bcnmf(*swept(files, whole))[0] == 0
    frame = read_table(whole, "path")
    assert frame[["alpha", "n_components", "restart"]].to_numpy().tolist() == [
        [0, 2, 0], [0, 2, 1], [1, 2, 0], [1, 2, 1]
    ]  # fmt: skip
    assert frame["stability"].between(0, 1 + 1e-6).all()

    own, calls = bj.sweep, []

    def interrupted(*arguments, **options):
        calls.append(options["alphas"])
        if len(calls) == 2:
            raise KeyboardInterrupt
        return own(*arguments, **options)

    monkeypatch.setattr(sys.modules["bcnmf_jax.fitting.grid"], "sweep", interrupted)
    code, _, stderr = bcnmf(*swept(files, cut))
    assert code == 130 and "interrupted" in stderr
    (kept,) = cut.glob(".bcnmf-*/part/rows.jsonl")
    assert not contents(cut) and read_config(kept.parent)["command"] == "sweep"
    code, _, stderr = bcnmf(*swept(files, cut, "--seed", 7))
    assert code == 1 and "fits of a sweep that was interrupted" in stderr and kept.exists()
    with kept.open("a") as rows:
        rows.write('[{"alpha": 1, "n_com')  # killed while it wrote
    code, stdout, stderr = bcnmf(*swept(files, cut, "--json"))
    assert code == 0 and "2 fits are done already, 1 settings are left" in stderr
    assert calls == [[0.0], [1.0], [1.0]]
    assert json.loads(stdout)["fits"] == 4
    assert (cut / "tables/path.tsv").read_text() == (whole / "tables/path.tsv").read_text()
    assert {p.name for p in cut.iterdir()} == {"config.json", "report.html", "tables"}


def test_an_error_leaves_nothing_of_a_sweep_that_has_no_rows(files, bcnmf, tmp_path):
    code, _, stderr = bcnmf(*swept(files, tmp_path / "run", "--loss", "huber"))
    assert code == 1 and "loss must be one of" in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_signal_ends_a_sweep_at_once_and_it_goes_on(files, tmp_path):
    out = tmp_path / "run"
    many = swept(files, str(out), "--alphas", ",".join(str(a / 100) for a in range(3000)))
    script = "from bcnmf_jax.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", script, *many], stderr=subprocess.PIPE)
    rows = lambda: list(out.glob(".bcnmf-*/part/rows.jsonl"))  # noqa: E731
    until = time.monotonic() + 60
    while not rows() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130 and stderr.decode().endswith("bcnmf: interrupted\n")
    assert "Traceback" not in stderr.decode() and rows()[0].read_text()


# Comparison, data, selection


def test_methods_are_compared_by_one_measure(files, bcnmf, tmp_path):
    code, stdout, _ = bcnmf(
        "compare", files / "cells.h5ad", *KEYS, "--labels-key", "sample", *SMALL,
        "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert code == 0
    rows = {row["method"]: row for row in json.loads(stdout)["methods"]}
    assert list(rows) == ["PCA", "cPCA", "gcPCA", "NMF", "bcNMF, contrastive"]
    # Principal components hold the most variance that so many can.
    assert max(row["target_variance"] for row in rows.values()) == rows["PCA"]["target_variance"]
    x = log_normalise(TARGET) - log_normalise(TARGET).mean(0)
    spectrum = np.linalg.svd(x, compute_uv=False) ** 2
    assert rows["PCA"]["target_variance"] == pytest.approx(spectrum[:2].sum() / spectrum.sum())
    assert all(-1 <= row["ari_primary"] <= 1 for row in rows.values())


def test_methods_are_compared_on_all_features(monkeypatch):
    given = {"n_components": 2, "random_state": 0, "max_iter": 20, "n_background_components": 2}
    given |= {"objective": "background_first", "n_restarts": 1, "alpha": 0.0, "verbose": False}
    model = methods(given)[-1]  # the others have no such choice
    found = model(TARGET, BACKGROUND)
    monkeypatch.setattr("bcnmf_jax.inference.features.WIDE", 10)
    monkeypatch.setattr("bcnmf_jax.inference.features.TOP", 8)
    assert bj.BCNMF(**given).fit(TARGET, background=BACKGROUND).features_.sum() == 8
    again = model(TARGET, BACKGROUND)
    assert again.name == found.name == "bcNMF, background_first"
    np.testing.assert_array_equal(again.components, found.components)


def test_data_sets_are_listed(bcnmf):
    code, stdout, _ = bcnmf("data")
    assert code == 0
    assert all(name in stdout for name in ("beta_simulation", "kang_lymphocytes", "mixseq"))
    assert "log_normalise" not in stdout and "fetch" not in stdout


@pytest.mark.parametrize("form", ["csv", "h5ad"])
def test_a_simulation_is_written_as_counts(form, bcnmf, tmp_path):
    settings = ["--set", "n=10", "--set", "genes=1490", "--set", "beta=2", "--set", "seed=4"]
    out = tmp_path / "demo"
    code, *_ = bcnmf("data", "beta_simulation", *settings, "--format", form, "--out", out)
    assert code == 0
    made = bj.datasets.beta_simulation(beta=2, n=10, genes=1490, seed=4)
    if form == "csv":
        found = pd.read_csv(out / "target.csv", index_col=0)
        assert pd.read_csv(out / "labels.csv")["label"].tolist() == made.labels.tolist()
    else:
        held = anndata.read_h5ad(out / "data.h5ad")
        found = held[held.obs["role"] == "target"].to_df()
        assert held.obs["label"].astype(str).tolist()[:10] == [*map(str, made.labels)]
    assert np.array_equal(found, made.counts["target"])
    assert list(found.columns) == made.feature_names.tolist()
    before, again = everything(out), ["data", "beta_simulation", *settings, "--format", form]
    code, _, stderr = bcnmf(*again, "--set", "seed=5", "--out", out)
    assert code == 1 and "is not empty" in stderr and "--overwrite" in stderr
    code, _, stderr = bcnmf(*again, "--out", next(out.iterdir()), "--overwrite")
    assert code == 1 and "is a file; name a folder" in stderr and everything(out) == before
    assert bcnmf(*again, "--set", "seed=5", "--out", out, "--overwrite")[0] == 0
    assert everything(out).keys() == before.keys() and everything(out) != before


def test_a_choice_among_too_few_samples_is_a_run_with_a_report(bcnmf, files, tmp_path):
    auto = [f"--{name}=auto" for name in ("n-components", "alpha", "objective")]
    out = tmp_path / "run"
    code, stdout, _ = bcnmf("fit", *pair(files), *auto, "--restarts", 1, "--out", out, "--json")
    assert code == 0 and json.loads(stdout)["outcome"] == "no power"
    assert (out / "report.html").exists()
    assert set(read_table(out, "selection")["objective"]) == {"balanced", "sequential"}


def test_donors_that_are_missing_or_in_both_sets_are_said(bcnmf, files, tmp_path):
    held = anndata.read_h5ad(files / "cells.h5ad")
    stim = held.obs["stim"].astype(str).to_numpy()
    donors = np.array([f"{s}{i % 4}" for i, s in enumerate(stim)], dtype=object)
    held.obs["donor"] = np.where(np.char.endswith(donors.astype(str), "0"), "both", donors)
    held.obs["some"] = pd.Series(donors, held.obs_names).where(np.arange(75) > 0)
    held.write_h5ad(tmp_path / "cells.h5ad")
    fit = ["fit", tmp_path / "cells.h5ad", *KEYS, *SMALL, "--no-report", "--out", tmp_path / "run"]
    code, _, stderr = bcnmf(*fit, "--group-key", "some")
    assert code == 1 and "column 'some' has 1 missing values" in stderr
    code, _, stderr = bcnmf(*fit, "--group-key", "donor", "--permutations", 5)
    assert code == 0 and "1 groups of 'donor' are in both sets" in stderr


def test_a_selection_says_when_there_are_too_few_samples(bcnmf, files, tmp_path):
    code, stdout, _ = bcnmf("select", *pair(files), "--out", tmp_path / "run")
    assert code == 0 and stdout.startswith("no power: ")
    assert read_config(tmp_path / "run")["result"]["outcome"] == "no power"


@pytest.mark.slow
def test_a_selection_is_written_and_shown(bcnmf, tmp_path):
    for name, programs in (("target", 3), ("background", 2)):
        values = draw(programs, 200, programs).astype(int)
        pd.DataFrame(values, columns=FEATURES).to_csv(tmp_path / f"{name}.csv", index=False)
    out = tmp_path / "run"
    code, stdout, _ = bcnmf(
        "select", *pair(tmp_path), "--ranks", "1,2", "--splits", "2", "--out", out, "--json"
    )
    found = json.loads(stdout)
    assert code == 0 and found["outcome"] in OUTCOMES and found["reasons"]
    rows = {(row["objective"], row["n_components"]): row["net"] for row in found["table"]}
    assert {count for _, count in rows} == {1, 2} and rows["sequential", 1] is not None
    nets = np.array(list(rows.values()), float)
    np.testing.assert_array_equal(read_table(out, "selection")["net"].astype(float), nets)


@pytest.mark.slow
def test_what_is_on_auto_is_chosen(bcnmf, tmp_path):
    for name, programs in (("target", 3), ("background", 2)):
        values = draw(programs, 200, programs).astype(int)
        pd.DataFrame(values, columns=FEATURES).to_csv(tmp_path / f"{name}.csv", index=False)
    auto = [f"--{name}=auto" for name in ("n-components", "alpha", "objective")]
    out = tmp_path / "run"
    code, stdout, _ = bcnmf("fit", *pair(tmp_path), *auto, "--out", out, "--no-report", "--json")
    found, rows = json.loads(stdout), read_table(out, "selection")
    assert code == 0 and found["outcome"] in OUTCOMES
    taken = rows[(rows["objective"] == found["objective"]) & (rows["alpha"] == found["alpha"])]
    assert found["n_components"] in taken["n_components"].to_list()
    assert bj.load(out / "model").selection_.outcome == found["outcome"]


@pytest.mark.slow
def test_donors_are_tested(bcnmf, files, tmp_path):
    held = anndata.read_h5ad(files / "cells.h5ad")
    held.obs["donor"] = [f"d{i % 5}" for i in range(75)]
    held.write_h5ad(tmp_path / "cells.h5ad")
    fit = ["fit", tmp_path / "cells.h5ad", *KEYS, *SMALL, "--group-key", "donor", "--no-report"]
    assert bcnmf(*fit, "--permutations", 20, "--out", tmp_path / "run")[0] == 0
    rows = read_table(tmp_path / "run", "enrichment")
    assert rows["component"].tolist()[:2] == ["bcnmf0", "bcnmf1"]
    assert rows["p"].between(0, 1).all()


def test_folders_that_are_no_runs_are_refused(run, tmp_path):
    with pytest.raises(RunFolderError, match="is no folder"):
        read_config(tmp_path / "gone")
    config = json.loads((run / "config.json").read_text())
    for text, message in (
        ("{", "cannot be read"),
        ("[]", "not of bcnmf"),
        (json.dumps(config | {"format": 99}), "format 99, this version reads 1"),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(RunFolderError, match=message):
            read_config(tmp_path)


# Help


@pytest.mark.parametrize(
    "command", ["", "fit", "select", "sweep", "compare", "transform", "report", "data"]
)
def test_help_teaches(command, bcnmf):
    code, stdout, _ = bcnmf(*command.split(), "--help")
    assert code == 0
    assert f"bcnmf {command or 'fit'}" in " ".join(stdout.split())


def test_defaults_are_those_of_the_estimator():
    own = FitOptions().parameters()
    theirs = {name: p.default for name, p in signature(bj.BCNMF).parameters.items()}
    assert {k: v for k, v in own.items() if k != "random_state"} == {
        k: theirs[k] for k in own if k != "random_state"
    }
    options = {p.name: p.default for p in get_command(app).commands["fit"].params}
    assert options["n_components"] == theirs["n_components"] == "auto"
    assert options["alpha"] == theirs["alpha"] == "auto"
    assert options["missing"] == theirs["missing"]


def test_version(bcnmf):
    assert bcnmf("--version")[:2] == (0, f"bcnmf_jax {bj.__version__}\n")


@pytest.mark.parametrize("package", ["typer", "rich", "pandas"])
def test_without_its_packages_the_command_says_which_extra_to_install(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == (
        f"bcnmf: bcnmf_jax needs {package} here; install it with: pip install 'bcnmf_jax[cli]'"
    )


def test_compiled_programs_are_kept_among_the_users_caches(monkeypatch, tmp_path):
    told = {}
    monkeypatch.setattr(jax.config, "update", told.__setitem__)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    RunOptions(out=tmp_path, no_cache=True)
    assert told == {"jax_compilation_cache_dir": None}
    RunOptions(out=tmp_path)
    assert told["jax_compilation_cache_max_size"] == 2**30
    folder = Path(told["jax_compilation_cache_dir"])
    assert folder == default_cache() and folder.parent.name == "programs"
    told.clear()
    RunOptions(out=tmp_path, cache=tmp_path / "own")
    assert told["jax_compilation_cache_dir"] == str(tmp_path / "own")
    assert "jax_compilation_cache_max_size" not in told  # others may keep more there
    (tmp_path / "file").touch()
    RunOptions(out=tmp_path, cache=tmp_path / "file" / "own")
    assert told["jax_compilation_cache_dir"] is None
