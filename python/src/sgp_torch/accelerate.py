# SPDX-License-Identifier: Apache-2.0
"""Hugging Face Accelerate, and the Trainer of transformers.

Accelerate: one line after the accelerator is made, then the script stays as it is::

    accelerator = Accelerator()
    sgp_torch.accelerate.enable(accelerator, graph="exponential")
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

The Trainer, or a class derived from it: ``class Trainer(SGPTrainerMixin, transformers.Trainer): pass``.

Neither package is imported here: an accelerator, or a Trainer, comes from the caller.
"""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Iterator
from typing import Any

import torch

import sgp_torch as sgp
from sgp_torch.options import collect

__all__ = ["enable", "SGPTrainerMixin"]


def enable(accelerator: Any, **options: Any) -> Any:
    """Makes ``accelerator.prepare`` wrap with :class:`sgp_torch.DistributedDataParallel`. Returns the accelerator.

    options: those of the wrapper. Call it before ``prepare``, on every process. Then

    - ``unwrap_model``, ``no_sync``, ``accumulate``, ``clip_grad_norm_`` and ``backward`` work as with DDP;
    - ``save_state`` stores the exact mean over the nodes, as model, with the optimizer of the main process;
      ``load_state`` gives it to every node. All processes call them, as Accelerate asks for;
    - ``save_model`` and ``get_state_dict`` store the caller's own parameters: call them within ``model.averaged()``,
      which all processes enter.

    ``isinstance(model, torch.nn.parallel.DistributedDataParallel)`` is true afterwards, which is how Accelerate and
    torch.distributed.checkpoint recognise a wrapper.

    Error: the accelerator's processes are not the nodes of the group, or it shards or wraps models in a way of its own
    (FSDP, DeepSpeed, ...), or has a communication hook.
    """
    if getattr(accelerator, "_sgp_options", None) is not None:
        raise sgp.Error("sgp_torch.accelerate.enable was called twice for this accelerator")
    check_options(options)
    kind = getattr(accelerator.distributed_type, "value", str(accelerator.distributed_type))
    if kind not in ("NO", "MULTI_CPU") and not (kind.startswith("MULTI_") and accelerator.multi_device):
        raise sgp.Error(f"the accelerator's distributed type is {kind}: sgp_torch needs plain data parallelism")
    if getattr(accelerator, "parallelism_config", None) is not None and accelerator.parallelism_config.total_size > 1:
        raise sgp.Error("the accelerator has a parallelism_config: sgp_torch needs plain data parallelism")
    handler = accelerator.ddp_handler
    if handler is not None and getattr(handler.comm_hook, "value", "no") != "no":
        raise sgp.Error(f"the accelerator has the communication hook {handler.comm_hook}: sgp_torch reduces no gradients")
    if (sgp.rank(), sgp.size()) != (accelerator.process_index, accelerator.num_processes):
        raise sgp.Error(
            f"this process is node {sgp.rank()} of {sgp.size()}, but process {accelerator.process_index} of"
            f" {accelerator.num_processes} for Accelerate: start both by torchrun, accelerate launch or python -m"
            " sgp_torch.run, and on CPUs make it Accelerator(cpu=True)"
        )
    # torch's class is an abstract base class (by Joinable), so a wrapper can count as one without inheriting from it.
    torch.nn.parallel.DistributedDataParallel.register(sgp.DistributedDataParallel)

    prepare_model = accelerator.prepare_model

    def prepare(self: Any, model: torch.nn.Module, device_placement: bool | None = None, evaluation_mode: bool = False) -> Any:
        if getattr(model, "_is_accelerate_prepared", False):
            return prepare_model(model, device_placement, evaluation_mode)
        # Places the model, and adds mixed precision and compilation, but no wrapper.
        prepared = prepare_model(model, device_placement, evaluation_mode=True)
        if evaluation_mode or not any(parameter.requires_grad for parameter in model.parameters()):
            return prepared
        device_ids = None if self.device.type == "cpu" else [self.local_process_index]
        wrapper = sgp.DistributedDataParallel(prepared, device_ids=device_ids, **options)
        wrapper._is_accelerate_prepared = True  # type: ignore[assignment]
        for i, known in enumerate(self._models):
            if known is model or known is prepared:
                self._models[i] = wrapper
        return wrapper

    accelerator.prepare_model = types.MethodType(prepare, accelerator)
    accelerator.trigger_sync_in_backward = _trigger_sync_in_backward
    accelerator.register_save_state_pre_hook(_save_the_mean)
    accelerator._sgp_options = options
    return accelerator


@contextlib.contextmanager
def _trigger_sync_in_backward(model: Any) -> Iterator[None]:
    """Accelerate's of this name calls torch's reducer. Inside, a backward pass is the last one before a step."""
    if not isinstance(model, sgp.DistributedDataParallel):
        yield
        return
    before, model.require_backward_grad_sync = model.require_backward_grad_sync, True
    try:
        yield
    finally:
        model.require_backward_grad_sync = before


def _save_the_mean(models: list[torch.nn.Module], weights: list[dict[str, Any]], _directory: str) -> None:
    for i, model in enumerate(models):
        if isinstance(model, sgp.DistributedDataParallel) and i < len(weights):
            with model.averaged():
                weights[i] = copy_state(model.state_dict())


def check_options(options: dict[str, Any]) -> None:
    """Error: an option of the wrapper is unknown or out of range. The wrapper says so too, but in the middle of a run."""
    known = inspect.signature(sgp.DistributedDataParallel).parameters
    collect({name: value for name, value in options.items() if name not in known})


def copy_state(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict of copies. Entries that share memory (tied weights) share it in the copy too."""
    copies: dict[Any, torch.Tensor] = {}
    result: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            key = (value.device, value.data_ptr(), value.shape, value.stride(), value.dtype)
            if value.numel() == 0 or key not in copies:
                copies[key] = value.detach().clone()
            value = copies[key]
        result[name] = value
    return result


class SGPTrainerMixin:
    """For a class that derives from ``transformers.Trainer`` too, in front of it. All its arguments stay; one is new:

    sgp_options: options of :class:`sgp_torch.DistributedDataParallel`, as a dict (None: the defaults).

    ``save_model``, checkpoints, ``evaluate`` and ``predict`` use the exact mean over the nodes, and ``train`` leaves it
    in the model. All processes call these methods, as in any distributed run of the Trainer.
    """

    def __init__(self, *args: Any, sgp_options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self._sgp_options = dict(sgp_options or {})
        super().__init__(*args, **kwargs)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        for base in cls.__mro__[: cls.__mro__.index(SGPTrainerMixin)]:
            if base.__module__ == "transformers.trainer":
                raise sgp.Error(f"{cls.__name__}: SGPTrainerMixin comes in front of transformers.{base.__name__}")

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()  # type: ignore[misc]
        enable(self.accelerator, **self._sgp_options)  # type: ignore[attr-defined]

    @property
    def _sgp_wrapper(self) -> sgp.DistributedDataParallel | None:
        wrapped = getattr(self, "model_wrapped", None)
        return wrapped if isinstance(wrapped, sgp.DistributedDataParallel) else None

    @contextlib.contextmanager
    def _sgp_mean(self) -> Iterator[None]:
        wrapper = self._sgp_wrapper
        if wrapper is None or getattr(self, "_sgp_in_mean", False):
            yield
            return
        with wrapper.averaged():
            self._sgp_in_mean = True
            try:
                yield
            finally:
                self._sgp_in_mean = False

    def train(self, *args: Any, **kwargs: Any) -> Any:
        result = super().train(*args, **kwargs)  # type: ignore[misc]
        if self._sgp_wrapper is not None:
            self._sgp_wrapper.average_()
        return result

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        with self._sgp_mean():
            return super().evaluate(*args, **kwargs)  # type: ignore[misc]

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        with self._sgp_mean():
            return super().predict(*args, **kwargs)  # type: ignore[misc]

    def save_model(self, *args: Any, **kwargs: Any) -> None:
        with self._sgp_mean():
            super().save_model(*args, **kwargs)  # type: ignore[misc]
