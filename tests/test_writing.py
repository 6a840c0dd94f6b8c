"""Files and folders that are written stand whole or not at all, wherever that is cut short."""

import io
import itertools
import os
import shutil
import stat
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.cli import _apply as apply
from bcnmf_jax.cli import _fit as fit_command
from bcnmf_jax.cli import _results as results
from bcnmf_jax.cli import _sweep as sweep_command
from bcnmf_jax.cli._app import app
from bcnmf_jax.report import _contents as contents
from bcnmf_jax.report._contents import read_run
from bcnmf_jax.report.run_folder import read_config, read_table
from bcnmf_jax.storage import folders, lines
from bcnmf_jax.storage.files import whole_file, write_bytes
from bcnmf_jax.storage.folders import replaced
from bcnmf_jax.storage.lines import append_lines, read_lines
from bcnmf_jax.storage.locks import InUseError, locked
from bcnmf_jax.streaming import _checkpoint as checkpoint
from experiments import demo
from experiments import run as experiment
from experiments.core import choices as selecting
from experiments.core.circumstances import circumstances
from experiments.core.config import load
from experiments.core.methods import Fitted
from experiments.core.records import ROOT
from experiments.core.rows import Results, ResultsError, recorded
from tests.commands import BACKGROUND, TARGET, bcnmf, files, pair  # noqa: F401 (fixtures)
from tests.interruptions import HOW, every

CUTS = list(HOW)
SIZE = ["--n-components", "2", "--restarts", "1", "--max-iter", "5"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Nothing here cuts the power: what reaches the system need not reach the disk."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def model():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = bj.BCNMF(2, alpha=0.5, n_restarts=1, max_iter=5, random_state=0)
        return made.fit(TARGET, background=BACKGROUND)


@pytest.fixture
def again(tmp_path):
    """Function that makes ``tmp_path / "here"`` anew, empty or as a copy of a folder."""

    def make(source=None):
        shutil.rmtree(tmp_path / "here", ignore_errors=True)
        if source is None:
            (tmp_path / "here").mkdir()
        else:
            shutil.copytree(source, tmp_path / "here")

    return make


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


# Files


@pytest.mark.parametrize("how", CUTS)
def test_a_file_is_the_old_or_the_new_wherever_writing_stops(how, again, tmp_path):
    path = tmp_path / "here" / "new" / "a.txt"

    def check(number):
        left = path.read_text() if path.exists() else "old"
        assert left in ("old", "new") and (how == "kill" or names(tmp_path / "here") in ([], left))
        write_bytes(path, b"new")
        assert path.read_text() == "new"

    assert every(lambda: write_bytes(path, b"new"), again, check, how) >= 4


def test_a_file_keeps_its_link_and_its_mode_and_its_neighbours(tmp_path):
    path, link = tmp_path / "a.tsv.gz", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    mine = {tmp_path / n: n for n in ("a.tsv.gz.part", "a.part", f".{os.getpid()}.a.tsv.gz")}
    for other, text in mine.items():
        other.write_text(text)
    with whole_file(link) as partial:
        assert partial.name.endswith(".tsv.gz") and partial.parent == tmp_path
        partial.write_text("new")
    assert link.is_symlink() and path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert all(other.read_text() == text for other, text in mine.items())
    assert len(names(tmp_path)) == 5


def test_a_file_is_refused_where_none_can_stand(tmp_path):
    for path, said in ((tmp_path, "is a folder"), ("/dev/null", "no regular file")):
        with pytest.raises(OSError, match=said):
            write_bytes(path, b"")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="file"):
        write_bytes(tmp_path / "file" / "a", b"")
    (tmp_path / "file").chmod(0o444)
    with pytest.raises(PermissionError, match="is read-only; make it writable"):
        write_bytes(tmp_path / "file", b"")
    assert (tmp_path / "file").read_text() == "mine" and names(tmp_path) == ["file"]
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    for path in (tmp_path / "one", tmp_path / "one" / "a"):
        with pytest.raises(OSError, match="leads in a circle"):
            write_bytes(path, b"")
        with pytest.raises(OSError, match="leads in a circle"):
            locked(path).__enter__()
    assert names(tmp_path) == ["file", "one", "two"] and (tmp_path / "one").is_symlink()


def test_rows_are_appended_and_a_torn_one_is_written_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    append_lines(path, [1, {"a": 2}])
    with open(path, "a") as file:
        file.write('{"a": 3')
    assert read_lines(path) == {1: 1, 2: {"a": 2}}
    append_lines(path, [3])
    assert path.read_text() == '1\n{"a": 2}\n3\n'
    path.write_text("[1]\n[2]")  # whole, but for the end of its line
    assert read_lines(path) == {1: [1], 2: [2]}
    append_lines(path, [[3]])
    assert path.read_text() == "[1]\n[2]\n[3]\n"
    path.write_text("\n[1]\n \r\n[2]\n\t")
    assert read_lines(path) == {2: [1], 4: [2]}
    path.write_text("[1]\n[2\n[3]\n")
    with pytest.raises(ValueError, match="line 2: not a row of JSON"):
        read_lines(path)
    with pytest.raises(ValueError, match="JSON compliant"):
        append_lines(path, [float("nan")])
    with pytest.raises(ValueError, match="JSON compliant"):
        checkpoint.save_checkpoint(tmp_path / "a.npz", [], {"value": float("inf")})
    assert names(tmp_path) == ["rows.jsonl"]
    assert path.read_text() == "[1]\n[2\n[3]\n"


class Counted(io.BytesIO):
    """A file that knows how much of it is read."""

    count = 0

    def read(self, size=-1):
        found = super().read(size)
        self.count += len(found)
        return found


@pytest.mark.parametrize("rest", ["", "[2]", "[2", "[" + "2, " * 400])
def test_what_is_appended_to_is_read_from_its_end(rest, tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK", 64)
    before = "[1]\n" * 1000
    file = Counted((before + rest).encode())
    assert lines._unended(file) == (len(before + rest), rest.encode())
    assert file.count <= len(rest) + 64
    (tmp_path / "rows").write_text(before + rest)
    append_lines(tmp_path / "rows", [[3]])
    assert (tmp_path / "rows").read_text() == before + ("[2]\n" if rest == "[2]" else "") + "[3]\n"


# Folders


def test_one_writer_at_a_time_and_its_lock_goes_with_it(tmp_path):
    folder = tmp_path / "a" / "b"
    with locked(folder):
        with pytest.raises(InUseError, match=r"b is being written by another process"):
            locked(folder).__enter__()
    assert names(tmp_path) == []
    held = locked(folder)
    held.__enter__()
    threading.Timer(0.1, held.__exit__, (None, None, None)).start()
    with locked(folder, 10):
        assert names(folder) == [".bcnmf-lock"]
    shutil.rmtree(tmp_path / "a", ignore_errors=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="cannot be written"):
        locked(tmp_path / "file").__enter__()
    with pytest.raises(OSError, match="Not a directory"):
        locked(tmp_path / "file" / "run").__enter__()
    assert names(tmp_path) == ["file"]


def test_a_folder_is_made_while_another_process_removes_those_above_it(tmp_path, monkeypatch):
    folder, own, gone = tmp_path / "a" / "b", Path.mkdir, []

    def removed_once(path, *arguments, **options):
        if path == folder and not gone:
            gone.append(path.parent)
            path.parent.rmdir()
        return own(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", removed_once)
    with locked(folder):
        assert names(folder) == [".bcnmf-lock"]
    assert gone
    assert names(tmp_path) == []

    def refused(path, *arguments, **options):
        raise FileNotFoundError(2, "No such file or directory", str(path))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(FileNotFoundError):
        locked(folder).__enter__()


def test_a_lock_that_is_left_in_a_shared_folder_may_be_taken_by_others(tmp_path, monkeypatch):
    before = os.umask(0o077)
    try:
        for mode, expected in ((0o755, 0o600), (0o2775, 0o666), (0o1777, 0o666)):
            tmp_path.chmod(mode)
            with locked(tmp_path):
                found = (tmp_path / ".bcnmf-lock").stat()
                assert stat.S_IMODE(found.st_mode) == expected
    finally:
        os.umask(before)
    (tmp_path / ".bcnmf-lock").touch()
    own = os.open

    def refuse(path, *arguments, **options):
        if str(path).endswith(".bcnmf-lock"):
            raise PermissionError(13, "Permission denied", path)
        return own(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    said = r"cannot be written: Permission denied; .*\.bcnmf-lock is another user's lock.*remove"
    with pytest.raises(PermissionError, match=said):
        locked(tmp_path).__enter__()


def test_a_folder_that_goes_while_it_is_looked_at_is_no_left_over(tmp_path, monkeypatch):
    stage, own = tmp_path / ".bcnmf-0123456789abcdef", os.listdir

    def listed(path):
        if Path(path) == stage:
            stage.rmdir()
        return own(path)

    monkeypatch.setattr(os, "listdir", listed)
    for _ in range(2):
        stage.mkdir()
        folders.recovered(tmp_path, ("a",))
        stage.exists() and stage.rmdir()
    stage.mkdir()
    with locked(tmp_path):
        folders.recover(tmp_path, ("a",))
    assert names(tmp_path) == []


def test_what_cannot_be_moved_in_is_kept_and_moved_in_later(tmp_path, monkeypatch):
    write_bytes(tmp_path / "a", b"old")
    own, calls = os.replace, itertools.count()

    def fails(*arguments):
        if next(calls) in (4, 5):  # of the new entry, and of putting the old one back
            raise OSError("injected")
        return own(*arguments)

    with pytest.raises(OSError, match="injected"), locked(tmp_path):
        with replaced(tmp_path, ("a",), keep=True) as new:
            write_bytes(new / "a", b"new")
            monkeypatch.setattr(os, "replace", fails)
            next(calls)
    monkeypatch.undo()
    folders.recovered(tmp_path, ("a",))
    if (tmp_path / "a").read_text() == "old":
        with locked(tmp_path):
            folders.recover(tmp_path, ("a",))
    assert (tmp_path / "a").read_text() == "new" and names(tmp_path) == ["a"]


def test_only_entries_are_written_and_a_look_alike_is_left_alone(tmp_path):
    mine = tmp_path / ".bcnmf-0123456789abcdef"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="'b'"), locked(tmp_path):
        with replaced(tmp_path, ("a",)) as new:
            write_bytes(new / "b", b"")
    assert names(tmp_path) == [mine.name, f"{mine.name}/thesis.txt"]


# Models


@pytest.mark.parametrize("how", CUTS)
def test_a_model_is_the_old_or_the_new_wherever_saving_stops(how, model, again, tmp_path):
    model.set_params(tol=0.5).save(tmp_path / "old")
    model.set_params(tol=1e-4)
    here = tmp_path / "here"

    def check(number):
        assert bj.load(here).tol in (0.5, 1e-4)
        model.save(here)
        assert bj.load(here).tol == 1e-4
        assert names(here) == ["model.json", "model.safetensors"]

    found = every(lambda: model.save(here), lambda: again(tmp_path / "old"), check, how)
    assert found >= 20
    assert names(tmp_path / "old") == ["model.json", "model.safetensors"]


def test_a_first_model_is_there_or_not_wherever_saving_stops(model, again, tmp_path):
    here = tmp_path / "here" / "model"

    def check(number):
        try:
            bj.load(here)
        except FileNotFoundError:
            pass
        model.save(here)
        np.testing.assert_array_equal(bj.load(here).components_, model.components_)

    assert every(lambda: model.save(here), again, check, "kill") >= 15


# The command


@pytest.fixture
def computed(model, monkeypatch):
    """Results of one real `bcnmf fit` and `bcnmf sweep`, in place of their computation."""
    usage = {len(x): model.transform(x, full=True) for x in (TARGET, BACKGROUND)}

    def usage_of(_, table):
        codes = usage[len(table.samples)]
        frame = results.pd.DataFrame(codes, columns=results.names(model))
        frame.insert(0, "sample", table.samples)
        return frame

    check = [{"name": "size", "level": "warn", "value": 30, "advice": "more"}]
    monkeypatch.setattr(fit_command, "checked", lambda *_: check)
    monkeypatch.setattr(fit_command, "fitted", lambda *_: model)
    monkeypatch.setattr(results, "usage_of", usage_of)

    def cells(arrays, parameters, todo):
        for rank, alpha in todo:
            asked.append(alpha)
            row = {"alpha": alpha, "n_components": rank, "restart": 0, "result": "converged"}
            row |= {"steps": 3, "stability": 1.0} | dict.fromkeys(sweep_command.MEASURED, 0.5)
            yield [row]

    asked = []
    monkeypatch.setattr(sweep_command, "cells", cells)
    return asked


def command(*arguments):
    """Function that runs the command; it raises what ended it early."""

    def run():
        with pytest.raises(SystemExit) as end:
            app([str(a) for a in arguments])
        return end.value.code

    return run


EVERY = [pytest.param(1, marks=pytest.mark.slow)]


@pytest.mark.parametrize("step", [7, *EVERY])
@pytest.mark.parametrize("how", CUTS)
def test_a_run_is_the_old_or_the_new_wherever_it_stops(how, step, computed, files, again, tmp_path):
    here = tmp_path / "here"
    fit = lambda seed, out: command(  # noqa: E731
        "fit", *pair(files), *SIZE, "--seed", seed, "--out", out, "--overwrite", "--no-report"
    )
    assert fit(1, tmp_path / "old")() == 0
    (tmp_path / "old" / "note.txt").write_text("mine")

    def check(number):
        seed = read_config(here)["parameters"]["random_state"]
        assert seed in (1, 2) and len(read_table(here, "usage")) == 70
        assert len(bj.load(here / "model").components_) == 2
        assert fit(2, here)() == 0
        assert read_config(here)["parameters"]["random_state"] == 2
        assert {p.name for p in here.iterdir()} == {"config.json", "model", "note.txt", "tables"}

    found = every(fit(2, here), lambda: again(tmp_path / "old"), check, how, step, CUTS.index(how))
    assert found >= 60


@pytest.mark.parametrize("step", [5, *EVERY])
@pytest.mark.parametrize("how", CUTS)
def test_a_sweep_goes_on_wherever_it_stops(how, step, computed, files, again, tmp_path):
    out = tmp_path / "here" / "run"
    grid = ["--alphas", "0,1,2", "--ranks", "2", "--restarts", "1"]
    sweep = command("sweep", *pair(files), *grid, "--out", out)

    def check(number):
        kept = list(out.glob(".bcnmf-*/part/rows.jsonl"))
        done = sum(map(len, map(read_lines, kept)))
        computed.clear()
        assert sweep() == 0
        assert not kept or computed == [0.0, 1.0, 2.0][done:]
        assert read_table(out, "path")["alpha"].tolist() == [0, 1, 2]
        assert {p.name for p in out.iterdir()} == {"config.json", "report.html", "tables"}

    assert every(sweep, again, check, how, step, CUTS.index(how)) >= 40


def test_folders_of_the_user_survive_a_run(computed, files, bcnmf, tmp_path):
    fit = ["fit", *pair(files), *SIZE, "--no-report", "--out"]
    assert bcnmf(*fit, tmp_path / "run")[0] == 0
    for name in ("run.old", "run.part", ".run.part"):
        shutil.copytree(tmp_path / "run", tmp_path / name)
        (tmp_path / name / "thesis.txt").write_text("years of work")
    before = names(tmp_path)
    assert bcnmf(*fit, tmp_path / "run", "--overwrite")[0] == 0 and names(tmp_path) == before
    shutil.rmtree(tmp_path / "run")
    assert bcnmf(*fit, tmp_path / "run")[0] == 0 and names(tmp_path) == before


@pytest.mark.parametrize("kind", ["empty", "link", "link to nothing", ".", "cannot be renamed"])
def test_a_run_may_go_into_an_empty_folder(kind, computed, files, bcnmf, tmp_path, monkeypatch):
    out, real = tmp_path / "out", tmp_path / "real"
    if kind.startswith("link"):
        out.symlink_to(real)
    (out if kind != "link" and not out.is_symlink() else real).mkdir(exist_ok=True)
    if kind == "link to nothing":
        real.exists() and real.rmdir()
    if kind == ".":
        monkeypatch.chdir(out)
    if kind == "cannot be renamed":
        own = os.replace

        def replace(source, target):
            if out in (source, target):  # as of a mount point
                raise OSError(16, "Device or resource busy", str(out))
            own(source, target)

        monkeypatch.setattr(os, "replace", replace)
    asked = "." if kind == "." else out
    fit = ["fit", *pair(files), *SIZE, "--out", asked]
    assert bcnmf(*fit)[0] == 0 and read_config(out)["command"] == "fit"
    assert bcnmf(*fit, "--seed", 3, "--overwrite")[0] == 0
    assert read_config(out)["parameters"]["random_state"] == 3
    assert {p.name for p in out.iterdir()} == {"config.json", "model", "report.html", "tables"}
    assert out.is_symlink() == kind.startswith("link")


def test_where_no_run_can_stand_nothing_is_computed(computed, files, bcnmf, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_command, "checked", lambda *_: pytest.fail("began"))
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        code, _, stderr = bcnmf("fit", *pair(files), *SIZE, "--out", out)
        assert code == 1 and str(tmp_path / "file") in stderr and len(stderr.splitlines()) == 1
    monkeypatch.chdir(tmp_path)
    code, _, stderr = bcnmf("fit", *pair(files), *SIZE, "--out", ".")
    assert code == 1 and "is no run of bcnmf" in stderr
    own = os.open

    def read_only(path, flags, *more, **options):
        if str(path).startswith(str(tmp_path / "kept")) and flags & (os.O_RDWR | os.O_CREAT):
            raise PermissionError(13, "Permission denied", path)
        return own(path, flags, *more, **options)

    (tmp_path / "kept").mkdir()
    monkeypatch.setattr(os, "open", read_only)
    code, _, stderr = bcnmf("fit", *pair(files), *SIZE, "--out", tmp_path / "kept")
    assert code == 1 and f"{tmp_path / 'kept'}: cannot be written: Permission denied" in stderr
    assert names(tmp_path) == ["file", "kept"]


def test_of_two_runs_at_once_the_first_ends_well(
    computed, files, model, bcnmf, tmp_path, monkeypatch
):
    fit = ["fit", *pair(files), *SIZE, "--out", tmp_path / "run"]
    second = []

    def meanwhile(*_):
        monkeypatch.setattr(fit_command, "fitted", lambda *_: pytest.fail("the second began"))
        second.append(bcnmf(*fit))
        return model

    monkeypatch.setattr(fit_command, "fitted", meanwhile)
    assert bcnmf(*fit)[0] == 0
    ((code, stdout, stderr),) = second
    assert code == 1 and stdout == "" and "is being written by another process" in stderr
    assert {p.name for p in (tmp_path / "run/tables").iterdir()} == {
        "background.tsv", "components.tsv", "restarts.tsv", "usage.tsv"
    }  # fmt: skip
    assert len(bj.load(tmp_path / "run/model").components_) == 2


def test_a_report_that_is_missing_is_written_by_the_same_command(computed, files, bcnmf, tmp_path):
    fit = ["fit", *pair(files), *SIZE, "--out", tmp_path / "run"]
    assert bcnmf(*fit)[0] == 0
    (tmp_path / "run/report.html").unlink()
    assert "holds this run already" in bcnmf(*fit)[2]
    assert (tmp_path / "run/report.html").exists()


def test_a_run_that_is_replaced_while_it_is_read_is_read_again(
    computed, files, bcnmf, tmp_path, monkeypatch
):
    fit, own = ["fit", *pair(files), *SIZE, "--no-report", "--out", tmp_path / "run"], []
    assert bcnmf(*fit)[0] == 0

    def meanwhile(*arguments, **options):
        if not own:
            own.append(bcnmf(*fit, "--seed", 5, "--overwrite")[0])
        return read_table(*arguments, **options)

    for module, read in (
        (contents, lambda: read_run(tmp_path / "run").config),
        (apply, lambda: apply.read_fit(tmp_path / "run")[0]),
    ):
        monkeypatch.setattr(module, "read_table", meanwhile)
        assert read()["parameters"]["random_state"] == 5 and own == [0]
        own.clear()
        assert bcnmf(*fit, "--overwrite")[0] == 0


# Recorded rows


def rows_of(path):
    return list(read_lines(path).values())


@pytest.mark.parametrize("how", CUTS)
def test_an_experiment_goes_on_wherever_it_stops(how, again, tmp_path, monkeypatch):
    config = tmp_path / "tiny.toml"
    config.write_text(
        'data = [{ name = "beta_simulation", args = { n = 40, genes = 1500 } }]\nrestarts = 2\n'
        'stop = { tol = 1e-2, max_steps = 20 }\n[[method]]\nmethod = "pca"\nranks = [1, 2]\n'
        'default = { rank = 2 }\n[[method]]\nmethod = "cpca"\nranks = [2]\nalphas = [1.0]\n'
        "default = { rank = 2, alpha = 1.0 }\n"
    )
    dataset = bj.datasets.beta_simulation(n=40, genes=1500)
    shared, blank = circumstances("tiny"), np.ones((2, 2))

    def fits(unit, *_):
        for (rank, alpha), seed in itertools.product(unit.settings, range(2)):
            found = {"result": "closed form", "steps": 0, "seconds": 0.0}
            yield Fitted(rank, alpha, seed, found, blank, blank)

    stubs = {"load_data": lambda _: dataset, "circumstances": lambda _: shared, "fits": fits}
    stubs |= {"restart_keys": lambda _: (0, 1), "score_one": lambda *_: {"auc": 0.5}}
    for name, stub in stubs.items():
        monkeypatch.setattr(experiment, name, stub)
    out = tmp_path / "here" / "rows"
    work = lambda: experiment.main([str(config), "--out", str(out), "--workers", "1"])  # noqa: E731

    def check(number):
        kept = rows_of(out / "tiny.jsonl")
        assert len(kept) in (0, 4, 6) and work() == 0
        rows = rows_of(out / "tiny.jsonl")
        assert rows[: len(kept)] == kept and len(rows) == 6
        assert names(out) == ["tiny.jsonl"]

    assert every(work, again, check, how) >= 8


def test_rows_of_another_configuration_are_refused_and_kept(tmp_path):
    path, shared = tmp_path / "rows.jsonl", {"config": "rest", "machine": "m"}
    jobs = lambda mark: [  # noqa: E731
        ({"config_hash": mark, "seed": seed}, lambda seed=seed: {"value": 1 / (3 + seed)})
        for seed in range(3)
    ]
    assert len(recorded(path, jobs("a")[:2], shared)) == 2
    assert [row["seed"] for row in recorded(path, jobs("a"), shared)] == [0, 1, 2]
    assert len(recorded(path, jobs("a")[:2], shared)) == 3
    before = path.read_bytes()
    with pytest.raises(ResultsError, match=r"another configuration \(config_hash a\).*move the"):
        recorded(path, jobs("b"), shared)
    with Results(path, {"a"}, str), pytest.raises(ResultsError, match="another run is writing"):
        recorded(path, jobs("a"), shared)
    assert path.read_bytes() == before and names(tmp_path) == ["rows.jsonl"]
    path.write_bytes(b"\n" + before + before)
    with pytest.raises(ResultsError, match="line 5: a doubled row"):
        recorded(path, jobs("a"), shared)


def test_choices_of_another_rule_are_refused_and_kept(tmp_path, monkeypatch):
    config = load(ROOT / "configs" / "select.toml")
    found = {"outcome": "found", "objective": "sequential", "n_components": 2}
    monkeypatch.setattr(selecting, "chosen", lambda *_: found)
    path, choose = (
        tmp_path / "select.jsonl",
        lambda c: selecting.run(c, path, {"config_hash": c.hash}, lambda data: None),
    )
    rows = choose(config)
    assert len(rows) == len(config.data) * len(config.choice.losses)
    before = path.read_bytes()
    assert choose(config) == rows and path.read_bytes() == before
    with pytest.raises(ResultsError, match="another configuration"):
        choose(config.model_copy(update={"restarts": 3}))
    assert path.read_bytes() == before


def test_a_demonstration_removes_no_rows(tmp_path):
    assert demo.fresh(tmp_path / "demo.jsonl").name == "demo.jsonl"
    for name in ("demo.jsonl", "demo-2.jsonl"):
        (tmp_path / name).write_text("")
    assert demo.fresh(tmp_path / "demo.jsonl").name == "demo-3.jsonl"
