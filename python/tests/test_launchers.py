# SPDX-License-Identifier: Apache-2.0
"""One script under every launcher, and by hand. It finds its place without options."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import torch

import sgp_torch as sgp

from nodes import LIMIT

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(sgp.__file__)))
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]  # torchrun, whatever PATH has

SCRIPT = """
import json, os, sys
import torch
import sgp_torch as sgp
torch.set_num_threads(1)
options = json.loads(sys.argv[1]) if sys.argv[1:] else {}
if options.pop("gloo", False):  # beside our group
    import torch.distributed as dist
    dist.init_process_group("gloo")
    sum = torch.tensor([float(dist.get_rank())])
    dist.all_reduce(sum)
    assert sum.item() == 1 and dist.get_rank() == sgp.rank() and dist.get_world_size() == 2
if options:
    sgp.init(**options)
tensor = torch.full((5,), float(sgp.rank()))
mixer = sgp.Mixer([tensor])
for step in range(3):
    with mixer.update():
        tensor += 1
mixer.average_()
os.write(1, f"{sgp.rank()} of {sgp.size()}: {tensor.tolist()}\\n".encode())
"""
EXPECTED = [f"{rank} of 2: {[3.5] * 5}" for rank in (0, 1)]


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return str(path)


def environment(**more):
    """Without the variables of the launchers."""
    foreign = (
        "SGP_RANK",
        "SGP_SIZE",
        "SGP_JOIN",
        "SGP_RENDEZVOUS",
        "RANK",
        "WORLD_SIZE",
        "LOCAL_",
        "MASTER_",
        "PMI",
        "OMPI",
        "SLURM",
    )
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1", **more}


def free_port():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        return other.getsockname()[1]


def start(command, **more):
    return subprocess.Popen(
        command, env=environment(**more), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def lines(processes):
    """What processes that must succeed have written, sorted."""
    found = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, err
            found += re.findall(r"\d of \d: .*", out)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    return sorted(found)


needs_distributed = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
GLOO = json.dumps({"gloo": True})


@needs_distributed
def test_sgp_torch_run_beside_gloo(script):
    assert lines([start([sys.executable, "-m", "sgp_torch.run", "--nodes", "2", script, GLOO])]) == EXPECTED


@needs_distributed
@pytest.mark.skipif(
    torch.__version__.startswith("1.") and sys.version_info >= (3, 11), reason="torchrun of torch 1 fails with Python 3.11"
)
def test_torchrun_beside_gloo(script):
    try:
        torch.distributed.TCPStore("127.0.0.1", 0, 1, True, use_libuv=True)
    except TypeError:
        pass  # an older torch, which has no choice
    except RuntimeError as error:
        pytest.skip(f"torchrun does not work with this torch: {error}")
    assert lines([start([*TORCHRUN, "--standalone", "--nproc_per_node", "2", script, GLOO])]) == EXPECTED


def test_mpirun(script):
    mpirun = shutil.which("mpirun")
    if mpirun is None:
        pytest.skip("needs mpirun")
    version = subprocess.run([mpirun, "--version"], capture_output=True, text=True, check=False).stdout
    if "Open MPI" not in version:
        pytest.skip(f"is for Open MPI; mpirun is {version.splitlines()[:1]}")
    command = [mpirun, "--allow-run-as-root", "--oversubscribe", "-n", "2", sys.executable, script]
    assert lines([start(command)]) == EXPECTED


def test_srun(script):
    srun = shutil.which("srun")
    if srun is None or subprocess.run([srun, "-n", "1", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs srun and a running Slurm")
    assert lines([start([srun, "-n", "2", sys.executable, script])]) == EXPECTED


def test_what_srun_sets(script):
    """Its variables, where there is no Slurm."""
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0"}  # from which the port follows, the first free of many
    both = {**job, "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost"}
    assert lines([start([sys.executable, script], **both, SLURM_PROCID=str(rank)) for rank in (0, 1)]) == EXPECTED


def test_by_hand(script):
    """With join= in the script on one node, and in the environment on the other; ranks are in order of arrival."""
    at = f"127.0.0.1:{free_port()}"
    one = start([sys.executable, script, json.dumps({"join": at, "size": 2})])
    assert lines([one, start([sys.executable, script], SGP_JOIN=at, SGP_SIZE="2")]) == EXPECTED
