# SPDX-License-Identifier: Apache-2.0
"""Overlap without staleness: the optimizer runs during the backward pass.

As soon as all gradients of a bucket of parameters are there, the optimizer steps that bucket, its gradients are freed, and the
bucket is pushed while the backward pass goes on with the layers before it. In the next forward pass each module waits for its
own parameters alone. So communication overlaps with the backward pass and the forward pass, and the results are those of lock
step.

Clipping by the global norm, GradScaler and closures need all gradients at once, so they cannot be used.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from typing import Any, Callable

import torch
from torch.optim import Optimizer

from . import optimizer_hooks
from .errors import Error
from .layout import Entry
from .module_hook import ModuleHook

_BYTES = 4  # of a float32 in the vector


class Bucket:
    """Neighbouring parameters: elements [offset, offset + count) of the vector."""

    def __init__(self, entries: list[Entry], end: int) -> None:
        self.entries = entries
        self.offset = min(entry.offset for entry in entries)
        self.count = end - self.offset
        self.left = 0  # gradients that this backward pass has not brought yet
        self.given = False  # to the step in progress
        self.under_way = False  # given to a step, and not waited for
        self._held: tuple[int, list[tuple[int, list[torch.Tensor]]]] = (-1, [])

    def groups(self, optimizer: Optimizer) -> list[tuple[int, list[torch.Tensor]]]:
        """(number of a parameter group, its parameters that are in this bucket)."""
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        if self._held[0] != size:
            mine = {id(entry.tensor) for entry in self.entries}
            chosen = [(i, [p for p in g["params"] if id(p) in mine]) for i, g in enumerate(optimizer.param_groups)]
            self._held = (size, [(i, parameters) for i, parameters in chosen if parameters])
        return self._held[1]


def _compiled() -> bool:
    """Whether the caller is compiled, or was called by a compiled function. (The compiler runs a function that raises while it
    is traced without compiling it.)"""
    if getattr(torch, "compiler", None) is not None and getattr(torch.compiler, "is_compiling", bool)():
        return True
    if "torch._dynamo" not in sys.modules:
        return False
    callback = getattr(torch._C._dynamo.eval_frame, "get_eval_frame_callback", None)
    return callback is not None and callback() is not None


def in_backward_pass() -> bool:
    """Whether this thread is computing gradients."""
    return bool(torch._C._current_graph_task_id() != -1)


def default_bucket_bytes(count: int) -> float:
    """Of a model with so many floats. The link is idle until the first bucket is ready, and the forward pass ends only after the
    last one has come, so buckets of a small model on a slow link must be small; each costs a call of the optimizer."""
    return min(max(count * _BYTES / 20, 1e6), 4e6)


def make_buckets(entries: Iterable[Entry], least_bytes: float, end: int) -> list[Bucket]:
    """Buckets in the order of the backward pass, each of at least so many bytes, but for the last one."""
    buckets: list[Bucket] = []
    entries = list(entries)
    collected: list[Entry] = []
    for entry in reversed(entries):
        collected.append(entry)
        if (end - entry.offset) * _BYTES >= least_bytes or entry is entries[0]:
            buckets.append(Bucket(collected, end))
            end = entry.offset
            collected = []
    return buckets


def _step_in_backward(optimizer: Optimizer, closure: Any = None) -> None:
    """In place of the optimizer's step: the backward pass has made it."""
    if closure is not None:
        raise Error("a closure cannot be used with optimizer_in_backward: the optimizer runs while gradients are computed")


class OptimizerInBackward:
    """Hooks on the parameters and modules of a wrapped model.

    Args:
        wrapper: the DistributedDataParallel.
        given: an optimizer of the model's parameters, or a function that makes one of a list of them.
        bucket_mb: the least size of a bucket in MB; None: chosen by the size of the model.
    """

    def __init__(self, wrapper: Any, given: Optimizer | Callable[..., Optimizer], bucket_mb: float | None) -> None:
        self._wrapper = wrapper
        self._runtime = wrapper._runtime
        self._mixer = self._runtime.mixer
        self._check()
        self.optimizer = self._make_optimizer(given)
        self._real_step = types.MethodType(type(self.optimizer).step, self.optimizer)
        self.optimizer.step = types.MethodType(_step_in_backward, self.optimizer)  # type: ignore[method-assign]
        optimizer_hooks.ignore(self.optimizer)
        least_bytes = default_bucket_bytes(self._mixer.count) if bucket_mb is None else bucket_mb * 1e6
        self.buckets = make_buckets(self._runtime.entries, least_bytes, self._mixer.count)
        self._bucket_of = {id(entry.tensor): bucket for bucket in self.buckets for entry in bucket.entries}
        self._name_of = {id(entry.tensor): entry.name for entry in self._runtime.entries}
        self._buffers_under_way = False
        self._in_step = False
        self._end_queued = False
        self._handles: list[Any] = []
        self._entered: set[torch.nn.Module] = set()
        self._learned = False
        self._hook()

    def _check(self) -> None:
        options, mixer = self._runtime.options, self._mixer
        if not hasattr(torch.Tensor, "register_post_accumulate_grad_hook"):
            raise Error(f"optimizer_in_backward needs torch 2.1 or newer; this is {torch.__version__}", "SGP_ERR_UNSUPPORTED")
        for module in self._wrapper.modules():
            if type(module).__name__ == "OptimizedModule":
                raise Error(
                    "optimizer_in_backward works with an uncompiled model: leave out torch.compile", "SGP_ERR_UNSUPPORTED"
                )
        lock_step = options.algorithm in ("sgp", "dpsgd") and options.steps_late == 0
        if not lock_step or options.slow_every or options.outer_lr or options.graph == "random-uneven":
            raise Error(
                "optimizer_in_backward is for lock step: algorithm sgp or dpsgd, overlap 0, no slow momentum or outer steps, "
                "and a graph that keeps the weights at 1",
                "SGP_ERR_UNSUPPORTED",
            )
        if options.workers_per_node > 1:
            raise Error("optimizer_in_backward works with one worker per node", "SGP_ERR_UNSUPPORTED")
        if mixer.mode != "alias":
            raise Error(
                "optimizer_in_backward works with mode 'alias': a float32 model on the CPU", "SGP_ERR_UNSUPPORTED"
            )

    def _make_optimizer(self, given: Any) -> Optimizer:
        trained = [entry.tensor for entry in self._runtime.entries]
        optimizer = given if isinstance(given, Optimizer) else given(trained)
        if not isinstance(optimizer, Optimizer):
            raise Error(f"optimizer_in_backward: {type(optimizer).__name__} is no torch.optim.Optimizer")
        held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        for entry in self._runtime.entries:
            if id(entry.tensor) not in held:
                raise Error(f"optimizer_in_backward: the optimizer lacks {entry.name}; give it all trained parameters")
        if len(held) != len(trained):
            raise Error("optimizer_in_backward: the optimizer has tensors that are not trained parameters of the model")
        self._runtime.agree_optimizer(optimizer)
        return optimizer

    # ---- hooks ----

    def _hook(self) -> None:
        for entry in self._runtime.entries:
            self._handles.append(entry.tensor.register_post_accumulate_grad_hook(self._gradient_ready))
        module = self._wrapper.module
        self._module_handles = {
            inner: inner.register_forward_pre_hook(ModuleHook(self._module_entered))
            for inner in module.modules()
            if any(id(parameter) in self._bucket_of for parameter in inner.parameters())
        }
        self._waits: dict[torch.nn.Module, list[Bucket]] = {inner: self._own_buckets(inner) for inner in module.modules()}
        if hasattr(module, "register_state_dict_pre_hook"):
            self._handles.append(module.register_state_dict_pre_hook(ModuleHook(self._settle_before_state)))

    def _own_buckets(self, module: torch.nn.Module) -> list[Bucket]:
        found = {}
        for parameter in module._parameters.values():
            bucket = self._bucket_of.get(id(parameter))
            if bucket is not None:
                found[id(bucket)] = bucket
        return list(found.values())

    def _learn(self) -> None:
        """Some modules are never called, as their parent uses their parameters itself (attention does): the nearest module
        around them that is called waits for them."""
        self._learned = True
        root = self._wrapper.module
        self._at_start: list[Bucket] = []

        def visit(module: torch.nn.Module, around: torch.nn.Module | None) -> None:
            called = module in self._entered
            if not called and self._waits[module]:
                (self._waits[around] if around is not None else self._at_start).extend(self._waits[module])
            for child in module.children():
                visit(child, module if called else around)

        visit(root, None)
        for module in [module for module in self._module_handles if not self._waits[module]]:
            self._module_handles.pop(module).remove()

    def _module_entered(self, module: torch.nn.Module, _: Any) -> None:
        if not self._learned:
            self._entered.add(module)
        if in_backward_pass():
            # A checkpoint computes this module again, perhaps with a backward pass of its own inside the outer one, where
            # this still belongs to: the step ends with the outer one.
            self._queue_end()
        for bucket in self._waits[module]:
            self._await(bucket)

    def before_forward(self) -> None:
        """At the start of the wrapper's forward pass."""
        if _compiled():
            raise Error("optimizer_in_backward works with an uncompiled model: leave out torch.compile", "SGP_ERR_UNSUPPORTED")
        if not in_backward_pass():
            self._end_queued = False
            if self._in_step:
                raise Error(
                    "the last backward pass failed after its first buckets had been sent: with optimizer_in_backward a step "
                    "cannot be given up; start again from a checkpoint"
                )
        if self._learned:
            self._await_buffers()
            for bucket in self._at_start:
                self._await(bucket)
        else:
            self.settle()

    # ---- the step ----

    def _gradient_ready(self, parameter: torch.Tensor) -> None:
        if not self._wrapper.require_backward_grad_sync:
            return
        if not self._in_step:
            self._begin()
        bucket = self._bucket_of[id(parameter)]
        if bucket.under_way:
            raise Error(
                f"{self._name_of[id(parameter)]} was used in the forward pass while it was still being averaged: its module was "
                "not called. Call the module, or do without optimizer_in_backward"
            )
        bucket.left -= 1
        if bucket.left == 0:
            self._give(bucket)

    def _begin(self) -> None:
        if not self._learned and self._entered:
            self._learn()
        self._in_step = True
        for bucket in self.buckets:
            bucket.left = len(bucket.entries)
            bucket.given = False
        self._runtime.check_trained(self.optimizer)
        self._mixer.begin_parts()
        self._queue_end()

    def _queue_end(self) -> None:
        if not self._end_queued and self._wrapper.require_backward_grad_sync:
            self._end_queued = True
            torch.autograd.Variable._execution_engine.queue_callback(self._end)  # type: ignore[attr-defined]

    def _give(self, bucket: Bucket) -> None:
        self._step(bucket)
        bucket.given = bucket.under_way = True
        self._mixer.part(bucket.offset, bucket.count)

    def _step(self, bucket: Bucket) -> None:
        optimizer = self.optimizer
        groups = optimizer.param_groups
        chosen = bucket.groups(optimizer)
        parts = [{**groups[i], "params": parameters} for i, parameters in chosen]
        optimizer.param_groups = parts
        try:
            self._runtime.correct_moments(optimizer)
            self._real_step()
            self._runtime.moments.after_step()
        finally:
            optimizer.param_groups = groups
        for (i, parameters), part in zip(chosen, parts):
            groups[i].update({key: value for key, value in part.items() if key != "params"})
            for parameter in parameters:
                parameter.grad = None

    def _end(self) -> None:
        """The backward pass is over: parameters without a gradient leave as they are."""
        self._end_queued = False
        if not self._in_step:
            return
        for bucket in self.buckets:
            if not bucket.given:
                self._await(bucket)
                self._give(bucket)
        self._mixer.end_parts()
        self._buffers_under_way = True
        self._in_step = False

    def _await(self, bucket: Bucket) -> None:
        if bucket.under_way and not self._in_step:
            self._mixer.wait_part(bucket.offset, bucket.count)
            bucket.under_way = False

    def _await_buffers(self) -> None:
        if self._buffers_under_way:
            self._buffers_under_way = False
            self._mixer.await_buffers()

    def settle(self) -> None:
        """Until all parameters and buffers are as after the step."""
        self._await_buffers()
        for bucket in self.buckets:
            self._await(bucket)

    def _settle_before_state(self, *_: Any) -> None:
        self.settle()

    def close(self) -> None:
        self.settle()
        for handle in (*self._handles, *self._module_handles.values()):
            handle.remove()
        del self.optimizer.step  # type: ignore[method-assign]

