"""The reference of the documentation has every public name."""

import re
from pathlib import Path

import pytest

import bcnmf_jax as bj

PAGE = (Path(bj.__file__).parents[1] / "docs" / "api" / "index.md").read_text()
MODULES = {"bcnmf_jax": bj} | {
    f"bcnmf_jax.{name}": getattr(bj, name)
    for name in ("tl", "pl", "baselines", "metrics", "datasets")
}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_reference(module):
    sections = PAGE.split(".. currentmodule:: ")[1:]
    listed = {
        name
        for section in sections
        if section.splitlines()[0] == module
        for name in re.findall(r"^   (\w+)$", section, re.MULTILINE)
    }
    held = {n for n in MODULES[module].__all__ if f"{module}.{n}" not in MODULES}
    assert listed == held
