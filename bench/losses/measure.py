#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the loss or silence of one node costs the others: their longest step beside their median.

    measure.py SGP EVENT [--transport shm|tcp] [--nodes N] [--seconds S] [--compute-ms MS]

EVENT: kill (SIGKILL), stop:S (SIGSTOP for S seconds), hang:S (its first thread alone is stopped, by ptrace; its heartbeat goes
on), cut:S (the cable of its host is pulled for S seconds: one process on each of N network namespaces, tests/network/hosts.py;
needs root), none. Each step takes MS milliseconds of sleep (20), so that few cores are enough. The event hits the last node in
the middle of the run. Prints one line of JSON: milliseconds of the survivors' steps, and what was lost. Times are those of
--trace."""
import argparse
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tests" / "network"), str(HERE.parents[1] / "tests" / "process")]
import hosts  # noqa: E402

LIMIT = 300
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000
EPOCHS = 4


def steps_of_epoch(options):
    return round(options.seconds * 1000 / options.compute_ms / EPOCHS)


def arguments(options, folder):
    steps = steps_of_epoch(options)
    return ["train", "--data", options.data, "--model", "mlp", "--batch-size", "4", "--limit-samples", str(4 * options.nodes * steps),
            "--epochs", str(EPOCHS), "--compute-ms", str(options.compute_ms), "--nodes", str(options.nodes), "--output", folder, "--overwrite",
            "--trace", "--json", "--algorithm", options.algorithm, *options.more]


def node_pids(launcher):
    """{rank: pid}, once all have been started."""
    with open(f"/proc/{launcher}/task/{launcher}/children", encoding="ascii") as file:
        children = file.read().split()
    ranks = {}
    for pid in children:
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if b"=" in entry)
        ranks[int(environment.get(b"SGP_RANK", -1))] = int(pid)
    return ranks


def hang(pid, seconds):
    """Its heartbeat goes on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, pid, None, None):
            raise OSError(ctypes.get_errno(), "ptrace")
    os.waitpid(pid, WALL)
    time.sleep(seconds)
    libc.ptrace(PTRACE_DETACH, pid, None, None)


def happen(event, pid, host):
    name, _, seconds = event.partition(":")
    if name == "kill":
        os.kill(pid, signal.SIGKILL)
    if name == "stop":
        os.kill(pid, signal.SIGSTOP)
        time.sleep(float(seconds))
        os.kill(pid, signal.SIGCONT)
    if name == "hang":
        hang(pid, float(seconds))
    if name == "cut":
        host.set_link(False)
        time.sleep(float(seconds))
        host.set_link(True)


def await_epoch(process):
    """Until the first one has ended, and the next is in its middle."""
    for line in process.stderr:
        if line.startswith("epoch "):
            return
    sys.exit("the run has ended before its first epoch has")


def on_one_machine(options, folder):
    process = subprocess.Popen([options.sgp, *arguments(options, folder), "--transport", options.transport],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    await_epoch(process)
    time.sleep(options.seconds / EPOCHS / 2)
    happen(options.event, node_pids(process.pid)[options.nodes - 1], None)
    return [process]


def on_hosts(options, folder, network):
    key = os.path.join(os.path.dirname(folder), "key")
    with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
        file.write("a secret of these measurements")
    at = f"{network[0].ipv4}:7070"
    processes = [host.popen([options.sgp, *arguments(options, f"{folder}{rank}"), "--transport", "tcp", "--join", at, "--rank",
                             str(rank), "--key-file", key], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                 for rank, host in enumerate(network)]
    await_epoch(processes[0])
    time.sleep(options.seconds / EPOCHS / 2)
    happen(options.event, processes[-1].pid, network[options.nodes - 1])
    return processes


def step_times(folder, victim, per_epoch):
    """Milliseconds from the beginning of each step to that of the next of its epoch, of all nodes but one. In a trace node 0 is
    process 1."""
    with open(os.path.join(folder, "trace.json"), encoding="utf-8") as file:
        events = [event for event in json.load(file)["traceEvents"] if event["ph"] == "X" and event["pid"] != victim]
    begins = {}
    for event in events:
        at = (event["pid"], event["args"]["step"])
        begins[at] = min(event["ts"], begins.get(at, event["ts"]))
    return sorted((begins[node, step + 1] - begin) / 1000 for (node, step), begin in begins.items()
                  if (node, step + 1) in begins and step % per_epoch)


def report(options, folder, processes):
    told = [process.communicate(timeout=LIMIT) for process in processes]
    if not os.path.exists(os.path.join(folder, "trace.json")):
        sys.exit("\n".join(err for _, err in told))
    times = step_times(folder, options.nodes, steps_of_epoch(options))
    with open(os.path.join(folder, "summary.json"), encoding="utf-8") as file:
        summary = json.load(file)
    median = times[len(times) // 2]
    print(json.dumps({"event": options.event, "transport": options.transport, "nodes": options.nodes, "algorithm": options.algorithm,
                      "steps": len(times), "median_ms": round(median, 1), "longest_ms": round(times[-1], 1),
                      "above_median_ms": round(times[-1] - median, 1),
                      "lost": [(loss["node"], loss["step"], loss["reason"]) for loss in summary.get("losses", [])],
                      "status": [process.returncode for process in processes], "mass": summary["mass"]["w_total"],
                      "said": [err.strip().splitlines()[-2:] for _, err in told if options.verbose]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sgp")
    parser.add_argument("event")
    parser.add_argument("--transport", default="tcp")
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--compute-ms", type=float, default=20)
    parser.add_argument("--algorithm", default="sgp")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("more", nargs="*", help="after --: options of sgp train")
    options = parser.parse_args()
    options.sgp = os.path.abspath(options.sgp)
    with tempfile.TemporaryDirectory() as place:
        folder = os.path.join(place, "out")
        if options.event.startswith("cut"):
            with hosts.Network(options.nodes) as network:
                processes = on_hosts(options, folder, network)
                report(options, f"{folder}0", processes)
        else:
            report(options, folder, on_one_machine(options, folder))


if __name__ == "__main__":
    main()
