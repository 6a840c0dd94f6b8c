"""Runs, models, checkpoints and 10x files that somebody changed: read, or the documented error."""

import gzip
import hashlib
import json
import shutil
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save
from scipy import sparse
from scipy.io import mmwrite

import bcnmf_jax as bj
from bcnmf_jax.cli._options import RunOptions
from bcnmf_jax.cli._results import shown, summary
from bcnmf_jax.cli._sweep import read_rows
from bcnmf_jax.datasets.tables import TableError, read_table
from bcnmf_jax.report import write
from bcnmf_jax.report.run_folder import read_config, write_table
from bcnmf_jax.report.run_forms import RunFolderError
from bcnmf_jax.streaming import _checkpoint as checkpoint
from tests.commands import bcnmf  # noqa: F401 (a fixture)
from tests.report_runs import base, candidates, fit_run, path_rows

GENES, COUNT = 6, 12
DEEP = "[" * 400 + "]" * 400
DEEPER = "[" * 200_000
VALUES = (None, -3.5, 10**400, "x", [[]], {"a": {}})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of ``bcnmf fit`` with all tables that a run can have, and its model; not fitted."""
    folder = tmp_path_factory.mktemp("made") / "run"
    folder.mkdir()
    codes, basis = fit_run(folder, n=COUNT, m=COUNT, genes=GENES)
    model = bj.BCNMF(2, alpha=1.0, objective="background_first", n_background_components=2)
    model.components_, model.background_components_ = basis[:2], basis[2:]
    model.background_basis_ = basis[2:]
    model.n_components_ = model.n_background_components_ = 2
    model.n_features_in_, model.alpha_, model.objective_ = GENES, 1.0, "background_first"
    model.feature_names_in_ = np.array([f"gene{j}" for j in range(GENES)], dtype=object)
    model.selection_ = bj.inference.Selection("no power", ("why",), "nmf", 0.0, 2, 2, (), ())
    model.result_, model.n_iter_, model.value_ = "converged", 80, 1.0
    model.diagnostics_ = {"x_explained": 0.8, "y_explained": 0.7}
    model.restarts_ = {"value": np.ones(2), "result": np.array(["converged"] * 2)}
    model.save(folder / "model")
    rows = [
        {"component": name, "kind": kind, "level": "group", "q": 0.1, "note": None}
        for name, kind in (("bcnmf0", "target"), ("background0", "background"))
    ]
    write_table(folder, "enrichment", rows)
    write_table(folder, "background", [{"name": "size", "level": "warn", "advice": "more"}])
    write_table(folder, "selection", candidates())
    write_table(folder, "path", path_rows())
    write_table(folder, "comparison", [{"method": "PCA", "alpha": None, "auc": 0.5}])
    config = json.loads((folder / "config.json").read_text())
    config["parameters"]["missing"], config["scale"]["applied"] = "raise", "none"
    (folder / "config.json").write_text(json.dumps(config))
    frame = pd.DataFrame(codes @ basis, columns=model.feature_names_in_)
    frame.insert(0, "id", [f"c{i}" for i in range(len(frame))])
    frame.to_csv(folder.parent / "data.csv", index=False)
    return folder


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def documented(read, *errors):
    """Whatever is read: a value, or one of the errors, whose message is one line of words."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read()
        except errors as error:
            assert str(error) and len(str(error).splitlines()) == 1
            return error
    return None


def read_everywhere(run, bcnmf, *, model=True):
    """All that reads a run: the page, the summary on the terminal, codes of new samples."""
    documented(lambda: write(run), RunFolderError)
    documented(lambda: summary(run), RunFolderError)
    if model:
        out = run.parent / "codes.tsv"
        out.unlink(missing_ok=True)
        code, _, stderr = bcnmf("transform", run, run.parent / "data.csv", "--out", out)
        assert code in (0, 1) and "Traceback" not in stderr
        assert code == 0 or (stderr.startswith("bcnmf: error: ") and not out.exists())


def whole_config():
    """config.json of a fit, for the list of its keys."""
    ended = {
        "result": "", "n_components": 0, "n_background_components": 0, "alpha": 0,
        "objective": "", "steps": 0, "outcome": None, "reasons": None,
        "diagnostics": dict.fromkeys(("x_explained", "y_explained", "dead_features")),
    }  # fmt: skip
    return {"format": 1} | base("fit") | {"result": ended}


def paths_of(value, at=()):
    """Places of all values of a JSON object."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*at, key)
        if isinstance(inner, dict | list):
            yield from paths_of(inner, (*at, key))


PATHS = list(paths_of(whole_config()))


def put(value, path, new):
    """Set (or, of `...`, delete) what stands at a path."""
    for key in path[:-1]:
        value = value[key]
    if new is ...:
        del value[path[-1]]
    else:
        value[path[-1]] = new


def test_what_was_not_changed_is_read(made, run, bcnmf):
    assert write(run).exists() and len(summary(run)) == 4
    out = run.parent / "codes.tsv"
    shutil.copy(made.parent / "data.csv", run.parent)
    assert bcnmf("transform", run, run.parent / "data.csv", "--out", out)[0] == 0
    assert len(pd.read_csv(out, sep="\t")) == 2 * COUNT


@pytest.mark.parametrize("path", PATHS, ids=lambda p: ".".join(map(str, p)))
def test_configurations(path, run):
    whole = json.loads((run / "config.json").read_text())
    for new in (..., *VALUES):
        changed = json.loads(json.dumps(whole))
        put(changed, path, new)
        (run / "config.json").write_text(json.dumps(changed))
        documented(lambda: write(run), RunFolderError)
        if documented(lambda: read_config(run), RunFolderError) is None:
            config = read_config(run)
            assert not config.get("result") or isinstance(config["result"]["result"], str)


@pytest.mark.parametrize("path", [p for p in PATHS if len(p) == 1], ids=lambda p: p[0])
def test_configurations_by_the_command(path, made, run, bcnmf):
    shutil.copy(made.parent / "data.csv", run.parent)
    whole = json.loads((run / "config.json").read_text())
    for new in (..., None, {"a": {}}):
        changed = json.loads(json.dumps(whole))
        put(changed, path, new)
        (run / "config.json").write_text(json.dumps(changed))
        read_everywhere(run, bcnmf)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '{"a": NaN}',
        DEEP,
        DEEPER,
        "\xff",
        '{"command": ' + DEEP + "}",
        "\0" * 99,
    ],
)
def test_texts_that_are_no_configuration(text, run, bcnmf):
    for name in ("config.json", "model/model.json"):
        before = (run / name).read_bytes()
        (run / name).write_bytes(text.encode("latin-1"))
        read_everywhere(run, bcnmf)
        assert documented(lambda: bj.load(run / "model"), ValueError) or name == "config.json"
        (run / name).write_bytes(before)
    assert documented(lambda: read_config(run), RunFolderError) is None


def columns(frame):
    """Frames with a column lost, of another type, with holes, doubled or beyond all bounds."""
    for name in frame:
        rest = frame.astype(object)
        yield rest.drop(columns=name)
        for value in ("x", None, 1e308):
            yield rest.assign(**{name: [value, *frame[name].iloc[1:]]})
        yield rest.assign(**{name: None})
    for value in (-1.0, 10**30, True, "inf", "nan"):
        yield frame.astype(object).assign(**dict.fromkeys(frame, value))
    yield pd.concat([frame, frame.iloc[:, ::-1]], axis=1)


TABLES = (
    "components", "usage", "restarts", "enrichment", "background", "selection", "path",
    "comparison",
)  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_columns_of_tables(name, run):
    path = run / "tables" / f"{name}.tsv"
    for frame in columns(pd.read_csv(path, sep="\t")):
        frame.to_csv(path, sep="\t", index=False)
        documented(lambda: write(run), RunFolderError)
        if name in ("components", "usage"):
            documented(lambda: summary(run), RunFolderError)


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_are_no_tables(name, made, run, bcnmf):
    shutil.copy(made.parent / "data.csv", run.parent)
    path = run / "tables" / f"{name}.tsv"
    before, rng = path.read_bytes(), np.random.default_rng(0)
    header, first, *_ = before.split(b"\n")
    for content in (
        b"", b"\n", header, header + b"\n", before[: len(before) // 2], before[:-1], b"\xff\xfe",
        b"\0" * 99, rng.bytes(300), header + b"\n" + rng.bytes(300), before.replace(b"\t", b","),
        before.replace(b"\n", b"\textra\n"), header + b"\n" + first + b"\textra\n", b'"' + before,
        gzip.compress(before), None,
    ):  # fmt: skip
        path.write_bytes(content) if content is not None else path.unlink()
        read_everywhere(run, bcnmf, model=name == "components")


def test_a_table_that_is_a_folder(run):
    (run / "tables" / "usage.tsv").unlink()
    (run / "tables" / "usage.tsv").mkdir()
    documented(lambda: write(run), RunFolderError)


def sealed(folder, body, numbers):
    """Write a model with sums that fit what is written."""
    (folder / "model.safetensors").write_bytes(numbers)
    text = json.dumps(body, sort_keys=True).encode()
    pairs = (("model.safetensors", numbers), ("model.json", text))
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in pairs}
    (folder / "model.json").write_text(json.dumps({"sha256": sums} | body))


def used(folder):
    """Load a model and read samples with it, without a fit of their codes."""
    model = bj.load(folder)
    model.inverse_transform(np.ones((2, len(model.components_))))
    model.get_feature_names_out()


PARTS = [
    ("format",), ("package",), ("version",), ("class",), ("parameters",), ("fitted",),
    *((part, name) for part, names in (
        ("parameters", ("alpha", "loss", "n_components", "objective", "missing", "tol", "extra")),
        ("fitted", ("components_", "background_components_", "background_basis_", "n_features_in_",
                    "feature_names_in_", "selection_", "result_", "restarts_", "diagnostics_",
                    "objective_", "extra_", "__class__")),
    ) for name in names),
]  # fmt: skip
ENCODED = {
    "unknown kind": {"pickle": "x"}, "two kinds": {"list": [], "dict": {}},
    "no array": {"array": 3},
    "another array": {"array": "background_components_"}, "short": {"array": "n"},
    "names": {"names": [1, [2]]}, "strings": {"strings": [{}]}, "list": {"list": 3},
    "dict": {"dict": []}, "float": {"float": "x"}, "deep": json.loads(DEEP),
    "deeper": json.loads('{"list": [' * 40 + "1" + "]}" * 40),
    "loss": {"loss": {"name": "Beta", "values": {"beta": {"list": []}}}},
    "no loss": {"loss": {"name": "os", "values": {}}}, "odd loss": {"loss": []},
}  # fmt: skip


@pytest.mark.parametrize("path", PARTS, ids=lambda p: ".".join(p))
def test_models(path, run):
    folder = run / "model"
    numbers = (folder / "model.safetensors").read_bytes()
    whole = json.loads((folder / "model.json").read_text())
    del whole["sha256"]
    for new in (..., *VALUES, *ENCODED.values()):
        body = json.loads(json.dumps(whole))
        if new is ... and path[-1] in ("extra", "extra_", "__class__"):
            continue
        put(body, path, new)
        sealed(folder, body, numbers)
        documented(lambda: used(folder), ValueError)


@pytest.mark.parametrize("name", ["components_", "background_components_", "background_basis_"])
def test_arrays_of_models(name, run):
    folder = run / "model"
    whole = json.loads((folder / "model.json").read_text())
    del whole["sha256"]
    fine = {n: np.ones((2, GENES)) for n in ("components_", "background_components_")}
    fine |= {"background_basis_": np.ones((2, GENES)), "restarts_/value": np.ones(2)}
    for odd in (
        np.ones((2, GENES + 1)), np.ones(GENES), np.ones((1, 2, GENES)), np.zeros((0, GENES)),
        np.ones((2, GENES), int), np.ones((2, GENES), bool), -np.ones((2, GENES)), np.float64(3),
        np.full((2, GENES), np.nan),
    ):  # fmt: skip
        sealed(folder, whole, save(fine | {name: np.asarray(odd)}))
        documented(lambda: used(folder), ValueError)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_models_cut_short(name, run):
    path = run / "model" / name
    before, whole = path.read_bytes(), json.loads((run / "model" / "model.json").read_text())
    for length in (0, 1, 7, 8, 9, 20, len(before) // 2, len(before) - 1):
        path.write_bytes(before[:length])
        assert documented(lambda: bj.load(run / "model"), ValueError)
        if name == "model.safetensors":
            body = {k: v for k, v in whole.items() if k != "sha256"}
            sealed(run / "model", body, before[:length])
            assert documented(lambda: bj.load(run / "model"), ValueError)
    path.unlink()
    assert documented(lambda: bj.load(run / "model"), FileNotFoundError)


@pytest.mark.parametrize(
    "members",
    [
        {}, {"about": np.array("{}")}, {"about": np.array(DEEP)}, {"about": np.array(DEEPER)},
        {"about": np.array("[1]")}, {"about": np.array("3")}, {"about": np.arange(3)},
        {"about": np.array('{"a": NaN}')}, {"0": np.ones(2)},
        {"about": np.array("{}"), "1": np.ones(2)}, {"about": np.array("{}"), "x": np.ones(2)},
    ],
)  # fmt: skip
def test_members_of_checkpoints(members, tmp_path):
    np.savez(tmp_path / "c.npz", **members)
    error = documented(lambda: checkpoint.load_checkpoint(tmp_path / "c.npz"), ValueError)
    assert error is None or "remove it to begin anew" in str(error)


def test_checkpoints_that_are_no_archives(tmp_path):
    path = tmp_path / "c.npz"
    checkpoint.save_checkpoint(path, [np.ones((3, 2)), np.arange(4)], {"format": 1})
    before, rng = path.read_bytes(), np.random.default_rng(0)
    np.save(tmp_path / "one.npy", np.ones(3))
    encrypted = before.replace(b"PK\x01\x02\x14\x03", b"PK\x01\x02\x3f\x03", 1)
    for content in (
        b"", b"PK", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x99\x00{'descr'", rng.bytes(200),
        (tmp_path / "one.npy").read_bytes(), encrypted[:-30], b"\x80\x04]\x94.",
        *(before[:length] for length in range(0, len(before), 97)),
    ):  # fmt: skip
        path.write_bytes(content)
        documented(lambda: checkpoint.load_checkpoint(path), ValueError)
    for at in range(0, len(before), 7):
        odd = bytearray(before)
        odd[at] ^= 255
        path.write_bytes(odd)
        documented(lambda: checkpoint.load_checkpoint(path), ValueError)


def test_rows_of_a_sweep(tmp_path):
    fine = json.dumps([{"n_components": 2, "restart": 0, "alpha": 1.0, "result": "converged"}])
    path = tmp_path / "rows.jsonl"
    for line in ("{", "3", "[3]", "[{}]", DEEP, DEEPER, "[NaN]", fine.replace("2", '"2"')):
        path.write_text(f"{fine}\n{line}\n")
        assert documented(lambda: read_rows(path), RunFolderError)
    for line in ("[{", "\n"):  # cut short, or empty
        path.write_text(f"{fine}\n{line}")
        assert len(read_rows(path)) == 1


@pytest.fixture(scope="module")
def tenx(tmp_path_factory):
    """A matrix as 10x writes it: a folder, packed, and HDF5."""
    folder = tmp_path_factory.mktemp("10x")
    counts = np.random.default_rng(0).poisson(2, (GENES, COUNT))
    mmwrite(folder / "matrix.mtx", sparse.coo_array(counts), field="integer")
    (folder / "barcodes.tsv").write_text("".join(f"c{i}\n" for i in range(COUNT)))
    genes = "".join(f"id{i}\tg{i}\tGene Expression\n" for i in range(GENES))
    (folder / "features.tsv").write_text(genes)
    made = sparse.csc_array(counts)
    with h5py.File(folder / "x.h5", "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(made, name)
        group["shape"] = np.array(made.shape)
        group["barcodes"] = np.array([f"c{i}" for i in range(COUNT)], "S")
        features = group.create_group("features")
        features["id"] = features["name"] = np.array([f"g{i}" for i in range(GENES)], "S")
        features["feature_type"] = np.array(["Gene Expression"] * GENES, "S")
    for packed in ("matrix.mtx", "barcodes.tsv", "features.tsv"):
        (folder / f"{packed}.gz").write_bytes(gzip.compress((folder / packed).read_bytes()))
    assert read_table(folder / "x.h5").values.shape == (COUNT, GENES)
    return folder


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("name", ["matrix.mtx", "barcodes.tsv", "features.tsv"])
def test_10x_folders_cut_short(name, packed, tenx, tmp_path):
    for one in ("matrix.mtx", "barcodes.tsv", "features.tsv"):
        shutil.copy(tenx / f"{one}{packed}", tmp_path)
    path = tmp_path / f"{name}{packed}"
    before = path.read_bytes()
    assert read_table(tmp_path).values.shape == (COUNT, GENES)
    for content in (before.replace(b" ", b" x"), before + b"9 9 9\n", before + b"\xff"):
        path.write_bytes(content)
        documented(lambda: read_table(tmp_path), TableError)
    for length in range(0, 2 * len(before) // 3, len(before) // 12):
        path.write_bytes(before[:length])
        assert documented(lambda: read_table(tmp_path), TableError)
    path.unlink()
    assert documented(lambda: read_table(tmp_path), TableError)


def test_10x_files_cut_short(tenx, tmp_path):
    before, path = (tenx / "x.h5").read_bytes(), tmp_path / "x.h5"
    for length in range(0, len(before), len(before) // 25):
        path.write_bytes(before[:length])
        assert documented(lambda: read_table(path), TableError)
    with h5py.File(tenx / "x.h5") as file:
        fields = []
        file["matrix"].visit(fields.append)
    for field in fields:
        for new in (None, "text", np.ones((2, 2)), np.array(3), np.array([b"\xff"])):
            path.write_bytes(before)
            with h5py.File(path, "r+") as file:
                del file["matrix"][field]
                if new is not None:
                    file["matrix"][field] = new
            error = documented(lambda: read_table(path), TableError)
            assert error or field == "shape"


def test_the_end_of_a_run_is_shown(made, capsys):
    config = read_config(made)
    shown(config, RunOptions(made))
    assert "bcnmf0" in capsys.readouterr().out
