"""Progress: a bar where it moves, lines elsewhere, nothing where it is not wanted or not long."""

import io
import sys
import time

import numpy as np
import pytest

import bcnmf_jax as bj
from bcnmf_jax.inference import progress
from bcnmf_jax.inference.progress import Progress, heard


class Terminal(io.StringIO):
    """Standard error that says that it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass as the test says."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_elsewhere_a_line_now_and_then_with_the_time_left(clock, capsys):
    with Progress("BCNMF") as tell:
        for second in range(1, 50):
            clock[0] = second
            tell("choosing", second / 100)
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == [
        "[BCNMF] choosing: 10%", "[BCNMF] choosing: 20%, about 76 s left",
        "[BCNMF] choosing: 40%, about 58 s left",
    ]  # fmt: skip


def test_a_terminal_has_a_bar_per_stage_that_goes_away(monkeypatch):
    monkeypatch.setattr(progress, "QUIET", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress("BCNMF") as tell:
        for stage, share in (
            ("choosing", 0.4),
            ("choosing", 0.5),
            ("fitting", 0.6),
            ("fitting", 0.7),
        ):
            tell(stage, share)
            time.sleep(0.15)  # tqdm draws ten times a second at most
    said = sys.stderr.getvalue()
    assert "BCNMF, choosing:  50%" in said and "BCNMF, fitting:  70%" in said
    assert "left" in said and said.endswith("\r")


def test_what_is_short_or_not_wanted_says_nothing(monkeypatch, clock, capsys):
    with Progress("BCNMF") as tell:
        tell("choosing", 0.5)
    clock[0] = 100
    with Progress("BCNMF", shown=False) as tell:
        tell("choosing", 0.5)
    with heard("choosing", None, False) as tell:
        tell(0.5)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", None)  # of a program without a console
    with Progress("BCNMF") as tell:
        tell("choosing", 0.5)
    shares = []
    with heard("choosing", shares.append, None) as tell:
        tell(0.5)
    assert shares == [0.5]


@pytest.mark.parametrize(("verbose", "shown"), [(None, [True]), (False, [])])
def test_a_fit_tells_where_nothing_else_listens(monkeypatch, verbose, shown):
    told, x = [], np.random.default_rng(0).gamma(1, 1, (2, 40, 12)).astype("float32")
    monkeypatch.setattr(Progress, "__call__", lambda self, *now: told.append((self.shown, *now)))
    model = bj.BCNMF(2, alpha=0.5, objective="contrastive", tol=1e-2, n_restarts=1, verbose=verbose)
    model.fit(x[0], background=x[1])
    assert told[-1:] == [(one, "fitting", 1.0) for one in shown]
