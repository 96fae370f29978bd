# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: samples that are kept so that a measurement can be interrupted and continued, the processes of a run on
this machine, and tables."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any
from collections.abc import Iterator, Sequence

import torch

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_SECONDS = 300  # limit for reaching each other


class Samples:
    """A file of JSON lines {"key": {...}, "value": ...}, each written as soon as it is measured."""

    def __init__(self, path: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self.path = path
        self.all: dict[str, Any] = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    sample = json.loads(line)
                    self.all[self.text(sample["key"])] = sample["value"]

    @staticmethod
    def text(key: dict[str, Any]) -> str:
        return json.dumps(key, sort_keys=True)

    def get(self, **key: Any) -> Any:
        return self.all.get(self.text(key))

    def add(self, value: Any, **key: Any) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, "value": value}) + "\n")
        self.all[self.text(key)] = value


def environment() -> dict[str, str]:
    """This process's, without what a launcher or an earlier run left; the working tree's package is found, one thread per process."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith(("SGP_", "OMPI_", "PMI", "SLURM_", "TORCHELASTIC_")) or key == "SGP_LIBRARY"}
    kept.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    package = os.path.join(ROOT, "python", "src")
    if os.path.isdir(package):
        kept["PYTHONPATH"] = os.pathsep.join([package, *filter(None, [kept.get("PYTHONPATH")])])
    library = os.path.join(ROOT, "build", "src", "libsgp.so")
    if os.path.exists(library):
        kept.setdefault("SGP_LIBRARY", library)
    return kept


def local_environment(rank: int, size: int, directory: str) -> dict[str, str]:
    """For a process of a run on this machine. Both kinds of group meet in the directory: no port is fixed."""
    rendezvous = os.path.join(directory, "rendezvous")
    os.makedirs(rendezvous, exist_ok=True)
    return {**environment(), "RANK": str(rank), "WORLD_SIZE": str(size), "GLOO_SOCKET_IFNAME": "lo", "SGP_RANK": str(rank),
            "SGP_SIZE": str(size), "SGP_RENDEZVOUS": rendezvous, "BENCH_DIRECTORY": directory}


def open_store() -> torch.distributed.Store:
    """The store of all processes of a run; rank 0 holds it. RANK, BENCH_DIRECTORY (common to all) and HOST_ADDRESS (127.0.0.1) are in
    the environment."""
    address, path = os.environ.get("HOST_ADDRESS", "127.0.0.1"), os.path.join(os.environ["BENCH_DIRECTORY"], "store")
    if os.environ["RANK"] == "0":
        store = torch.distributed.TCPStore(address, 0, None, True, wait_for_workers=False)
        with open(f"{path}.new", "w", encoding="ascii") as file:
            file.write(f"{address} {store.port}")
        os.rename(f"{path}.new", path)
        return store
    deadline = time.monotonic() + START_SECONDS
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            sys.exit("rank 0 did not open its store")
        time.sleep(0.02)
    with open(path, encoding="ascii") as file:
        host, port = file.read().split()
    return torch.distributed.TCPStore(host, int(port), None, False, wait_for_workers=False)


def die_with_parent() -> None:
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@contextlib.contextmanager
def local_processes(command: Sequence[str], size: int) -> Iterator[list[subprocess.Popen]]:
    """`size` processes on this machine, with RANK in the environment; rank 0's standard output is a pipe. They are killed at the end,
    also after SIGTERM, and nothing of them is left."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="sgp-bench-") as directory:
        processes = [subprocess.Popen(command, env=local_environment(rank, size, directory), text=True, preexec_fn=die_with_parent,
                                      stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL) for rank in range(size)]
        try:
            yield processes
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
                if process.stdout:
                    process.stdout.close()


def lines_of(processes: Sequence[subprocess.Popen], limit: float) -> Iterator[str]:
    """Lines of rank 0's standard output to its end. TimeoutError: none came for `limit` seconds; RuntimeError: a process failed."""
    stdout = processes[0].stdout
    assert stdout
    rest, last = b"", time.monotonic()
    while True:
        if select.select([stdout], [], [], 1)[0]:
            data = os.read(stdout.fileno(), 1 << 16)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode() for line in lines)
            last = time.monotonic()
        elif any(process.poll() for process in processes):
            break
        elif time.monotonic() - last > limit:
            raise TimeoutError(f"no word for {limit:g} s")
    deadline = time.monotonic() + 30
    try:
        codes = [process.wait(timeout=max(0.1, deadline - time.monotonic())) for process in processes]
    except subprocess.TimeoutExpired:
        codes = [process.poll() for process in processes]
    if codes != [0] * len(codes):
        raise RuntimeError(f"the processes ended with {codes}")


class Barrier:
    """All processes of a run, by its store; the same for every row. It leaves no thread and no traffic behind."""

    def __init__(self, store: torch.distributed.Store | None, size: int) -> None:
        self.store, self.size, self.count = store, size, 0

    def __call__(self) -> None:
        if self.size == 1 or self.store is None:
            return
        self.count += 1
        key = f"barrier {self.count}"
        if self.store.add(key, 1) == self.size:
            self.store.set(f"{key} done", "1")
        self.store.wait([f"{key} done"])

    def leave(self) -> None:
        """The last use of the store: rank 0 holds it until no other process needs it."""
        if self.size > 1 and self.store is not None and self.store.add("left", 1) and os.environ["RANK"] == "0":
            deadline = time.monotonic() + START_SECONDS
            while self.store.add("left", 0) < self.size and time.monotonic() < deadline:
                time.sleep(0.02)


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def versions() -> str:
    return f"torch {torch.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores"


def progress(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
