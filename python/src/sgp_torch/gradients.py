# SPDX-License-Identifier: Apache-2.0
"""Exact means of gradients at the end of a backward pass: for algorithm="allreduce", and inside a node of several workers."""

from __future__ import annotations

import ctypes as c
from collections.abc import Sequence
from typing import Any, Callable

import torch

from . import library, optimizer_hooks
from .errors import Error
from .group import Group
from .layout import ALIGNMENT, Entry
from .options import BLOCK_ENCODINGS, Options, to_library
from .storage import Vector, views_of


def _graph_task() -> int:
    """A number of the backward pass under way; the same for all of them in torch 1.13."""
    number = getattr(torch._C, "_current_graph_task_id", None)
    return int(number()) if number else 0


class GradientAverager:
    """Averages the gradients of `entries` (and `buffers`) over a group when a backward pass ends.

    The vector holds, after gradients and buffers, one number for each parameter that says how many nodes have a gradient
    for it, and one that says how many have met an overflow: then all nodes get infinities, so that their scalers agree.
    In blocks one scale for all of these would round small ones to 0 beside large ones: there only gradients travel in the
    encoding, and what follows them in float32.
    """

    def __init__(
        self, entries: Sequence[Entry], buffers: Sequence[Entry], length: int, group: Group, options: Options
    ) -> None:
        self._entries = entries
        self._buffers = buffers
        self._group = group
        self.enabled: Callable[[], bool] = lambda: True
        self._queued: int | None = None  # the backward pass at whose end the average follows; one that failed has none
        total = length + -(-(len(entries) + 1) // ALIGNMENT) * ALIGNMENT
        self._vector = Vector(total)
        self._views = views_of(self._vector.flat, (*entries, *buffers))
        self._flags = self._vector.flat[length : length + len(entries) + 1]
        split = total
        if options.encoding in BLOCK_ENCODINGS:
            split = buffers[0].offset if buffers else length
        self._handles: list[c.c_void_p] = []
        self._add_mixer(0, split, options.encoding, options.timeout)
        self._add_mixer(split, total, "float32", options.timeout)
        group.use(self._end)
        self._hooks = [entry.tensor.register_hook(self._arrive) for entry in entries]

    def _add_mixer(self, begin: int, end: int, encoding: str, timeout: float) -> None:
        """Of numbers [begin, end) of the vector, if there are any."""
        if begin == end:
            return
        exact = Options(algorithm="allreduce", encoding=encoding, timeout=timeout)
        in_library = to_library(exact, end - begin, 0, self._vector.address + 4 * begin, None)
        self._handles.append(library.create_mixer(self._group.handle, in_library))

    def _arrive(self, gradient: torch.Tensor) -> None:
        """The first gradient of a backward pass: the average follows when the pass ends."""
        task = _graph_task()
        if self._queued != task and self.enabled():
            self._queued = task
            torch.autograd.Variable._execution_engine.queue_callback(self._average)  # type: ignore[attr-defined]

    @torch.no_grad()
    def _average(self) -> None:
        self._queued = None
        self._deposit()
        for handle in self._handles:
            library.wait(library.load().sgp_mixer_step, handle, None, None, 0.0)
        self._withdraw()

    def _deposit(self) -> None:
        self._flags.zero_()
        for i, (entry, view) in enumerate(zip(self._entries, self._views)):
            gradient = entry.tensor.grad
            if gradient is None:
                view.zero_()
                continue
            if gradient.layout != torch.strided:
                raise Error(
                    f"the gradient of {entry.name} is sparse, and exact averages of gradients need dense ones: set "
                    "sparse=False in the embedding, or use an algorithm that averages parameters (sgp)"
                )
            view.copy_(gradient)
            self._flags[i] = 1
        finite = bool(torch.isfinite(self._vector.flat).all())
        if not finite:
            self._refuse()
        for entry, view in zip(self._buffers, self._views[len(self._entries) :]):
            entry.refresh()
            view.copy_(entry.tensor)

    def _refuse(self) -> None:
        for entry, view in zip(self._entries, self._views):
            if not bool(torch.isfinite(view).all()):
                if not optimizer_hooks.scaler_active():
                    raise Error(
                        f"the gradient of {entry.name} has an infinity or a NaN on node {self._group.rank}, and was not sent: "
                        "lower the learning rate, or look at this node's data",
                        "SGP_ERR_NOT_FINITE",
                    )
                view.zero_()
        self._flags[-1] = 1

    def _withdraw(self) -> None:
        overflow = bool(self._flags[-1] > 0)
        for used, entry, view in zip(self._flags.tolist(), self._entries, self._views):
            tensor = entry.tensor
            if used == 0:
                continue
            if overflow:
                view.fill_(float("inf"))
            if tensor.grad is None:
                tensor.grad = torch.empty_like(tensor)
            tensor.grad.copy_(view)
        for entry, view in zip(self._buffers, self._views[len(self._entries) :]):
            entry.tensor.copy_(view)

    def _end(self, orderly: bool) -> None:
        self.close()

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
        while self._handles:
            library.load().sgp_mixer_destroy(self._handles.pop())


def moved(value: Any, device: torch.device) -> Any:
    """Tensors in nested tuples, lists and dicts, on `device`: what DistributedDataParallel does with its inputs."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(moved(item, device) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(moved(item, device) for item in value)
    if isinstance(value, dict):
        return type(value)((key, moved(item, device)) for key, item in value.items())
    return value
