# SPDX-License-Identifier: Apache-2.0
"""Options of a mixer: a keyword comes before the environment (SGP_TORCH_<NAME>), and that before the default."""

from __future__ import annotations

import ctypes as c
import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from . import library
from .errors import Error

ENVIRONMENT = "SGP_TORCH_"
ASYNC = -1  # SGP_OVERLAP_ASYNC
AUTO = -1  # SGP_ROUNDS_AUTO
MOST_ROUNDS = 64  # SGP_ROUNDS_MOST
MODES = ("auto", "alias", "delta")


@dataclass
class Options:
    """How the nodes average. The names are those of `sgp train`.

    Attributes:
        algorithm: "sgp", "osgp", "dpsgd", "adpsgd", "allreduce" (exact mean of the gradients: what DDP does),
            or "server" (a parameter server on rank 0, for comparison).
        graph: who sends to whom: "exponential", "static-exponential", "ring", "complete", "bipartite-exponential",
            "random", "base". Default: exponential; bipartite-exponential for dpsgd and adpsgd.
        peers: out-peers in each step.
        overlap: steps that a message may be late, or "async": wait for none. Default: 0; 1 for osgp.
        encoding: how vectors travel: "float32", "bfloat16", "float16", "int8"; "int4" with algorithm "allreduce";
            "int8m", "int6", "int5" and "int4" with sgp and dpsgd, in lock step and a group that is not elastic.
        local_steps: the nodes exchange in every so many steps.
        rounds: exchanges per step, of sgp and dpsgd without an overlap, or "auto": the graph's period, ceil(log2 nodes) for one
            peer of the exponential graph. With it 2, 4, 8, ... nodes have the mean of all after each step.
        outer_lr, outer_momentum: outer steps (DiLoCo): what local_steps steps have changed counts as one step of an outer
            optimizer with Nesterov's momentum; 0.7 and 0.8 are usual (0: none). With "allreduce" that of all nodes together,
            with sgp and dpsgd, without an overlap, that of each node, before it pushes.
        slow_momentum, slow_every: SlowMo's beta in [0, 1), and the steps from one slow update to the next (0: none).
        mode: "alias": the parameters are views of the mixer's vector (CPU, float32); "delta": changes are copied to and
            from it (any device and floating-point dtype); "auto": alias where it can be.
        workers_per_node: processes that average gradients exactly and gossip as one node.
        timeout: seconds to wait for the message of a step, as long as DDP waits: a node may evaluate or compile alone
            meanwhile. A node that has ended or hangs is noticed at once, or after the group's peer_timeout.
        seed: of the graph "random".
        elastic: the others go on without a node that is lost or leaves (Group's `elastic`; it joins the group of the process
            so, if this is the first call).
        second_moment: of Adam and its kin, in a DistributedDataParallel. "mean": an estimate of that of the nodes' mean
            gradient, as with an all-reduce (sgp_torch.moments); "local": of this node's gradients, by the optimizer alone.
    """

    algorithm: str = "sgp"
    graph: str = ""
    peers: int = 1
    overlap: int | str | None = None
    encoding: str = "float32"
    local_steps: int = 1
    slow_momentum: float = 0.0
    slow_every: int = 0
    mode: str = "auto"
    workers_per_node: int = 1
    timeout: float = 1800.0
    seed: int = 0
    second_moment: str = "mean"
    elastic: bool = False
    rounds: int | str = 1
    outer_lr: float = 0.0
    outer_momentum: float = 0.0

    @property
    def steps_late(self) -> int:
        """The overlap as a number: ASYNC, 0, 1, ..."""
        if self.overlap is None:
            return 1 if self.algorithm == "osgp" else 0
        return ASYNC if self.overlap == "async" else int(self.overlap)

    @property
    def exchanges(self) -> int:
        """The rounds as a number: AUTO, 1, 2, ..."""
        return AUTO if self.rounds == "auto" else int(self.rounds)

    def describe(self) -> list[str]:
        """A line for each option that must be the same on every node."""
        return [f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.name not in ("timeout", "mode")]

    @property
    def averages_gradients(self) -> bool:
        """In every step. With outer steps algorithm "allreduce" averages what the local steps have changed instead."""
        return self.algorithm == "allreduce" and self.outer_lr == 0


_KINDS: dict[str, type] = {
    "peers": int,
    "local_steps": int,
    "slow_momentum": float,
    "slow_every": int,
    "outer_lr": float,
    "outer_momentum": float,
    "workers_per_node": int,
    "timeout": float,
    "seed": int,
}
_LEAST = {"peers": 1, "local_steps": 1, "workers_per_node": 1, "slow_every": 0}
BLOCK_ENCODINGS = ("int8", "int4", "int8m", "int6", "int5")  # numbers of a block have one scale or step
_CHOICES = {
    "algorithm": ("sgp", "osgp", "dpsgd", "adpsgd", "allreduce", "server"),
    "graph": ("exponential", "static-exponential", "ring", "complete", "bipartite-exponential", "random", "base"),
    "encoding": ("float32", "bfloat16", "float16", "int8", "int4", "int8m", "int6", "int5"),
    "mode": MODES,
    "second_moment": ("mean", "local"),
}
NAMES = tuple(field.name for field in fields(Options))


def _number(value: Any, kind: type, source: str) -> Any:
    wanted = "a whole number" if kind is int else "a number"
    try:
        number = kind(value)
        if kind is int and not isinstance(value, str) and number != value:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise Error(f"{source}={value!r}: must be {wanted}") from None
    return number


def _overlap(value: Any, source: str) -> int | str | None:
    if value is None or value == "async":
        return value  # type: ignore[no-any-return]
    try:
        number: int = _number(value, int, source)
    except Error:
        number = -1
    if not 0 <= number <= library.INT_MAX:
        raise Error(f'{source}={value!r}: must be 0 or more steps, or "async"')
    return number


def _rounds(value: Any, source: str) -> int | str:
    if value == "auto":
        return "auto"
    try:
        number: int = _number(value, int, source)
    except Error:
        number = 0
    if not 1 <= number <= MOST_ROUNDS:
        raise Error(f'{source}={value!r}: must be a whole number from 1 to {MOST_ROUNDS}, or "auto"')
    return number


def _value(name: str, value: Any, source: str) -> Any:
    """The value as its type, if it is in its range. source: where it comes from, for the text of the Error."""
    if name == "overlap":
        return _overlap(value, source)
    if name == "rounds":
        return _rounds(value, source)
    if name == "elastic":
        if str(value) not in ("0", "1", "False", "True"):
            raise Error(f"{source}={value!r}: must be True or False, in the environment 1 or 0")
        return str(value) in ("1", "True")
    if name in _CHOICES:
        if value not in _CHOICES[name] and (not isinstance(value, str) or _parse(name, value) is None):
            raise Error(f"{source}={value!r}: must be one of {', '.join(_CHOICES[name])}")
        return value
    number = _number(value, _KINDS[name], source)
    if name in _LEAST and not _LEAST[name] <= number <= library.INT_MAX:
        raise Error(f"{source}={value!r}: must be a whole number of {_LEAST[name]} or more")
    if name == "timeout" and not 0 < number <= library.INT_MAX // 1000:
        raise Error(f"{source}={value!r}: must be a number of seconds above 0, at most {library.INT_MAX // 1000}")
    if name == "outer_lr" and not 0 <= number <= 10:
        raise Error(f"{source}={value!r}: must be above 0 and at most 10, or 0 for no outer steps")
    if name in ("slow_momentum", "outer_momentum") and not 0 <= number < 1:
        raise Error(f"{source}={value!r}: must be at least 0 and below 1")
    if name == "seed" and not 0 <= number < 2**64:
        raise Error(f"{source}={value!r}: must be a whole number from 0 to 2**64 - 1")
    return number


def _parse(name: str, value: str) -> int | None:
    """The library may know more names than this file."""
    return None if name in ("mode", "second_moment") else library.parse(name, value)


def unknown(name: str, names: Sequence[str]) -> Error:
    """The Error of an unknown name, with the one that it may stand for."""
    near = difflib.get_close_matches(name, names, 1)
    return Error(f"{name}: unknown option; " + (f"did you mean {near[0]}?" if near else f"one of {', '.join(names)}"))


def _check_environment(environment: Mapping[str, str]) -> None:
    """A variable whose name is nearly that of an option is a mistake; others may be somebody else's."""
    variables = [ENVIRONMENT + name.upper() for name in (*NAMES, "max_nodes", "join_running")]
    for variable in environment:
        if variable.startswith(ENVIRONMENT) and variable not in variables:
            near = difflib.get_close_matches(variable, variables, 1, 0.9)
            if near:
                raise Error(f"{variable}: unknown variable of the environment; did you mean {near[0]}?")


def collect(
    given: Mapping[str, Any], environment: Mapping[str, str] | None = None, others: Sequence[str] = ()
) -> Options:
    """The options of a wrapper or mixer, from keywords and the environment. others: more keywords that the caller knows.
    Error: unknown, or out of range."""
    environment = os.environ if environment is None else environment
    for name in given:
        if name not in NAMES:
            raise unknown(name, (*NAMES, *others))
    _check_environment(environment)
    values = {}
    for name in NAMES:
        variable = ENVIRONMENT + name.upper()
        if given.get(name) is not None:
            values[name] = _value(name, given[name], name)
        elif environment.get(variable):
            values[name] = _value(name, environment[variable], variable)
    return Options(**values)


def elastic_of_environment() -> bool:
    variable = ENVIRONMENT + "ELASTIC"
    return bool(_value("elastic", os.environ.get(variable) or "0", variable))


def max_nodes_of_environment() -> int | None:
    variable = ENVIRONMENT + "MAX_NODES"
    text = os.environ.get(variable)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= library.INT_MAX:
        raise Error(f"{variable}={text!r}: must be a whole number of 1 or more")
    return int(text)


def _code(kind: str, name: str) -> int:
    code = library.parse(kind, name)
    if code is None:
        raise Error(f"{kind}={name!r}: this libsgp does not know it; install sgp-torch again", "SGP_ERR_MISMATCH")
    return code


def to_library(options: Options, count: int, buffers: int, vector: int, workers: c.c_void_p | None) -> library.MixerOptions:
    """The struct for sgp_mixer_create. count, buffers: floats; vector: address of (count + buffers) floats."""
    graph = library.Graph()
    paired = options.algorithm in ("dpsgd", "adpsgd")
    name = options.graph or ("bipartite-exponential" if paired else "exponential")
    graph.kind = _code("graph", name)
    graph.peers = options.peers
    graph.seed = options.seed
    return library.MixerOptions(
        count=count,
        buffers=buffers,
        algorithm=_code("algorithm", options.algorithm),
        graph=graph,
        overlap=options.steps_late,
        encoding=_code("encoding", options.encoding),
        local_steps=options.local_steps,
        slow_momentum=options.slow_momentum,
        slow_every=options.slow_every,
        timeout_ms=max(1, round(options.timeout * 1000)),
        workers=workers,
        vector=vector,
        rounds=options.exchanges,
        outer_lr=options.outer_lr,
        outer_momentum=options.outer_momentum,
    )
