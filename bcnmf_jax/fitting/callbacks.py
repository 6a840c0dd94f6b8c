"""Who is told how a fit goes, and where it leaves what it could go on from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple


def silent(*_: Any) -> None:
    """Say nothing."""


class Watch(NamedTuple):
    """What a fit of `BCNMF` tells, and keeps, while it runs.

    Attributes
    ----------
    say : callable
        Is given a line of text.
    tell : callable, optional
        Is given a stage, such as "fitting", and the share of it that is done, from 0 to 1; of a
        stage that may end early, the share of the most that it can take.
    folder : path, optional
        Where passes over data leave checkpoints, from which the same fit goes on.
    """

    say: Callable[[str], Any] = silent
    tell: Callable[[str, float], Any] | None = None
    folder: Path | None = None

    def stage(self, name: str) -> Callable[[float], Any] | None:
        """A listener to one stage; None where nobody listens."""
        tell = self.tell
        return None if tell is None else lambda share: tell(name, share)
