"""Check models and unlearning algorithms on a GPU: agreement with the CPU, run time, memory, and determinism.

    bash benchmarks/gpu.sh
    bash benchmarks/gpu.sh --device cpu --size tiny --out results/trial.json

The script generates its data, installs nothing, needs no network, and stops within --minutes (8). It first reports
missing packages, and leaves out the parts that need them. Results are written to one JSON file after each measurement,
so a stopped run keeps its results. Each part has a share of the time:

* ``contract``: the contract tests of the algorithms on the device (pytest), first those that compare it with the CPU;
* ``models``: seconds for an epoch and for scoring, and memory, compared with the CPU of the same machine;
* ``algorithms``: seconds for an unlearning request and the relative size of its change, on the device and on the CPU;
* ``propagation``: graph propagation by torch's sparse CSR product, compared with torch_geometric's LGConv;
* ``strict``: models and algorithms again, where operators without a deterministic GPU implementation raise an error.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # makes cuBLAS deterministic; it is read when cuBLAS starts

NEEDED = ("torch", "numpy")
FOR_MODELS = ("scipy", "pandas", "pyarrow", "yaml", "tqdm")
FOR_TESTS = ("pytest",)
SHARES = {"contract": 0.26, "models": 0.26, "algorithms": 0.26, "propagation": 0.06, "strict": 0.16}
"""Each part's share of the time. Time that a part does not use is left to the following parts."""

AT_MOST = {"strict": 20.0, "models": 20.0, "algorithms": 15.0, "propagation": 10.0}
"""Time limit of a single measurement in seconds, by part."""

COLUMNS = {"models": "epoch_seconds", "algorithms": "request_seconds", "propagation": "seconds"}


class TooLong(BaseException):
    """A measurement exceeded its time limit. A BaseException, so that measured code does not catch it."""


def parse_args(argv=None):
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu to try the script (default: cuda:0)")
    parser.add_argument("--size", choices=("tiny", "full"), default="full", help="size of the data (default: full)")
    parser.add_argument("--minutes", type=float, default=8.0, help="time limit of the whole run (default: 8)")
    parser.add_argument("--parts", nargs="+", choices=tuple(SHARES), default=list(SHARES), help="default: all parts")
    parser.add_argument("--only", nargs="+", help="names of models and algorithms to measure (default: all)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "gpu.json", help="default: results/gpu.json")
    return parser.parse_args(argv)


def missing(names):
    """Return the packages among `names` that are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


class Report:
    """The results of the run, written to a JSON file after every measurement.

    Args:
        path: path of the file.
        about: information about the machine, which is stored with the results.
    """

    def __init__(self, path, about):
        self.path, self.content, self.started = path, about | {"complete": False, "parts": {}}, time.monotonic()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write()

    def write(self):
        """Write the file under a temporary name, and rename it."""
        temporary = self.path.with_name(f".{self.path.name}.new")
        self.content["seconds"] = self.elapsed()
        temporary.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        os.replace(temporary, self.path)

    def elapsed(self):
        """Return the wall seconds since the start."""
        return time.monotonic() - self.started

    def add(self, part, name, device, found):
        """Add the result of a measurement (name to value), write the file, and print a line."""
        self.content["parts"].setdefault(part, {}).setdefault(name, {})[device] = found
        self.write()
        shown = ", ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                          for key, value in found.items())  # fmt: skip
        print(f"[{self.elapsed():5.0f} s] {part}: {name} on {device}: {shown}"[:200], flush=True)


@contextlib.contextmanager
def limit(seconds):
    """Raise :class:`TooLong` within the ``with`` block after a number of seconds.

    A kernel that is running then is finished first, since Python handles signals only between its instructions.
    """

    def ring(*_):
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measured(seconds, function, *arguments):
    """Call ``function(found, *arguments)`` with a time limit; return the dictionary ``found`` that it filled.

    If the function raises an exception or exceeds its limit, the reason is stored under ``failed``.
    """
    found = {}
    try:
        with limit(seconds):
            function(found, *arguments)
    except TooLong:
        found["failed"] = f"more than {seconds:.0f} s"
    except Exception as error:  # kernels raise many kinds of exceptions
        found["failed"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return found


def run_tests(report, device, seconds):
    """Run the algorithms' contract tests on the device, first those that compare the device with the CPU."""
    end = time.monotonic() + seconds
    environment = os.environ | {"ERASE_TEST_DEVICE": device, "PYTHONPATH": str(ROOT)}
    classes = " or ".join(f"Test{name}" for name in ("Scif", "Kookmin", "Fanchuan", "Gif", "Ceu", "Idea", "Seif"))
    chosen = {"agreement": "gpu_agrees", "contract": f"({classes}) and not gpu_agrees"}
    options = ("-o", "addopts=-v", "-p", "no:cacheprovider", "tests/unlearning/test_contracts.py")
    for name, choice in chosen.items():
        command = [sys.executable, "-u", "-m", "pytest", *options, "-k", choice]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            report.add("contract", name, device, counted(process, end - time.monotonic()))


def counted(process, seconds):
    """Read the output of a running pytest until it ends or its time is up, then kill it, and count the outcomes.

    Returns:
        A dictionary with the number of tests for each outcome (``passed``, ``failed``, ``error``, ``skipped``),
        ``ended`` (whether all tests ran), ``last`` (the last line of output), and ``failures`` (test names), if any.
    """
    counts, failures, last = {"PASSED": 0, "FAILED": 0, "ERROR": 0, "SKIPPED": 0}, [], ""
    ended = "its time was up"
    try:
        with limit(seconds):
            for line in process.stdout:
                last = line.strip() or last
                test, _, outcome = line.partition(" ")
                word = outcome.partition(" ")[0].strip()
                if "::" in test and word in counts:
                    counts[word] += 1
                    failures += [test.partition("::")[2]] if word in ("FAILED", "ERROR") else []
            ended = "complete"
    except TooLong:
        last = f"after {last}"
    finally:
        process.kill()
    found = {key.lower(): value for key, value in counts.items()} | {"ended": ended, "last": last[:200]}
    return found | ({"failures": failures} if failures else {})


def measure(report, part, args, seconds, data):
    """Run the measurements of a part (``strict``, ``models`` or ``algorithms``) in sequence, until its time is up.

    Args:
        report: the :class:`Report` that takes the results.
        part: the name of the part.
        args: the command-line arguments.
        seconds: the time of the part in seconds. Measurements that do not fit are reported as left out.
        data: the generated data, a ``gpu_parts.Data``.
    """
    import gpu_parts

    pairs = [(" on ".join(pair), pair) for pair in gpu_parts.PAIRS]
    models = [(name, name) for name in gpu_parts.MODELS]
    jobs = {
        "strict": [(*job, gpu_parts.of_model) for job in models] + [(*job, gpu_parts.of_algorithm) for job in pairs],
        "models": [(*job, gpu_parts.of_model) for job in models],
        "algorithms": [(*job, gpu_parts.of_algorithm) for job in pairs],
    }[part]
    wanted = set(args.only or ())
    end = time.monotonic() + seconds
    devices = [args.device] if part == "strict" or args.device == "cpu" else [args.device, "cpu"]
    jobs = [job for job in jobs if not wanted or wanted & {job[0], *([job[1]] if isinstance(job[1], str) else job[1])}]
    for at, (name, job, function) in enumerate(jobs):
        for device in devices:
            left = end - time.monotonic()
            fair = 3 * left / (len(devices) * (len(jobs) - at))
            if left < 0.5:
                report.add(part, name, device, {"left_out": "no time"})
                continue
            allowed = min(left, max(fair, 2.0), AT_MOST[part])
            report.add(part, name, device, measured(allowed, function, data, job, device, part == "strict"))


def propagation(report, args, seconds):
    """Measure both implementations of graph propagation, on the device and on the CPU."""
    import gpu_parts

    for way in gpu_parts.WAYS:
        for device in dict.fromkeys((args.device, "cpu")):
            if way != gpu_parts.WAYS[0] and missing(["torch_geometric"]):
                report.add("propagation", way, device, {"left_out": "torch_geometric is not installed"})
                continue
            left = min(seconds / 4, AT_MOST["propagation"])
            report.add("propagation", way, device, measured(left, gpu_parts.of_propagation, args.size, way, device))


def reason(found):
    """Return why a measurement has no result; an empty text if it has one."""
    return found.get("failed", found.get("left_out", ""))


def table(report, args):
    """Print the results, a line per measurement, with columns for the device and the CPU."""
    devices = list(dict.fromkeys((args.device, "cpu")))
    for part, column in COLUMNS.items():
        print(f"\n{f'{part} ({column})':<42}{''.join(f'{device:>12}' for device in devices)}{'MiB':>10}")
        for name, found in report.content["parts"].get(part, {}).items():
            mine = found.get(args.device, {})
            shown = [found.get(device, {}).get(column) for device in devices]
            cells = "".join(f"{'-' if value is None else f'{value:.4g}':>12}" for value in shown)
            memory = mine.get("peak_gpu_mib")
            print(f"{name:<42}{cells}{'-' if memory is None else f'{memory:.0f}':>10}  {reason(mine)[:60]}")
    for name, found in report.content["parts"].get("contract", {}).items():
        for device, counts in found.items():
            outcomes = ", ".join(f"{counts[key]} {key}" for key in ("passed", "failed", "error", "skipped"))
            print(f"\n{name} on {device}: {outcomes}; {counts['ended']}")
    strict = report.content["parts"].get("strict", {})
    for name, found in strict.items():
        if reason(found[args.device]):
            print(f"strict: {name}: {reason(found[args.device])[:150]}")
    repeated = sum(not reason(found[args.device]) for found in strict.values())
    print(f"\nstrict: {repeated} of {len(strict)} ran; all results are in {report.path}")


def about(args):
    """Return information about the machine and the software, as a dictionary."""
    import torch

    card = torch.cuda.get_device_name(args.device) if args.device != "cpu" else None
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "device": args.device, "card": card, "cpu": cpu, "threads": torch.get_num_threads(), "size": args.size,
        "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version(),
        "when": time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    }  # fmt: skip


def check(args):
    """Print which packages are missing; return the parts that can run, or None if nothing can run."""
    if sys.version_info < (3, 11) or missing(NEEDED):
        print(f"gpu.py needs Python 3.11 or newer with {' and '.join(NEEDED)}; missing packages: {missing(NEEDED)}")
        return None
    import torch

    if args.device != "cpu" and not torch.cuda.is_available():
        print(f"--device {args.device}: torch {torch.__version__} finds no CUDA device; --device cpu tries the script")
        return None
    lacking = {"models": missing(FOR_MODELS), "tests": missing(FOR_MODELS + FOR_TESTS)}
    without = {"contract": lacking["tests"], "propagation": []} | dict.fromkeys(
        ("strict", "models", "algorithms"), lacking["models"]
    )
    for part in args.parts:
        if without[part]:
            print(f"part '{part}' is left out because of missing packages: {', '.join(without[part])}")
    if missing(["torch_geometric"]):
        print("torch_geometric is not installed, so only torch's own propagation is measured")
    return [part for part in SHARES if part in args.parts and not without[part]]


def main(argv=None):
    """Run the parts; return the exit status: 0 if all succeeded, 1 if a measurement failed, 2 if nothing could run."""
    args = parse_args(argv)
    started = time.monotonic()
    parts = check(args)
    if parts is None:
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    report = Report(args.out, about(args))
    print(json.dumps(report.content), flush=True)
    data = None
    try:
        for at, part in enumerate(parts):
            left = args.minutes * 60 * 0.95 - (time.monotonic() - started)
            seconds = left * SHARES[part] / sum(SHARES[other] for other in parts[at:])
            print(f"--- {part}: at most {seconds:.0f} s", flush=True)
            if part == "contract":
                run_tests(report, args.device, seconds)
            elif part == "propagation":
                propagation(report, args, seconds)
            else:
                import gpu_parts

                if data is None:
                    data = gpu_parts.Data(args.size)
                    data.prepare()
                measure(report, part, args, seconds, data)
        report.content["complete"] = True
    except KeyboardInterrupt:
        print("stopped; the results so far are written")
    report.write()
    table(report, args)
    results = [found for part in report.content["parts"].values() for item in part.values() for found in item.values()]
    return int(any(found.get("failed") for found in results))


if __name__ == "__main__":
    sys.exit(main())
