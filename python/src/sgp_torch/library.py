# SPDX-License-Identifier: Apache-2.0
"""libsgp through its C ABI: finds the library, declares what this package calls, and turns a status into an Error.

The only file with ctypes. Nothing here depends on torch, so a new version of torch cannot break it. The functions are those
of include/sgp; the structures repeat its structs, field by field, and travel with their size.
"""

from __future__ import annotations

import ctypes as c
import ctypes.util
import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any, Callable

from .errors import Error

OLDEST = (1, 0)  # of the library's versions; the major number must be the same
_REINSTALL = "install sgp-torch again, or unset SGP_LIBRARY"
AGAIN = -1
INT_MAX = 2**31 - 1  # of the library's ints
SLICE_MS = 100  # how long a call keeps Python from its signals

_STATUS = {
    -1: "SGP_ERR_AGAIN",
    -2: "SGP_ERR_INVALID",
    -3: "SGP_ERR_NO_MEMORY",
    -4: "SGP_ERR_NOT_FOUND",
    -5: "SGP_ERR_FORMAT",
    -6: "SGP_ERR_IO",
    -7: "SGP_ERR_UNSUPPORTED",
    -8: "SGP_ERR_REFUSED",
    -20: "SGP_ERR_PEER_LOST",
    -21: "SGP_ERR_TIMEOUT",
    -40: "SGP_ERR_MISMATCH",
    -41: "SGP_ERR_INTERRUPTED",
    -42: "SGP_ERR_SYSTEM",
    -43: "SGP_ERR_NOT_FINITE",
    -44: "SGP_ERR_ENDED",
}


class GroupOptions(c.Structure):
    _fields_ = [
        ("rank", c.c_int),
        ("size", c.c_int),
        ("rendezvous", c.c_char_p),
        ("join_timeout_ms", c.c_int),
        ("timeout_ms", c.c_int),
        ("transport", c.c_char_p),
        ("join", c.c_char_p),
        ("claim_rank", c.c_bool),
        ("interface", c.c_char_p),
        ("ports", c.c_char_p),
        ("key", c.c_char_p),
        ("key_file", c.c_char_p),
        ("insecure", c.c_bool),
        ("peer_timeout_ms", c.c_int),
        ("log", c.c_void_p),
        ("log_user", c.c_void_p),
        ("log_level", c.c_int),
        ("elastic", c.c_uint64),
        ("suspect_ms", c.c_uint64),
        ("stall_ms", c.c_uint64),
        ("dead_ms", c.c_uint64),
        ("quorum", c.c_double),
        ("pause_ms", c.c_uint64),
        ("capacity", c.c_uint64),
        ("contacts", c.c_char_p),
        ("about", c.c_void_p),
        ("about_bytes", c.c_uint64),
        ("rejoin", c.c_uint64),
        ("rejoin_rank", c.c_int32),
        ("rejoin_incarnation", c.c_uint32),
        ("encryption", c.c_uint64),
    ]


class Graph(c.Structure):
    _fields_ = [("kind", c.c_int), ("size", c.c_int), ("peers", c.c_int), ("seed", c.c_uint64)]


class MixerOptions(c.Structure):
    _fields_ = [
        ("count", c.c_size_t),
        ("buffers", c.c_size_t),
        ("algorithm", c.c_int),
        ("graph", Graph),
        ("overlap", c.c_int),
        ("allow_not_finite", c.c_bool),
        ("biased", c.c_bool),
        ("encoding", c.c_int),
        ("local_steps", c.c_int),
        ("slow_momentum", c.c_float),
        ("slow_every", c.c_int),
        ("slow_alone", c.c_bool),
        ("library_allreduce", c.c_bool),
        ("timeout_ms", c.c_int),
        ("workers", c.c_void_p),
        ("vector", c.c_void_p),
        ("passes_over", c.c_uint64),
        ("rounds", c.c_int64),
        ("outer_lr", c.c_float),
        ("outer_momentum", c.c_float),
    ]


_COUNTERS = "steps sent received late refused resent reabsorbed bytes_sent step_ns wait_ns last_step_ns last_wait_ns".split()
STATISTICS = (*_COUNTERS, "weight", "torn", "weight_returned")


class Statistics(c.Structure):
    _fields_ = [
        *((name, c.c_uint64) for name in _COUNTERS),
        ("weight", c.c_double),
        ("torn", c.c_uint64),
        ("weight_returned", c.c_double),
    ]


class Consensus(c.Structure):
    _fields_ = [("w_total", c.c_double), ("drift", c.c_double), ("distance", c.c_double)]


# sgp_event_kind_t
EVENTS = {1: "lost", 2: "left", 3: "silent", 4: "back", 5: "joined", 6: "replanned", 7: "paused", 8: "resumed"}
LEFT = 2  # SGP_EVENT_LEFT
GATHER_BYTES = 65536  # that each node gives to a gather, at most


class Event(c.Structure):
    _fields_ = [("kind", c.c_int), ("rank", c.c_int), ("age", c.c_double), ("reason", c.c_char * 96)]


class Member(c.Structure):
    _fields_ = [
        ("rank", c.c_int),
        ("incarnation", c.c_uint32),
        ("condition", c.c_int),
        ("reserved", c.c_uint32),
        ("first", c.c_uint64),  # `from`
        ("until", c.c_uint64),
        ("step", c.c_uint64),
    ]


class Members(c.Structure):
    _fields_ = [
        ("version", c.c_uint64),
        ("digest", c.c_uint64),
        ("capacity", c.c_int),
        ("live", c.c_int),
        ("rank", c.c_int),
        ("nodes", c.c_int),
    ]


_Pointer = c.c_void_p
_Handle = c.POINTER(c.c_void_p)
_SNAPSHOT = c.CFUNCTYPE(c.c_int, c.c_void_p, c.POINTER(c.c_void_p), c.POINTER(c.c_size_t))


class Newcomers(c.Structure):
    _fields_ = [
        ("blob", c.c_char_p),
        ("blob_bytes", c.c_size_t),
        ("judge", c.c_void_p),
        ("snapshot", _SNAPSHOT),
        ("user", c.c_void_p),
    ]


BLOB_BYTES = 65536  # of a member for newcomers, at most
_LOG = c.CFUNCTYPE(None, c.c_int, c.c_int, c.c_char_p, c.c_void_p)

# name: (type of the result, types of the arguments)
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "sgp_version": (c.c_char_p, ()),
    "sgp_last_error": (c.c_char_p, ()),
    "sgp_log_set": (None, (c.c_void_p, c.c_void_p, c.c_int)),
    "sgp_graph_parse": (c.c_int, (c.c_char_p, c.POINTER(c.c_int))),
    "sgp_algorithm_parse": (c.c_int, (c.c_char_p, c.POINTER(c.c_int))),
    "sgp_encoding_parse": (c.c_int, (c.c_char_p, c.POINTER(c.c_int))),
    "sgp_group_join_sized": (c.c_int, (c.POINTER(GroupOptions), c.c_size_t, _Handle)),
    "sgp_group_rank": (c.c_int, (_Pointer,)),
    "sgp_group_size": (c.c_int, (_Pointer,)),
    "sgp_group_split": (c.c_int, (_Pointer, c.c_int, _Handle, _Handle)),
    "sgp_group_duplicate": (c.c_int, (_Pointer, _Handle)),
    "sgp_group_barrier": (c.c_int, (_Pointer,)),
    "sgp_group_gather": (c.c_int, (_Pointer, _Pointer, c.c_size_t, _Pointer)),
    "sgp_group_broadcast": (c.c_int, (_Pointer, _Pointer, c.c_size_t, c.c_int)),
    "sgp_group_set_slice": (None, (_Pointer, c.c_int)),
    "sgp_group_lost_peer": (c.c_int, (_Pointer,)),
    "sgp_group_next_event_sized": (c.c_int, (_Pointer, c.POINTER(Event), c.c_size_t)),
    "sgp_group_report": (c.c_int, (_Pointer, c.c_char_p, c.c_double)),
    "sgp_group_capacity": (c.c_int, (_Pointer,)),
    "sgp_group_view_sized": (
        c.c_int,
        (_Pointer, c.POINTER(Members), c.c_size_t, c.POINTER(Member), c.c_size_t, c.c_size_t),
    ),
    "sgp_group_accept_sized": (c.c_int, (_Pointer, c.POINTER(Newcomers), c.c_size_t)),
    "sgp_group_blob": (c.c_void_p, (_Pointer, c.POINTER(c.c_size_t))),
    "sgp_group_fetch": (c.c_int, (_Pointer, c.c_size_t, _Handle, c.POINTER(c.c_size_t))),
    "sgp_group_decline": (None, (_Pointer, c.c_char_p)),
    "sgp_group_first_step": (c.c_uint64, (_Pointer,)),
    "sgp_group_leave": (None, (_Pointer,)),
    "sgp_group_abort": (None, (_Pointer,)),
    "sgp_mixer_create_sized": (c.c_int, (_Pointer, c.POINTER(MixerOptions), c.c_size_t, _Pointer, _Handle)),
    "sgp_mixer_destroy": (None, (_Pointer,)),
    "sgp_mixer_step": (c.c_int, (_Pointer, _Pointer, _Pointer, c.c_float)),
    "sgp_mixer_hold": (c.c_int, (_Pointer,)),
    "sgp_mixer_begin": (c.c_int, (_Pointer, _Pointer, _Pointer, c.c_float)),
    "sgp_mixer_part": (c.c_int, (_Pointer, c.c_size_t, c.c_size_t)),
    "sgp_mixer_end": (c.c_int, (_Pointer,)),
    "sgp_mixer_wait": (c.c_int, (_Pointer, c.c_size_t, c.c_size_t)),
    "sgp_mixer_add": (c.c_int, (_Pointer, c.c_size_t, c.c_size_t, _Pointer)),
    "sgp_mixer_average_sized": (c.c_int, (_Pointer, _Pointer, c.POINTER(Consensus), c.c_size_t)),
    "sgp_mixer_statistics_sized": (c.c_int, (_Pointer, c.POINTER(Statistics), c.c_size_t)),
    "sgp_mixer_state_size": (c.c_size_t, (_Pointer,)),
    "sgp_mixer_state_save": (c.c_int, (_Pointer, _Pointer, c.c_size_t)),
    "sgp_mixer_state_load": (c.c_int, (_Pointer, _Pointer, c.c_size_t)),
}

_lock = threading.Lock()
_library: c.CDLL | None = None
_ending = False
_interrupted = False  # the main thread, in a callback
_logger = logging.getLogger("sgp_torch")
# An error is raised as an exception too, so it is not logged a second time.
_LEVELS = {1: logging.DEBUG, 2: logging.WARNING, 3: logging.DEBUG, 4: logging.DEBUG}


def _log(level: int, rank: int, line: bytes, user: Any) -> None:
    who = f"node {rank}: " if rank >= 0 else ""
    _logger.log(_LEVELS.get(level, logging.DEBUG), "%s%s", who, line.decode(errors="replace"))


_log_callback = _LOG(_log)  # lives as long as the library may call it


# ---- newcomers ----

_snapshots: dict[int, Callable[[], bytes]] = {}  # by the handle of the group
_libc = c.CDLL(None)  # the library frees what it is given
_libc.malloc.restype, _libc.malloc.argtypes = c.c_void_p, (c.c_size_t,)
_libc.free.restype, _libc.free.argtypes = None, (c.c_void_p,)


def _give(user: int, bytes_: Any, count: Any) -> int:
    """The snapshot of a group, in memory that the library frees. A status."""
    global _interrupted
    try:
        made = _snapshots[user]()
        place = _libc.malloc(max(1, len(made)))
        if not place:
            return -3
        c.memmove(place, made, len(made))
        bytes_[0], count[0] = place, len(made)
        return 0
    except KeyboardInterrupt:
        _interrupted = True
    except Exception as error:  # noqa: BLE001 - the newcomer is refused
        _logger.warning("no state for a newcomer: %s", error)
    return -2


_give_callback = _SNAPSHOT(_give)


def accept(group: c.c_void_p, blob: bytes, snapshot: Callable[[], bytes]) -> None:
    """The node answers newcomers from now on, or with another blob. snapshot: called inside later steps."""
    assert group.value is not None
    _snapshots[group.value] = snapshot
    newcomers = Newcomers(blob, len(blob), None, _give_callback, group.value)
    check(load().sgp_group_accept_sized(group, newcomers, c.sizeof(newcomers)))


def forget(group: c.c_void_p) -> None:
    """The group is about to be left."""
    _snapshots.pop(group.value or 0, None)


def blob(group: c.c_void_p) -> bytes:
    """A newcomer's: that of its sponsor."""
    count = c.c_size_t()
    place = load().sgp_group_blob(group, c.byref(count))
    return c.string_at(place, count.value)


def fetch(group: c.c_void_p, most: int) -> bytes:
    """A newcomer's: the snapshot of its sponsor. Waits for it."""
    place, count = c.c_void_p(), c.c_size_t()
    check(load().sgp_group_fetch(group, most, c.byref(place), c.byref(count)))
    try:
        return c.string_at(place, count.value) if place.value else b""
    finally:
        _libc.free(place)


def view_version(group: c.c_void_p) -> int:
    """Counts the changes of what the node knows of the members."""
    found = Members()
    check(load().sgp_group_view_sized(group, found, c.sizeof(found), None, c.sizeof(Member), 0))
    return int(found.version)


def members(group: c.c_void_p, capacity: int) -> list[Member]:
    """What the node knows of each place."""
    found, each = Members(), (Member * capacity)()
    check(load().sgp_group_view_sized(group, found, c.sizeof(found), each, c.sizeof(Member), capacity))
    return list(each)


# ---- loading ----


def _keep_interrupts() -> None:
    """Python looks for Ctrl-C when it enters a callback, too, and ctypes drops what that raises. The call raises it then."""
    before = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        text = unraisable.err_msg or ""  # has the name as of Python 3.13
        ours = any(unraisable.object is callback or repr(callback) in text for callback in (_log, _give))
        if ours and issubclass(unraisable.exc_type, KeyboardInterrupt):
            global _interrupted
            _interrupted = True
        else:
            before(unraisable)

    sys.unraisablehook = hook


def _path() -> str:
    chosen = os.environ.get("SGP_LIBRARY")
    if chosen:
        return chosen
    for folder in sys.modules[__name__.rpartition(".")[0]].__path__:  # an editable installation has two
        bundled = Path(folder) / "lib" / "libsgp.so"
        if bundled.exists():
            return str(bundled)
    return "libsgp.so.1"


def _check_version(library: c.CDLL, path: str) -> None:
    try:
        library.sgp_version.restype = c.c_char_p
        version = library.sgp_version().decode()
    except AttributeError:
        version = "0 (without sgp_version)"
    numbers = tuple(int(part) if part.isdigit() else 0 for part in version.split(".")[:2])
    if numbers[:1] != OLDEST[:1] or numbers < OLDEST:
        raise Error(
            f"{path} is libsgp {version}; this package needs {OLDEST[0]}.{OLDEST[1]} or newer with the same major number: "
            + _REINSTALL,
            "SGP_ERR_MISMATCH",
        )


def _open() -> c.CDLL:
    path = _path()
    try:
        library = c.CDLL(path)
    except OSError as error:
        chosen = f"SGP_LIBRARY={path}: must name a libsgp.so, or be unset" if os.environ.get("SGP_LIBRARY") else ""
        remedy = chosen or "install sgp-torch with its library, or let SGP_LIBRARY name a libsgp.so"
        raise Error(f"libsgp cannot be loaded ({error}): {remedy}", "SGP_ERR_NOT_FOUND") from None
    _check_version(library, path)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name, None)
        if function is None:
            version = library.sgp_version().decode()
            raise Error(f"{path}, libsgp {version}, lacks {name}, which this package needs: {_REINSTALL}", "SGP_ERR_MISMATCH")
        function.restype, function.argtypes = result, arguments
    _keep_interrupts()
    library.sgp_log_set(c.cast(_log_callback, c.c_void_p), None, 4 if _logger.isEnabledFor(logging.DEBUG) else 2)
    return library


def load() -> c.CDLL:
    """The library, opened by the first call. Thread-safe. Error: it is missing, or of another version."""
    global _library
    with _lock:
        if _library is None:
            _library = _open()
        return _library


def silence() -> None:
    """No more log lines. A thread of the library must not call into an interpreter that ends."""
    if _library is not None:
        _library.sgp_log_set(None, None, 2)


def check(status: int) -> None:
    """Raises the Error of a status that is not 0. Called by the thread whose call failed, before its next one."""
    global _interrupted
    if _interrupted and threading.current_thread() is threading.main_thread():
        _interrupted = False
        raise KeyboardInterrupt
    if status != 0:
        name = _STATUS.get(status, f"status {status}")
        raise Error(load().sgp_last_error().decode(errors="replace") or name, name)


def wait(function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function that can wait, in slices, so that Python sees signals in between. The arguments, and the memory that
    they point to, stay as they are until it returns. Raises its Error."""
    while (status := function(*arguments)) == AGAIN:
        check(0)
        if _ending:
            raise Error("the process is about to end", "SGP_ERR_INTERRUPTED")
    check(status)


def end_waits() -> None:
    """Calls that wait in other threads of the process give up."""
    global _ending
    _ending = True


def create_mixer(group: c.c_void_p, options: MixerOptions) -> c.c_void_p:
    """A mixer whose initial values lie in options.vector."""
    handle = c.c_void_p()
    check(load().sgp_mixer_create_sized(group, c.byref(options), c.sizeof(options), None, c.byref(handle)))
    return handle


def statistics(mixer: c.c_void_p) -> Statistics:
    """Counters and times of the mixer, and its weight."""
    found = Statistics()
    check(load().sgp_mixer_statistics_sized(mixer, found, c.sizeof(found)))
    return found


def parse(kind: str, name: str) -> int | None:
    """The number of a graph, algorithm or encoding; None if the library knows no such name."""
    number = c.c_int()
    found: int = getattr(load(), f"sgp_{kind}_parse")(name.encode(), c.byref(number))
    return number.value if found == 0 else None
