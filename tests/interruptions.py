"""Work that is cut short before a chosen file operation: by an error, by Ctrl-C, by a kill."""

import builtins
import errno
import io
import os
import signal
import time
import warnings
from contextlib import contextmanager

CALLS = [
    (os, name) for name in ("replace", "rename", "mkdir", "unlink", "remove", "rmdir", "fsync")
]
CALLS += [(os, "open"), (io, "open"), (builtins, "open")]
SECONDS = 20
"""After which a process that should have ended is stuck."""


@contextmanager
def before(number, act):
    """Call ``act`` before the operation of that number, counted from 1; gives how many came."""
    count, own = [0], {(module, name): getattr(module, name) for module, name in CALLS}

    def counted(module, name):
        function = own[module, name]

        def call(*arguments, **options):
            if name != "open" or writes(arguments, options):
                count[0] += 1
                if count[0] == number:
                    act()
            return function(*arguments, **options)

        return call

    for module, name in CALLS:
        setattr(module, name, counted(module, name))
    try:
        yield count
    finally:
        for (module, name), function in own.items():
            setattr(module, name, function)


def writes(arguments, options):
    """Whether a call of either open may change something."""
    how = options.get("mode", options.get("flags", arguments[1] if len(arguments) > 1 else "r"))
    if isinstance(how, str):
        return bool(set(how) & set("wax+"))
    return bool(how & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def fail():
    raise OSError(errno.ENOSPC, "injected")


def interrupt():
    raise KeyboardInterrupt


def raised(work, number, act):
    """Do the work with an error at an operation; whether that came."""
    with before(number, act) as count:
        try:
            work()
        except (OSError, KeyboardInterrupt):
            pass
    return count[0] >= number


def killed(work, number):
    """Do the work in a fork that is killed at an operation; whether that came.

    What is forked must compute nothing: JAX's threads do not live on in a fork.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        try:
            with before(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                work()
        finally:
            os._exit(0)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.WIFSIGNALED(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError(f"the fork was stuck before or after operation {number}")


HOW = {
    "error": lambda work, number: raised(work, number, fail),
    "interrupt": lambda work, number: raised(work, number, interrupt),
    "kill": killed,
}


def every(work, prepare, check, how, step=1, first=0):
    """Cut the work short at every operation, each time from what ``prepare`` makes; then ``check``.

    With a step, at some of them: those from ``first``, counted from 0. Returns how many came.
    """
    number = 1 + first % step
    while True:
        prepare()
        if not HOW[how](work, number):
            return number - step
        check(number)
        number += step
