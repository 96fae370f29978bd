# SPDX-License-Identifier: Apache-2.0
"""Runs a script as the nodes of one group, by one launcher or another; with a small task, and a plain reference of how
two nodes learn it. Used by the tests of the integrations."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
from typing import Any

import torch

import sgp_torch

BATCH, SAMPLES, RATE, MOMENTUM = 8, 128, 0.05, 0.9
DATA = f"""
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn({SAMPLES}, 8)
y = torch.tanh(x @ torch.randn(8, 2))
data = torch.utils.data.TensorDataset(x, y)

def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))
"""
LIMIT = 240  # seconds until a run that hangs is ended


def environment() -> dict[str, str]:
    """This process's, without the marks of a launcher, and with the same sgp_torch."""
    marks = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    result = {k: v for k, v in os.environ.items() if k not in marks and not k.startswith(("SGP_TORCH_", "TORCHELASTIC"))}
    source = str(pathlib.Path(sgp_torch.__file__).resolve().parent.parent)
    result["PYTHONPATH"] = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    result["OMP_NUM_THREADS"] = "1"
    return result


def command(launcher: str, nodes: int) -> list[str]:
    if launcher == "torchrun":
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(nodes)]
    if launcher == "sgp_torch.run":
        return [sys.executable, "-m", "sgp_torch.run", "--nodes", str(nodes)]
    return [sys.executable]


def run(folder: pathlib.Path, script: str, *arguments: str, launcher: str = "torchrun", nodes: int = 2) -> list[dict[str, Any]]:
    """Runs the script, which calls report(rank, **values) on each node; returns the values in order of rank."""
    path = folder / "script.py"
    path.write_text(PROLOGUE + script)
    end = subprocess.run(
        [*command(launcher, nodes), str(path), *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    assert end.returncode == 0, end.stdout[-6000:]
    return [json.loads((folder / f"report-{rank}.json").read_text()) for rank in range(nodes)]


def run_by_hand(folder: pathlib.Path, script: str, nodes: int = 2) -> list[subprocess.CompletedProcess[str]]:
    """Starts the nodes as torchrun would, but leaves the others alone when one fails. How each of them ended."""
    path = folder / "script.py"
    path.write_text(PROLOGUE + script)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**environment(), "WORLD_SIZE": str(nodes), "LOCAL_WORLD_SIZE": str(nodes)}
    shared.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    processes = [
        subprocess.Popen(
            [sys.executable, str(path)],
            cwd=folder,
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(nodes)
    ]
    ends = []
    try:
        for process in processes:
            output, _ = process.communicate(timeout=LIMIT)
            ends.append(subprocess.CompletedProcess(process.args, process.returncode, output))
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return ends


PROLOGUE = """
import json as _json, warnings
warnings.filterwarnings("ignore")

def report(rank, **values):
    with open(f"report-{rank}.json", "w") as file:
        _json.dump(values, file)
"""


def reference(steps: int, accumulate: int, clip: float) -> torch.Tensor:
    """The parameters after so many steps of two nodes in lock step, in this process. Node r has every second sample, from
    r on, in order; SGD with momentum, the mean of `accumulate` batches, clipped on each node."""
    space: Any = {}
    exec(DATA, space)
    models = [space["network"]() for _ in range(2)]
    optimizers = [torch.optim.SGD(m.parameters(), lr=RATE, momentum=MOMENTUM) for m in models]
    batch = 0
    for _ in range(steps):
        for node, (model, optimizer) in enumerate(zip(models, optimizers)):
            optimizer.zero_grad()
            for i in range(batch, batch + accumulate):
                mine = range(node, SAMPLES, 2)[i * BATCH : (i + 1) * BATCH]
                loss = ((model(space["x"][mine]) - space["y"][mine]) ** 2).mean() / accumulate
                loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        batch = (batch + accumulate) % (SAMPLES // BATCH // 2)
        with torch.no_grad():
            for a, b in zip(*(m.parameters() for m in models)):
                a.copy_((a + b) / 2)
                b.copy_(a)
    return torch.cat([p.detach().flatten() for p in models[0].parameters()])


def reason_missing(*packages: str) -> str | None:
    """Why a test of these packages is skipped; None: it is not."""
    import importlib.util

    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return f"not installed: {', '.join(missing)}" if missing else None
