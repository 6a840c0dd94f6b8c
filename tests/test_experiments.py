"""The experiment runner on tiny data: configurations, rows, interruption, the demonstration."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import demo
from experiments.core.config import ConfigError, load
from experiments.core.records import ROOT
from experiments.core.rows import Results, ResultsError, key, plain
from experiments.core.units import units
from experiments.run import main

CONFIGS = [p for p in sorted((ROOT / "configs").glob("*.toml")) if p.stem != "select"]
TINY = """
data = [{ name = "beta_simulation", args = { beta = 8, n = 40, genes = 1500 } }]
restarts = 2
stop = { tol = 1e-2, max_steps = 20 }

[[method]]
method = "pca"
ranks = [1, 2]
default = { rank = 2 }

[[method]]
method = "nmf"
losses = ["frobenius"]
ranks = [2]
default = { rank = 2 }

[[method]]
method = "bcnmf"
losses = ["frobenius"]
ranks = [2]
alphas = [0.5, 1.0, 2.0]
default = { rank = 2, alpha = 1.0 }
"""


@pytest.fixture
def tiny(tmp_path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


def read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def same(rows: list[dict]) -> list[dict]:
    """Rows in one order, without what no two runs have in common."""
    kept = [{k: v for k, v in row.items() if k not in ("seconds", "commit")} for row in rows]
    return sorted(kept, key=key)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
@pytest.mark.parametrize("quick", [False, True], ids=["full", "quick"])
def test_every_configuration_is_valid(path, quick):
    config = load(path, quick=quick)
    todo = units(config)
    settings = [(u.method.experiment, u.method.method) for u in todo for _ in u.settings]
    assert len(settings) >= len(config.method)
    if not quick:
        assert config.restarts >= 20
    mains = [m for m in config.method if m.experiment == "main"]
    for method in mains:
        assert method.default is not None
        chosen = (method.default.rank, method.default.alpha)
        assert any(chosen in u.settings for u in todo if u.method is method)


def test_data_configurations_share_grid_and_defaults():
    names = ("beta_series", "digits", "mnist01", "mnist10", "mouse", "mixseq")
    names += ("kang_lymphocytes", "kang_cross_donor")
    loaded = [load(ROOT / "configs" / f"{name}.toml") for name in names]
    assert all(c.method == loaded[0].method and c.stop == loaded[0].stop for c in loaded)
    assert {m.method for m in loaded[0].method} == {
        *("pca", "cpca", "gcpca", "nmf", "bcnmf", "published"),
        *("shared_target", "background_first"),
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("restarts = 2", "restart = 2"), "restart: unknown key"),
        (("restarts = 2", 'restarts = "2"'), "restarts: Input should be a valid integer"),
        (("max_steps = 20", "max_step = 20"), "stop.max_step: unknown key"),
        (("ranks = [2]", "ranks = [2.5]"), "method.1.ranks.0: Input should be a valid integer"),
        (('losses = ["frobenius"]', ""), "method.1: losses: nmf needs at least one"),
        (("rank = 2, alpha = 1.0", "rank = 3, alpha = 1.0"), "default: must be among"),
        (("restarts = 2", "restarts ="), "not TOML"),
        (('data = [{ name = "beta', 'data = [{ name = "betas'), "data.0: name: Input should be"),
    ],
)
def test_wrong_configuration_is_one_line_that_names_the_key(tiny, capsys, changed, said):
    tiny.write_text(TINY.replace(*changed, 1))
    assert main([str(tiny), "--out", str(tiny.parent / "rows")]) == 2
    error = capsys.readouterr().err.strip()
    assert said in error and "\n" not in error and "Traceback" not in error
    assert not (tiny.parent / "rows").exists()


def test_wrong_arguments_of_the_data_are_named(tiny, capsys):
    assert main([str(tiny), "--set", "data.0.args.gamma=1", "--out", str(tiny.parent)]) == 2
    assert "gamma" in capsys.readouterr().err


def test_set_changes_a_key_and_unknown_ones_are_refused(tiny):
    config = load(tiny, ["restarts=5", "stop.tol=1e-4", "data.0.args.beta=4", "seed=3"])
    assert (config.restarts, config.stop.tol, config.seed) == (5, 1e-4, 3)
    assert config.data[0].args == {"beta": 4, "n": 40, "genes": 1500}
    for wrong in ("nothing=1", "stop.nothing=1", "restarts=many", "data.7.name=x", "restarts"):
        with pytest.raises(ConfigError, match=wrong.split("=")[0].replace(".", r"\.")):
            load(tiny, [wrong])


def hashes(config):
    """Name of a method -> hash of its rows."""
    return {m.method: config.hash(m, config.data[0]) for m in config.method}


def test_the_hash_tells_whatever_rows_depend_on(tiny):
    base = hashes(load(tiny))
    assert len(set(base.values())) == 3 and hashes(load(tiny)) == base
    for change in ("restarts=5", "stop.tol=1e-4", "data.0.args.beta=4", "seed=3"):
        changed = hashes(load(tiny, [change]))
        assert all(changed[method] != base[method] for method in base), change
    # Rows of the other methods do not depend on the alphas of one.
    changed = hashes(load(tiny, ["method.2.alphas=[0.5, 1.0]"]))
    assert {method for method in base if changed[method] != base[method]} == {"bcnmf"}


def test_include_takes_what_is_not_set(tmp_path, tiny):
    path = tmp_path / "other.toml"
    path.write_text('include = "tiny.toml"\nrestarts = 7\nnarrow = { ranks = [1], alphas = [] }\n')
    config = load(path)
    assert config.restarts == 7 and config.method == load(tiny).method
    assert [unit.settings for unit in units(config)] == [
        ((1, None), (2, None)),
        ((2, None),),
        ((2, 1.0),),
    ]
    path.write_text('include = "missing.toml"\n')
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read"):
        load(path)


def test_rows_have_what_tables_need_and_a_second_run_adds_none(tiny, capsys):
    from experiments.core.records import read_rows

    out = tiny.parent / "rows"
    assert main([str(tiny), "--out", str(out), "--workers", "1"]) == 0
    written = (out / "tiny.jsonl").read_bytes()
    table = read_rows(out)
    assert len(table) == 2 * (2 + 1 + 3)
    assert table["default"].sum() == 2 * 3
    assert set(table["commit"].map(type)) <= {str, type(None)}
    fitted = table[table["method"] == "bcnmf"]
    assert sorted(set(fitted["alpha"])) == [0.5, 1.0, 2.0]
    assert fitted[["x_explained", "steps", "ari_primary", "cosine", "auc"]].notna().all(axis=None)
    assert fitted["x_explained"].nunique() == len(fitted)  # restarts and alphas are other fits
    assert (table[["alpha", "n", "m"]].iloc[-1] == [2.0, 40, 40]).all()
    assert main([str(tiny), "--out", str(out), "--workers", "1"]) == 0
    assert (out / "tiny.jsonl").read_bytes() == written
    assert main([str(tiny), "--out", str(out), "--set", "seed=1"]) == 2
    assert "another configuration" in capsys.readouterr().err
    assert (out / "tiny.jsonl").read_bytes() == written


def test_killed_run_resumes_without_a_lost_or_doubled_row(tiny):
    whole, killed = tiny.parent / "whole", tiny.parent / "killed"
    assert main([str(tiny), "--out", str(whole), "--workers", "1"]) == 0
    command = [sys.executable, "-m", "experiments.run", str(tiny), "--out", str(killed)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    path = killed / "tiny.jsonl"
    process = subprocess.Popen(command, **quiet)
    try:
        end = time.monotonic() + 60
        while not (path.exists() and path.stat().st_size) and time.monotonic() < end:
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    kept = read(path)
    # The first rows are there when the program of the last method is still being compiled.
    assert 0 < len(kept) < 12, "killed too early or too late to test anything"
    with path.open("ab") as file:
        file.write(b'{"config": "tiny", "confi')  # what a kill within a write leaves
    assert main([str(tiny), "--out", str(killed), "--workers", "1"]) == 0
    assert read(path)[: len(kept)] == kept
    assert same(read(path)) == same(read(whole / "tiny.jsonl"))


def row(**changes) -> dict:
    about = {"config_hash": "a", "data": "d", "data_args": {}, "experiment": "main", "seed": 0}
    about |= {"method": "bcnmf", "loss": "kl", "alpha": 1.0, "alpha_total": 3.0, "rank": 2}
    return about | {"extra": None, "options": {}} | changes


def test_results_refuse_what_would_double_or_mix_rows(tmp_path):
    path = tmp_path / "rows" / "a.jsonl"
    with Results(path, {"a"}) as results:
        results.append([row(), row(seed=1)])
        for again in ([row()], [row(seed=2), row(seed=2)]):
            with pytest.raises(ValueError, match="doubled"):
                results.append(again)
        with pytest.raises(ResultsError, match="another run is writing"):
            Results(path, {"a"})
    assert len(read(path)) == 2
    with pytest.raises(
        ResultsError, match=r"line 1: a row of another configuration \(config_hash a\)"
    ):
        Results(path, {"b"})
    path.write_text(json.dumps(row()) + "\nnot json\n" + json.dumps(row(seed=1)) + "\n")
    with pytest.raises(ResultsError, match="line 2: not a row"):
        Results(path, {"a"})
    path.write_text(2 * (json.dumps(row()) + "\n"))
    with pytest.raises(ResultsError, match="line 2: a doubled row"):
        Results(path, {"a"})


def test_key_is_what_was_asked_for():
    auto = {"options": {"alpha_mode": "auto"}}
    total = {"options": {"alpha_mode": "total"}}
    assert key(row(alpha=3.1, **auto)) == key(row(alpha=None, **auto)) != key(row(alpha=3.1))
    assert key(row(alpha=0.1, **total)) == key(row(alpha=0.2, **total))
    assert key(row(alpha_total=1.0, **total)) != key(row(alpha_total=2.0, **total))
    assert key(row(rank=3)) != key(row()) == key(row(config_hash="b"))


def test_rows_hold_no_nan():
    assert plain({"a": float("nan"), "b": [1.23456789, float("inf")], "c": 3}) == {
        **{"a": None, "b": [1.23457, None], "c": 3}
    }


def test_fraction_of_the_background_and_total_alpha(tiny):
    config = (
        tiny.read_text()
        .replace(
            "beta = 8, n = 40, genes = 1500 }", "n = 40, genes = 1500 }, background_fraction = 0.25"
        )
        .replace("alphas = [0.5, 1.0, 2.0]", "alphas = [2.0]")
    )
    config = config.replace("default = { rank = 2, alpha = 1.0 }", 'alpha_unit = "total"')
    tiny.write_text(config)
    assert main([str(tiny), "--out", str(tiny.parent), "--workers", "1"]) == 0
    last = read(tiny.parent / "tiny.jsonl")[-1]
    assert (last["n"], last["m"]) == (40, 10)
    assert (last["alpha"], last["alpha_total"]) == (0.5, 2.0)
    assert last["options"] == {"alpha_mode": "total"}
    assert last["data_args"]["background_fraction"] == 0.25


def test_demonstration_prints_a_table_and_leaves_rows_and_a_picture(
    tmp_path, tiny, capsys, monkeypatch
):
    monkeypatch.setattr(demo, "CONFIG", tiny)
    tiny.write_text(TINY.replace("ranks = [1, 2]", "ranks = [2]").replace("0.5, 1.0, 2.0", "1.0"))
    assert demo.main(["--out", str(tmp_path / "demo")]) == 0
    said = capsys.readouterr().out
    assert "bcNMF" in said and "PCA" in said and str(tmp_path / "demo" / "demo.png") in said
    assert (tmp_path / "demo" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert len(read(tmp_path / "demo" / "demo.jsonl")) == 6
