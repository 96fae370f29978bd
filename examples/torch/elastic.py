# SPDX-License-Identifier: Apache-2.0
"""A training script that goes on when a process is killed or leaves, and that takes new ones.

    export SGP_TORCH_MAX_NODES=8
    python -m sgp_torch.run --on-loss continue --nodes 4 --transport tcp --ports 7070-7077 elastic.py --epochs 100

While it runs: `kill -9` one of its processes, and the others train on, with the samples that are left in the epoch divided
among them. Start another one, which calls any of them:

    SGP_TORCH_JOIN_RUNNING=127.0.0.1:7071 python elastic.py --epochs 100

The lines that do it are marked. The data are points on two spirals, made by every node alike.
"""

from __future__ import annotations

import argparse
import hashlib
import math

import torch
from torch import nn

import sgp_torch as sgp

WORDS = {"lost": "is lost", "left": "has left", "joined": "has joined"}


def spirals(points: int, seed: int) -> torch.utils.data.TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    side = torch.arange(points) % 2
    turn = torch.rand(points, generator=generator).sqrt() * 3 * math.pi
    angle = turn + math.pi * side
    place = torch.stack([turn * angle.cos(), turn * angle.sin()], 1) / 10
    return torch.utils.data.TensorDataset(place + 0.01 * torch.randn(points, 2, generator=generator), side)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--points", type=int, default=8000)
    parser.add_argument("--wait-for", type=int, default=0, help="count epochs from when so many nodes are there")
    args = parser.parse_args()
    torch.set_num_threads(1)

    sgp.init(elastic=True)  # 1: max_nodes and join_running come from the environment
    data, test = spirals(args.points, 1), spirals(1000, 2).tensors
    sampler = sgp.ElasticSampler(data, batch_size=16)  # 2: in place of DistributedSampler
    loader = torch.utils.data.DataLoader(data, batch_sampler=sampler)
    model = sgp.DistributedDataParallel(network())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)

    epoch, last = sampler.epoch, args.epochs  # 3: a newcomer begins where the others are
    if args.wait_for:
        last += epoch
    waiting = len(sampler.members) < args.wait_for
    while epoch < last:
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        epoch += 1
        for event in sgp.events():
            if event.kind in ("lost", "left", "joined"):
                what = f": {event.reason}" if event.reason else ""
                print(f"node {sgp.rank()}: node {event.rank} {WORDS[event.kind]}{what}\n", end="", flush=True)
        with model.averaged(), torch.no_grad():
            right = (model(test[0]).argmax(1) == test[1]).float().mean()
        nodes = len(sampler.members)
        if sgp.rank() == sampler.members[0]:  # 4: in place of rank 0
            print(f"epoch {epoch}  {nodes} nodes  accuracy {right:.3f}  missed {sampler.missed}\n", end="", flush=True)
        waiting = waiting and nodes < args.wait_for
        if waiting:
            last = epoch + args.epochs

    model.average_()
    parameters = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    digest = hashlib.sha256(parameters.numpy().tobytes()).hexdigest()[:8]
    print(f"node {sgp.rank()}: done, parameters {digest}\n", end="", flush=True)


if __name__ == "__main__":
    main()
