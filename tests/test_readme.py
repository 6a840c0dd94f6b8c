"""The README's examples run, and its new objective passes every contract."""

import re
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import bcnmf_jax as bj
from tests import contracts
from tests.tables import OBJECTIVES, SOLVERS, Objective, two_sets

README = Path(bj.__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.S)
EXAMPLE = re.search(r"<!-- objective -->\n```python\n(.*?)```", README.read_text(), flags=re.S)


def test_names_in_the_documentation_exist():
    """Also those of cells that are not run without data, or only when pages are built."""
    root, lost = README.parent, []
    pages = [README, *(root / "docs").rglob("*.md"), *(root / "docs").rglob("examples/*.py")]
    for page in pages:
        text = page.read_text()
        found = re.findall(r"\b(?:bj|bcnmf_jax)((?:\.\w+)+)", text)
        for module, names in re.findall(r"from bcnmf_jax([\w.]*) import ([\w, ]+)", text):
            found += [f"{module}.{name.split()[0]}" for name in names.split(",") if name.strip()]
        lost += [f"{page.relative_to(root)}: bcnmf_jax{name}" for name in found if not known(name)]
    assert len(pages) > 15 and not lost


def known(name: str) -> bool:
    held = bj
    for part in name.split(".")[1:]:
        if not hasattr(held, part) and isinstance(held, ModuleType):
            try:
                import_module(f"{held.__name__}.{part}")
            except ModuleNotFoundError:
                return False
        if not hasattr(held, part):
            return False
        held = getattr(held, part)
    return True


def test_examples_run():
    names: dict = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for block in BLOCKS:
            exec(compile(block, str(README), "exec"), names)
    assert names["codes"].shape == (200, 2) and names["s"].steps.shape == (5, 2, 4)


@pytest.fixture(scope="module")
def row():
    assert EXAMPLE is not None
    code, names = EXAMPLE.group(1), {"__name__": "readme"}
    assert len(code.splitlines()) <= 40
    exec(compile(code, str(README), "exec"), names)
    kind = names["Joint"]
    return Objective(lambda alpha, loss: kind(share=alpha, loss=loss), two_sets, nmf_at_zero=True)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("loss", [bj.Frobenius(), bj.KL()], ids=["frobenius", "kl"])
def test_new_objective_passes_every_contract(row, loss):
    contracts.split_is_gradient(row, loss, seed=0)
    contracts.own_step_descends(row, loss, seed=0, damping=1.0)
    contracts.permutations_change_nothing(row, loss, seed=0)
    contracts.scaling_changes_nothing(row, loss, seed=0, factor=9.0)
    some = ("mu", "variable projection", "adam softplus")
    for solver in SOLVERS.values() if type(loss) is bj.Frobenius else map(SOLVERS.get, some):
        contracts.solver_keeps_its_promises(row, loss, solver, seed=0)
    contracts.jit_equals_eager(row, loss, bj.MU(), seed=0)


def test_every_built_in_objective_is_in_the_table():
    made = {type(row.make(0.5, bj.Frobenius())) for row in OBJECTIVES.values()}
    built = {
        bj.NMF,
        bj.Contrastive,
        bj.objectives.SharedTarget,
        bj.BackgroundFirst,
        bj.objectives.Multimodal,
    }
    assert made == built | {bj.objectives.CombinedBasis}
