"""Callbacks of a fit: lines of text, shares of the work that are done, folder of checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


def silent(*_: Any) -> None:
    """Say nothing."""


class Callbacks(NamedTuple):
    """Listeners to a fit of `BCNMF`, and its folder.

    Attributes
    ----------
    log : callable
        Is given a line of text.
    on_progress : callable, optional
        Is given a stage, such as "fitting", and the share of it that is done, from 0 to 1; of a
        stage that may end early, the share of the most that it can take.
    folder : path, optional
        Where passes over data leave checkpoints, from which the same fit goes on.
    """

    log: Callable[[str], Any] = silent
    on_progress: Callable[[str, float], Any] | None = None
    folder: Path | None = None

    def stage(self, name: str) -> Callable[[float], Any] | None:
        """A listener to one stage; None where nobody listens."""
        on_progress = self.on_progress
        return None if on_progress is None else lambda share: on_progress(name, share)
