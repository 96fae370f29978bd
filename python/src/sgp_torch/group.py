# SPDX-License-Identifier: Apache-2.0
"""Who takes part: groups of nodes, the default group of the process, and leaving them when it ends."""

from __future__ import annotations

import atexit
import contextlib
import ctypes as c
import operator
import os
import re
import signal
import sys
import threading
import weakref
from typing import Callable, NamedTuple, TypeVar

import torch

from . import library, reports
from .arrivals import NEW, OLD, Arrivals
from .errors import Error
from .options import Options, elastic_of_environment, max_nodes_of_environment

T = TypeVar("T")


def interruptible(function: Callable[[], T]) -> T:
    """Runs a call that cannot be sliced in a thread of its own, while the main thread waits for it and sees Ctrl-C. After
    an interrupt the thread is left alone: the process is about to end."""
    if threading.current_thread() is not threading.main_thread():
        return function()
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again by the waiting thread
            errors.append(error)
        done.set()

    threading.Thread(target=run, name="sgp-wait", daemon=True).start()
    done.wait()
    if errors:
        raise errors[0]
    return results[0]


OLDEST_TORCH = (1, 13)
JOIN_RUNNING = "SGP_TORCH_JOIN_RUNNING"


def _check_torch() -> None:
    found = tuple(int(number) for number in re.findall(r"\d+", torch.__version__)[:2])
    if found < OLDEST_TORCH:
        oldest = ".".join(map(str, OLDEST_TORCH))
        raise Error(f"this is torch {torch.__version__}; sgp_torch needs {oldest} or newer: install it", "SGP_ERR_UNSUPPORTED")


def _milliseconds(name: str, seconds: float | None) -> int:
    if seconds is None:
        return 0
    if not isinstance(seconds, (int, float)) or not 0 < seconds <= library.INT_MAX // 1000:
        raise Error(f"{name}={seconds!r}: must be a number of seconds above 0, at most {library.INT_MAX // 1000}")
    return max(1, round(seconds * 1000))


def _encryption(value: str | None) -> int:
    values = {None: 0, "on": 1, "off": 2, "auto": 3}  # sgp_encryption_t; 0 leaves it to the environment
    if value not in values:
        raise Error(f"encryption={value!r}: must be auto, on or off")
    return values[value]


def _whole(name: str, value: int | None, least: int) -> int:
    if value is None:
        return 0
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if not least <= number <= library.INT_MAX:
        raise Error(f"{name}={value!r}: must be a whole number of {least} or more")
    return number


def _text(name: str, value: str | os.PathLike[str] | None) -> bytes | None:
    if value is None:
        return None
    try:
        return os.fsencode(value)
    except TypeError:
        raise Error(f"{name}={value!r}: must be a string") from None


def check_group(group: Group | None) -> None:
    """Raises the Error of an argument that is something else, such as a process group of torch."""
    if group is not None and not isinstance(group, Group):
        raise Error(f"group={group!r}: must be a sgp_torch.Group")


class Event(NamedTuple):
    """What has happened to another node.

    Attributes:
        kind: "lost": its process ended, or it was silent for too long; "left": in order; "silent": it is not heard, and may
            come back; "back": it is heard again; "joined": it has come later; "replanned": the graph was formed anew (the
            rank is this node's), "paused" and "resumed": this part of the group hears too few of the others.
        rank: of that node.
        age: seconds since it was noticed.
        reason: why it is lost, else "".
    """

    kind: str
    rank: int
    age: float
    reason: str


class Group:
    """A group of nodes. One thread at a time calls a group and its mixers.

    Without arguments, rank and size come from the environment, as sgp_group_join reads it (include/sgp/group.h):
    sgp_torch.run and sgp run, SGP_JOIN, PMIx and PMI, torchrun, Slurm; without any, the process is alone.

    Args:
        rank: this node, 0 <= rank < size. With `join` alone: in order of arrival.
        size: number of nodes.
        rendezvous: a directory private to this run in which nodes of one machine meet.
        join: "HOST:PORT" where the nodes meet: the process on HOST founds the group. Needs size.
        transport: "auto", "shm", "tcp" or "mpi".
        interface, ports: where other nodes reach this one.
        key, key_file: a secret that all nodes share; without it only nodes of this machine are let in.
        insecure: let other machines in without a key.
        encryption: "auto", "on" or "off": whether messages between nodes that share a key are encrypted; "auto": between
            machines. Authenticated they are in every case. Default: SGP_ENCRYPTION, else "auto".
        join_timeout, timeout, peer_timeout: seconds: until all nodes have joined, of a collective call, and of silence
            after which a node is lost.
        elastic: the others go on without a node that is lost or leaves; the same on every node. Default:
            SGP_TORCH_ELASTIC=1 of the environment, else no: the loss of a node ends the calls of all others.
        max_nodes: of an elastic group: nodes there can be at a time, those that join later among them; the same on every
            node. Default: SGP_TORCH_MAX_NODES, else the size: nobody can join. They join over tcp.
        join_running: "HOST:PORT" of any node of a group that trains already, or several with commas between them: this process
            joins it. Rank, size and what the nodes have agreed on are the group's. Default: SGP_TORCH_JOIN_RUNNING.

    Attributes:
        rank: this node.
        size: nodes at the start.
        capacity: ranks there can be: `max_nodes`, or the size.

    Raises:
        Error: a node did not come, was refused, or the arguments make no sense together.
    """

    def __init__(
        self,
        rank: int | None = None,
        size: int | None = None,
        *,
        rendezvous: str | os.PathLike[str] | None = None,
        join: str | None = None,
        transport: str | None = None,
        interface: str | None = None,
        ports: str | None = None,
        key: str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        encryption: str | None = None,
        join_timeout: float | None = None,
        timeout: float | None = None,
        peer_timeout: float | None = None,
        elastic: bool | None = None,
        max_nodes: int | None = None,
        join_running: str | None = None,
    ) -> None:
        _check_torch()
        if elastic is None:
            elastic = elastic_of_environment()
        if rank is not None and size is None:
            raise Error(f"rank={rank} without size: give both, or neither")
        if join_running is None and rank is None and size is None:
            join_running = os.environ.get(JOIN_RUNNING) or None
        elif join_running is not None and (size is not None or join is not None):
            raise Error(f"join_running={join_running!r}: its group has a size; leave out rank, size and join")
        if max_nodes is None and join_running is None:
            max_nodes = max_nodes_of_environment()
        if max_nodes is not None and not elastic and join_running is None:
            raise Error(f"max_nodes={max_nodes}: nodes can join an elastic group only: elastic=True, or SGP_TORCH_ELASTIC=1")
        options = library.GroupOptions(
            rank=_whole("rank", rank, 0),
            size=_whole("size", size, 1),
            rendezvous=_text("rendezvous", rendezvous),
            join=_text("join", join),
            claim_rank=join is not None and rank is not None,
            transport=_text("transport", transport),
            interface=_text("interface", interface),
            ports=_text("ports", ports),
            key=_text("key", key),
            key_file=_text("key_file", key_file),
            insecure=insecure,
            encryption=_encryption(encryption),
            join_timeout_ms=_milliseconds("join_timeout", join_timeout),
            timeout_ms=_milliseconds("timeout", timeout),
            peer_timeout_ms=_milliseconds("peer_timeout", peer_timeout),
            elastic=bool(elastic),
            capacity=0 if join_running is not None else _whole("max_nodes", max_nodes, 1),
            contacts=_text("join_running", join_running),
        )
        if rank is not None and size is not None and rank >= size:
            raise Error(f"rank={rank}: must be 0 to {size - 1} in a group of {size}")
        self._handle: c.c_void_p | None = None
        self._users: list[weakref.WeakMethod[Callable[[bool], None]]] = []
        self._discarded: list[c.c_void_p] = []
        self._children: list[Group] = []

        def join_it() -> c.c_void_p:
            handle = c.c_void_p()
            library.check(library.load().sgp_group_join_sized(options, c.sizeof(options), c.byref(handle)))
            return handle

        self._adopt(interruptible(join_it))
        self.elastic = bool(elastic) or join_running is not None
        _open_groups.append(self)
        self.arrivals: Arrivals | None = None
        if join_running is not None or self.capacity > self.size:
            self.arrivals = Arrivals(self, join_running is not None)
        if self.capacity > 1:
            reports.install(self.rank, _tell_who_left)

    def _adopt(self, handle: c.c_void_p) -> None:
        lib = library.load()
        lib.sgp_group_set_slice(handle, library.SLICE_MS)
        self._handle = handle
        self.rank: int = lib.sgp_group_rank(handle)
        self.size: int = lib.sgp_group_size(handle)
        self.capacity: int = lib.sgp_group_capacity(handle)

    def _child(self, handle: c.c_void_p) -> Group:
        child = Group.__new__(Group)
        child._users, child._discarded, child._children = [], [], []
        child._adopt(handle)
        child.elastic = self.elastic
        child.arrivals = None
        self._children.append(child)
        return child

    @property
    def handle(self) -> c.c_void_p:
        """The library's pointer. Error: the group has been left."""
        if self._handle is None:
            raise Error("the group has been left; nothing can be sent any more")
        return self._handle

    def use(self, end: Callable[[bool], None]) -> None:
        """Registers end(orderly), a bound method, called before the group is left (orderly) or aborted if its object still
        lives then."""
        self._users.append(weakref.WeakMethod(end))

    def discard(self, mixer: c.c_void_p) -> None:
        """Takes the mixer of an object that nobody needs any more. It is destroyed by the group's next caller, as the
        garbage collector may run in any thread."""
        self._discarded.append(mixer)

    def collect(self) -> None:
        """Destroys what has been discarded."""
        while self._discarded:
            library.load().sgp_mixer_destroy(self._discarded.pop())

    def barrier(self) -> None:
        """Returns when every node has called it."""
        library.wait(library.load().sgp_group_barrier, self.handle)

    def gather(self, mine: bytes) -> list[bytes]:
        """The bytes of each node, in order of rank, `capacity` of them. As many on every node, at most 64 KiB. In an elastic
        group zeros for nodes that are not there."""
        every = c.create_string_buffer(max(1, len(mine) * self.capacity))
        library.wait(library.load().sgp_group_gather, self.handle, mine, len(mine), every)
        return [every.raw[i * len(mine) : (i + 1) * len(mine)] for i in range(self.capacity)]

    def broadcast_bytes(self, mine: bytes, root: int = 0, most: int | None = None) -> bytes:
        """The bytes of node `root`, any number or `most`, on every node."""
        sizes = [int.from_bytes(size, "little") for size in self.gather(len(mine).to_bytes(8, "little"))]
        self._check_root(root)
        if most is not None and sizes[root] > most:
            raise Error(f"node {root} has {sizes[root]} bytes for all nodes, more than {most}")
        memory = c.create_string_buffer(mine if self.rank == root else b"", max(1, sizes[root]))
        self._spread(c.addressof(memory), sizes[root], root)
        return memory.raw[: sizes[root]]

    def broadcast(self, tensor: torch.Tensor, root: int = 0) -> None:
        """The values of node `root`, written into `tensor` on every node. Any dtype, device and layout; the same shape and
        dtype on every node."""
        self._check_root(root)
        staged = tensor.detach().to("cpu").contiguous()
        self._spread(staged.data_ptr(), staged.numel() * staged.element_size(), root)
        if staged.data_ptr() != tensor.data_ptr():
            with torch.no_grad():
                tensor.copy_(staged)

    def present(self) -> list[int]:
        """The ranks that are there: the same list on all of them. Every node that is there calls it, and it blocks as
        barrier. In a group that is not elastic all are."""
        return [rank for rank, kind in enumerate(self._kinds()) if kind]

    def _kinds(self) -> list[int]:
        """Of each rank: OLD of a founder, NEW of a newcomer, 0 if it is not there."""
        kind = NEW if self.arrivals is not None and self.arrivals.came_later else OLD
        return [found[0] for found in self.gather(bytes([kind]))]

    def share(self, **things: object) -> None:
        """Newcomers of a group with `max_nodes` get the state of these objects, by state_dict and load_state_dict, as it is on
        the others at that time: a learning-rate scheduler, an average of the model. Every node calls it, with the same
        names, a newcomer before its first step. Their states may hold numbers, text and tensors, and lists and dicts of these.
        Without newcomers it does nothing."""
        for name, thing in things.items():
            for method in ("state_dict", "load_state_dict"):
                if not callable(getattr(thing, method, None)):
                    raise Error(f"share: {name} is a {type(thing).__name__}, which has no {method}()")
            if self.arrivals is not None:
                self.arrivals.share(name, thing, "state_dict", "load_state_dict")

    def events(self) -> list[Event]:
        """What has happened to other nodes since the last call. Of each node the latest alone; never blocks."""
        found, event = [], library.Event()
        while library.load().sgp_group_next_event_sized(self.handle, event, c.sizeof(event)) == 0:
            kind = library.EVENTS.get(event.kind, str(event.kind))
            found.append(Event(kind, event.rank, event.age, event.reason.decode(errors="replace")))
        return found

    def report(self, **numbers: float) -> None:
        """Numbers of this node's training for those who look at the run while it runs (SGP_STATUS, docs/status.md): `loss`,
        `accuracy` (of the last evaluation, 0 to 1), `samples` (that this node has trained on since its start), `epoch` (from 1),
        `epochs`, `seconds_left`. NaN: not known any more. Cheap enough for each step; never blocks."""
        for name, value in numbers.items():
            library.check(library.load().sgp_group_report(self.handle, name.encode(), value))

    def _spread(self, address: int, count: int, root: int) -> None:
        """`count` bytes of root, on every node. The library's broadcast is one of all founders; of others the bytes travel by
        gathers."""
        if not self.elastic or self._kinds() == [OLD] * self.size + [0] * (self.capacity - self.size):
            library.wait(library.load().sgp_group_broadcast, self.handle, address, count, root)
            return
        most = library.GATHER_BYTES - 1
        for start in range(0, count, most):
            length = min(most, count - start)
            mine = b"\1" + c.string_at(address + start, length) if self.rank == root else bytes(1 + length)
            piece = self.gather(mine)[root]
            if piece[:1] != b"\1":
                raise Error(f"root={root}: that node is gone", "SGP_ERR_PEER_LOST")
            c.memmove(address + start, piece[1:], length)

    def _check_root(self, root: int) -> None:
        if not 0 <= root < self.capacity:
            raise Error(f"root={root}: must be a node of the group, 0 to {self.capacity - 1}")

    def duplicate(self) -> Group:
        """A group of the same nodes with connections of its own, for a mixer in another thread. Every node calls it. Not of a
        group with `max_nodes`."""
        if self.arrivals is not None:
            raise Error("a group with max_nodes has no duplicates: newcomers would have no part in them", "SGP_ERR_UNSUPPORTED")

        def call() -> c.c_void_p:
            copy = c.c_void_p()
            library.check(library.load().sgp_group_duplicate(self.handle, c.byref(copy)))
            return copy

        return self._child(interruptible(call))

    def split(self, workers_per_node: int) -> tuple[Group, Group]:
        """(nodes, workers): process r is worker r mod M of node r // M. Every process calls it. Not of a group with
        `max_nodes`."""
        if self.arrivals is not None:
            raise Error("a group with max_nodes cannot be split: its nodes are of one process", "SGP_ERR_UNSUPPORTED")

        def call() -> tuple[c.c_void_p, c.c_void_p]:
            nodes, workers = c.c_void_p(), c.c_void_p()
            library.check(
                library.load().sgp_group_split(self.handle, workers_per_node, c.byref(nodes), c.byref(workers))
            )
            return nodes, workers

        nodes, workers = interruptible(call)
        return self._child(nodes), self._child(workers)

    def leave(self) -> None:
        """Leaves in order: the others get what was sent to them, and see no loss. Its mixers are closed first. A second
        call does nothing."""
        self._end(True)

    def abort(self) -> None:
        """Ends without waiting: the other nodes lose this one at once. For a node that fails."""
        self._end(False)

    def _end(self, orderly: bool) -> None:
        if self._handle is None:
            return
        for child in self._children:
            child._end(orderly)
        for user in self._users:
            end = user()
            if end is not None:
                end(orderly)
        self.collect()
        handle, self._handle = self._handle, None
        library.forget(handle)
        if self in _open_groups:
            _open_groups.remove(self)
        lib = library.load()
        (lib.sgp_group_leave if orderly else lib.sgp_group_abort)(handle)

    def __repr__(self) -> str:
        return f"<sgp_torch.Group: node {self.rank} of {self.size}{'' if self._handle else ', left'}>"


_open_groups: list[Group] = []
_default: Group | None = None
_default_lock = threading.Lock()
_process = os.getpid()


def init(*arguments: object, **options: object) -> Group:
    """Joins the default group, with the arguments of Group. Optional: without it the first call that needs the group joins
    with what the environment says. Error: it has been joined already."""
    global _default
    with _default_lock:
        if _default is not None and _default._handle is not None:
            raise Error("the default group has been joined already: call sgp_torch.init() before anything else, once")
        _default = Group(*arguments, **options)  # type: ignore[arg-type]
        return _default


def default_group(elastic: bool | None = None) -> Group:
    """The group of the process; joins it at the first call, with Group's `elastic`."""
    global _default
    with _default_lock:
        if _default is None:
            _default = Group(elastic=elastic)
        return _default


def check_elastic(group: Group, options: Options) -> None:
    """Error: the options ask for an elastic group, and it is not. Sets options.elastic to what the group is."""
    if options.elastic and not group.elastic:
        raise Error(
            "elastic=True: the group is not elastic, and was joined before: sgp_torch.init(elastic=True), or "
            "SGP_TORCH_ELASTIC=1, at the beginning"
        )
    options.elastic = group.elastic


def abort() -> None:
    """Ends this node's part in the default group without waiting: the others lose it at once. For a program that catches an
    exception and ends; one that nobody catches does the same."""
    if _default is not None:
        _default.abort()


def rank() -> int:
    """This node's number in the default group, 0 <= rank < size."""
    return default_group().rank


def size() -> int:
    """Number of nodes in the default group."""
    return default_group().size


def barrier() -> None:
    """Returns when every node of the default group has called it."""
    default_group().barrier()


def events() -> list[Event]:
    """What has happened to other nodes of the default group since the last call; never blocks."""
    return default_group().events()


def report(**numbers: float) -> None:
    """Numbers of this node's training for those who look at the run: Group.report of the default group."""
    default_group().report(**numbers)


def broadcast(tensor: torch.Tensor, root: int = 0) -> None:
    """The values of node `root` of the default group, written into `tensor` on every node."""
    default_group().broadcast(tensor, root)


def share(**things: object) -> None:
    """Newcomers of the default group get the state of these objects (Group.share)."""
    default_group().share(**things)


def _tell_who_left() -> None:
    """The launcher learns from libsgp which node's loss has ended this one. A node that has left too early is not lost, but
    ends the others as well: this tells the launcher, in the same way."""
    file = os.environ.get("SGP_LOSSES")
    group = _default
    if not file or group is None or group._handle is None or library.load().sgp_group_lost_peer(group._handle) >= 0:
        return
    event = library.Event()
    while library.load().sgp_group_next_event_sized(group._handle, event, c.sizeof(event)) == 0:
        if event.kind == library.LEFT:
            with contextlib.suppress(OSError), open(file, "r+b", buffering=0) as losses:
                losses.seek(4 * group.rank)
                losses.write((event.rank + 1).to_bytes(4, sys.byteorder))
            return


def _failed() -> bool:
    """Whether the interpreter ends because of an exception that nobody has caught."""
    return getattr(sys, "last_value", None) is not None or getattr(sys, "last_type", None) is not None


def _end_all() -> None:
    """A node that ends because of an exception must not look as if it had left in order: the others would wait for it."""
    if os.getpid() != _process:
        return  # a child of fork: the groups are its parent's
    orderly = not _failed()
    if not orderly:
        library.end_waits()
    if threading.current_thread() is threading.main_thread() and _open_groups:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python no longer handles it while a call waits
    for group in list(_open_groups):
        try:
            group._end(orderly)
        except Error as error:  # the last exchange of a program that is done
            sys.excepthook(Error, error, error.__traceback__)
            group._end(False)
    library.silence()


atexit.register(_end_all)
