"""Sphinx: the pages of this folder, whose code is run, and the reference from the docstrings."""

import os
import shutil
import sys
from pathlib import Path

import bcnmf_jax

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))
# What the shell cells of the pages rely on: the command, and the folder of the clone.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["CHECKOUT"] = str(DOCS.parent)
# Kernels of the pages have a profile of their own, whatever the user's holds.
os.environ["IPYTHONDIR"] = str(DOCS / "_build" / "ipython")
startup = DOCS / "_build" / "ipython" / "profile_default" / "startup"
startup.mkdir(parents=True, exist_ok=True)
shutil.copy(DOCS / "_ext" / "shell.py", startup)

project = "bcnmf_jax"
author = "the bcnmf_jax developers"
copyright = author
version = release = bcnmf_jax.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "mathml",
    "names",
]
exclude_patterns = ["_build", "examples", "recorded"]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"bcnmf_jax {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_math_renderer = "mathml"
default_role = "py:obj"  # single backticks of docstrings are names; see _ext/names.py

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

# Every cell of every page, at each build; an error, or a cell that hangs, ends it.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True  # what a command prints comes in pieces

autodoc_typehints = "none"  # shapes and types stand in the docstrings
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True
