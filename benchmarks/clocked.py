"""The clock and the memory of a measured part, in its own process."""

import contextlib
import math
import resource
import time
from pathlib import Path


@contextlib.contextmanager
def clocked(limit):
    """Give a dictionary that has ``cpu``, ``wall`` (seconds) and ``peak_mib`` once the block has ended.

    Args:
        limit: CPU seconds after which the system ends this process.
    """
    cost = {"before_mib": resident("VmRSS")}
    with contextlib.suppress(OSError):  # else the peak is that of the process
        Path("/proc/self/clear_refs").write_text("5")
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(cpu_seconds() + limit), hard))
    cpu, wall = cpu_seconds(), time.perf_counter()
    yield cost
    cost |= {"cpu": cpu_seconds() - cpu, "wall": time.perf_counter() - wall, "peak_mib": resident("VmHWM")}
    resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY, hard))


def cpu_seconds():
    """Return this process's CPU seconds. Under a limit ``time.process_time`` ticks in hundredths; this does not."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident(kind):
    """Return this process's memory, MiB: ``VmRSS``, now, or ``VmHWM``, the most that it was."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(kind):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
