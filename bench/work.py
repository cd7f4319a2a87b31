"""What a benchmark is, and what most of them need: programs that measure in processes of their own and print JSON."""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "target" / "release"
PEERS = ROOT / "bench" / "peers"


class Skip(Exception):
    """This machine lacks what a work needs; the sentence says what, and how it can be had."""


class Differ(Exception):
    """Ours and the peer's results are not the same, so their times cannot be compared."""


class Work:
    """One question, asked of ours and of one peer. A work that compares with two peers is two objects of one name."""

    #: What `make bench WORK=` and bench.jsonl call it.
    name: str
    #: In one sentence.
    question: str
    #: With its version.
    peer: str
    #: Of what `ours` and `theirs` return.
    unit: str = "s"
    #: "lower" for times, "higher" for rates.
    better: str = "lower"
    #: How many times better than the peer it has to be; 0 where nothing is promised of that.
    target: float
    #: What ours has to reach by itself, in `unit`; None where nothing is promised of that.
    floor: float | None = None
    #: Measurements of each side, of which the medians count.
    runs: int = 5
    #: Sizes, each with its default; `--set name=value` changes them, and they become attributes.
    parameters: dict = {}

    def __init__(self):
        for name, value in self.parameters.items():
            setattr(self, name, value)

    def set(self, name: str, text: str):
        """Changes a size; its default says of which type it is."""
        if name not in self.parameters:
            raise SystemExit(f"{self.name} has no size `{name}`; it has: {', '.join(self.parameters) or 'none'}")
        default = self.parameters[name]
        setattr(self, name, text if default is None else type(default)(text))

    def prepare(self):
        """Makes what both sides need; not timed. Raises Skip where this machine cannot."""

    def check(self):
        """Compares results of both sides; raises Differ, with both numbers."""

    def ours(self) -> float:
        """One measurement of ours, in `unit`."""
        raise NotImplementedError

    def theirs(self) -> float:
        """One measurement of the peer, in `unit`."""
        raise NotImplementedError

    def extra(self) -> dict:
        """Further figures for the JSON line, once all is measured."""
        return {}

    def close(self):
        """Ends what `prepare` began, whatever happened."""


def measured(command: list, env: dict | None = None) -> dict:
    """Runs a program and reads the JSON object on the last line that it prints."""
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(*arguments, threads: int = 1) -> dict:
    """What `transect-bench` measures, with the environment that a worker gives its executor."""
    memory = {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TOP_PAD_": str(64 << 20),
        "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    }
    return measured([BIN / "transect-bench", *arguments, "--threads", threads], {**_threads(threads), **memory})


def theirs(script: str, *arguments, threads: int = 1) -> dict:
    """What a script of bench/peers measures, in a Python of its own."""
    command = [sys.executable, PEERS / script, *arguments, "--threads", threads]
    return measured(command, _threads(threads))


def _threads(threads: int) -> dict:
    return {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}


def share_of_peak(mine: dict, threads: int) -> float:
    """Multiplications and additions that ours did in a second, over those of a large product of matrices."""
    peak = ours("peak", threads=threads)["operations_per_second"]
    return mine["operations"] / statistics.median(mine["seconds"]) / peak


def thread_counts() -> list[int]:
    """1, 2, 4, ... up to the cores of this machine."""
    cores = len(os.sched_getaffinity(0))
    return sorted({1 << i for i in range(cores.bit_length()) if 1 << i <= cores} | {cores})


def cifar(folder: str | None) -> Path:
    """The folder of CIFAR-10's binary files, or of a part of them: `--set data=FOLDER`, else beside this checkout."""
    places = [Path(folder)] if folder else [ROOT / ".transect/data/cifar10", ROOT.parent / "shared/data/cifar10-part"]
    for place in places:
        if any(place.glob("data_batch_1.bin*")):
            return place.resolve()
    raise Skip(f"no data_batch_1.bin[.gz] of CIFAR-10 in {' or '.join(map(str, places))}; name its folder: --set data=FOLDER")


def close_enough(what: str, ours: float, theirs: float, relative: float):
    """Raises Differ unless two numbers agree."""
    if not abs(ours - theirs) <= relative * max(abs(ours), abs(theirs), 1e-12):
        raise Differ(f"{what}: ours is {ours!r}, theirs is {theirs!r}; they should agree to {relative:g}")
