"""Whatever a file or an option holds, the answer is a value or the documented error of one line."""

import gzip
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcnmf_jax.tabular import TableError, read_table
from experiments.config import ConfigError, load

HERE = Path(__file__).parents[1] / "configs"
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
PATHS = st.lists(st.sampled_from(KEYS) | st.text(max_size=3), min_size=1, max_size=4).map(".".join)
OPTIONS = st.lists(st.tuples(PATHS, VALUES).map("=".join) | st.text(max_size=9), max_size=3)
LINES = st.lists(
    st.tuples(st.sampled_from(KEYS), VALUES).map(" = ".join)
    | st.sampled_from(KEYS).map("[{}]".format)
    | st.sampled_from(["data", "method", "method.solvers"]).map("[[{}]]".format),
    max_size=8,
).map("\n".join)


def examined(seconds, strategy, check):
    """Draws examples, each time other ones, until the time is up."""
    rounds = settings(max_examples=50, deadline=None, database=None)(given(strategy)(check))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        rounds()


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

    examined(seconds, FILES, check)


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
