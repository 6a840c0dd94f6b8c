"""What every table of bad inputs asks: the right error, soon, of clear words, and no trace left."""

import copy
import re
import warnings
from contextlib import contextmanager, nullcontext

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from tests.compiled import compiled
from tests.core import unchecked

FITS = {
    *("run", "_advance", "_begin", "_begin_next", "_begin_all", "_starts", "_near"),
    *("_critical_alphas", "_sequential", "explained", "learn", "visit"),
}
"""Programs that fit: none is compiled before a mistake is found."""


@contextmanager
def before_any_fit():
    """A block in which no program of `FITS` is compiled."""
    started = len(compiled())
    yield
    assert not FITS & set(compiled()[started:])


@contextmanager
def refused(error, words, *unchanged):
    """The block raises (or, of a warning, gives) `error`, whose message has all of `words`, before
    any fit, and leaves what is listed as it was.

    Parameters
    ----------
    error : class of exception or of warning
    words : str
        Regular expressions with `` .. `` between: an argument, what was found, a remedy.
    *unchanged
        Arrays, sparse matrices and frames that were given; lists of them.
    """
    before = copy.deepcopy(unchanged)
    warns = issubclass(error, Warning)
    expected = pytest.warns(error) if warns else pytest.raises(error)
    # A warning is given beside a whole fit.
    alone = nullcontext() if warns else before_any_fit()
    with alone, warnings.catch_warnings(), unchecked():
        if not warns:
            warnings.simplefilter("ignore")
        with expected as caught:
            yield
    said = [str(w.message) for w in caught] if warns else [str(caught.value)]
    for word in words.split(" .. "):
        assert any(re.search(word, line) for line in said), (word, said)
    for old, new in zip(before, unchanged, strict=True):
        _same(old, new)


def _same(old, new):
    if isinstance(old, list | tuple):
        for pair in zip(old, new, strict=True):
            _same(*pair)
    elif sp.issparse(old):
        np.testing.assert_array_equal(old.toarray(), new.toarray())
    elif isinstance(old, pd.DataFrame):
        pd.testing.assert_frame_equal(old, new)
    elif isinstance(old, np.ndarray):
        np.testing.assert_array_equal(old, new)
    else:
        assert old == new or callable(old)
