"""The command ``bcnmf``, a file for each subcommand; imports every other room.

This module imports nothing that an installation may lack.
"""

import sys

from bcnmf_jax.extras import require


def main() -> None:
    """Run the command, or say which packages it needs."""
    try:
        require("typer", "cli")
        require("rich", "cli")
        require("pandas", "cli")
        require("platformdirs", "cli")
    except ImportError as error:
        sys.exit(f"bcnmf: {error}")
    from bcnmf_jax.cli._app import run

    run()
