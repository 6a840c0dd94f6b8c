"""``%%bash`` of the pages: what a script prints comes whole, in plain text.

IPython's own passes it on in pieces, between which a page would break lines, and its kernel asks
programs for colours. conf.py makes this file part of IPython's profile.
"""

import os
import subprocess
import sys

from IPython.core.magic import register_cell_magic


@register_cell_magic
def bash(line: str, cell: str) -> None:
    """Run a cell; a script that fails fails the page."""
    plain = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    done = subprocess.run(
        ["bash", *line.split()], input=cell, text=True, capture_output=True, env=plain
    )
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    done.check_returncode()
