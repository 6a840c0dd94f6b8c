"""Programs that this process has compiled."""

import jax

_NAMES: list[str] = []


def compiled() -> list[str]:
    """Names of the programs that have been compiled so far: of the functions that were."""
    return list(_NAMES)


def _listen(event, *_, fun_name="", **__):
    if "backend_compile" in event:
        _NAMES.append(fun_name.removeprefix("jit(").removesuffix(")"))


jax.monitoring.register_event_duration_secs_listener(_listen)
