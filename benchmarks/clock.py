"""Wall seconds and peak memory of a command: ``clock.py SECONDS COMMAND ...``, at most so long.

A process of its own that imports next to nothing: a process that is started by a large one begins
with that one's peak, which would hide its own. One JSON object on standard output; what the command
prints goes to standard error.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence


def clocked(most: float, command: Sequence[str]) -> dict[str, float | int | None]:
    """The command's seconds, its peak in GB and its exit code, None where it was ended.

    It is ended after ``most`` seconds. The peak is that of the largest process that this one has
    waited for.
    """
    begun = time.perf_counter()
    try:
        code = subprocess.run(command, stdout=sys.stderr, timeout=most).returncode
    except subprocess.TimeoutExpired:
        code = None
    seconds = time.perf_counter() - begun
    unit = 2**30 if sys.platform == "darwin" else 2**20
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    return {"seconds": seconds, "peak": peak, "code": code}


if __name__ == "__main__":
    print(json.dumps(clocked(float(sys.argv[1]), sys.argv[2:])))
