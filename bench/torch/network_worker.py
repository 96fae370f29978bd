# SPDX-License-Identifier: Apache-2.0
"""One node of bench/torch/ddp_network: it trains sleeping layers under one row and reports its own times.

    python3 network_worker.py WORK

WORK is JSON: row, count (floats), seconds (of computation per step, of this node), warm_up, steps, optimizer. RANK, WORLD_SIZE,
BENCH_DIRECTORY and HOST_ADDRESS are in the environment. The report is the file BENCH_DIRECTORY/RANK, JSON: milliseconds per step until
the node's own last step and until all have finished, the time of each step, and per step the CPU's milliseconds and the bytes received
and sent; and the busy cores of the whole machine."""

from __future__ import annotations

import json
import os
import sys
import time

import torch

import models
import rows
import saved_runs


def moment() -> dict[str, float]:
    with open("/proc/self/net/dev", encoding="ascii") as file:
        fields = next(line for line in file if "eth0" in line).split(":")[1].split()
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, interrupts, soft = map(int, file.readline().split()[1:8])
    return {"time": time.monotonic() * 1e3, "cpu": time.process_time() * 1e3, "received": int(fields[0]), "sent": int(fields[8]),
            "busy": (user + nice + system + interrupts + soft) * 1e3 / os.sysconf("SC_CLK_TCK")}


def main() -> None:
    work = json.loads(sys.argv[1])
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.set_num_threads(1)
    store = saved_runs.open_store()
    barrier = saved_runs.Barrier(store, size)
    trainer = rows.setup(work["row"], models.Sleeping(work["count"], work["seconds"]), rows.optimizer_maker(work["optimizer"], 1e-3), store)
    x = torch.ones(1, requires_grad=True)
    for _ in range(work["warm_up"]):
        trainer.step(x)
    barrier()
    start = moment()
    ends = []
    for _ in range(work["steps"]):
        trainer.step(x)
        ends.append(time.monotonic() * 1e3)
    own = moment()
    barrier()
    end = moment()
    report = {what: (end[what] - start[what]) / work["steps"] for what in ("cpu", "received", "sent")}
    report.update(own=(own["time"] - start["time"]) / work["steps"], whole=(end["time"] - start["time"]) / work["steps"],
                  busy=(own["busy"] - start["busy"]) / (own["time"] - start["time"]),
                  steps=[after - before for before, after in zip([start["time"], *ends], ends)])
    path = os.path.join(os.environ["BENCH_DIRECTORY"], str(rank))
    with open(path, "w", encoding="utf-8") as file:
        json.dump(report, file)
    trainer.close()
    barrier.leave()


if __name__ == "__main__":
    main()
