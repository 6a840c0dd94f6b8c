"""The package against independent transcriptions (see `tests/parity.py`)."""

import pytest

from tests import parity

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("loss", parity.LOSSES)
@pytest.mark.parametrize("chunk", [None, 1, 7, 20, 60])
def test_contrastive(loss, chunk):
    assert parity.contrastive(loss, chunk=chunk) < 1e-10


@pytest.mark.parametrize("loss", parity.LOSSES)
def test_vmapped(loss):
    assert parity.vmapped(loss) < 1e-10


@pytest.mark.parametrize("loss", parity.LOSSES)
def test_damped(loss):
    assert parity.contrastive(loss, damping=0.5) < 1e-10


@pytest.mark.parametrize("loss", parity.LOSSES)
def test_two_modalities(loss):
    assert parity.two_modalities(loss) < 1e-10


@pytest.mark.parametrize("loss", parity.LOSSES)
@pytest.mark.parametrize("damping", [0.5, 1.0])
def test_combined(loss, damping):
    assert parity.combined(loss, damping) < 1e-10


@pytest.mark.parametrize("loss", parity.LOSSES)
def test_scikit_learn(loss):
    assert parity.scikit_learn(loss) < 1e-8
