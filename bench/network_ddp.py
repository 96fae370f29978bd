# SPDX-License-Identifier: Apache-2.0
"""The counterpart of bench_network.c in PyTorch: DistributedDataParallel over Gloo.

    python3 network_ddp.py PARAMETERS STEPS COMPUTE_MS SLOW_MS REPORT

Rank and group come from the environment, as torchrun sets it: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT. The layers have the
average size of ResNet-50's; the backward pass of each sleeps for its share of COMPUTE_MS (of SLOW_MS on the last rank) and leaves a
gradient, so DDP sends full buckets while other layers are computed. As in the other programs there is no local step."""

import os
import sys
import time

import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

LAYERS = 54
WARM_UP = 3  # DDP rearranges its buckets after the first step


class Layer(torch.nn.Module):
    def __init__(self, count, sleep):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(count))
        self.gradient = torch.full((count,), 1e-3)
        self.sleep = sleep

    def forward(self, x):
        return Backward.apply(x, self.weight, self)


class Backward(torch.autograd.Function):
    @staticmethod
    def forward(context, x, weight, layer):
        context.layer = layer
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        if context.layer.sleep:
            time.sleep(context.layer.sleep)
        return gradient, context.layer.gradient, None


def moment():
    """The measurements of network_times.h."""
    with open("/proc/self/net/dev", encoding="ascii") as file:
        fields = next(line for line in file if "eth0" in line).split(":")[1].split()
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, interrupts, soft = map(int, file.readline().split()[1:8])
    busy = (user + nice + system + interrupts + soft) * 1e3 / os.sysconf("SC_CLK_TCK")
    return {"time": time.monotonic() * 1e3, "cpu": time.process_time() * 1e3, "received": int(fields[0]), "sent": int(fields[8]), "busy": busy}


def report(directory, rank, steps, start, own, end):
    def per_step(what, until):
        return (until[what] - start[what]) / steps

    with open(os.path.join(directory, str(rank)), "w", encoding="ascii") as file:
        print(per_step("time", end), per_step("time", own), per_step("cpu", end), per_step("received", end), per_step("sent", end),
              (end["busy"] - start["busy"]) / (end["time"] - start["time"]), file=file)


def main():
    parameters, steps = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    compute = float(sys.argv[4 if rank == size - 1 else 3]) * 1e-3
    layers = [Layer(parameters // LAYERS + (i < parameters % LAYERS), compute / LAYERS) for i in range(LAYERS)]
    model = DistributedDataParallel(torch.nn.Sequential(*layers), gradient_as_bucket_view=True)
    for i in range(-WARM_UP, steps):
        if i == 0:
            torch.distributed.barrier()
            start = moment()
        model(torch.ones(1, requires_grad=True)).sum().backward()
    own = moment()
    torch.distributed.barrier()
    report(sys.argv[5], rank, steps, start, own, moment())
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
