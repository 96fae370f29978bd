# SPDX-License-Identifier: Apache-2.0
"""How tensors and the mixer's vector z meet.

z is (P + S) floats on the CPU: P of parameters, then S of buffers, each tensor at a multiple of 64 bytes; what lies between
is 0 and stays 0. The memory belongs to Python, so a tensor that points into it outlives the mixer.

A step, by whoever changes the tensors:
    before(w)    between the mixer's hold and the change; w: the push-sum weight
    ...          the tensors change
    deposit(w)   the change goes into z, divided by w: the numerator x = w z moves by the full change
    ...          the mixer's exchange
    withdraw()   z goes into the tensors
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any

import torch

from .errors import Error
from .layout import Entry


class Vector:
    """(length) floats in memory of Python's own, aligned to a page, private to this process (also after fork)."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._memory = mmap.mmap(-1, max(1, 4 * length), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.flat = torch.frombuffer(self._memory, dtype=torch.float32, count=max(1, length))[:length]
        self._registered = False

    @property
    def address(self) -> int:
        return self.flat.data_ptr()

    def view(self, entry: Entry) -> torch.Tensor:
        """The entry's elements with its shape and strides, as a storage of their own: torch.save of it writes no more."""
        if entry.count == 0:
            return torch.empty(entry.tensor.shape)
        flat = torch.frombuffer(self._memory, dtype=torch.float32, count=entry.count, offset=4 * entry.offset)
        return flat.as_strided(entry.tensor.shape, entry.tensor.stride())

    def pin(self) -> None:
        """Makes the memory page-locked for CUDA, so that copies run beside the computation."""
        result = torch.cuda.cudart().cudaHostRegister(self.address, 4 * self.length, 0)
        if int(result) != 0:
            raise Error(f"cudaHostRegister of {4 * self.length} bytes failed with {result}", "SGP_ERR_NO_MEMORY")
        self._registered = True

    def unpin(self) -> None:
        if self._registered:
            self._registered = False
            torch.cuda.cudart().cudaHostUnregister(self.address)


def views_of(flat: torch.Tensor, entries: Sequence[Entry]) -> list[torch.Tensor]:
    """The entries' elements of a flat tensor on any device."""
    return [torch.as_strided(flat, e.tensor.shape, e.tensor.stride(), e.offset) for e in entries]


class Buffers:
    """Running statistics: copied in before an exchange and out after it. A module may replace its buffers."""

    def __init__(self, vector: Vector, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._views = [vector.view(entry) for entry in entries]
        self._before: list[torch.Tensor] = []
        self._saved: list[torch.Tensor] = []

    def deposit(self) -> None:
        for entry, view in zip(self.entries, self._views):
            entry.refresh()
            view.copy_(entry.tensor)

    def deposit_changes(self) -> None:
        """Adds what has changed since the last withdraw, where z has moved on meanwhile. A number that is above 0 in both
        places, such as a variance, stays so."""
        for entry, view, before in zip(self.entries, self._views, self._before):
            entry.refresh()
            now = entry.tensor.to(view)
            both = view + (now - before)
            least = torch.minimum(view, now)
            view.copy_(torch.where((both <= 0) & (least > 0), least, both))

    def withdraw(self) -> None:
        for entry, view in zip(self.entries, self._views):
            entry.tensor.copy_(view)

    def remember(self) -> None:
        """What z has now, for deposit_changes and withdraw_changes."""
        self._before = [view.clone() for view in self._views]

    def withdraw_remembered(self) -> None:
        for entry, before in zip(self.entries, self._before):
            entry.tensor.copy_(before)

    def withdraw_changes(self) -> None:
        """Adds what the exchange has changed: the model has moved on meanwhile."""
        for entry, view, before in zip(self.entries, self._views, self._before):
            entry.refresh()
            entry.tensor.add_((view - before).to(entry.tensor.device))


    def expose(self, other: Vector) -> None:
        """The tensors show the values of another vector."""
        self._saved = [entry.tensor.clone() for entry in self.entries]
        for entry in self.entries:
            entry.refresh()
            entry.tensor.copy_(other.view(entry))

    def restore(self) -> None:
        for entry, saved in zip(self.entries, self._saved):
            entry.tensor.copy_(saved)
        self._saved = []


class AliasStorage:
    """The data of each tensor is a view of z: nothing is copied. For float32 on the CPU.

    The objects stay what they are, so an optimizer may have been created before or after."""

    name = "alias"

    def __init__(self, vector: Vector, count: int, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self._z = vector.flat[:count]
        self._views = [vector.view(entry) for entry in entries]
        self._pointers = [view.data_ptr() for view in self._views]
        self._before: torch.Tensor | None = None
        self._snapshot = False
        self.bind()

    @staticmethod
    def fits(entries: Sequence[Entry]) -> bool:
        return all(e.tensor.dtype == torch.float32 and e.tensor.device.type == "cpu" for e in entries)

    def bind(self) -> None:
        """The values of the tensors go into z, and the tensors become views of it."""
        for i, entry in enumerate(self.entries):
            self._bind_one(i, entry)

    def _bind_one(self, i: int, entry: Entry) -> None:
        tensor = entry.tensor
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise Error(
                f"{entry.name} is {tensor.dtype} on {tensor.device}; mode='alias' is for float32 on the CPU: convert and "
                "move the model before it is wrapped, or use mode='delta'"
            )
        self._views[i].copy_(tensor.detach())
        tensor.data = self._views[i]

    def mend(self) -> bool:
        """Binds again what has been replaced: by .to(), .double().float(), load_state_dict(assign=True). Whether a tensor
        is another object now."""
        replaced = False
        for i, entry in enumerate(self.entries):
            if entry.refresh():
                replaced = True
                self._bind_one(i, entry)
            elif entry.tensor.data_ptr() != self._pointers[i] and entry.count:
                self._bind_one(i, entry)
        return replaced

    def before(self, weight: float) -> None:
        self._snapshot = abs(weight - 1.0) > 1e-9
        if not self._snapshot:
            return
        if self._before is None:
            self._before = torch.empty_like(self._z)
        self._before.copy_(self._z)

    def deposit(self, weight: float) -> None:
        if self._snapshot and self._before is not None:
            torch.lerp(self._before, self._z, 1.0 / weight, out=self._z)  # before + (z - before) / w
        self._snapshot = False

    def withdraw(self) -> None:
        pass

    def load(self) -> None:
        """After z has been written from elsewhere."""

    def expose(self, other: Vector) -> None:
        """The tensors show the values of another vector; z stays as it is."""
        for entry in self.entries:
            entry.tensor.data = other.view(entry)

    def restore(self) -> None:
        for entry, view in zip(self.entries, self._views):
            entry.tensor.data = view

    def close(self) -> None:
        pass


_PIECE = 1 << 17  # floats; three pieces fit into the second-level cache


def _pieces(entries: Sequence[Entry]) -> list[tuple[int, slice | None]]:
    """(number of an entry, rows of it) in pieces that stay in the cache between two passes."""
    pieces: list[tuple[int, slice | None]] = []
    for i, entry in enumerate(entries):
        if entry.count <= _PIECE or entry.tensor.dim() == 0:
            pieces.append((i, None))
            continue
        length = entry.tensor.shape[0]
        rows = max(1, _PIECE * length // entry.count)
        pieces.extend((i, slice(begin, min(length, begin + rows))) for begin in range(0, length, rows))
    return pieces


class DeltaStorage:
    """z beside the tensors: their change since the last step is added to z, and z is copied back. For any device and
    floating-point dtype; z keeps the float32 remainder of tensors that have less precision.

    Args:
        apart: whether z changes between withdraw and deposit, or an exchange runs beside the caller: then the values that the
            tensors had after the last step are kept, P floats. Else z itself has them, where the tensors are float32 on the CPU.

    On an accelerator: 3 P floats there, and P page-locked ones on the CPU."""

    name = "delta"

    def __init__(self, vector: Vector, count: int, entries: Sequence[Entry], apart: bool) -> None:
        self.entries = entries
        devices = {entry.tensor.device for entry in entries}
        self._device = devices.pop() if len(devices) == 1 else torch.device("cpu")
        self._on_cpu = self._device.type == "cpu"
        self._vector = vector
        self._count = count
        self._z = vector.flat[:count]
        self.apart = apart
        self._z_views = [vector.view(entry) for entry in entries]
        self._pieces = _pieces(entries)
        self._saved: list[torch.Tensor] = []
        self._change: torch.Tensor | None = None
        for entry, view in zip(entries, self._z_views):
            view.copy_(entry.tensor.detach())
        # The tensors after the last step.
        if self._on_cpu and not apart and AliasStorage.fits(entries):
            self._base_views = self._z_views
        else:
            self._base = torch.zeros(count, device=self._device)
            self._base_views = views_of(self._base, entries)
            self.rebase()
        if not self._on_cpu:
            self._prepare_device(count)

    def _prepare_device(self, count: int) -> None:
        self._arrived = torch.empty(count, device=self._device)
        self._arrived_views = views_of(self._arrived, self.entries)
        self._cuda = self._device.type == "cuda"
        self._host = torch.zeros(count, pin_memory=self._cuda)
        self._events: list[Any] = []
        if self._cuda:
            self._vector.pin()
            self._side = torch.cuda.Stream(self._device)

    def _flatten(self, views: Sequence[torch.Tensor]) -> None:
        tensors = [entry.tensor.detach() for entry in self.entries]
        if not self._on_cpu and hasattr(torch, "_foreach_copy_"):
            torch._foreach_copy_(list(views), tensors)
        else:
            for view, tensor in zip(views, tensors):
                view.copy_(tensor)

    def mend(self) -> bool:
        replaced = [entry.refresh() for entry in self.entries]
        return any(replaced)

    def before(self, weight: float) -> None:
        pass

    def rebase(self) -> None:
        """What the tensors are now is no change."""
        if self._base_views is not self._z_views:
            self._flatten(self._base_views)

    # ---- in one thread ----

    def deposit(self, weight: float) -> None:
        if not self._on_cpu:
            self.collect()
            self.add_collected(weight)
            return
        tensors = [entry.tensor.detach() for entry in self.entries]
        for i, rows in self._pieces:
            whole = (tensors[i], self._base_views[i], self._z_views[i])
            tensor, base, z = whole if rows is None else (part[rows] for part in whole)
            if tensor.device.type != "cpu":
                tensor = tensor.cpu()
            if self._base_views is self._z_views:  # with w = 1 exactly the tensor's bits
                z.lerp_(tensor.to(torch.float32), 1.0 / weight)
            else:
                z.add_(tensor - base, alpha=1.0 / weight)

    def withdraw(self) -> None:
        """The tensors become z: they have not moved since deposit."""
        tensors = [entry.tensor.detach() for entry in self.entries]
        views = self._fetch()
        for i, rows in self._pieces if self._on_cpu else [(i, None) for i in range(len(tensors))]:
            whole = (tensors[i], self._base_views[i], views[i])
            tensor, base, z = whole if rows is None else (part[rows] for part in whole)
            if tensor.dtype == torch.float64:
                tensor.add_(z.to(tensor.device) - tensor.to(torch.float32))
            else:
                tensor.copy_(z)
            if self._base_views is not self._z_views:
                base.copy_(tensor)

    # ---- with an exchange beside the caller: collect, add_collected in the thread of the exchange, withdraw_changes ----

    def collect(self) -> None:
        """What has changed since the last step, on its way to the CPU."""
        if self._change is None:
            self._change = torch.zeros(self._count, device=self._device)
            self._change_views = views_of(self._change, self.entries)
        self._flatten(self._change_views)
        self._change.sub_(self._base)
        if not self._on_cpu:
            self._stage(self._change)

    def _stage(self, change: torch.Tensor) -> None:
        if not self._cuda:
            self._host.copy_(change)
            return
        self._side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._side):
            self._host.copy_(change, non_blocking=True)
            self._events.append(self._side.record_event())

    def collected(self) -> torch.Tensor:
        """(P), on the CPU: what collect has taken."""
        if self._on_cpu:
            assert self._change is not None
            return self._change
        for event in self._events:
            event.synchronize()
        self._events.clear()
        return self._host

    def add_collected(self, weight: float) -> None:
        """z += change / w."""
        self._z.add_(self.collected(), alpha=1.0 / weight)

    def _fetch(self) -> Sequence[torch.Tensor]:
        """Views of z on the tensors' device."""
        if self._on_cpu:
            return self._z_views
        self._arrived.copy_(self._z, non_blocking=self._cuda)
        if self._cuda:  # z changes again after this copy only
            self._events.append(torch.cuda.current_stream(self._device).record_event())
        return self._arrived_views

    def withdraw_changes(self) -> None:
        """Adds what the exchange has changed: the tensors have moved on since it began, by what collect has taken."""
        for entry, view, base in zip(self.entries, self._fetch(), self._base_views):
            tensor = entry.tensor.detach()
            change = view - base
            if tensor.dtype in (torch.float32, torch.float64):
                tensor.add_(change.to(tensor.device))
            else:
                tensor.copy_(change.add_(tensor))
        self.rebase()

    # ---- values from elsewhere ----

    def load(self) -> None:
        """After z has been written from elsewhere: the tensors follow."""
        self.withdraw()

    def expose(self, other: Vector) -> None:
        """The tensors show the values of another vector; z stays as it is."""
        self._saved = [entry.tensor.detach().clone() for entry in self.entries]
        for entry in self.entries:
            entry.tensor.detach().copy_(other.view(entry))

    def restore(self) -> None:
        for entry, saved in zip(self.entries, self._saved):
            entry.tensor.detach().copy_(saved)
        self._saved = []

    def close(self) -> None:
        if not self._on_cpu:
            self._vector.unpin()
