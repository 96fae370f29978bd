# SPDX-License-Identifier: Apache-2.0
"""A training script that goes on when a process is killed or leaves.

    python -m sgp_torch.run --on-loss continue --nodes 4 elastic.py

While it runs: `kill -9` one of its processes, and the others train on, with the samples that are left in the epoch divided
among them. The three lines that do it are marked. The data are points on two spirals, made by every node alike.
"""

from __future__ import annotations

import argparse
import math

import torch
from torch import nn

import sgp_torch as sgp


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
    args = parser.parse_args()
    torch.set_num_threads(1)

    sgp.init(elastic=True)  # 1
    data, test = spirals(args.points, 1), spirals(1000, 2).tensors
    sampler = sgp.ElasticSampler(data, batch_size=16)  # 2: in place of DistributedSampler
    loader = torch.utils.data.DataLoader(data, batch_sampler=sampler)
    model = sgp.DistributedDataParallel(network())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)

    for epoch in range(1, args.epochs + 1):
        sampler.set_epoch(epoch)
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        for event in sgp.events():
            print(f"node {sgp.rank()}: node {event.rank} is {event.kind}: {event.reason}", flush=True)
        with model.averaged(), torch.no_grad():
            right = (model(test[0]).argmax(1) == test[1]).float().mean()
        if sgp.rank() == sampler.members[0]:  # 3: in place of rank 0
            nodes = len(sampler.members)
            print(f"epoch {epoch}  {nodes} nodes  accuracy {right:.3f}  missed {sampler.missed}", flush=True)


if __name__ == "__main__":
    main()
