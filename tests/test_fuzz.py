"""Whatever a file or an option holds, the answer is a value or the documented error of one line.

What fails is kept in .hypothesis/, which git ignores, and tried first from then on; what was found
once stands below as an example.
"""

import gzip
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase

from bcnmf_jax.datasets.tables import TableError, read_table
from bcnmf_jax.report import write
from bcnmf_jax.report.run_forms import RunFolderError
from experiments.core.config import ConfigError, load
from tests.report_runs import fit_run

ROOT = Path(__file__).parents[1]
HERE = ROOT / "configs"
KEPT = DirectoryBasedExampleDatabase(ROOT / ".hypothesis" / "examples")
TIMES = [pytest.param(2.5), pytest.param(30, marks=pytest.mark.slow)]

CONTENTS = st.binary(max_size=200) | st.text('01,.\t\n"%-eg', max_size=60).map(str.encode)
FILES = st.tuples(st.sampled_from(["csv", "tsv.gz", "h5ad", "h5", "mtx", "npz", "txt"]), CONTENTS)

KEYS = (
    "data name args beta method experiment losses ranks alphas alpha_unit extra overlap floors "
    "solvers damping inits default rank alpha stop tol max_steps narrow quick restarts seed choice "
    "splits include 0 1 7 x"
).split()
SCALARS = (
    st.integers(-3, 99)
    | st.floats().map(lambda f: repr(f).replace("+", ""))
    | st.sampled_from(["true", '"auto"', '"kl"', '"bcnmf"', "nan", "1e999", "2020-01-01", "²"])
    | st.text('0123456789[]{}=".,#\\x', max_size=20)
)
VALUES = st.recursive(
    SCALARS.map(str),
    lambda v: (
        st.lists(v, max_size=3).map(lambda a: f"[{', '.join(a)}]")
        | st.tuples(st.sampled_from(KEYS), v).map(lambda kv: f"{{{kv[0]} = {kv[1]}}}")
    ),
    max_leaves=6,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    | st.sampled_from(["fit", "sweep", "select", "compare", "bcnmf0", 10**400]),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=6,
)  # fmt: skip
PATHS = st.lists(st.sampled_from(KEYS) | st.text(max_size=3), min_size=1, max_size=4).map(".".join)
OPTIONS = st.lists(st.tuples(PATHS, VALUES).map("=".join) | st.text(max_size=9), max_size=3)
LINES = st.lists(
    st.tuples(st.sampled_from(KEYS), VALUES).map(" = ".join)
    | st.sampled_from(KEYS).map("[{}]".format)
    | st.sampled_from(["data", "method", "method.solvers"]).map("[[{}]]".format),
    max_size=8,
).map("\n".join)


MARKET = b"%%MatrixMarket matrix coordinate integer general\n"
FOUND_FILES = [
    ("csv", b"id,a,,c\nx,1,2,3\n"), ("csv", b"id,a\nNA,1\nnan,2\n"),
    ("csv", b'id,"a\rb"\nx,1\ny,2\n'), ("csv", b"id,a\n,1\nx,2\n"), ("csv", b"a,b\nNA,1\n,2\n"),
    ("mtx", MARKET + b"2 2 1\n1 1 x\n"), ("mtx", MARKET + b"2 2 1\n9 1 1\n"),
    ("mtx", MARKET + b"2 2 2\n1 1 1\n"), ("mtx", MARKET + b"-2 2 1\n1 1 1\n"),
    ("npz", b"PK\x03\x04\x14\x00\x01\x00\x63\x00"), ("npz", b"PK\x05\x06" + b"\0" * 18),
    ("npz", b"\x93NUMPY\x01\x00\x08\x00{'descr'"), ("h5", b"\x89HDF\r\n\x1a\n"),
]  # fmt: skip
DEEP = json.loads("[" * 60 + "]" * 60)
FOUND_RUNS = [
    (("line",), ...), (("started",), "x"), (("seconds",), 10**400), (("sources",), None),
    (("sources", 0), {}), (("columns",), [3]), (("samples",), []), (("result",), {}),
    (("result", "diagnostics"), []), (("result", "outcome"), 1), (("data",), DEEP),
    (("columns",), ["bcnmf0"]), (("parameters",), None), (("scale",), {}), (("command",), "data"),
]  # fmt: skip


def examined(seconds, strategy, check, found=()):
    """Tries what was found once and what failed last, then draws examples, each time other ones,
    until the time is up."""
    drawn = given(strategy)(check)
    for one in found:
        drawn = example(one)(drawn)
    rounds = settings(max_examples=50, deadline=None, database=KEPT)(drawn)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        rounds()


@pytest.mark.parametrize("seconds", TIMES)
def test_runs(seconds, tmp_path):
    fit_run(tmp_path, n=9, m=9, genes=5)
    whole = json.loads((tmp_path / "config.json").read_text())
    places = [(key,) for key in whole]
    places += [(k, i) for k, v in whole.items() if isinstance(v, dict | list) for i in keys_of(v)]

    def check(change):
        (*at, last), value = change
        config = json.loads(json.dumps(whole))
        inner = config
        for key in at:
            inner = inner[key]
        if value is ...:
            del inner[last]
        else:
            inner[last] = value
        (tmp_path / "config.json").write_text(json.dumps(config))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                write(tmp_path)
            except RunFolderError as error:
                assert len(str(error).splitlines()) == 1

    change = st.tuples(st.sampled_from(places), st.just(...) | JSON)
    examined(seconds, change, check, FOUND_RUNS)


def test_what_failed_is_tried_first(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "KEPT", DirectoryBasedExampleDatabase(tmp_path))
    tried = []

    def check(number):
        tried.append(number)
        assert number < 1000

    for _ in range(2):
        tried.clear()
        with pytest.raises(AssertionError):
            examined(1, st.integers(), check)
    assert tried[0] == 1000


def keys_of(value):
    return value if isinstance(value, dict) else range(len(value))


@pytest.mark.parametrize("seconds", TIMES)
def test_readers(seconds):
    def check(file):
        kind, content = file
        with tempfile.TemporaryDirectory() as where:
            path = Path(where) / f"x.{kind}"
            path.write_bytes(gzip.compress(content) if kind.endswith("gz") else content)
            try:
                read_table(path)
            except TableError as error:
                assert "\n" not in str(error)

    examined(seconds, FILES, check, FOUND_FILES)


@pytest.mark.parametrize("seconds", TIMES)
def test_configurations(seconds):
    def check(given):
        name, text, options = given
        with tempfile.TemporaryDirectory() as where:
            path = Path(where) / "x.toml"
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
            try:
                load(HERE / name if name else path, options)
            except ConfigError as error:
                assert len(str(error).splitlines()) == 1

    names = st.sampled_from(["", "demo.toml", "select.toml", "variants.toml"])
    examined(seconds, st.tuples(names, LINES | st.binary(max_size=60), OPTIONS), check)
