# SPDX-License-Identifier: Apache-2.0
"""Starts a training script as the nodes of one group: ``python -m sgp_torch.run --nodes 4 script.py``.

The command line, and the environment of the processes. `launch` starts and ends them. Neither imports torch or libsgp.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any, NoReturn

from sgp_torch.launch import FAILED, MISTAKE, Launcher, Rendezvous, say

SYNOPSIS = "python -m sgp_torch.run [OPTIONS] [-m MODULE | SCRIPT] [ARGUMENTS]"
USUAL_NODES = 4
MOST_PROCESSES = 65536


class Mistake(Exception):
    """A wrong option, file or setting: nothing has been started. The text is one line with the remedy."""


# ---- options ----


class Option:
    """One row of the option table. kind: the function that turns the text into a value, or None for a flag."""

    def __init__(self, name: str, metavar: str, kind: Any, text: str, wanted: str = "") -> None:
        self.name = name
        self.metavar = metavar
        self.kind = kind
        self.help = text
        self.wanted = wanted

    def value(self, text: str) -> Any:
        try:
            return self.kind(text)
        except ValueError:
            shown = text or '""'
            raise Mistake(f"--{self.name} {shown}: must be {self.wanted}") from None


def whole(low: int, high: int) -> Any:
    def read(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return read


def seconds(text: str) -> int:
    """Milliseconds, as the environment of libsgp wants them."""
    value = float(text)
    if not 0.001 <= value <= 1e6:  # false for nan too
        raise ValueError
    return int(value * 1000 + 0.5)


def some_text(text: str) -> str:
    if not text:
        raise ValueError
    return text


def transport(text: str) -> str:
    if text not in ("auto", "shm", "tcp"):
        raise ValueError
    return text


def on_loss(text: str) -> str:
    if text not in ("continue", "stop"):
        raise ValueError
    return text


def encryption(text: str) -> str:
    if text not in ("auto", "on", "off"):
        raise ValueError
    return text


def host_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or (":" in host and not (host[0] == "[" and host[-1] == "]")):
        raise ValueError
    whole(1, 65535)(port)
    return text


def port_range(text: str) -> str:
    ends = [whole(1, 65535)(part) for part in text.split("-")]
    if len(ends) > 2 or ends != sorted(ends):
        raise ValueError
    return text


_PROCESSES = whole(1, MOST_PROCESSES)
_COUNT = f"a whole number from 1 to {MOST_PROCESSES}"
_SECONDS = "a number of seconds above 0"
# fmt: off
OPTIONS = [
    Option("nodes", "N", _PROCESSES,
           "start N nodes on this machine (4); with --join: nodes of the whole group", _COUNT),
    Option("workers-per-node", "M", _PROCESSES,
           "start M processes for each node, which average their gradients exactly (SGP_TORCH_WORKERS_PER_NODE, else "
           "1)", _COUNT),
    Option("transport", "NAME", transport,
           "how messages travel: auto, shm, tcp; auto: shm within a machine, tcp between machines (SGP_TRANSPORT, else "
           "auto)", "one of auto, shm, tcp"),
    Option("join", "HOST:PORT", host_port,
           "start one node, of a group of --nodes N that meets there; the same on every machine",
           "HOST:PORT, such as node17:7070"),
    Option("rank", "R", whole(0, MOST_PROCESSES - 1),
           "with --join: the rank that this node claims; a node of several workers needs it (in order of arrival)",
           f"a whole number from 0 to {MOST_PROCESSES - 1}"),
    Option("join-timeout", "SECONDS", seconds,
           "how long to wait for all nodes to join (30; 300 with --join)", _SECONDS),
    Option("interface", "NAME", some_text,
           "the interface, by name or address, on which other nodes reach this one (the one that leads to HOST)",
           "an interface of this machine, by name or address"),
    Option("ports", "A-B", port_range,
           "where this node listens: the first free port of the range; several workers need three ports each (any)",
           "a port or a range such as 7070-7090"),
    Option("key-file", "FILE", some_text,
           "a secret that all nodes share; without one only nodes of this machine are let in (SGP_KEY_FILE, or the "
           "secret in SGP_KEY)", "a file"),
    Option("encryption", "WHEN", encryption,
           "encrypt messages between nodes that share a key: auto: between machines (SGP_ENCRYPTION, or auto)",
           "auto, on or off"),
    Option("insecure", "", None, "let other machines in without a key"),
    Option("peer-timeout", "SECONDS", seconds, "silence after which a node is lost (10)", _SECONDS),
    Option("on-loss", "ACTION", on_loss,
           "continue: when a process is killed or fails, the others are left alone, and their groups are elastic "
           "(SGP_TORCH_ELASTIC=1); stop: all are ended (stop)", "continue or stop"),
    Option("help", "", None, "print this text and end"),
]
# fmt: on

ABOUT = [
    "Starts a script, or a module, as the nodes of one group; there sgp_torch finds its place without options.",
    "Every process gets SGP_RANK, SGP_SIZE and SGP_RENDEZVOUS, and the variables that torchrun sets: RANK, WORLD_SIZE, "
    "LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT. Unless they are set: OMP_NUM_THREADS, the cores "
    "divided by the processes of this machine, and, where the output is not a terminal, PYTHONUNBUFFERED=1, so that no "
    "line comes late. The first process has the launcher's standard input, the others have none.",
    "With --join there is no SGP_RENDEZVOUS; RANK is set if --rank is given; MASTER_ADDR and MASTER_PORT are left as they are.",
    "Ctrl-C ends all processes within a second, a second Ctrl-C at once. When a process fails, the others have a few "
    "seconds to report its loss and are then ended, unless --on-loss continue is given: then it is named, and the exit "
    "status is 0 if any process ends with 0. The exit status is that of the process that failed first, 1 if a "
    "signal ended it, 128 + N if signal N ended the launcher, 2 after a mistake on the command line.",
]


def print_help() -> None:
    import textwrap

    print(f"usage: {SYNOPSIS}\n\n{textwrap.fill(ABOUT[0], 80)}\n")
    for option in OPTIONS:
        left = f"  --{option.name} {option.metavar}".ljust(28)
        print(textwrap.fill(option.help, 80, initial_indent=left, subsequent_indent=" " * 28))
    for part in ABOUT[1:]:
        print(f"\n{textwrap.fill(part, 80)}")


def find_option(name: str) -> Option:
    for option in OPTIONS:
        if option.name == name:
            return option
    import difflib

    near = difflib.get_close_matches(name, [option.name for option in OPTIONS], 1)
    remedy = f"; did you mean --{near[0]}?" if near else "; --help lists the options"
    raise Mistake(f"--{name}: unknown option{remedy}")


def parse(words: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The options by name, and what follows them: the program with its arguments."""
    given: dict[str, Any] = {}
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] != "-m":
        name, equals, text = words[at].partition("=")
        at += 1
        if name == "--":
            break
        if name == "-h":
            name = "--help"
        if not name.startswith("--"):
            raise Mistake(f"{name}: unknown option; --help lists the options")
        option = find_option(name[2:])
        if option.kind is None:
            if equals:
                raise Mistake(f"--{option.name} {text}: takes no value")
            given[option.name] = True
            continue
        if not equals:
            if at == len(words):
                raise Mistake(f"--{option.name}: its value is missing ({option.metavar})")
            text = words[at]
            at += 1
        given[option.name] = option.value(text)
    return given, words[at:]


def find_program(words: list[str]) -> list[str]:
    """The interpreter's arguments: the script or module, and its own arguments."""
    if not words:
        raise Mistake(f"the script to start is missing; {SYNOPSIS}")
    if words[0] == "-m":
        if len(words) == 1:
            raise Mistake("-m: its value is missing (MODULE)")
        check_module(words[1])
        return words
    script = words[0]
    if not os.path.exists(script):
        raise Mistake(f"{script}: no such file; give a Python script, or -m MODULE")
    if not os.path.isfile(script):
        raise Mistake(f"{script}: not a file; give a Python script, or -m MODULE")
    if not os.access(script, os.R_OK):
        raise Mistake(f"{script}: cannot be read: {os.strerror(errno.EACCES)}")
    return [os.path.join(os.curdir, script) if script.startswith("-") else script, *words[1:]]


def check_module(name: str) -> None:
    """Only its first part, as finding a submodule would import the package, and torch with it."""
    import importlib.util

    if os.path.isfile(name):
        raise Mistake(f"-m {name}: is a file: leave out -m")
    first = name.partition(".")[0]
    try:
        found = first == "__main__" or importlib.util.find_spec(first)
    except (ImportError, ValueError):
        found = None
    if not found:
        raise Mistake(f"-m {name}: no module named {first}")


# ---- what the options say together ----


class Plan:
    """The processes of this machine: how many, of how many, and what their environment says beyond their rank."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.joins = "join" in given
        self.transport = given.get("transport") or os.environ.get("SGP_TRANSPORT") or "auto"
        self.workers = given.get("workers-per-node") or workers_of_environment()
        self.size = self.find_size(given)
        self.check_rank(given)
        self.check_network(given)
        self.claims = not self.joins or "rank" in given
        self.first = given.get("rank", 0) * self.workers  # rank of the first process of this machine, if it claims one
        self.local = self.workers if self.joins else self.size
        self.goes_on = given.get("on-loss") == "continue"
        self.environment = self.make_environment(given)

    def find_size(self, given: dict[str, Any]) -> int:
        """Processes of the group."""
        if self.joins and "nodes" not in given:
            raise Mistake(f"--join {given['join']}: needs the size of the group: give each node the same --nodes N")
        nodes = int(given.get("nodes", USUAL_NODES))
        if nodes * self.workers > MOST_PROCESSES:
            raise Mistake(f"--workers-per-node {self.workers}: with {nodes} nodes more than {MOST_PROCESSES} processes")
        return nodes * self.workers

    def check_rank(self, given: dict[str, Any]) -> None:
        rank, nodes = given.get("rank"), self.size // self.workers
        if rank is None and self.joins and self.workers > 1:
            raise Mistake(
                f"--workers-per-node {self.workers}: needs --rank R with --join: in order of arrival the processes of "
                "one machine would not be one node"
            )
        if rank is None:
            return
        if not self.joins:
            raise Mistake(f"--rank {rank}: claims a place with --join HOST:PORT; without it all nodes are started here")
        if rank >= nodes:
            raise Mistake(f"--rank {rank}: must be 0 to {nodes - 1} in a group of {nodes}")

    def check_network(self, given: dict[str, Any]) -> None:
        key = given.get("key-file")
        if key and given.get("insecure"):
            raise Mistake(f"--insecure: means no key, but --key-file {key} gives one")
        if key and not os.access(key, os.R_OK):
            reason = errno.EACCES if os.path.exists(key) else errno.ENOENT
            raise Mistake(f"--key-file {key}: cannot be read: {os.strerror(reason)}")
        network = ("interface", "ports", "key-file", "encryption", "insecure")
        option = next((name for name in network if name in given), None)
        if self.joins and self.transport == "mpi":
            raise Mistake(f"--join {given['join']}: works with --transport tcp, auto or shm, not mpi")
        if "peer-timeout" in given and self.transport == "mpi":
            raise Mistake("--peer-timeout: a limit of shm, tcp and auto, not of --transport mpi")
        if option and not self.joins and self.transport != "tcp":
            raise Mistake(f"--{option}: needs a network: --transport tcp, or --join HOST:PORT")

    def make_environment(self, given: dict[str, Any]) -> dict[str, str]:
        """Of all processes. Other launchers' places, and leftovers of our own, are removed."""
        dropped = ["SGP_RANK", "SGP_JOIN", "SGP_RENDEZVOUS", "SGP_RENDEZVOUS_ONCE", "SGP_LOSSES", "RANK",
                   "TORCHELASTIC_USE_AGENT_STORE"]  # fmt: skip
        environment = {name: text for name, text in os.environ.items() if name not in dropped}
        exported = {
            "transport": "SGP_TRANSPORT", "join": "SGP_JOIN", "interface": "SGP_INTERFACE", "ports": "SGP_PORTS",
            "key-file": "SGP_KEY_FILE", "encryption": "SGP_ENCRYPTION", "join-timeout": "SGP_JOIN_TIMEOUT_MS",
            "peer-timeout": "SGP_PEER_TIMEOUT_MS", "workers-per-node": "SGP_TORCH_WORKERS_PER_NODE",
        }  # fmt: skip
        environment.update({name: str(given[option]) for option, name in exported.items() if option in given})
        if self.goes_on:
            environment["SGP_TORCH_ELASTIC"] = "1"
        if given.get("insecure"):
            environment["SGP_INSECURE"] = "1"
        if self.transport == "tcp" and not self.joins:
            environment.setdefault("SGP_INTERFACE", "127.0.0.1")
        environment["SGP_SIZE"] = environment["WORLD_SIZE"] = str(self.size)
        environment["LOCAL_WORLD_SIZE"] = str(self.local)
        environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // self.local)))
        if not os.isatty(1):  # there Python writes whole lines at once, and without a buffer parts of lines
            environment.setdefault("PYTHONUNBUFFERED", "1")
        return environment

    def environment_of(self, process: int) -> dict[str, str]:
        """Of one process of this machine, counted from 0."""
        environment = {**self.environment, "LOCAL_RANK": str(process)}
        if self.claims:
            environment["SGP_RANK"] = environment["RANK"] = str(self.first + process)
        return environment

    def name_of(self, process: int) -> str:
        rank = self.first + process
        if self.workers == 1:
            return f"node {rank}"
        return f"worker {rank % self.workers} of node {rank // self.workers}"


def workers_of_environment() -> int:
    text = os.environ.get("SGP_TORCH_WORKERS_PER_NODE") or "1"
    try:
        return int(_PROCESSES(text))
    except ValueError:
        raise Mistake(f"SGP_TORCH_WORKERS_PER_NODE={text}: must be {_COUNT}") from None


# ---- the command ----


def start_here(plan: Plan, arguments: list[str]) -> int:
    """All processes of the group, on this machine."""
    import socket

    launcher = Launcher(plan, arguments)
    rendezvous = Rendezvous()
    # Bound and not listening, the port is free for node 0's server, as that sets SO_REUSEADDR too, and for no other.
    with socket.socket() as port:
        try:
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port.bind(("", 0))
            master = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port.getsockname()[1])}
            return launcher.run({"SGP_RENDEZVOUS": rendezvous.path, **master})
        finally:
            rendezvous.close()


def become_node(plan: Plan, arguments: list[str]) -> NoReturn:
    """One process of a group on several machines needs no launcher: this process becomes it."""
    os.execve(sys.executable, [sys.executable, *arguments], plan.environment_of(0))


def main(words: list[str]) -> int:
    """Returns the exit status."""
    try:
        given, rest = parse(words)
        if given.get("help"):
            print_help()
            return 0
        plan = Plan(given)
        arguments = find_program(rest)
    except Mistake as mistake:
        say(str(mistake))
        return MISTAKE
    try:
        if not plan.joins:
            return start_here(plan, arguments)
        if plan.local == 1:
            become_node(plan, arguments)
        return Launcher(plan, arguments).run({})
    except OSError as error:
        say(error.strerror or str(error))
        return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
