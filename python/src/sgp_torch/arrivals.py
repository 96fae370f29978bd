# SPDX-License-Identifier: Apache-2.0
"""Newcomers: nodes that join while the others train (docs/membership.md, "Joining").

A member tells a newcomer, by libsgp's blob, what the nodes have agreed on, so that a newcomer of another model is refused. Then
it gives a snapshot of what each node has for itself: the state of its optimizers, and what of the model is not averaged. The
parameters come from a member's mixer. In its first step the newcomer exchanges without an update. All nodes know which step
that is, and meet after it: there the newcomer gets what all nodes have alike (`share`), such as the place in the data. From then
on it makes the same calls as the others.

State travels as JSON and as tensors in torch's format. Its size is bounded, and tensors are loaded with weights_only.
"""

from __future__ import annotations

import io
import json
import struct
import weakref
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

import torch

from . import library
from .errors import Error

if TYPE_CHECKING:
    from .group import Group

# OLD or NEW, the steps made, and a rank whose newcomer has ended, plus 1 (0: none); zeros from a node that is gone
_MEETING = struct.Struct("<BQI")
OLD, NEW = 1, 2
_ENDED = (4, 5)  # SGP_CONDITION_LEFT, SGP_CONDITION_DEAD
_SHARED_BYTES = 64 << 20  # at a meeting
_LINES_BYTES = 16 << 20  # in a blob


def _plain(value: Any, tensors: list[torch.Tensor]) -> Any:
    """As JSON has it; tensors by their place in the list."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, torch.Tensor):
        tensors.append(value.detach())
        return {"tensor": len(tensors) - 1}
    if isinstance(value, (list, tuple)):
        return {"list" if isinstance(value, list) else "tuple": [_plain(item, tensors) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[_plain(key, tensors), _plain(item, tensors)] for key, item in value.items()]}
    raise Error(f"a {type(value).__name__} cannot be sent to a newcomer: only numbers, text, tensors, lists and dicts can")


def _value_of(plain: Any, tensors: Sequence[torch.Tensor]) -> Any:
    if not isinstance(plain, dict):
        return plain
    ((kind, inner),) = plain.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "dict":
        return {_value_of(key, tensors): _value_of(item, tensors) for key, item in inner}
    return {"list": list, "tuple": tuple}[kind](_value_of(item, tensors) for item in inner)


def pack(value: Any) -> bytes:
    """Numbers, text, tensors, and lists and dicts of them. The tensors are in torch's format, and the rest is JSON: torch 1.13
    does not load floats with weights_only."""
    tensors: list[torch.Tensor] = []
    text = json.dumps(_plain(value, tensors)).encode()
    file = io.BytesIO()
    if tensors:
        torch.save(tensors, file)
    return len(text).to_bytes(8, "little") + text + file.getvalue()


def unpack(received: bytes, what: str) -> dict[str, Any]:
    """Of another node: nothing of it is executed."""
    try:
        end = 8 + int.from_bytes(received[:8], "little")
        rest = received[end:]
        tensors = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True) if rest else []
        value = _value_of(json.loads(received[8:end]), tensors)
    except Exception as error:  # noqa: BLE001 - there are many for bytes that make no sense
        raise Error(f"{what} cannot be read: {error}", "SGP_ERR_FORMAT") from None
    if not isinstance(value, dict):
        raise Error(f"{what} is a {type(value).__name__}", "SGP_ERR_FORMAT")
    return value


def _blob_of(agreed: dict[str, list[str]]) -> bytes:
    blob = zlib.compress(pack(agreed))
    if len(blob) > library.BLOB_BYTES:
        raise Error(
            f"the list of tensors and options takes {len(blob)} bytes, and a newcomer can be told {library.BLOB_BYTES}: nodes "
            "cannot join this model's training; leave out max_nodes",
            "SGP_ERR_UNSUPPORTED",
        )
    return blob


def _agreed_of(blob: bytes) -> dict[str, list[str]]:
    try:
        packed = zlib.decompressobj().decompress(blob, _LINES_BYTES)
    except zlib.error as error:
        raise Error(f"the run is none of sgp_torch: {error}", "SGP_ERR_MISMATCH") from None
    return unpack(packed, "the list of what the nodes have agreed on")


class _Shared:
    """An object, and the names of its methods that save and load."""

    def __init__(self, thing: Any, save: str, load: str) -> None:
        self._thing, self._save, self._load = weakref.ref(thing), save, load

    def save(self) -> Any:
        thing = self._thing()
        return None if thing is None else getattr(thing, self._save)()

    def load(self, state: Any) -> None:
        thing = self._thing()
        if thing is not None and state is not None:
            getattr(thing, self._load)(state)


class Arrivals:
    """The newcomers of one group that has places for them. Belongs to the group.

    Attributes:
        came_later: this node is a newcomer.
        entering: it has not met the others yet.
        mixer_exists: the group has its one mixer.
        present: the ranks that were there at the last meeting.
    """

    def __init__(self, group: Group, entering: bool) -> None:
        self._group = weakref.ref(group)
        self.came_later = self.entering = entering
        self.mixer_exists = False
        self.present: list[int] = []
        self._agreed: dict[str, list[str]] = {}  # by all nodes
        self._told = _agreed_of(library.blob(group.handle)) if entering else {}
        self._snapshot: dict[str, Any] = {}  # of the sponsor
        self._save: Callable[[], dict[str, Any]] = dict
        self._shared: dict[str, _Shared] = {}
        self._received: dict[str, Any] = {}  # by name, for things that are shared later
        self._listeners: list[weakref.WeakMethod[Callable[[list[int]], None]]] = []
        self._samplers = 0
        self._version = -1
        self._pending: dict[int, tuple[int, int]] = {}  # rank: the first step of its newcomer, and which incarnation
        self._later: dict[int, tuple[int, int]] = {}  # the same of a newcomer that comes after that one
        self._ended: dict[int, int] = {}  # rank: the last incarnation of which this node knows that it has ended
        self._seen: dict[int, int] = {}  # rank: the incarnation that would be news

    @property
    def group(self) -> Group:
        found = self._group()
        assert found is not None
        return found

    # ---- what all nodes have agreed on ----

    def knows(self, key: str) -> bool:
        """Whether the others have told this newcomer what they agreed on under this key, before it came."""
        return key in self._told

    def told(self, key: str) -> list[str]:
        return self._told.get(key, [])

    def note(self, key: str, lines: Sequence[str]) -> None:
        """All nodes have these lines: newcomers are told."""
        self._agreed[key] = list(lines)
        if self.mixer_exists and not self.entering:
            self._accept()

    def next_sampler(self) -> str:
        """A name for each sampler, the same on all nodes that make them in the same order."""
        self._samplers += 1
        return f"sampler {self._samplers}"

    def decline(self, why: str) -> None:
        """A newcomer that does not join after all. The sponsor logs the reason."""
        if self.entering:
            library.load().sgp_group_decline(self.group.handle, why.encode()[:500])

    # ---- state of one node ----

    def fetch(self, most: int) -> None:
        """Of a newcomer, before it has a mixer: the sponsor's snapshot, of at most so many bytes. Waits for the end of a step."""
        from .group import interruptible

        handle = self.group.handle
        self._snapshot = unpack(interruptible(lambda: library.fetch(handle, most)), "the state of the sponsor")

    def take(self, name: str) -> Any:
        """A part of the snapshot, once. None: there is none."""
        return self._snapshot.pop(name, None)

    def give(self, save: Callable[[], dict[str, Any]]) -> None:
        """What newcomers get as a snapshot, between two steps."""
        self._save = save

    def _accept(self) -> None:
        library.accept(self.group.handle, _blob_of(self._agreed), lambda: pack(self._save()))

    def open(self) -> None:
        """The mixer exists. A member answers newcomers from now on."""
        self.mixer_exists = True
        if not self.entering:
            self._accept()

    # ---- what all nodes have alike ----

    def share(self, name: str, thing: Any, save: str, load: str) -> None:
        self._shared[name] = _Shared(thing, save, load)
        if name in self._received:
            self._shared[name].load(self._received.pop(name))

    def at_meetings(self, method: Callable[[list[int]], None]) -> None:
        """method(ranks that are there), on all nodes after a newcomer's first step."""
        self._listeners.append(weakref.WeakMethod(method))

    # ---- meetings ----

    def due(self, steps: int) -> bool:
        """Whether the nodes meet now, after so many steps of the run."""
        handle = self.group.handle
        version = library.view_version(handle)
        if version != self._version:
            self._version = version
            for member in library.members(handle, self.group.capacity):
                self._look_at(member)
        return any(first < steps for first, _ in self._pending.values())

    def _look_at(self, member: library.Member) -> None:
        rank, incarnation = member.rank, member.incarnation
        over = incarnation if member.condition in _ENDED else incarnation - 1
        self._ended[rank] = max(self._ended.get(rank, -1), over)
        if member.first > 0 and rank != self.group.rank and incarnation >= self._seen.get(rank, 0):
            self._seen[rank] = incarnation + 1
            # Nodes that know the next newcomer and nodes that do not must meet after the same steps: its turn comes once all
            # have passed the one before it.
            waiting = self._later if rank in self._pending else self._pending
            waiting[rank] = (member.first, incarnation)

    def _find_ended(self, steps: int) -> int:
        """The lowest rank whose newcomer is to be met now, and has ended as far as this node knows; -1: none."""
        ended = [rank for rank, (first, incarnation) in self._pending.items()
                 if first < steps and self._ended.get(rank, -1) >= incarnation]  # fmt: skip
        return min(ended, default=-1)

    def meet(self, steps: int) -> None:
        """All nodes call it after the same step."""
        group = self.group
        mine = _MEETING.pack(NEW, steps, 0) if self.entering else _MEETING.pack(OLD, steps, self._find_ended(steps) + 1)
        places = [_MEETING.unpack(place) for place in group.gather(mine)]
        there = [rank for rank, (kind, *_) in enumerate(places) if kind]
        new = [rank for rank in there if places[rank][0] == NEW]
        if len({places[rank][1] for rank in there}) > 1:
            made = ", ".join(f"node {rank} {places[rank][1]}" for rank in there)
            raise Error(f"the nodes have not made the same steps when they meet a newcomer: {made}", "SGP_ERR_MISMATCH")
        self.present = there
        self._pass(there, {places[rank][2] - 1 for rank in there}, steps)
        if new:
            self._hand_over([rank for rank in there if rank not in new])
        elif self.entering:
            raise Error("no node of the run has met this newcomer: join again", "SGP_ERR_PEER_LOST")
        for listener in self._listeners:
            method = listener()
            if method is not None:
                method(there)

    def _pass(self, there: list[int], ended: set[int], steps: int) -> None:
        """Newcomers that are there need not be met again, nor those of which a node has said that they have ended. There is no
        other limit: one on a busy machine may come many steps late."""
        for rank, (first, _) in list(self._pending.items()):
            if first < steps and (rank in there or rank in ended):
                del self._pending[rank]
                if rank in self._later:
                    self._pending[rank] = self._later.pop(rank)

    def _hand_over(self, old: list[int]) -> None:
        """From one member to the newcomers: the first that lives until all have it."""
        group = self.group
        for root in old:
            mine = pack(self._common()) if group.rank == root else b""
            try:
                received = group.broadcast_bytes(mine, root, _SHARED_BYTES)
            except Error as error:
                if error.status != "SGP_ERR_PEER_LOST" or root not in old[:-1]:
                    raise
                continue
            if received:
                break
        else:
            raise Error("no member is left that knows the state of the run", "SGP_ERR_PEER_LOST")
        if self.entering:
            self._take_over(unpack(received, "the state of the run"))

    def _common(self) -> dict[str, Any]:
        return {
            "agreed": self._agreed,
            "pending": self._pending,
            "later": self._later,
            "seen": self._seen,
            "shared": {name: shared.save() for name, shared in self._shared.items()},
        }

    def _take_over(self, common: dict[str, Any]) -> None:
        self._told, self._agreed = dict(common["agreed"]), dict(common["agreed"])
        self._pending, self._seen = dict(common["pending"]), dict(common["seen"])
        self._later = dict(common["later"])
        for name, state in common["shared"].items():
            if name in self._shared:
                self._shared[name].load(state)
            else:
                self._received[name] = state
        self.entering = False
        self._accept()
