# SPDX-License-Identifier: Apache-2.0
"""The rows of the tables: the ways to train the same model, and how each one is set up inside a process of the run.

A row is named NAME or NAME+KEY=VALUE+..., where the values are further keywords of sgp_torch.DistributedDataParallel:
"sgp+local_steps=4". In an experiment with several nodes every process calls setup() for the same rows in the same order."""

from __future__ import annotations

import ast
import os
import sys
from typing import Any, Callable, NamedTuple

import torch


class Row(NamedTuple):
    title: str
    kind: str  # plain, ddp, sgp, torchft
    options: dict[str, Any]  # of sgp_torch.DistributedDataParallel


ROWS = {
    "plain": Row("torch, one process", "plain", {}),
    "ddp": Row("DDP, Gloo", "ddp", {}),
    "ddp-keep": Row("DDP, Gloo, gradients zeroed in place", "ddp", {}),
    "sgp": Row("sgp", "sgp", {"algorithm": "sgp"}),
    "osgp": Row("osgp", "sgp", {"algorithm": "osgp"}),
    "delta": Row("sgp, delta", "sgp", {"algorithm": "sgp", "mode": "delta"}),
    "backward": Row("sgp, optimizer in backward", "sgp", {"algorithm": "sgp", "optimizer_in_backward": True}),
    "async": Row("sgp, overlap async", "sgp", {"algorithm": "sgp", "overlap": "async"}),
    "sgp-bfloat16": Row("sgp, bfloat16", "sgp", {"algorithm": "sgp", "encoding": "bfloat16"}),
    "osgp-bfloat16": Row("osgp, bfloat16", "sgp", {"algorithm": "osgp", "encoding": "bfloat16"}),
    "backward-bfloat16": Row("sgp, optimizer in backward, bfloat16", "sgp",
                             {"algorithm": "sgp", "optimizer_in_backward": True, "encoding": "bfloat16"}),
    "sgp-float16": Row("sgp, float16", "sgp", {"algorithm": "sgp", "encoding": "float16"}),
    "dpsgd": Row("dpsgd", "sgp", {"algorithm": "dpsgd"}),
    "adpsgd": Row("adpsgd", "sgp", {"algorithm": "adpsgd"}),
    "allreduce": Row("allreduce", "sgp", {"algorithm": "allreduce"}),
    "torchft": Row("torchft's DDP, Gloo", "torchft", {}),
}


def parse_row(name: str) -> Row:
    """Raises ValueError for an unknown row or an option without a value."""
    base, *extra = name.split("+")
    if base not in ROWS:
        raise ValueError(f"unknown row {base}; one of {', '.join(ROWS)}")
    row, options = ROWS[base], dict(ROWS[base].options)
    for word in extra:
        key, equals, value = word.partition("=")
        if not equals or row.kind != "sgp":
            raise ValueError(f"row {name}: {word} is not KEY=VALUE of a row of sgp")
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    return Row(", ".join([row.title, *extra]), row.kind, options)


def row_names(text: str) -> list[str]:
    """For argparse: the names, checked."""
    names = text.split(",")
    for name in names:
        parse_row(name)
    return names


MakeOptimizer = Callable[[Any], torch.optim.Optimizer]


def optimizer_maker(name: str, rate: float) -> MakeOptimizer:
    if name == "sgd":
        return lambda parameters: torch.optim.SGD(parameters, lr=rate, momentum=0.9)
    if name == "adamw":
        return lambda parameters: torch.optim.AdamW(parameters, lr=rate, weight_decay=0.1)
    raise ValueError(f"unknown optimizer {name}; sgd or adamw")


class Trainer:
    """One model under one row. `module` is the model, `wrapped` what a script calls in its place."""

    def __init__(self, row: str, module: torch.nn.Module, wrapped: torch.nn.Module, optimizer: torch.optim.Optimizer,
                 close: Callable[[], None] | None = None, keep_gradients: bool = False) -> None:
        self.row, self.module, self.wrapped, self.optimizer = row, module, wrapped, optimizer
        self.keep_gradients = keep_gradients
        self.close = close or (lambda: None)

    def step(self, *batch: torch.Tensor, clip: float | None = None) -> torch.Tensor:
        """Returns the loss. clip: the largest norm of the gradient."""
        self.optimizer.zero_grad(set_to_none=not self.keep_gradients)
        loss = self.wrapped(*batch)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), clip)
        self.optimizer.step()
        return loss


def setup(name: str, module: torch.nn.Module, make_optimizer: MakeOptimizer, store: torch.distributed.Store | None = None) -> Trainer:
    """A trainer of this process. RANK, WORLD_SIZE and what sgp_torch needs (SGP_JOIN or SGP_RENDEZVOUS) are in the environment;
    store: of all processes, for the rows that are not sgp's."""
    row = parse_row(name)
    if row.kind == "plain":
        return Trainer(name, module, module, make_optimizer(module.parameters()))
    if row.kind == "ddp":
        return setup_ddp(name, module, make_optimizer, store)
    if row.kind == "torchft":
        return setup_torchft(name, module, make_optimizer, store)
    return setup_sgp(name, row, module, make_optimizer)


made_groups = 0


def setup_ddp(name: str, module: torch.nn.Module, make_optimizer: MakeOptimizer, store: torch.distributed.Store | None) -> Trainer:
    """As DDP's documentation recommends it: default buckets, gradients that are views of the buckets."""
    global made_groups
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if not torch.distributed.is_initialized():
        made_groups += 1
        torch.distributed.init_process_group("gloo", store=torch.distributed.PrefixStore(f"ddp {made_groups}", store), rank=rank,
                                             world_size=size)
    wrapped = torch.nn.parallel.DistributedDataParallel(module, gradient_as_bucket_view=True)

    def close() -> None:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    return Trainer(name, module, wrapped, make_optimizer(module.parameters()), close, keep_gradients=name == "ddp-keep")


def setup_sgp(name: str, row: Row, module: torch.nn.Module, make_optimizer: MakeOptimizer) -> Trainer:
    import sgp_torch as sgp

    options = dict(row.options)
    if options.get("optimizer_in_backward"):
        options["optimizer_in_backward"] = make_optimizer
        wrapped = sgp.DistributedDataParallel(module, **options)
        return Trainer(name, module, wrapped, wrapped.optimizer, wrapped.close)
    wrapped = sgp.DistributedDataParallel(module, **options)
    return Trainer(name, module, wrapped, make_optimizer(module.parameters()), wrapped.close)


def setup_torchft(name: str, module: torch.nn.Module, make_optimizer: MakeOptimizer, store: torch.distributed.Store | None) -> Trainer:
    """Each process is a replica group of one, with a store of its own; rank 0 also runs the lighthouse, which needs every replica.

    HOST_ADDRESS is the address of this host that the others reach. torchft runs Gloo with the interface of GLOO_SOCKET_IFNAME."""
    from datetime import timedelta

    import torchft
    from torchft.coordination import LighthouseServer

    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address = os.environ.get("HOST_ADDRESS", "127.0.0.1")
    assert store is not None
    lighthouse = None
    if rank == 0:
        lighthouse = LighthouseServer(bind="0.0.0.0:0", min_replicas=size, join_timeout_ms=60000)
        store.set("lighthouse", f"http://{address}:{lighthouse.address().rpartition(':')[2]}")
    own = torch.distributed.TCPStore(address, 0, 1, True, wait_for_workers=False)
    limit = timedelta(seconds=120)
    manager = torchft.Manager(pg=torchft.ProcessGroupGloo(timeout=limit), min_replica_size=size, rank=0, world_size=1,
                              load_state_dict=lambda state: None, state_dict=dict, init_sync=False, timeout=limit, quorum_timeout=limit,
                              store_addr=address, store_port=own.port, hostname=address, replica_id=f"replica{rank}",
                              lighthouse_addr=store.get("lighthouse").decode())
    wrapped = torchft.DistributedDataParallel(manager, module, gradient_as_bucket_view=True)
    optimizer = torchft.Optimizer(manager, make_optimizer(module.parameters()))

    def close() -> None:
        nonlocal lighthouse, own
        participants = manager.num_participants()
        manager.shutdown(wait=False)
        if lighthouse:
            lighthouse.shutdown()
        del lighthouse, own
        if participants != size:
            sys.exit(f"torchft: {participants} of {size} replicas took part")

    return Trainer(name, module, wrapped, optimizer, close)
