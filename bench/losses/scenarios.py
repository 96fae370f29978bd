#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All that can happen to nodes of a run, as real processes: what the others say, how long they wait, and what is left.

    scenarios.py SGP [--only WORDS] [--list] [--relay PROGRAM] [--keep FOLDER]

SGP is the program; PROGRAM that of the tests (build/tests/network/network_relay), for links that are cut in one direction. Prints
a table with a row for each event and transport: the exit status (of the launcher, or of each node), the longest step at the event of
the nodes that nothing happened to and how far it is above their median, their longest end of an epoch, the sum of the weights beside the
number of nodes in the last epoch, whom they lost, and what is wrong. A step that is longer than the row allows (--steady-ms more
on a busy machine) is marked "slow": times depend on the machine; all else must hold. Ends with 1 if a row is wrong.

Events happen in the middle of an epoch unless the row says otherwise. Hosts are network namespaces (tests/network/hosts.py),
which need root; rows that cannot be had are skipped, and say so. All rows take about half an hour."""
import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tests" / "network"), str(HERE.parents[1] / "tests" / "process")]
import hosts  # noqa: E402
from support import make_data, node_pids  # noqa: E402

NODES = 6
STEP_MS = 20
PORT = 7070
LIMIT = 120  # seconds that the end of a run may take after its event
SETTLED_MS = 1500  # after an event the others go on as before


@dataclasses.dataclass
class Row:
    name: str
    event: object  # called with the Run, in the middle of its second epoch
    hit: tuple = ()  # ranks that the event concerns
    lost: object = ()  # ranks that the others lose; None: any of those that are hit
    transports: tuple = ("shm", "tcp")
    place: str = "machine"  # machine: a launcher; apart: processes that meet by --join; hosts: on namespaces of their own
    nodes: int = NODES
    on: tuple = ()  # of hosts: the host of each node; (): one each
    epoch_s: float = 4
    epochs: int = 3
    limit_ms: float = 1000  # a step may take so much more than the median
    more: tuple = ()
    relay: bool = False


class Run:
    """A training under way. Lines of a process go to a file, so none waits for a reader."""

    def __init__(self, options, row, transport, folder):
        self.options, self.row, self.transport, self.folder = options, row, transport, folder
        self.output = os.path.join(folder, "out")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("SGP_")}
        self.environment["XDG_RUNTIME_DIR"] = os.path.join(folder, "r")
        os.mkdir(self.environment["XDG_RUNTIME_DIR"], 0o700)
        self.processes, self.newcomers, self.files, self.ports = [], [], [], []
        self.network = None
        self.stopped = set()
        self.first_epoch_at = 0
        self.happened = (0, 0)

    # ---- starting ----

    def output_of(self, rank):
        """Hosts have disks of their own."""
        row = self.row
        return f"{self.output}-{row.on[rank] if row.on else rank}" if row.place == "hosts" else self.output

    def training(self, rank=0):
        row = self.row
        samples = max(1, round(row.epoch_s * 1000 / STEP_MS)) * row.nodes
        return ["train", "--data", self.options.data, "--model", "mlp", "--batch-size", "1", "--limit-samples", str(samples),
                "--epochs", str(row.epochs), "--compute-ms", str(STEP_MS), "--output", self.output_of(rank), "--overwrite", "--trace",
                "--nodes", str(row.nodes), *row.more]

    def popen(self, arguments, host=None):
        path = os.path.join(self.folder, f"err-{len(self.files)}")
        self.files.append(path)
        with open(path, "wb") as err:
            settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": err, "env": self.environment,
                        "cwd": self.folder}
            if host:
                return host.popen([self.options.sgp, *arguments], **settings)
            return subprocess.Popen([self.options.sgp, *arguments], preexec_fn=hosts.die_with_parent, **settings)

    def start(self):
        row = self.row
        if row.place == "machine":
            self.processes = [self.popen([*self.training(), "--transport", self.transport])]
        else:
            self.start_apart()
        self.await_text(0, "epoch 1/")
        self.first_epoch_at = time.monotonic()
        time.sleep(row.epoch_s / 4)

    def start_apart(self):
        """Node 0 listens where all meet."""
        row = self.row
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write("a secret of these scenarios")
        places = [None] * row.nodes
        address = "127.0.0.1"
        if row.place == "hosts":
            on = row.on or tuple(range(row.nodes))
            self.network = hosts.Network(max(on) + 1, delay=1e-4 if row.relay else 0, relay=self.options.relay)
            self.network.__enter__()
            places = [self.network[index] for index in on]
            address = self.network[0].ipv4
        self.at = f"{address}:{free_port() if row.place == 'apart' else PORT}"
        for rank in range(row.nodes):
            port = ["--ports", str(free_port())] if row.place == "apart" else []
            self.ports += port[1:]
            self.processes.append(self.popen([*self.training(rank), "--transport", "tcp", "--join", self.at, "--rank", str(rank),
                                              "--key-file", key, *port], places[rank]))

    def text(self, number):
        with open(self.files[number], encoding="utf-8", errors="replace") as file:
            return file.read()

    def await_text(self, number, words, process=None):
        end = time.monotonic() + LIMIT
        while words not in self.text(number):
            if (process or self.processes[number]).poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no line with {words!r}: {self.text(number)[-500:]}")
            time.sleep(0.01)

    # ---- events ----

    def pid(self, rank):
        if self.row.place == "machine":
            return node_pids(self.processes[0].pid)[rank]
        return self.processes[rank].pid

    def signal(self, number, *ranks):
        for pid in [self.pid(rank) for rank in ranks]:
            os.kill(pid, number)
            if number == signal.SIGSTOP:
                self.stopped.add(pid)
            if number == signal.SIGCONT:
                self.stopped.discard(pid)

    def kill(self, *ranks):
        self.signal(signal.SIGKILL, *ranks)

    def stop(self, seconds, *ranks):
        """seconds None: for good."""
        self.signal(signal.SIGSTOP, *ranks)
        if seconds is not None:
            time.sleep(seconds)
            self.signal(signal.SIGCONT, *ranks)

    def cut(self, seconds, *indices, way="both"):
        """The cables of these hosts."""
        for index in indices:
            self.network[index].set_link(False, **({} if way == "both" else {"way": way}))
        if seconds is not None:
            time.sleep(seconds)
            for index in indices:
                self.network[index].set_link(True)

    def members(self, *ranks):
        """The addresses of these nodes; one of them listens where all met."""
        return ",".join([*(f"127.0.0.1:{self.ports[rank]}" for rank in ranks), self.at])

    def join(self, *ranks):
        """A newcomer that calls these. Returns its number among the processes."""
        self.newcomers.append(self.popen(["train", "--join", self.members(*ranks), "--key-file", os.path.join(self.folder, "key")]))
        return self.newcomers[-1]

    # ---- the end ----

    def finish(self):
        """The exit status of each process; None: it did not end, and was killed."""
        end = time.monotonic() + LIMIT + self.row.epoch_s * self.row.epochs
        waiting = [p for p in [*self.processes, *self.newcomers] if p.pid not in self.stopped]
        for process in waiting:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
        statuses = [p.poll() for p in self.processes], [p.poll() for p in self.newcomers]
        self.end()
        return statuses

    def end(self):
        for process in [*self.processes, *self.newcomers]:
            if process.poll() is None:
                process.kill()
                process.wait()
        if self.network:
            self.network.remove()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


# ---- what happens ----

LAST = NODES - 1


def kill_in_turn(*ranks, pause=(0.3, 1.2)):
    """At moments that a run of very short epochs, or one that saves all the time, spends at their ends or in saving."""
    def event(run):
        for rank in ranks:
            time.sleep(random.uniform(*pause))
            run.kill(rank)
    return event


def newcomer_killed(run):
    for wait in (0, 0.05, 0.2, 0.4, 0.8):
        newcomer = run.join(1)
        time.sleep(wait)
        newcomer.kill()
        newcomer.wait()
        time.sleep(0.5)


def member_killed_during_join(rank, wait):
    def event(run):
        run.join(LAST, 1)
        time.sleep(wait)
        run.kill(rank)
    return event


def newcomer_stopped(seconds, wait):
    def event(run):
        newcomer = run.join(1)
        time.sleep(wait)
        os.kill(newcomer.pid, signal.SIGSTOP)
        if seconds is None:
            run.stopped.add(newcomer.pid)
            return
        time.sleep(seconds)
        os.kill(newcomer.pid, signal.SIGCONT)
    return event


def one_joins(run):
    run.join(1)


def two_join(run):
    run.join(1)
    run.join(2)


def stopped_during_join(run):
    run.join(1)
    run.stop(5, LAST)


def rows():
    last = (LAST,)
    yield Row("nothing", lambda run: None)
    # Nodes that die.
    yield Row("kill one", lambda run: run.kill(LAST), last, last, limit_ms=300)
    yield Row("kill two at once", lambda run: run.kill(1, LAST), (1, LAST), (1, LAST), limit_ms=300)
    yield Row("kill the founder", lambda run: run.kill(0), (0,), (0,), limit_ms=300)
    yield Row("kill all but one", lambda run: run.kill(0, 1, 2, 4, 5), (0, 1, 2, 4, 5), (0, 1, 2, 4, 5), limit_ms=300)
    for algorithm, limit in (("osgp", 300), ("dpsgd", 300), ("adpsgd", 300), ("allreduce", 2000)):
        yield Row(f"kill one, {algorithm}", lambda run: run.kill(LAST), last, last, limit_ms=limit, more=("--algorithm", algorithm))
    ends = {"epoch_s": 0.06, "epochs": 120, "limit_ms": 300}
    yield Row("kill four in turn at epochs' ends", kill_in_turn(0, 2, 5, 1), (0, 1, 2, 5), (0, 1, 2, 5), **ends)
    yield Row("kill four in turn at checkpoints", kill_in_turn(5, 0, 3, 1), (0, 1, 3, 5), (0, 1, 3, 5), epoch_s=6, epochs=3,
              more=("--checkpoint-every", "1"))
    # Nodes that hang.
    yield Row("stop for 5 s", lambda run: run.stop(5, LAST), last, epoch_s=12, epochs=2)
    yield Row("stop for 5 s over an epoch's end", lambda run: run.stop(5, LAST), last, last, epoch_s=2, epochs=6)
    yield Row("stop for 30 s", lambda run: run.stop(30, LAST), last, last, epoch_s=20, epochs=3)
    yield Row("stop for good", lambda run: run.stop(None, LAST), last, last, epoch_s=14, epochs=2)
    yield Row("stop the founder for good", lambda run: run.stop(None, 0), (0,), (0,), epoch_s=4, epochs=4)
    yield Row("stop for 5 s, adpsgd", lambda run: run.stop(5, LAST), last, epoch_s=12, epochs=2, more=("--algorithm", "adpsgd"))
    yield Row("stop for 5 s, allreduce", lambda run: run.stop(5, LAST), last, last, epoch_s=12, epochs=2, limit_ms=2000,
              more=("--algorithm", "allreduce"))
    yield Row("stop all for 5 s", lambda run: run.stop(5, *range(NODES)), tuple(range(NODES)), epoch_s=4, epochs=3)
    # Newcomers.
    apart = {"place": "apart", "transports": ("tcp",), "epochs": 3}
    yield Row("one joins", one_joins, **apart)
    yield Row("two join at once", two_join, **apart)
    yield Row("kill five newcomers on their way", newcomer_killed, lost=None, hit=range(NODES, 2 * NODES), epoch_s=6, **apart)
    for wait in (0.02, 0.1, 0.3, 1):
        yield Row(f"kill the sponsor {wait} s after the call", member_killed_during_join(LAST, wait), last, last, **apart)
    yield Row("kill the founder 0.3 s after another's call", member_killed_during_join(0, 0.3), (0,), (0,), **apart)
    yield Row("stop a newcomer on its way for 3 s", newcomer_stopped(3, 0.1), lost=None, hit=range(NODES, 2 * NODES), epoch_s=8, **apart)
    yield Row("stop a newcomer on its way for good", newcomer_stopped(None, 0.3), lost=None, hit=range(NODES, 2 * NODES), epoch_s=8, **apart)
    yield Row("stop a member for 5 s during a join", stopped_during_join, last, lost=None, epoch_s=8, **apart)
    # Cables.
    cable = {"place": "hosts", "transports": ("tcp",)}
    yield Row("stop for 5 s, on hosts", lambda run: run.stop(5, LAST), last, epoch_s=12, epochs=2, **cable)
    yield Row("cut for 3 s", lambda run: run.cut(3, LAST), last, epoch_s=10, epochs=2, **cable)
    yield Row("cut the founder for 3 s", lambda run: run.cut(3, 0), (0,), epoch_s=10, epochs=2, **cable)
    yield Row("cut for 3 s over an epoch's end", lambda run: run.cut(3, LAST), last, None, epoch_s=2, epochs=5, **cable)
    yield Row("cut for 15 s", lambda run: run.cut(15, LAST), last, last, epoch_s=20, epochs=2, **cable)
    yield Row("cut for good", lambda run: run.cut(None, LAST), last, last, epoch_s=14, epochs=2, **cable)
    yield Row("cut the founder for good", lambda run: run.cut(None, 0), (0,), (0,), epoch_s=14, epochs=2, **cable)
    for way in ("to", "from"):
        one = {"relay": True, **cable}
        text = {"to": "nothing gets to it", "from": "nothing gets from it"}[way]
        yield Row(f"one way ({text}) for 3 s", lambda run, w=way: run.cut(3, LAST, way=w), last, epoch_s=10, epochs=2, **one)
        yield Row(f"one way ({text}) for 15 s", lambda run, w=way: run.cut(15, LAST, way=w), last, last, epoch_s=20, epochs=2, **one)
        yield Row(f"one way ({text}) for good", lambda run, w=way: run.cut(None, LAST, way=w), last, last, epoch_s=14, epochs=2, **one)
    four = {"on": (0, 1, 2, 3, 4, 5, 5, 5, 5), "nodes": 9, "hit": (5, 6, 7, 8), "lost": (5, 6, 7, 8), **cable}
    yield Row("a host of four of nine, for 15 s", lambda run: run.cut(15, 5), epoch_s=20, epochs=2, **four)
    yield Row("a host of four of nine, for good", lambda run: run.cut(None, 5), epoch_s=14, epochs=2, **four)
    half = {"on": (0, 1, 2, 3, 4, 4, 4, 4), "nodes": 8, "hit": (4, 5, 6, 7), "lost": (4, 5, 6, 7), **cable}
    yield Row("a host of four of eight, for 15 s", lambda run: run.cut(15, 4), epoch_s=20, epochs=2, **half)
    yield Row("a host of four of nine, for 3 s", lambda run: run.cut(3, 5), epoch_s=10, epochs=2, **{**four, "lost": ()})


# ---- what is left ----

@dataclasses.dataclass
class Outcome:
    status: str = "-"
    longest: float = float("nan")
    above: float = float("nan")
    epoch_end: float = float("nan")
    mass: str = "-"
    lost: str = "-"
    wrong: list = dataclasses.field(default_factory=list)


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def steps_of(path, without):
    """{(process, step): when it began, in ms} of the processes of a trace but some; node 0 is process 1."""
    begins = {}
    for event in read_json(path)["traceEvents"]:
        if event["ph"] == "X" and event["pid"] not in without:
            at = (event["pid"], event["args"]["step"])
            begins[at] = min(event["ts"] / 1000, begins.get(at, event["ts"] / 1000))
    return begins


def judge_times(run, outcome, lines):
    """A step lasts from its beginning to that of the next. Those count that overlap the event, up to SETTLED_MS after it."""
    path = os.path.join(run.output, "trace.json")
    if not os.path.exists(path):
        return
    begins = steps_of(path, {rank + 1 for rank in run.row.hit} | {rank + 1 for rank in range(run.row.nodes, 2 * run.row.nodes)})
    ends = {line["step"] for line in lines if "w_total" in line}
    first = min((at for (_, step), at in begins.items() if step == min(ends) + 1), default=0)
    begin, end = ((at - run.first_epoch_at) * 1000 + first for at in run.happened)
    steps = [(begins[node, step + 1] - at, at, step) for (node, step), at in begins.items() if (node, step + 1) in begins]
    inside = sorted(length for length, at, step in steps if step not in ends)
    during = [length for length, at, step in steps if step not in ends and at + length > begin and at < end + SETTLED_MS]
    if during:
        outcome.longest, outcome.above = max(during), max(during) - inside[len(inside) // 2]
    outcome.epoch_end = max((length for length, _, step in steps if step in ends), default=outcome.epoch_end)


def judge(run, statuses, newcomers):
    row, outcome = run.row, Outcome()
    run.output = run.output_of(next((rank for rank in range(row.nodes) if rank not in row.hit), 0))
    outcome.status = " ".join("-" if status is None else str(status) for status in [*statuses, *newcomers])
    for rank, status in enumerate(statuses):
        if status != 0 and (row.place == "machine" or rank not in row.hit):
            outcome.wrong.append(f"{'the launcher' if row.place == 'machine' else f'node {rank}'} ended with {status}")
    summary = os.path.join(run.output, "summary.json")
    if not os.path.exists(summary):
        outcome.wrong.append("no summary")
        return outcome
    summary = read_json(summary)
    with open(os.path.join(run.output, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    final = [line for line in lines if "w_total" in line and line["epoch"] == row.epochs]
    nodes = len({line["node"] for line in final})
    outcome.mass = f"{summary['mass']['w_total']:.9g} of {nodes}"
    if summary["status"] != "finished":
        outcome.wrong.append(f"the run is {summary['status']}: {summary['reason']}")
    if abs(summary["mass"]["w_total"] - nodes) > 1e-9 or any(abs(line["w_total"] - nodes) > 1e-9 for line in final):
        outcome.wrong.append("the weights do not add up")
    lost = sorted({loss["node"] for loss in summary["losses"]})
    outcome.lost = ",".join(map(str, lost)) or "none"
    if (row.lost is None and set(lost) - set(row.hit)) or (row.lost is not None and lost != sorted(row.lost)):
        outcome.wrong.append(f"lost {outcome.lost}, not {','.join(map(str, row.lost)) if row.lost is not None else 'some of the hit'}")
    judge_times(run, outcome, lines)
    return outcome


def run_row(options, row, transport, folder):
    run = Run(options, row, transport, folder)
    try:
        run.start()
        begin = time.monotonic()
        row.event(run)
        run.happened = (begin, time.monotonic())
        statuses, newcomers = run.finish()
        outcome = judge(run, statuses, newcomers)
    except (RuntimeError, hosts.HostsError, OSError, KeyError, ValueError) as error:
        outcome = Outcome(wrong=[f"{type(error).__name__}: {error}"])
    finally:
        run.end()
    if options.keep and (outcome.wrong or is_slow(options, row, outcome)):
        shutil.copytree(folder, os.path.join(options.keep, f"{row.name}-{transport}".replace(" ", "-").replace(",", "")), dirs_exist_ok=True)
    return outcome


def why_skipped(options, row):
    if row.place == "hosts" and hosts.why_not():
        return hosts.why_not()
    if row.relay and not options.relay:
        return "a link is cut in one direction by --relay"
    return None


def is_slow(options, row, outcome):
    return outcome.above > row.limit_ms + options.steady_ms


def show(row, transport, outcome, options):
    verdict = "WRONG: " + "; ".join(outcome.wrong) if outcome.wrong else "slow" if is_slow(options, row, outcome) else "ok"
    print(f"| {row.name} | {transport} | {outcome.status} | {outcome.longest:.0f} (+{outcome.above:.0f}) | {outcome.epoch_end:.0f} | "
          f"{outcome.mass} | {outcome.lost} | {verdict} |", flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sgp")
    parser.add_argument("--only", default="", help="rows whose name and transport have these words")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--relay", help="the program network_relay of the tests")
    parser.add_argument("--steady-ms", type=float, default=0)
    parser.add_argument("--keep", help="what a row has left that is wrong or slow is copied there")
    options = parser.parse_args()
    options.sgp = os.path.abspath(options.sgp)
    options.relay = options.relay and os.path.abspath(options.relay)
    return options


def main():
    options, wrong = parse(), 0
    chosen = [(row, transport) for row in rows() for transport in row.transports
              if all(word in f"{row.name} {transport}" for word in options.only.split())]
    if options.list:
        print("\n".join(f"{row.name}, {transport}" for row, transport in chosen))
        return 0
    print("| event | transport | exit status | longest step, ms | longest epoch's end, ms | mass | lost | |\n|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="sgp-scenarios-") as place:
        options.data = make_data(os.path.join(place, "data"), train=9000, test=10)
        for row, transport in chosen:
            if why_skipped(options, row):
                print(f"| {row.name} | {transport} | | | | | | skipped: {why_skipped(options, row)} |", flush=True)
                continue
            with tempfile.TemporaryDirectory(dir=place) as folder:
                outcome = run_row(options, row, transport, folder)
            wrong += bool(outcome.wrong)
            show(row, transport, outcome, options)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
