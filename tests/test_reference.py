"""The reference of the documentation has every public name."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import bcnmf_jax as bj

PAGE = (Path(bj.__file__).parents[1] / "docs" / "api" / "index.md").read_text()
ROOMS = (
    "data", "objectives", "solvers", "fitting", "streaming", "inference", "estimator", "tl", "pl",
    "baselines", "metrics", "datasets",
)  # fmt: skip
MODULES = {"bcnmf_jax": bj} | {f"bcnmf_jax.{name}": getattr(bj, name) for name in ROOMS}


def listed(module):
    sections = PAGE.split(".. currentmodule:: ")[1:]
    mine = [s for s in sections if s.splitlines()[0] == module]
    return [name for s in mine for name in re.findall(r"^   (\w+)$", s, re.MULTILINE)]


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference_once(module):
    found = listed(module)
    assert len(set(found)) == len(found)
    held = {n for n in MODULES[module].__all__ if not inspect.ismodule(getattr(MODULES[module], n))}
    first = {"bcnmf_jax": [], "bcnmf_jax.streaming": ["bcnmf_jax", "bcnmf_jax.data"]}
    for other in first.get(module, ["bcnmf_jax"]):
        named = {n: getattr(MODULES[other], n) for n in listed(other)}
        held -= {n for n in held if named.get(n) is getattr(MODULES[module], n)}
    assert set(found) == held


def test_every_section_is_of_a_module_that_has_its_names():
    sections = re.findall(r"currentmodule:: ([\w.]+)", PAGE)
    assert len(sections) > 10
    for module in sections:
        held = import_module(module)
        assert all(hasattr(held, name) for name in listed(module)), module


def test_few_names_stand_at_the_top():
    names = [n for n in bj.__all__ if not inspect.ismodule(getattr(bj, n))]
    assert len(names) <= 36
