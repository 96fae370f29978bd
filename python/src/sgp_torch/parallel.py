# SPDX-License-Identifier: Apache-2.0
"""DistributedDataParallel: the wrapper that stands in place of torch's.

It averages parameters after an optimizer's step, not gradients before it. So it does not take part in the backward pass (but
for algorithm="allreduce" and several workers per node), and an optimizer's step is where the nodes exchange.
"""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

import torch
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from . import layout, optimizer_hooks, options as options_
from .errors import Error
from .gradients import GradientAverager, moved
from .group import Group, check_elastic, check_group, default_group
from .layout import Entry
from .mixer import Mixer, check_newcomers
from .module_hook import ModuleHook
from .moments import SecondMoments

_BROADCAST_BYTES = 32 << 20


def _parameters(module: torch.nn.Module) -> list[Entry]:
    """The parameters that are trained, each once, in the order of the modules."""
    seen, entries = set(), []
    for prefix, owner in module.named_modules():
        for leaf, parameter in owner._parameters.items():
            if parameter is None or not parameter.requires_grad or id(parameter) in seen:
                continue
            seen.add(id(parameter))
            name = f"{prefix}.{leaf}" if prefix else leaf
            entries.append(Entry(name, parameter, owner._parameters, leaf))  # type: ignore[arg-type]
    return entries


def _statistics(module: torch.nn.Module) -> list[Entry]:
    """Running statistics of norms. Other buffers (masks, counters, tables) are this node's own."""
    seen, entries = set(), []
    for prefix, owner in module.named_modules():
        if not isinstance(owner, _NormBase):
            continue
        for leaf in ("running_mean", "running_var"):
            buffer = owner._buffers.get(leaf)
            if buffer is None or id(buffer) in seen:
                continue
            seen.add(id(buffer))
            entries.append(Entry(f"{prefix}.{leaf}" if prefix else leaf, buffer, owner._buffers, leaf))
    return entries


@torch.no_grad()
def broadcast_state(module: torch.nn.Module, group: Group) -> None:
    """All parameters and buffers become those of node 0. Tensors travel together, so many small ones are cheap."""
    if group.size == 1:
        return
    batch: list[torch.Tensor] = []
    collected = 0  # bytes
    for tensor in (*module.parameters(), *module.buffers()):
        batch.append(tensor)
        collected += tensor.numel() * tensor.element_size()
        if collected >= _BROADCAST_BYTES:
            _broadcast_batch(batch, group)
            batch, collected = [], 0
    _broadcast_batch(batch, group)


def _broadcast_batch(tensors: Sequence[torch.Tensor], group: Group) -> None:
    tensors = [tensor for tensor in tensors if tensor.numel()]
    if not tensors:
        return
    parts = [tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8) for tensor in tensors]
    together = torch.cat(parts)
    group.broadcast(together)
    for tensor, received in zip(tensors, together.split([part.numel() for part in parts])):
        values = received.clone().view(tensor.dtype).reshape(tensor.shape)
        tensor.detach().copy_(values)


def _optimizer_lines(optimizer: Optimizer, names: Mapping[int, str]) -> list[str]:
    """What must be the same on every node: the class, the parameters of each group, and all settings but learning rates."""
    lines = [f"the optimizer {type(optimizer).__name__}"]
    for i, group in enumerate(optimizer.param_groups):
        settings = [(k, v) for k, v in sorted(group.items()) if isinstance(v, (bool, int, float, str, tuple)) and "lr" not in k]
        held = [names.get(id(parameter), "a tensor from elsewhere") for parameter in group["params"]]
        lines.extend(f"{key}={value!r} in parameter group {i}" for key, value in settings)
        lines.extend(f"{name} in place {k} of parameter group {i}" for k, name in enumerate(held))
    return lines


class DistributedDataParallel(torch.nn.Module):
    """Trains a module on all nodes of a group, by Stochastic Gradient Push in place of an all-reduce.

        model = sgp_torch.DistributedDataParallel(model)

    Nothing else changes: create the optimizer before or after. Whenever all parameters have been stepped, by one optimizer
    or several, this node pushes them to its peers of this step, and absorbs what arrives. Every node makes the same steps.
    An optimizer of a part of the parameters leads to an exchange at the next forward pass in training mode.

    All nodes start with the parameters and buffers of node 0. Running statistics of batch norms are averaged with the
    parameters; other buffers are not.

    Args:
        module: on its device, with its final dtype, layout and set of trained parameters.
        device_ids: as in torch's: inputs are moved to device_ids[0].
        init_sync: False: the nodes start with their own values; they are averaged from then on.
        group: nodes; default: the group of the process.
        optimizer_in_backward: an optimizer, or a function that makes one of parameters: it runs during the backward pass,
            bucket by bucket, and each bucket leaves at once. See sgp_torch.backward.
        bucket_mb: the least size of such a bucket in MB; default: a twentieth of the model, between 1 and 4.
        algorithm, graph, peers, overlap, encoding, local_steps, slow_momentum, slow_every, mode, workers_per_node, timeout,
            seed, second_moment, elastic, rounds, outer_lr, outer_momentum: see sgp_torch.options.Options. The environment gives
            defaults, SGP_TORCH_ALGORITHM and so on.
        Other keywords of torch's class are accepted: they concern the all-reduce of gradients, and have no effect here.

    Raises:
        Error: the module or the options differ between nodes, or cannot be averaged. The text says what to do.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        device_ids: Sequence[int | torch.device] | None = None,
        output_device: int | torch.device | None = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        delay_all_reduce_named_params: Any = None,
        param_to_hook_all_reduce: Any = None,
        mixed_precision: Any = None,
        device_mesh: Any = None,
        skip_all_reduce_unused_params: bool = False,
        *,
        group: Group | None = None,
        optimizer_in_backward: Optimizer | Callable[..., Optimizer] | None = None,
        bucket_mb: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        _check_module(module)
        _check_unsupported(process_group=process_group, mixed_precision=mixed_precision, device_mesh=device_mesh)
        check_group(group)
        if bucket_mb is not None and not bucket_mb > 0:
            raise Error(f"bucket_mb={bucket_mb!r}: must be more than 0")
        self.module = module
        self.device = _device(device_ids)
        self.require_backward_grad_sync = True
        self.require_forward_param_sync = True
        self._runtime: Any = None
        collected = options_.collect(options, others=_OTHER_NAMES)
        _check_exact(collected)
        chosen = group or default_group(collected.elastic)
        check_elastic(chosen, collected)
        self._start(chosen, collected, init_sync, optimizer_in_backward, bucket_mb)

    def _start(
        self, group: Group, options: options_.Options, init_sync: bool, in_backward: Any, bucket_mb: float | None
    ) -> None:
        check_newcomers(group, options)
        entries, buffers = _parameters(self.module), _statistics(self.module)
        state = _state(self.module)
        _check_state(entries, buffers, state, init_sync)
        _check_device(entries, self.device)
        _check_not_shared(entries)
        if options.mode == "auto" and layout.shares_memory(entries, state):
            options.mode = "delta"  # an alias would end the sharing
        tensors = layout.describe(state, {id(entry.tensor) for entry in entries})
        ways = [f"init_sync={init_sync}", f"{'an' if in_backward is not None else 'no'} optimizer_in_backward"]
        layout.agree(group, [*options.describe(), *ways, *tensors], "model and options")
        own = _own_state(state, (*entries, *buffers)) if init_sync else []
        if group.arrivals is not None and group.arrivals.entering:
            group.arrivals.fetch(_most_bytes(state))
            _load_own_state(own, group.arrivals.take("module"))
        elif init_sync:
            broadcast_state(self.module, group)
        self._runtime = _Runtime(self, entries, buffers, group, options)
        self._runtime.own = own
        self.optimizer: Optimizer | None = None
        if in_backward is not None:
            from .backward import OptimizerInBackward

            self._runtime.in_backward = OptimizerInBackward(self, in_backward, bucket_mb)
            self.optimizer = self._runtime.in_backward.optimizer
        self._runtime.mixer.enter(in_backward is not None)

    # ---- the module ----

    def forward(self, *inputs: Any, **keywords: Any) -> Any:
        runtime = self._runtime
        if runtime is not None and runtime.pending and self.training and torch.is_grad_enabled():
            runtime.before_forward()
        if runtime is not None and runtime.in_backward is not None:
            runtime.in_backward.before_forward()
        if self.device is not None:
            inputs, keywords = moved(inputs, self.device), moved(keywords, self.device)
        return self.module(*inputs, **keywords)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, gradients accumulate: nothing is exchanged until an optimizer steps, with or without this. It matters for
        algorithm="allreduce", several workers per node, and optimizer_in_backward, which act when a backward pass ends."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    def load_state_dict(self, state_dict: Mapping[str, Any], *arguments: Any, **keywords: Any) -> Any:
        """As torch's; the names may have the prefix "module." or not."""
        if not any(name.startswith("module.") for name in state_dict):
            state_dict = {f"module.{name}": value for name, value in state_dict.items()}
        return super().load_state_dict(state_dict, *arguments, **keywords)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles have the module and no part in the group: wrap their module to train them."""
        self._settle()
        state = self.__dict__.copy()
        state["_runtime"] = None
        state["optimizer"] = None
        return state

    # ---- the nodes ----

    @property
    def mixer(self) -> Mixer:
        """The mixer of the parameters. Error: this is a copy, or it has been closed."""
        if self._runtime is None:
            raise Error("this wrapper takes no part in a group (it is a copy, was loaded, or was closed): wrap its .module")
        mixer: Mixer = self._runtime.mixer
        return mixer

    @contextlib.contextmanager
    def averaged(self) -> Iterator[DistributedDataParallel]:
        """Inside, the model has the exact mean of all nodes' parameters and running statistics: for evaluating and saving.
        After it, this node's own again. Every node enters it after the same step; it waits for all of them."""
        self._settle()
        with self.mixer.averaged():
            yield self

    def average_(self) -> None:
        """The model becomes the exact mean of all nodes'. Every node calls it after the same step; it waits for all."""
        self._settle()
        self.mixer.average_()

    def consensus(self) -> dict[str, float]:
        """How far the nodes are apart: w_total, drift, distance (Mixer.consensus). Every node calls it; it waits for all."""
        self._settle()
        return self.mixer.consensus()

    @property
    def steps(self) -> int:
        """Exchanges so far, from the start of the run: a newcomer counts those before it (Mixer.steps)."""
        return self.mixer.steps

    def statistics(self) -> dict[str, float]:
        """Counters and times of this node's exchanges (Mixer.statistics)."""
        return self.mixer.statistics()

    def mixer_state_dict(self) -> dict[str, Any]:
        """The mixer's state, for a resume with the same bits, beside the states of model and optimizer. Every node calls it
        after the same step, and saves its own."""
        self._settle()
        return self.mixer.state_dict()

    def load_mixer_state_dict(self, state: Mapping[str, Any]) -> None:
        """Into a wrapper of the same model and options on the same node, before the first step, on every node. Load the
        model before."""
        self.mixer.load_state_dict(state)

    def close(self) -> None:
        """Takes no more part in the exchanges. The module keeps its values, and can be wrapped again."""
        if self._runtime is not None:
            self._settle()
            self._runtime.close()
            self._runtime = None

    def _settle(self) -> None:
        if self._runtime is not None:
            self._runtime.settle()

    def extra_repr(self) -> str:
        return "" if self._runtime is None else self._runtime.describe()


_OTHER_NAMES = ("group", "optimizer_in_backward", "bucket_mb", "init_sync", "device_ids", "find_unused_parameters")


def _device(device_ids: Sequence[int | torch.device] | None) -> torch.device | None:
    """Where inputs go."""
    if not device_ids:
        return None
    if len(device_ids) > 1:
        raise Error(
            f"device_ids={list(device_ids)}: one device for each process; leave it out if the model lies on several"
        )
    first = device_ids[0]
    return torch.device("cuda", first) if isinstance(first, int) else torch.device(first)


def _check_device(entries: list[Entry], device: torch.device | None) -> None:
    """device: where device_ids sends the inputs."""
    if device is None:
        return
    for entry in entries:
        found = entry.tensor.device
        if found.type != device.type or device.index not in (None, found.index):
            raise Error(
                f"device_ids sends the inputs to {device}, but {entry.name} is on {found}: move the model there before "
                "wrapping, or leave device_ids out"
            )


def _check_exact(options: options_.Options) -> None:
    """Exact averages of gradients have no use for these options; a user who sets them expects something else."""
    if not options.averages_gradients:
        return
    for name, neutral in (("overlap", (None, 0)), ("local_steps", (1,)), ("slow_every", (0,)), ("rounds", (1,))):
        value = getattr(options, name)
        if value not in neutral:
            raise Error(f"{name}={value!r}: algorithm='allreduce' averages every gradient and has no use for it; leave it out")


def _state(module: torch.nn.Module) -> list[Entry]:
    """All parameters and buffers, each once."""
    return [Entry(name, tensor) for name, tensor in (*module.named_parameters(), *module.named_buffers())]


def _own_state(state: Sequence[Entry], averaged: Sequence[Entry]) -> list[Entry]:
    """What is not averaged: frozen parameters, masks, counters."""
    names = {id(entry.tensor) for entry in averaged}
    return [entry for entry in state if id(entry.tensor) not in names]


def _most_bytes(state: Sequence[Entry]) -> int:
    """Of the snapshot of a node: an optimizer's state is a few times the model."""
    return (64 << 20) + 16 * sum(8 * entry.count for entry in state)


@torch.no_grad()
def _load_own_state(own: Sequence[Entry], received: Any) -> None:
    for entry in own:
        value = received.get(entry.name) if isinstance(received, dict) else None
        tensor = entry.tensor.detach()
        if not isinstance(value, torch.Tensor) or value.shape != tensor.shape or value.dtype != tensor.dtype:
            raise Error(f"the state of the sponsor has no {entry.name} of this shape and dtype", "SGP_ERR_MISMATCH")
        tensor.copy_(value)


def _check_state(entries: list[Entry], buffers: list[Entry], state: list[Entry], init_sync: bool) -> None:
    """Raises the Error of a model that cannot be trained by several nodes."""
    if not entries:
        raise Error("the model has no trained parameter (requires_grad): there is nothing to average")
    averaged = set()
    for entry in (*entries, *buffers):
        layout.check_tensor(entry.name, entry.tensor)
        averaged.add(id(entry.tensor))
    for entry in state:
        if id(entry.tensor) not in averaged:
            layout.check_local(entry.name, entry.tensor, init_sync)
    layout.check_overlaps(entries)


def _check_unsupported(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise Error(
                f"{name} is of torch.distributed, and this wrapper has groups of its own: leave it out"
                + (", or give group=sgp_torch.Group(...)" if name == "process_group" else "")
            )


_TORCHS = ("DistributedDataParallel", "FullyShardedDataParallel", "DataParallel")


def _check_module(module: torch.nn.Module) -> None:
    if not isinstance(module, torch.nn.Module):
        raise Error(f"the model is a {type(module).__name__}: must be a torch.nn.Module")
    for name, inner in module.named_modules():
        what = f"the submodule {name}" if name else "the model"
        if isinstance(inner, DistributedDataParallel):
            raise Error(f"{what} is wrapped already: use that wrapper, or close() it before you wrap its .module again")
        if type(inner).__name__ in _TORCHS and type(inner).__module__.startswith("torch."):
            raise Error(f"{what} is a {type(inner).__name__} of torch: wrap its .module instead")


def _check_not_shared(entries: list[Entry]) -> None:
    """A parameter has one mixer: two would each take it for theirs."""
    found = _wrapped_parameter(entries)
    if found is not None:
        gc.collect()  # a wrapper that was dropped may live on in a cycle
        found = _wrapped_parameter(entries)
    if found is not None:
        raise Error(
            f"{found} belongs to a wrapper already, and a parameter can have one: wrap the whole model, or its parts, but not "
            "both; close() the other wrapper to wrap again"
        )


def _wrapped_parameter(entries: list[Entry]) -> str | None:
    for runtime in optimizer_hooks.listeners():
        for entry in entries:
            if runtime.has(entry.tensor):
                return entry.name
    return None


def _load_optimizer(optimizer: Optimizer, state: Any) -> None:
    if state is None:
        return
    try:
        optimizer.load_state_dict(state)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Error(f"the optimizer does not take the state of the sponsor's: {error}", "SGP_ERR_MISMATCH") from None


class _Runtime:
    """What a wrapper needs to take part: its mixer, and the steps of the optimizers that concern it."""

    def __init__(
        self,
        wrapper: DistributedDataParallel,
        entries: list[Entry],
        buffers: list[Entry],
        group: Group,
        options: options_.Options,
    ) -> None:
        self._wrapper = weakref.ref(wrapper)
        self.group = group
        self.options = options
        self.entries = entries
        self.pending = False  # parameters have been stepped, and the exchange waits for the others
        self.in_backward: Any = None
        self.own: list[Entry] = []  # not averaged; node 0's at the start
        self._averager: GradientAverager | None = None
        self._covered: set[int] = set()
        self._known: weakref.WeakKeyDictionary[Optimizer, tuple[int, frozenset[int]]] = weakref.WeakKeyDictionary()
        self._agreed: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self._optimizers: list[weakref.ref[Optimizer]] = []  # as they were agreed on
        arrivals = group.arrivals
        self._states: list[Any] = (arrivals and arrivals.take("optimizers")) or []  # of a newcomer's sponsor
        self._open(entries, buffers)
        if arrivals is not None:
            arrivals.give(self._snapshot)
            arrivals.at_meetings(self._count_nodes)
        self._identify()
        self._hook = self._before_load(wrapper.module)
        optimizer_hooks.listen(self)

    def has(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor is averaged here."""
        return id(tensor) in self._trained

    def _open(self, entries: list[Entry], buffers: list[Entry]) -> None:
        options, group = self.options, self.group
        nodes, workers = group, None
        if options.workers_per_node > 1:
            nodes, workers = group.split(options.workers_per_node)
        kind = options
        if options.averages_gradients:  # the parameters stay the same on all nodes; the mixer serves for averages alone
            encoding = "float32" if options.encoding in options_.BLOCK_ENCODINGS else options.encoding
            changed = {"algorithm": "sgp", "overlap": 0, "local_steps": 1, "rounds": 1, "encoding": encoding}
            kind = options_.Options(**{**vars(options), **changed})
        self.mixer = Mixer.of_entries(entries, buffers, nodes, kind, workers)
        own = options.algorithm == "allreduce" or options.second_moment == "local"
        self.moments = SecondMoments(1 if own else nodes.size)
        if options.averages_gradients and group.size > 1:
            self._averager = GradientAverager(entries, buffers, self.mixer.length, group, options)
        elif workers is not None and workers.size > 1:
            apart = workers.duplicate() if self.mixer.late else workers
            exact = options_.Options(timeout=options.timeout)  # workers have the same gradients to the bit, whatever nodes send
            self._averager = GradientAverager(entries, (), self.mixer.count, apart, exact)
        if self._averager:
            wrapper = self._wrapper  # not the runtime, which must be able to end: parameters hold the averager by its hooks
            self._averager.enabled = lambda: getattr(wrapper(), "require_backward_grad_sync", False)

    def _count_nodes(self, there: list[int]) -> None:
        if self.options.second_moment == "mean":
            self.moments.nodes = len(there)

    def _before_load(self, module: torch.nn.Module) -> Any:
        """Values that are loaded are no business of messages under way."""
        return module._register_load_state_dict_pre_hook(ModuleHook(self._quiet_before_load))

    def _quiet_before_load(self, *_: Any) -> None:
        self.quiet()

    def _identify(self) -> None:
        self._names = {id(entry.tensor): entry.name for entry in self.entries}
        self._trained = frozenset(self._names)
        self._known.clear()

    # ---- what optimizer_hooks calls ----

    def concerns(self, optimizer: Optimizer) -> bool:
        return bool(self._of(optimizer))

    def _of(self, optimizer: Optimizer) -> frozenset[int]:
        """Which of the parameters the optimizer has."""
        size = sum(len(group["params"]) for group in optimizer.param_groups)
        known = self._known.get(optimizer)
        if known is None or known[0] != size:
            held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
            known = (size, self._trained & held)
            replaced = [] if known[1] else [entry for entry in self.entries if entry.is_replaced()]
            if replaced:
                for entry in replaced:
                    entry.refresh()
                self._identify()
                known = (size, self._trained & held)
            self._known[optimizer] = known
        return known[1]

    def before_step(self, optimizer: Optimizer) -> None:
        if self.in_backward is not None:
            raise Error(
                "parameters of a model with optimizer_in_backward are stepped by another optimizer: use model.optimizer alone"
            )
        self.check_trained(optimizer)
        if self.mixer.begin_update():
            self._identify()
        self.agree_optimizer(optimizer)
        if not optimizer_hooks.skipped():
            self.correct_moments(optimizer)

    def correct_moments(self, optimizer: Optimizer) -> None:
        """Before each step of the optimizer."""
        self.moments.before_step(optimizer, self._trained)

    def agree_optimizer(self, optimizer: Optimizer) -> None:
        """Once for each optimizer: it is the same on all nodes. A newcomer's gets the state of its sponsor's."""
        if optimizer in self._agreed:
            return
        number = len(self._optimizers)
        lines = _optimizer_lines(optimizer, self._names)
        layout.agree(self.group, lines, "optimizer and its settings", f"optimizer {number}")
        self._agreed.add(optimizer)
        self._optimizers.append(weakref.ref(optimizer))
        if number < len(self._states):
            _load_optimizer(optimizer, self._states[number])
            self._states[number] = None

    def _snapshot(self) -> dict[str, Any]:
        """What this node has for itself, for a newcomer."""
        optimizers = [known() for known in self._optimizers]
        return {
            "module": {entry.name: entry.tensor.detach() for entry in self.own},
            "optimizers": [None if optimizer is None else optimizer.state_dict() for optimizer in optimizers],
        }

    def after_step(self, optimizer: Optimizer) -> None:
        self.moments.after_step()
        self._covered |= self._of(optimizer)
        if self._covered >= self._trained:
            self._exchange(optimizer.param_groups[0].get("lr", 0.0))
        else:
            self.pending = True

    def _exchange(self, learning_rate: Any = 0.0) -> None:
        self._covered.clear()
        self.pending = False
        if self.options.averages_gradients:
            self.mixer.abandon_update()
        else:
            self.mixer.end_update(float(learning_rate))

    def check_trained(self, optimizer: Optimizer) -> None:
        """The parameters that are trained are those that were when the model was wrapped. Only the optimizer's own can be
        judged now: adversarial training freezes the others for the time of a step."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if not parameter.requires_grad and id(parameter) in self._trained:
                    raise Error(
                        f"{self._names[id(parameter)]} was frozen (requires_grad) after the model was wrapped: freeze before "
                        "wrapping, or close() the wrapper and wrap model.module again"
                    )
        wrapper = self._wrapper()
        if wrapper is None:
            return
        trained = sum(1 for parameter in wrapper.module.parameters() if parameter.requires_grad)
        if trained > len(self.entries):
            for name, parameter in wrapper.module.named_parameters():
                if parameter.requires_grad and id(parameter) not in self._trained and name not in self._names.values():
                    raise Error(
                        f"{name} was added, or is trained, only since the model was wrapped, so it is not averaged: close() the "
                        "wrapper and wrap model.module again"
                    )

    # ---- between steps ----

    @optimizer_hooks.eager
    def before_forward(self) -> None:
        if not optimizer_hooks.stepping():
            self.settle()

    def settle(self) -> None:
        """Ends an exchange that waits for other optimizers."""
        if self.in_backward is not None:
            self.in_backward.settle()
        if self._covered:
            self._exchange()

    def quiet(self) -> None:
        """Nothing is under way any more, so that the parameters may be written. With an overlap all nodes do so."""
        self.settle()
        self.mixer.quiet()

    def describe(self) -> str:
        return f"# node {self.group.rank} of {self.group.size}, {self.options.algorithm}, {self.mixer.mode}"

    def close(self) -> None:
        optimizer_hooks.stop(self)
        self._hook.remove()
        if self.in_backward is not None:
            self.in_backward.close()
        if self._averager:
            self._averager.close()
        self.mixer.close()
