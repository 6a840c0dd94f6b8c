"""Optional packages and their declaration: what is required is declared, and at which bounds."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bcnmf_jax.extras import require

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Import names that differ from the name a package is installed by.
DISTRIBUTION = {"PIL": "pillow", "sklearn": "scikit-learn", "umap": "umap-learn"}
HEAVY = ("sklearn", "pandas", "matplotlib", "anndata", "umap", "pooch", "pydantic", "typer")


def _bounds(requirements):
    """Name -> lower bound of the requirements that have one."""
    found = (re.match(r"([\w.-]+)(?:\[[^]]*\])?>=([\w.]+)$", r) for r in requirements)
    return {m[1]: m[2] for m in found if m}


def _required():
    """Every require("module", "extra") with literal arguments: (file, module, extra)."""
    for folder in ("bcnmf_jax", "experiments"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                    yield (path.relative_to(ROOT), *(ast.literal_eval(a) for a in node.args))


def test_require_returns_the_module_that_was_named():
    assert require("json", "experiments") is sys.modules["json"]
    assert require("importlib.metadata", "experiments") is sys.modules["importlib.metadata"]


@pytest.mark.parametrize("module", ["surely_not_installed", "surely_not_installed.part"])
def test_a_missing_package_names_the_command(module):
    with pytest.raises(ImportError) as caught:
        require(module, "experiments")
    assert str(caught.value) == (
        "bcnmf_jax needs surely_not_installed here; "
        "install it with: pip install 'bcnmf_jax[experiments]'"
    )
    assert caught.value.name == "surely_not_installed"


@pytest.mark.parametrize(
    ("source", "error"),
    [("import surely_not_installed", ModuleNotFoundError), ("raise OSError('disk')", OSError)],
)
def test_a_broken_package_keeps_its_own_error(tmp_path, monkeypatch, source, error):
    (tmp_path / "broken_package.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error, match=r"surely_not_installed|disk") as caught:
        require("broken_package", "experiments")
    assert "pip install" not in str(caught.value)


def test_every_required_package_is_in_the_extra_that_the_message_names():
    extras = PROJECT["optional-dependencies"]
    required = list(_required())
    assert required
    for path, module, extra in required:
        package = module.partition(".")[0]
        assert extra in extras, f"{path}: there is no extra {extra!r}"
        assert DISTRIBUTION.get(package, package) in _bounds(extras[extra]), (
            f"{path}: {package} is not in the extra {extra!r}"
        )


def test_the_oldest_constraints_are_the_declared_lower_bounds():
    lines = (ROOT / "constraints-oldest.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    # bench, docs and the pinned checkers of dev are not part of what the suite runs on.
    extras = PROJECT["optional-dependencies"]
    requirements = [*PROJECT["dependencies"]]
    for name in ("bio", "genesets", "experiments", "cli", "test"):
        requirements += extras[name]
    declared = _bounds(requirements)
    assert len(declared) == len(set(requirements)), "a requirement has no lower bound"
    assert {name: pinned.get(name) for name in declared} == declared


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, bcnmf_jax; print(*[m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
