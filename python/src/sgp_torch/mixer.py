# SPDX-License-Identifier: Apache-2.0
"""Averaging of tensors over the nodes while each node changes them: push-sum by libsgp (include/sgp/mixer.h).

A node's tensors hold z, its estimate of the mean over the nodes; w is its push-sum weight. The sum of x = w z over the nodes
changes only by their updates: a change of the tensors by d changes x by d, whatever w is.
"""

from __future__ import annotations

import contextlib
import ctypes as c
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

import torch

from . import layout, library
from .errors import Error
from .group import Group, check_elastic, check_group, default_group, interruptible
from .layout import Entry
from .options import Options, collect, to_library
from .storage import AliasStorage, Buffers, DeltaStorage, Vector


class ExchangeThread:
    """Runs one exchange at a time beside the caller's computation."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._done = threading.Event()
        self._error: BaseException | None = None
        self.busy = False
        self._thread = threading.Thread(target=self._run, name="sgp-exchange", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again by wait
                self._error = error
            del work  # it holds the mixer
            self._done.set()

    def submit(self, work: Callable[[], None]) -> None:
        self._done.clear()
        self.busy = True
        self._work.put(work)

    def wait(self) -> bool:
        """Until the exchange is over. False: none had been submitted since the last wait."""
        if not self.busy:
            return False
        self._done.wait()
        self.busy = False
        if self._error:
            raise self._error
        return True

    def settle(self) -> None:
        """Until the exchange is over; its result is left to wait."""
        if self.busy:
            self._done.wait()

    def close(self) -> bool:
        """Whether the thread has ended within a second."""
        self._work.put(None)
        self._thread.join(1.0)
        return not self._thread.is_alive()


def _named(tensors: Sequence[torch.Tensor] | Mapping[str, torch.Tensor]) -> list[Entry]:
    if isinstance(tensors, torch.Tensor):
        raise Error("the tensors are a Tensor: must be a list of tensors, or a dict of name and tensor")
    items = tensors.items() if isinstance(tensors, Mapping) else ((f"tensor {i}", t) for i, t in enumerate(tensors))
    return [Entry(name, tensor) for name, tensor in items]


def check_newcomers(group: Group, options: Options) -> None:
    """Raises the Error of a mixer that cannot be one of a group with places for newcomers."""
    if group.arrivals is None:
        return
    if group.arrivals.mixer_exists:
        raise Error("a group with max_nodes has one mixer: one wrapper of a model that has all parameters", "SGP_ERR_UNSUPPORTED")
    if options.algorithm in ("adpsgd", "allreduce", "server") or options.overlap == "async":
        given = f"algorithm={options.algorithm!r}" if options.overlap != "async" else "overlap='async'"
        raise Error(
            f"{given}: nodes can join (max_nodes) where the others push in rounds: algorithm sgp, osgp or dpsgd, with an overlap "
            "in steps",
            "SGP_ERR_UNSUPPORTED",
        )


class Mixer:
    """Averages tensors over the nodes of a group. Every node creates it, with tensors of the same shapes, dtypes and layouts
    in the same order. One thread at a time calls it.

        mixer = sgp_torch.Mixer([a, b], algorithm="osgp")
        for ...:
            ...                       # read the tensors: this node's estimate
            with mixer.update():      # waits until nothing reads them
                a.sub_(...)           # change them in place
            # here they have been pushed, and what has arrived is in them

    With an overlap, change the tensors only inside update().

    Args:
        tensors: list, or dict of names; floating-point. With mode "alias" they become views of memory that the mixer shares.
        buffers: as `tensors`: averaged as well, but may be changed at any time (running statistics).
        group: of nodes; default: the group of the process.
        options: see sgp_torch.options.Options; keywords of the same names.

    Raises:
        Error: the nodes' tensors or options differ, or cannot be averaged.
    """

    def __init__(
        self,
        tensors: Sequence[torch.Tensor] | Mapping[str, torch.Tensor],
        *,
        buffers: Sequence[torch.Tensor] | Mapping[str, torch.Tensor] = (),
        group: Group | None = None,
        **options: Any,
    ) -> None:
        check_group(group)
        collected = collect(options)
        chosen = group or default_group(collected.elastic)
        check_elastic(chosen, collected)
        self._create(_named(tensors), _named(buffers), chosen, collected, None)
        self.enter()

    @classmethod
    def of_entries(
        cls, entries: list[Entry], buffers: list[Entry], group: Group, options: Options, workers: Group | None = None
    ) -> Mixer:
        """As the constructor, from entries and options that have been made. workers: those of a node, which are one node of
        `group` together. The caller calls enter() when it is ready to make steps."""
        mixer = cls.__new__(cls)
        mixer._create(entries, buffers, group, options, workers)
        return mixer

    def _create(
        self, entries: list[Entry], buffers: list[Entry], group: Group, options: Options, workers: Group | None
    ) -> None:
        self._handle: c.c_void_p | None = None
        self.options = options
        self.entries = entries
        for entry in (*entries, *buffers):
            layout.check_tensor(entry.name, entry.tensor)
        if not any(entry.count for entry in entries):
            raise Error("there is nothing to average: no tensor has an element")
        layout.check_overlaps(entries)
        self.mode = self._choose_mode(options, entries)
        self._arrivals = group.arrivals
        check_newcomers(group, options)
        lines = [f"mode={self.mode!r}", *options.describe(), *layout.describe(entries), *layout.describe(buffers)]
        layout.agree(group, lines, "tensors and options")
        self.late = self.mode == "delta" and options.steps_late != 0 and options.algorithm in ("sgp", "osgp")
        if self._arrivals is not None:
            self.late = False  # a thread needs a duplicate of the group, in which newcomers would have no part
        self._answers = options.algorithm in ("adpsgd", "server")  # to other nodes, at any time: z changes then
        exclusive = self.late or self._answers
        self.group = group.duplicate() if exclusive and group.size > 1 else group
        self._place(entries, buffers)
        self._steps = 0
        self._stepped = False
        self._waits_for_parts = False  # a step in parts has begun
        self._open(options, workers)
        self._updating = False
        self._held = False
        self._shown = False
        self._thread = ExchangeThread() if self.late else None
        self.group.use(self._end)

    @staticmethod
    def _choose_mode(options: Options, entries: Sequence[Entry]) -> str:
        if options.mode != "auto":
            return options.mode
        return "alias" if AliasStorage.fits(entries) else "delta"

    def _place(self, entries: list[Entry], buffers: list[Entry]) -> None:
        self.count = layout.place(entries)
        self.length = layout.place(buffers, self.count)
        self._vector = Vector(self.length)
        self.buffers = Buffers(self._vector, buffers)
        with torch.no_grad():
            self.storage: AliasStorage | DeltaStorage
            if self.mode == "alias":
                self.storage = AliasStorage(self._vector, self.count, entries)
            else:
                apart = self.options.steps_late != 0 or self._answers
                self.storage = DeltaStorage(self._vector, self.count, entries, apart)
            self.buffers.deposit()
            self.buffers.remember()

    def _open(self, options: Options, workers: Group | None) -> None:
        in_library = to_library(
            options,
            self.count,
            self.length - self.count,
            self._vector.address,
            workers.handle if workers and workers.size > 1 else None,
        )
        if self.late and options.steps_late > 0:
            in_library.overlap = options.steps_late - 1  # the thread gives one step of the overlap
            if in_library.overlap == 0:
                in_library.algorithm = library.parse("algorithm", "sgp")
        self._overlapped = in_library.overlap != 0 or self._answers
        if self._arrivals is None or not self._arrivals.entering:
            self._handle = library.create_mixer(self.group.handle, in_library)
        else:
            self._handle = self._arrive(in_library)
        if self._arrivals is not None:
            self._arrivals.open()

    def _arrive(self, in_library: library.MixerOptions) -> c.c_void_p:
        """The mixer of a newcomer: z is that of a member, and the next step is the first of this node."""
        lib, group = library.load(), self.group.handle
        lib.sgp_group_set_slice(group, 0)
        handle = interruptible(lambda: library.create_mixer(group, in_library))
        lib.sgp_group_set_slice(group, library.SLICE_MS)
        self._steps = int(lib.sgp_group_first_step(group))
        self._stepped = True  # by the others
        with torch.no_grad():
            self.storage.load()
            self.buffers.withdraw()
            self.buffers.remember()
        return handle

    def enter(self, in_parts: bool = False) -> None:
        """Of a newcomer, when it is ready for steps: the first one, without a change of its own, and the meeting of all nodes
        after it. in_parts: the others make steps in parts."""
        if self._arrivals is None or not self._arrivals.entering:
            return
        if in_parts:
            self.begin_parts()
            self.part(0, self.count)
            self.end_parts()
            self.wait_part(0, self.count)
            self.await_buffers()
        else:
            self.begin_update()
            self.end_update()
        self._arrivals.meet(self._steps)

    # ---- the step ----

    @property
    def handle(self) -> c.c_void_p:
        """The library's pointer. Error: the mixer is closed."""
        if self._handle is None:
            raise Error("the mixer has been closed")
        return self._handle

    @property
    def updating(self) -> bool:
        """Between begin_update and end_update."""
        return self._updating

    @contextlib.contextmanager
    def update(self, learning_rate: float = 0.0) -> Iterator[None]:
        """One step: change the tensors inside. learning_rate: of the change, for slow momentum alone."""
        self.begin_update()
        yield
        self.end_update(learning_rate)

    def hold(self) -> None:
        """Returns when nothing reads the tensors and they may be changed. step() ends the hold."""
        self.begin_update()

    def step(self, learning_rate: float = 0.0) -> None:
        """Pushes the tensors and absorbs what has arrived; waits as the algorithm says."""
        if not self._updating:
            if self._overlapped or self.late:
                raise Error("call hold() before the tensors are changed and step() after it, or use update()")
            self._weight = self.weight
            self._updating = True
        self.end_update(learning_rate)

    @torch.no_grad()
    def begin_update(self) -> bool:
        """The first half of a step. Whether a tensor is another object than in the last one (the alias has been mended)."""
        if self._updating:
            return False
        self._check_not_shown()
        if self.mode == "alias":
            self._hold()
        self.group.collect()
        replaced = self.storage.mend()
        self._weight = 1.0 if self.late else self.weight
        self.storage.before(self._weight)
        self._updating = True
        return replaced

    @torch.no_grad()
    def end_update(self, learning_rate: float = 0.0) -> None:
        """The second half of a step."""
        if not self._updating:
            raise Error("end_update() without begin_update()")
        self._updating = False
        if self._thread:
            self._exchange_beside(learning_rate)
            return
        if self.mode == "delta" and self._hold():
            self._weight = self.weight
        self.storage.deposit(self._weight)
        if self._answers:
            self.buffers.deposit_changes()
        else:
            self.buffers.deposit()
        self._held = False
        self._exchange(learning_rate)
        self.storage.withdraw()
        self._withdraw_buffers()
        self._welcome()

    def _hold(self) -> bool:
        """Before z is changed by another than the mixer. Whether that had to be said."""
        if not self._overlapped or self._held:
            return False
        self._wait(library.load().sgp_mixer_hold, self.handle)
        self._held = True
        return True

    def _withdraw_buffers(self) -> None:
        if self._answers:  # to others, at any time: what the tensors get is what is remembered
            self.buffers.remember()
            self.buffers.withdraw_remembered()
        else:
            self.buffers.withdraw()

    def abandon_update(self) -> None:
        """Ends a step without an exchange. Only for a mixer that no node steps."""
        self._updating = False

    @torch.no_grad()
    def quiet(self) -> None:
        """Nothing is under way any more: the tensors may be written. With an overlap, after the first step, every node
        calls it, and it waits for all of them."""
        self._check_not_shown()
        self.flush()
        if (self._overlapped or self.late) and self._stepped:
            self._average(None)

    def _exchange(self, learning_rate: float) -> None:
        self._stepped = True
        self._wait(library.load().sgp_mixer_step, self.handle, None, None, learning_rate)
        self._steps += 1

    def _welcome(self) -> None:
        """Between two steps: the nodes meet a newcomer that has made its first one."""
        if self._arrivals is not None and not self._arrivals.entering and self._arrivals.due(self._steps):
            self._arrivals.meet(self._steps)

    def _exchange_beside(self, learning_rate: float) -> None:
        """Step k of the algorithm beside the computation of gradient k + 1; what it changes is added after that."""
        assert isinstance(self.storage, DeltaStorage) and self._thread
        storage = self.storage
        before = self._thread.wait()
        storage.collect()
        if before:
            self._take_changes()
        else:
            storage.rebase()
        self.buffers.deposit()
        self.buffers.remember()

        def work() -> None:
            if self._overlapped:
                self._wait(library.load().sgp_mixer_hold, self.handle)
            storage.add_collected(self.weight)
            self._exchange(learning_rate)

        self._thread.submit(work)

    def _take_changes(self) -> None:
        assert isinstance(self.storage, DeltaStorage)
        self.storage.withdraw_changes()
        self.buffers.withdraw_changes()

    def _wait(self, function: Callable[..., int], *arguments: Any) -> None:
        try:
            library.wait(function, *arguments)
        except Error as error:
            if error.status == "SGP_ERR_NOT_FINITE":
                raise Error(self._not_finite(str(error)), error.status) from None
            if error.status == "SGP_ERR_TIMEOUT":
                raise Error(f"{error}. {self._patience()}", error.status) from None
            raise

    def _patience(self) -> str:
        return (
            f"The time limit is {self.options.timeout:g} s: give a longer one (timeout=, or SGP_TORCH_TIMEOUT) if that node "
            "evaluates or compiles alone, and see that all nodes make the same steps"
        )

    def _not_finite(self, text: str) -> str:
        flat = self._vector.flat
        for entry in (*self.entries, *self.buffers.entries):
            if not bool(torch.isfinite(flat[entry.offset : entry.offset + entry.count]).all()):
                return (
                    f"{entry.name} has an infinity or a NaN on node {self.group.rank}, and nothing of it was sent: lower the "
                    f"learning rate, clip the gradients, or look at this node's data ({text})"
                )
        return text

    # ---- a step in parts (include/sgp/mixer.h) ----

    @torch.no_grad()
    def begin_parts(self) -> None:
        """A step whose tensors become ready part by part, in lock step, with mode "alias". The buffers leave at once."""
        self._check_not_shown()
        if self.storage.mend():
            raise Error("a parameter was replaced by another object after the model was wrapped: wrap the model again")
        self.buffers.deposit()
        self._stepped = True
        self._waits_for_parts = True
        self._wait(library.load().sgp_mixer_begin, self.handle, None, None, 0.0)
        if self.length > self.count:
            self.part(self.count, self.length - self.count)

    def part(self, offset: int, count: int) -> None:
        """Elements [offset, offset + count) are ready and leave."""
        self._wait(library.load().sgp_mixer_part, self.handle, offset, count)

    def end_parts(self) -> None:
        """All parts have been given."""
        self._wait(library.load().sgp_mixer_end, self.handle)
        self._steps += 1
        self._welcome()

    def wait_part(self, offset: int, count: int) -> None:
        """Until the elements are as after the step."""
        if self._waits_for_parts:
            self._wait(library.load().sgp_mixer_wait, self.handle, offset, count)

    @torch.no_grad()
    def await_buffers(self) -> None:
        """The buffers become what they are after the step."""
        if self.length > self.count:
            self.wait_part(self.count, self.length - self.count)
            self.buffers.withdraw()

    # ---- averages ----

    @property
    def steps(self) -> int:
        """Exchanges so far, from the start of the run: a newcomer counts those before it. The same on all nodes after the same
        step."""
        return self._steps

    @property
    def weight(self) -> float:
        """w, the push-sum weight now."""
        return float(library.statistics(self.handle).weight)

    @torch.no_grad()
    def flush(self) -> None:
        """What is under way beside the computation goes into the tensors. Sends nothing."""
        if self._updating:
            self.end_update()
        if self._thread and self._thread.wait():
            self._take_changes()

    @torch.no_grad()
    def _take_in(self) -> None:
        """z follows tensors that were changed between two steps: by load_state_dict, or by an algorithm that does not step
        this mixer."""
        if isinstance(self.storage, DeltaStorage):
            self.storage.mend()
            if self.storage.apart:
                self.storage.collect()
                change = self.storage.collected()
                self._wait(library.load().sgp_mixer_add, self.handle, 0, self.count, change.data_ptr())
            else:
                self.storage.deposit(self.weight)
            self.storage.rebase()
        else:
            self.storage.mend()
        if not self._answers:
            self.buffers.deposit()

    def _check_not_shown(self) -> None:
        if self._shown:
            raise Error("the tensors show the average: leave `with averaged()` before you step, average or save again")

    def _average(self, average: torch.Tensor | None) -> library.Consensus:
        self.flush()
        if not self._shown:
            self._take_in()
        figures = library.Consensus()
        self._wait(
            library.load().sgp_mixer_average_sized,
            self.handle,
            average.data_ptr() if average is not None else None,
            c.byref(figures),
            c.sizeof(figures),
        )
        if not self._shown:
            with torch.no_grad():
                self._withdraw_buffers()  # what was under way has arrived
        return figures

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the tensors and buffers show the exact mean over the nodes; after it this node's own values again, so what
        is changed inside is lost. Every node enters it after the same step; it waits for all of them. (P + S) floats more."""
        if self._shown:  # they do already
            yield
            return
        average = Vector(self.length)  # a storage for each tensor: what saves a tensor takes it for its own
        self._average(average.flat)
        with torch.no_grad():
            self.storage.expose(average)
            self.buffers.expose(average)
        self._shown = True
        try:
            yield
        finally:
            self._shown = False
            with torch.no_grad():
                self.storage.restore()
                self.buffers.restore()

    @torch.no_grad()
    def average_(self) -> None:
        """The tensors and buffers become the exact mean over the nodes, the same bits on all of them; with adpsgd to
        rounding. Every node calls it after the same step; it waits for all of them."""
        self._check_not_shown()
        average = torch.empty(self.length)
        self._average(average)
        if self._answers:
            change = (average - self._vector.flat).mul_(self.weight)
            self._wait(library.load().sgp_mixer_add, self.handle, 0, self.length, change.data_ptr())
            self.group.barrier()
        else:
            self._vector.flat.copy_(average)
        self.storage.load()
        self._withdraw_buffers()

    def consensus(self) -> dict[str, float]:
        """Figures of all nodes together, after the same step on every node; waits for all of them.

        w_total: sum of the weights, the number of nodes to rounding. drift: relative error of the sum of x. distance: root
        mean square over nodes of |z - mean|, divided by |mean|."""
        figures = self._average(None)
        return {"w_total": figures.w_total, "drift": figures.drift, "distance": figures.distance}

    def statistics(self) -> dict[str, float]:
        """Counters and times since the mixer was created (sgp_mixer_statistics_t), and the weight now. Never waits for
        other nodes."""
        if self._thread:
            self._thread.settle()
        statistics = library.statistics(self.handle)
        return {name: getattr(statistics, name) for name in library.STATISTICS}

    # ---- state ----

    @torch.no_grad()
    def state_dict(self) -> dict[str, Any]:
        """The mixer's state for a resume with the same bits; save the tensors themselves as well. Every node calls it after
        the same step, and saves its own."""
        self._check_not_shown()
        self._average(None)
        lib = library.load()
        self.storage.load()  # as load_state_dict does: a tensor may differ from z by rounding
        state = torch.empty(lib.sgp_mixer_state_size(self.handle), dtype=torch.uint8)
        self._wait(lib.sgp_mixer_state_save, self.handle, state.data_ptr(), state.numel())
        return {"state": state, "mode": self.mode, "rank": self.group.rank, "size": self.group.size}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Into a mixer of the same options on the same node, before its first step, on every node."""
        for name, mine in (("mode", self.mode), ("rank", self.group.rank), ("size", self.group.size)):
            if state.get(name) != mine:
                raise Error(f"the state has {name} {state.get(name)!r}, and this mixer {mine!r}", "SGP_ERR_MISMATCH")
        bytes_ = state["state"].contiguous()
        self._wait(library.load().sgp_mixer_state_load, self.handle, bytes_.data_ptr(), bytes_.numel())
        self.storage.load()
        self._withdraw_buffers()

    # ---- end ----

    def close(self) -> None:
        """No more steps. The tensors keep their values. Messages under way are delivered all the same."""
        self._end(True)

    def __del__(self) -> None:
        handle = getattr(self, "_handle", None)
        if handle is None:
            return
        self._handle = None
        if not self._thread or self._thread.close():
            self.group.discard(handle)
        self.storage.close()

    def _end(self, orderly: bool) -> None:
        if self._handle is None:
            return
        try:
            if orderly:
                self.flush()
        finally:
            handle, self._handle = self._handle, None
            if not self._thread or self._thread.close():
                library.load().sgp_mixer_destroy(handle)
            self.storage.close()
