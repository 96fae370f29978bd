# SPDX-License-Identifier: Apache-2.0
"""One rank of PyTorch's DistributedDataParallel over Gloo: `network_ddp.py PARAMETERS STEPS COMPUTE_MS`.

RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT say who and where; GLOO_SOCKET_IFNAME the interface. The model has as many
parameters as asked for, in layers of 1 MiB, so that DDP makes its buckets of 25 MiB as it does for a real one; the gradient's
cost is a sleep in the middle of the backward pass. Rank 0 prints milliseconds per step and CPU milliseconds per step."""

import sys
import time

import torch
import torch.distributed as dist

LAYER = 1 << 18  # floats
WARM_UP = 2


class Sleep(torch.autograd.Function):
    seconds = 0.0

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        time.sleep(Sleep.seconds)
        return gradient


class Model(torch.nn.Module):
    def __init__(self, parameters):
        super().__init__()
        sizes = [LAYER] * (parameters // LAYER) + ([parameters % LAYER] if parameters % LAYER else [])
        self.layers = torch.nn.ParameterList(torch.nn.Parameter(torch.zeros(size)) for size in sizes)

    def forward(self, x):
        for layer in self.layers:
            x = Sleep.apply(x) + layer.sum()
        return x


def main():
    parameters, steps, compute = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    model = Model(parameters)
    Sleep.seconds = compute / 1e3 / len(model.layers)
    parallel = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4, nesterov=True, foreach=True)
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            dist.barrier()
            start, cpu = time.monotonic(), time.process_time()
        optimizer.zero_grad(set_to_none=False)
        parallel(torch.zeros(1)).sum().backward()
        optimizer.step()
    dist.barrier()
    if dist.get_rank() == 0:
        print(f"{(time.monotonic() - start) * 1e3 / steps:.3f} {(time.process_time() - cpu) * 1e3 / steps:.3f}")


main()
