# SPDX-License-Identifier: Apache-2.0
"""How processes with a group end: Ctrl-C, death, exceptions, early ends. Nothing may stay behind, and the cause is named.

The nodes average tensors with a Mixer, as torch's optimizers take seconds to import."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
import torch
from test_run import place, terminal  # noqa: F401 - fixtures

import sgp_torch as sgp
from sgp_torch import reports

from nodes import LIMIT

TORCH = tuple(int(part) for part in re.findall(r"\d+", torch.__version__)[:2])
SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(sgp.__file__)))

START = """
import torch
import sgp_torch as sgp
torch.set_num_threads(1)
def steps(count=10**9, **options):
    global mixer
    tensor = torch.zeros(100)
    mixer = sgp.Mixer([tensor], **options)
    for step in range(count):
        with mixer.update():
            tensor += 1
        yield step
"""


# The launcher gives its nodes so many seconds: on a busy machine torch takes long to end.
PATIENT = """
import sys
from sgp_torch import launch, run
launch.REPORT_GRACE = launch.FAILED_GRACE = launch.INTERRUPT_GRACE = {}
sys.exit(run.main(sys.argv[1:]))
"""


def launcher(seconds):
    return lambda *words: [sys.executable, "-c", PATIENT.format(seconds), *map(str, words)]


@pytest.fixture
def group(place):  # noqa: F811
    """A place whose scripts can use sgp_torch as this process does."""
    place.command = launcher(60)
    place.environment["PYTHONPATH"] = SOURCE
    place.environment["OMP_NUM_THREADS"] = "1"
    for name in ("SGP_LIBRARY", "LD_LIBRARY_PATH"):
        if name in os.environ:
            place.environment[name] = os.environ[name]
    return place


def short_lines(err, text):
    """The lines of nodes that have ended because of another, as {rank: line}."""
    found = re.findall(r"(?m)^sgp_torch: node (\d+) stops: (.*)$", err)
    assert all(re.search(text, line) for _, line in found), err
    return {int(rank): line for rank, line in found}


# ---- Ctrl-C ----

# Node 1 is ready when it lets node 0 wait. Node 0's line "ready" comes before the call in which it waits.
INTERRUPTED = {
    "step": """
for step in steps():
    if step == 2:
        ready()
        if rank == 1: wait()
""",
    "delta": """
for step in steps(mode="delta"):
    if step == 2:
        ready()
        if rank == 1: wait()
""",
    "exchange thread": """
for step in steps(mode="delta", algorithm="osgp"):
    if step == 2:
        ready()
        if rank == 1: wait()
""",
    "joining": """
ready()
if rank == 1: wait()
sgp.init()
""",
    "barrier of a duplicate": """
copy = sgp.default_group().duplicate()
ready()
if rank == 1: wait()
copy.barrier()
""",
    "computing": """
sgp.barrier()
ready()
while True: torch.ones(10).sum()
""",
    "in backward": """
from torch import nn
model = sgp.DistributedDataParallel(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), bucket_mb=1e-6,
                                    optimizer_in_backward=lambda p: torch.optim.SGD(p, lr=0.1))
for step in range(10**9):
    if step == 2:
        ready()
        if rank == 1: wait()
    model(torch.ones(2, 3)).sum().backward()
""",
}


@pytest.mark.parametrize("situation", INTERRUPTED)
def test_interrupt(group, terminal, situation):  # noqa: F811
    """Ctrl-C: one traceback, of the lowest rank, and nothing is killed."""
    if situation == "in backward" and TORCH < (2, 1):
        pytest.skip("optimizer_in_backward needs torch 2.1")
    on = terminal("--nodes", 2, group.script(START + INTERRUPTED[situation]))
    on.wait_ready(2)
    on.type("\x03")
    status, written = on.finish()
    assert status == 130
    assert written.count("Traceback") == 1, written
    assert "KeyboardInterrupt\n" in written
    assert "is killed" not in written
    assert written.endswith("sgp_torch.run: stopped (Interrupt)\n")


# ---- a node is lost ----


def test_a_killed_node_with_workers_of_a_data_loader(group):
    """Pitfall: children of fork hold what the node has open. They must not hide its death, though they live on."""
    script = group.script(
        START
        + """
import logging
from torch.utils.data import DataLoader, Dataset
class Endless(Dataset):
    def __len__(self):
        return 100
    def __getitem__(self, i):
        if i == 0:
            return torch.tensor(os.getpid())
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait()
sgp.barrier()
if rank == 1:
    pid = int(next(iter(loader := DataLoader(Endless(), num_workers=1, multiprocessing_context="fork"))))
    at = os.environ["SGP_RENDEZVOUS"] + "/worker"
    with open(at + ".new", "w") as file:
        file.write(str(pid))
    os.rename(at + ".new", at)
try:
    for step in steps():
        if step == 2:
            ready()
            if rank == 1: wait()
except sgp.Error:
    with open(os.environ["SGP_RENDEZVOUS"] + "/worker") as file:
        os.kill(int(file.read()), 0)  # raises an error if it has ended
    os.write(1, f"{rank}: it lives\\n".encode())
    raise
"""
    )
    # Silence is no reason here.
    launched = group.start("--nodes", 3, script, environment={"SGP_PEER_TIMEOUT_MS": "1000000000"})
    launched.wait_ready(3)
    os.kill(launched.pids[1], signal.SIGKILL)
    status, out, err = launched.finish()
    assert status == 1
    assert sorted(out.splitlines()) == ["0: it lives", "2: it lives"], err
    assert sorted(short_lines(err, "node 1 is lost")) == [0, 2]
    assert err.endswith("sgp_torch.run: node 1 was ended by signal 9 (SIGKILL)\n")
    assert "Traceback" not in err


def test_an_exception_on_one_node(group):
    """A loss for the others, no orderly end. The user sees one traceback, first."""
    script = group.script(
        START
        + """
for step in steps():
    if step == 2 and rank == 1:
        raise ValueError("wrong data")
"""
    )
    status, _, err = group.run("--nodes", 3, script)
    assert status == 1
    assert err.startswith("Traceback")
    assert err.count("Traceback") == 1
    assert "ValueError: wrong data\n" in err
    lines = short_lines(err, r"node 1 is lost \(it aborted\)")
    assert sorted(lines) == [0, 2]
    assert all(re.search(r"\(script\.py, line \d+; SGP_TORCH_TRACEBACK=1 ", line) for line in lines.values())
    assert err.endswith("sgp_torch.run: node 1 ended with exit status 1\n")


def test_all_tracebacks_on_request(monkeypatch, capsys):
    for shows in (False, True):
        monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
        monkeypatch.setattr(reports, "_installed", False)
        monkeypatch.setenv("SGP_TORCH_TRACEBACK", "1" if shows else "")
        told = []
        reports.install(3, lambda: told.append(True))  # noqa: B023
        for error in (sgp.Error("node 1 is lost", "SGP_ERR_PEER_LOST"), sgp.Error("peers=0")):
            sys.excepthook(type(error), error, None)
        assert told == [True]
        err = capsys.readouterr().err
        short = "sgp_torch: node 3 stops: node 1 is lost (SGP_TORCH_TRACEBACK=1 shows the traceback)\n"
        first = "sgp_torch.errors.Error: node 1 is lost\n" if shows else short
        assert err == f"{first}sgp_torch.errors.Error: peers=0\n"


@pytest.mark.parametrize("end, how, status", [("sys.exit(3)", "ended with exit status 3", 3), ("break", "ended before", 1)])
def test_an_early_end(group, end, how, status):
    """Nodes that need more of one that has left fail at once, and the launcher names it."""
    script = group.script(START + f"for step in steps():\n    if step == 2 and rank == 1:\n        {end}\n")
    found, _, err = group.run("--nodes", 2, script)
    assert found == status
    assert "node 1 has left, while node 0 waits for its message of step" in short_lines(err, "")[0]
    assert re.search(rf"sgp_torch\.run: node 1 {how}[^\n]*\n$", err), err


def test_a_stopped_node(group):
    group.command = launcher(0.1)  # the stopped one will not end by itself
    script = group.script(START + "for step in steps():\n    if step == 2:\n        ready()\n        if rank == 1: wait()\n")
    launched = group.start("--nodes", 2, "--peer-timeout", "1", script)
    launched.wait_ready(2)
    os.kill(launched.pids[1], signal.SIGSTOP)
    status, _, err = launched.finish()
    assert status == 1
    assert list(short_lines(err, "node 1 is lost")) == [0], err
    assert "sgp_torch.run: node 1 was lost, and the others ended because of it\n" in err


# ---- without a launcher ----


class ByHand:
    """Processes with SGP_RANK, SGP_SIZE and SGP_RENDEZVOUS alone."""

    def __init__(self, group, size, script):
        os.mkdir(os.path.join(group.folder, "meet"), 0o700)
        self.processes = [
            subprocess.Popen(
                [sys.executable, script],
                env={
                    **group.environment,
                    "SGP_RANK": str(rank),
                    "SGP_SIZE": str(size),
                    "SGP_RENDEZVOUS": os.path.join(group.folder, "meet"),
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for rank in range(size)
        ]

    def wait_ready(self):
        for process in self.processes:
            line = process.stdout.readline()
            assert line.startswith("ready"), process.communicate(timeout=LIMIT)

    def finish(self):
        """(exit status, standard error) of each."""
        errors = [process.communicate(timeout=LIMIT)[1] for process in self.processes]
        return [(process.returncode, err) for process, err in zip(self.processes, errors)]

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def by_hand(group):
    started = []

    def start(size, text):
        started.append(ByHand(group, size, group.script(START + text)))
        return started[-1]

    yield start
    for one in started:
        one.close()


def test_a_terminated_node(by_hand):
    nodes = by_hand(2, "for step in steps():\n    if step == 2:\n        ready()\n        if rank == 1: wait()\n")
    nodes.wait_ready()
    nodes.processes[1].terminate()
    (status, err), (ended, none) = nodes.finish()
    assert (status, ended, none) == (1, -signal.SIGTERM, "")
    assert "node 1 is lost" in short_lines(err, "")[0]
    assert err.count("\n") == 1


def test_an_end_while_the_exchange_thread_is_busy(by_hand):
    """In order: it is finished first. With an exception and on Ctrl-C nothing is waited for (test_interrupt)."""
    nodes = by_hand(
        2,
        """
for step in steps(mode="delta", algorithm="osgp"):
    if step == 2: ready()
    if step == 20: break
if rank == 0:
    raise ValueError("wrong data")
""",
    )
    nodes.wait_ready()
    (status, err), (_, other) = nodes.finish()
    assert status == 1
    assert err.count("Traceback") == 1
    assert err.endswith("ValueError: wrong data\n")
    assert "Traceback" not in other  # it may have what it needs
