"""Work beside which the terminal stays alive: progress with the time left, and Ctrl-C at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.text import Text

T = TypeVar("T")
OnProgress = Callable[..., None]
"""Is given the share of the work that is done, from 0 to 1, and, where the work has stages, the
name of the stage."""
AFTER = 2.0
"""Seconds before anything is drawn."""


class Left(ProgressColumn):
    """The time left, where it can be told."""

    def render(self, task: Task) -> Text:
        seconds = task.time_remaining
        return Text("" if seconds is None else f"{timedelta(seconds=round(seconds))} left")


def working(what: str, work: Callable[[OnProgress], T]) -> T:
    """Do the work on a thread, and draw its progress on stderr if that is a terminal.

    A compiled program cannot be interrupted: the thread is left alone on Ctrl-C, and ends with the
    process.
    """
    # Colour may be forced where there is no terminal, and a moving bar is then a mess.
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), Elapsed(), Left()
    bar = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
    task, ended = bar.add_task(what, total=None), {}

    stages = [what]

    def tell(share: float, stage: str = what) -> None:
        if stage != stages[-1]:
            stages.append(stage)
            bar.reset(task, description=stage)
        bar.update(task, total=1.0, completed=share)

    def run() -> None:
        try:
            ended["value"] = work(tell)
        except BaseException as error:
            ended["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(AFTER)
    if thread.is_alive():
        with bar:
            while thread.is_alive():
                thread.join(0.2)
    if "error" in ended:
        raise ended["error"]
    return ended["value"]
