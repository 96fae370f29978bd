# SPDX-License-Identifier: Apache-2.0
"""A process of bench/storm's run with torchft: the lighthouse, or a replica that trains until SIGTERM.

    storm_worker.py lighthouse                             prints its address
    storm_worker.py replica ADDRESS RANK FILE SEED MS      writes a line "time step" for each step that was committed, then "accuracy X"

MS: that a gradient takes, asleep, instead of its own time; 0: none.
A replica is a group of one process. One that starts later gets the state of another one, as torchft does it."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta

import torch
import torch.nn.functional as functional

DATA = "/usr/share/datasets/fashion-mnist"
BATCH = 32


def read(name: str, offset: int) -> torch.Tensor:
    for folder in (DATA, os.environ.get("SGP_FASHION_MNIST", "")):
        path = os.path.join(folder, name)
        if os.path.exists(path + ".gz"):
            import gzip

            with gzip.open(path + ".gz") as file:
                return torch.frombuffer(bytearray(file.read()[offset:]), dtype=torch.uint8)
        if os.path.exists(path):
            with open(path, "rb") as file:
                return torch.frombuffer(bytearray(file.read()[offset:]), dtype=torch.uint8)
    raise FileNotFoundError(name)


def load(kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = read(f"{kind}-images-idx3-ubyte", 16).reshape(-1, 784).float() / 255
    return images, read(f"{kind}-labels-idx1-ubyte", 8).long()


def lighthouse() -> None:
    from torchft.coordination import LighthouseServer

    server = LighthouseServer(bind="127.0.0.1:0", min_replicas=1, join_timeout_ms=2000)
    print(f"http://127.0.0.1:{server.address().rpartition(':')[2]}", flush=True)
    signal.sigwait({signal.SIGTERM})


def replica(address: str, rank: int, file: str, seed: int, compute_ms: float) -> None:
    import torchft

    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ended.append(number))
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    images, labels = load("train")
    model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-4)

    def state() -> dict[str, object]:
        return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}

    def load_state(saved: dict[str, dict[str, object]]) -> None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])

    store = torch.distributed.TCPStore("127.0.0.1", 0, 1, True, wait_for_workers=False)
    limit = timedelta(seconds=10)
    manager = torchft.Manager(pg=torchft.ProcessGroupGloo(timeout=limit), min_replica_size=1, rank=0, world_size=1,
                              load_state_dict=load_state, state_dict=state, timeout=limit, quorum_timeout=timedelta(seconds=60),
                              store_addr="127.0.0.1", store_port=store.port, hostname="127.0.0.1", replica_id=f"replica{rank}-",
                              lighthouse_addr=address)
    wrapped = torchft.DistributedDataParallel(manager, model)
    managed = torchft.Optimizer(manager, optimizer)
    draw = torch.Generator().manual_seed(seed * 1000 + rank)
    with open(file, "w", encoding="ascii", buffering=1) as out:
        while not ended:
            batch = torch.randint(len(images), (BATCH,), generator=draw)
            managed.zero_grad()
            time.sleep(compute_ms / 1000)
            functional.cross_entropy(wrapped(images[batch]), labels[batch]).backward()
            managed.step()
            out.write(f"{time.time():.4f} {manager.current_step()}\n")
        tests, answers = load("t10k")
        with torch.no_grad():
            right = (model(tests).argmax(1) == answers).float().mean().item()
        out.write(f"accuracy {right:.4f}\n")
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1] == "lighthouse":
        lighthouse()
    else:
        replica(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), float(sys.argv[6]))
