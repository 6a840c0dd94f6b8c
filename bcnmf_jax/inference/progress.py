"""Progress of long work on standard error: a bar on a terminal or in a notebook, or lines."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

QUIET, FIRST = 2.0, 10.0
"""Seconds before a bar, and before the first line; from line to line twice as many pass."""
EARLY = 0.2
"""Share that is done from which on a line tells the time left."""
BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"


class Progress:
    """Context of some work, called with a stage of it and the share of that stage that is done.

    Parameters
    ----------
    name : str
        Who works.
    shown : bool
        Whether anything is said.

    Examples
    --------
    >>> with Progress("BCNMF", shown=True) as tell:
    ...     tell("choosing", 0.5)
    """

    def __init__(self, name: str, *, shown: bool = True):
        self.name, self.shown, self.stage = name, shown, ""
        self.bar: Any = None
        self.began, self.next = time.monotonic(), FIRST
        self.entered = self.began

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self._close_stage(ended=kind is None)

    def __call__(self, stage: str, share: float) -> None:
        if not self.shown or sys.stderr is None:
            return
        if stage != self.stage:
            self.stage, self.entered = stage, time.monotonic()
            self._close_stage(ended=True)
        if drawn():
            self._draw(share)
        else:
            self._write(share)

    def _close_stage(self, *, ended: bool) -> None:
        if self.bar is None:
            return
        if ended:  # also where it ended early: a notebook marks other bars as failed
            self.bar.n = self.bar.total
        self.bar.close()
        self.bar = None

    def _draw(self, share: float) -> None:
        if self.bar is None:
            quiet = max(QUIET - (time.monotonic() - self.began), 0)
            self.bar = _tqdm()(
                total=1.0, desc=f"{self.name}, {self.stage}", bar_format=BAR, delay=quiet,
                leave=False, smoothing=0, miniters=0, file=sys.stderr,
            )  # fmt: skip
        self.bar.update(min(share, 1.0) - self.bar.n)

    def _write(self, share: float) -> None:
        now = time.monotonic()
        if now - self.began < self.next or not 0 < share < 1:
            return
        left = (now - self.entered) * (1 / share - 1)
        if left < QUIET:
            return
        self.next = 2 * (now - self.began)
        # Programs are compiled first, which says little of what is left.
        ahead = f", about {left:.0f} s left" if share >= EARLY else ""
        print(
            f"[{self.name}] {self.stage}: {share:.0%}{ahead}",
            file=sys.stderr,
            flush=True,
        )


@contextmanager
def heard(
    name: str, on_progress: Callable[[float], Any] | None, verbose: bool | None
) -> Iterator[Callable[[float], Any]]:
    """A listener to work of one stage: ``on_progress``, or, unless ``verbose`` is False, a bar."""
    if on_progress is not None:
        yield on_progress
        return
    with Progress("bcnmf_jax", shown=verbose is not False) as tell:
        tell(name, 0.0)  # from where its time counts
        yield lambda share: tell(name, share)


def drawn() -> bool:
    """Whether standard error shows a bar that moves."""
    return "ipykernel" in sys.modules or getattr(sys.stderr, "isatty", bool)()


def _tqdm() -> Any:
    if "ipykernel" not in sys.modules:
        from tqdm import tqdm

        return tqdm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a notebook without widgets, which has text instead
        from tqdm.auto import tqdm
    return tqdm
