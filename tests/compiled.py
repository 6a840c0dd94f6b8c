"""How many programs this process has compiled."""

import jax

_COUNT = [0]


def compiled() -> int:
    """Number of programs that have been compiled so far."""
    return _COUNT[0]


def _listen(event, *_, **__):
    _COUNT[0] += "backend_compile" in event


jax.monitoring.register_event_duration_secs_listener(_listen)
