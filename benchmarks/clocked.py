"""Measure CPU time, wall time and peak memory of a block of code in the current process."""

import contextlib
import math
import resource
import time
from pathlib import Path


@contextlib.contextmanager
def clocked(limit):
    """Measure the costs of a ``with`` block.

    Args:
        limit: CPU seconds of the block after which the system kills this process with SIGXCPU.

    Yields:
        A dictionary with ``before_mib``, the memory at the start. When the block has ended it also contains ``cpu``
        and ``wall`` in seconds, and ``peak_mib``, the largest memory of the process during the block.
    """
    cost = {"before_mib": resident("VmRSS")}
    with contextlib.suppress(OSError):  # resets the peak; if it fails, the peak since the process started is reported
        Path("/proc/self/clear_refs").write_text("5")
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(cpu_seconds() + limit), hard))
    cpu, wall = cpu_seconds(), time.perf_counter()
    yield cost
    cost |= {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall, "peak_mib": resident("VmHWM")}
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, hard))


def cpu_seconds():
    """Return the CPU seconds used by this process (user and system).

    ``time.process_time`` has a resolution of only 10 ms once a CPU limit is set; this function does not.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident(kind):
    """Return this process's memory in MiB: the current one for the kind ``VmRSS``, the peak for ``VmHWM``."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(kind):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
