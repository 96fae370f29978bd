# SPDX-License-Identifier: Apache-2.0
"""Tells listeners when an optimizer steps, or when a GradScaler lets it skip a step.

torch 2 has hooks for this, but 1.13 does not, and some versions of torch.compile take them off. So the `step` of each class of
optimizers is wrapped, once per process; without a listener the wrapper only calls it.
"""

from __future__ import annotations

import functools
import gc
import sys
import threading
import types
import weakref
from typing import Any, Callable, Protocol, TypeVar

import torch
from torch.optim import Optimizer

from .errors import Error

F = TypeVar("F", bound=Callable[..., Any])


class Listener(Protocol):
    def concerns(self, optimizer: Optimizer) -> bool: ...

    def before_step(self, optimizer: Optimizer) -> None: ...

    def after_step(self, optimizer: Optimizer) -> None: ...


class _Stepping(threading.local):
    def __init__(self) -> None:
        self.optimizer: Optimizer | None = None  # the outermost one: an optimizer may call others
        self.skipped = False


_listeners: tuple[weakref.ref[Any], ...] = ()  # replaced as a whole, so that another thread may read it
_lock = threading.Lock()
_stepping = _Stepping()
_steps: weakref.WeakKeyDictionary[Optimizer, int] = weakref.WeakKeyDictionary()
_silent: weakref.WeakSet[Optimizer] = weakref.WeakSet()
_scaler_active = False


def eager(function: F) -> F:
    """Keeps torch.compile out of a function, without loading the compiler where nobody compiles."""
    outside: list[Any] = []

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        compiler = sys.modules.get("torch._dynamo")
        if compiler is None or not hasattr(compiler, "disable"):
            return function(*arguments, **keywords)
        if not outside:
            outside.append(compiler.disable(function))
        return outside[0](*arguments, **keywords)

    call._torchdynamo_disable = True  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


def listen(listener: Listener) -> None:
    """From now on the listener hears of the steps of all optimizers; for as long as it lives."""
    install()
    _replace(listener, (weakref.ref(listener),))


def stop(listener: Listener) -> None:
    _replace(listener, ())


def _replace(listener: Listener, by: tuple[weakref.ref[Any], ...]) -> None:
    global _listeners
    with _lock:
        _listeners = (*(known for known in _listeners if known() not in (None, listener)), *by)


def listeners() -> list[Any]:
    """Those that hear of steps now."""
    return [listener for listener in (known() for known in _listeners) if listener is not None]


def ignore(optimizer: Optimizer) -> None:
    """No listener hears of this optimizer."""
    _silent.add(optimizer)


def stepping() -> bool:
    """Whether this thread is inside the step of an optimizer that a listener hears of."""
    return _stepping.optimizer is not None


def skipped() -> bool:
    """Whether the step that listeners hear of now is none: a GradScaler has skipped it on this node."""
    return _stepping.skipped


def scaler_active() -> bool:
    """Whether a GradScaler has scaled a loss in this process."""
    return _scaler_active


def _delegates(optimizer: Any) -> bool:
    """Wrappers such as Accelerate's, whose step may or may not call that of the optimizer inside."""
    return isinstance(getattr(optimizer, "optimizer", None), Optimizer)


@eager
def _concerned(optimizer: Optimizer) -> list[Listener]:
    if _stepping.optimizer is not None or _delegates(optimizer) or optimizer in _silent:
        return []
    return [listener for listener in listeners() if listener.concerns(optimizer)]


class _Step:
    """One step of an optimizer that listeners hear of. With a closure, which computes the gradient, they hear of the
    beginning when it has run: until then what travels may go on."""

    def __init__(self, optimizer: Optimizer, listeners: list[Listener], skipped: bool = False) -> None:
        self._optimizer = optimizer
        self._listeners = listeners
        self._begun = False
        _stepping.optimizer = optimizer
        _stepping.skipped = skipped

    @eager
    def begin(self) -> None:
        if not self._begun:
            self._begun = True
            for listener in self._listeners:
                listener.before_step(self._optimizer)

    @eager
    def end(self) -> None:
        self.begin()
        _stepping.optimizer = None
        _steps[self._optimizer] = _steps.get(self._optimizer, 0) + 1
        for listener in self._listeners:
            listener.after_step(self._optimizer)

    @eager
    def fail(self) -> None:
        _stepping.optimizer = None

    def observed_closure(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        @functools.wraps(closure)
        def observed() -> Any:
            result = closure()
            self.begin()
            return result

        return observed


def _observed(step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    def observed(self: Optimizer, *arguments: Any, **keywords: Any) -> Any:
        listeners = _concerned(self) if _listeners else []
        if not listeners:
            return step(self, *arguments, **keywords)
        this = _Step(self, listeners)
        try:
            if arguments and callable(arguments[0]):
                arguments = (this.observed_closure(arguments[0]), *arguments[1:])
            elif callable(keywords.get("closure")):
                keywords = {**keywords, "closure": this.observed_closure(keywords["closure"])}
            else:
                this.begin()
            result = step(self, *arguments, **keywords)
        except BaseException:
            this.fail()
            raise
        this.end()
        return result

    # torch.compile takes a step that is marked as hooked apart by this attribute.
    del observed.__wrapped__  # type: ignore[attr-defined]
    observed._sgp_observed = True  # type: ignore[attr-defined]
    return observed


def _observe_class(kind: type[Optimizer]) -> bool:
    """Whether its step had not been wrapped."""
    step = kind.__dict__.get("step")
    if step is None or getattr(step, "_sgp_observed", False):
        return False
    kind.step = _observed(step)  # type: ignore[method-assign]
    return True


def _observe_instances() -> None:
    """A scheduler replaces the step of its optimizer by one that calls what the class had at that time."""
    for candidate in gc.get_objects():
        if not issubclass(type(candidate), Optimizer):
            continue
        step = candidate.__dict__.get("step")
        if step is None or getattr(step, "_sgp_observed", False):
            continue

        def call(self: Optimizer, *arguments: Any, _step: Any = step, **keywords: Any) -> Any:
            return _step(*arguments, **keywords)

        functools.update_wrapper(call, step)
        candidate.step = types.MethodType(_observed(call), candidate)


def _observe_later_classes() -> None:
    def init_subclass(cls: type[Optimizer], **keywords: Any) -> None:
        super(Optimizer, cls).__init_subclass__(**keywords)
        _observe_class(cls)

    Optimizer.__init_subclass__ = classmethod(init_subclass)  # type: ignore[assignment, arg-type]


def _all_classes(kind: type[Optimizer]) -> list[type[Optimizer]]:
    below = [sub for child in kind.__subclasses__() for sub in _all_classes(child)]
    return [kind, *below]


def _scaler_class() -> Any:
    module = getattr(torch, "amp", None)
    scaler = getattr(module, "GradScaler", None)
    return scaler or torch.cuda.amp.GradScaler


def _observe_scaler() -> None:
    """A scaler skips the step of this node alone when a gradient overflows. The exchange takes place all the same: the
    other nodes count on it."""
    kind = _scaler_class()
    step, scale = kind.step, kind.scale

    @functools.wraps(step)
    def observed_step(self: Any, optimizer: Optimizer, *arguments: Any, **keywords: Any) -> Any:
        inner = optimizer.optimizer if _delegates(optimizer) else optimizer  # type: ignore[attr-defined]
        if inner in _silent:
            raise Error(
                "a GradScaler cannot be used with optimizer_in_backward: the optimizer runs before the scaler has seen all "
                "gradients. Leave out one of the two"
            )
        before = _steps.get(inner, 0)
        result = step(self, optimizer, *arguments, **keywords)
        listeners = _concerned(inner) if _listeners and _steps.get(inner, 0) == before else []
        if listeners:
            _Step(inner, listeners, skipped=True).end()
        return result

    @functools.wraps(scale)
    def observed_scale(self: Any, outputs: Any) -> Any:
        global _scaler_active
        _scaler_active = _scaler_active or self.is_enabled()
        return scale(self, outputs)

    kind.step, kind.scale = observed_step, observed_scale


_installed = False


def install() -> None:
    """Wraps what exists now; and once, what comes later. Instances that a scheduler has patched before are found, too: only
    where there is a class whose step was not wrapped until now, as the search takes tens of milliseconds."""
    global _installed
    new = [_observe_class(kind) for kind in _all_classes(Optimizer)[1:]]
    if any(new):
        _observe_instances()
    if not _installed:
        _installed = True
        _observe_later_classes()
        _observe_scaler()
