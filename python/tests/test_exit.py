# SPDX-License-Identifier: Apache-2.0
"""The end of the interpreter: the library's threads, which may outlive a wait that was interrupted, no longer call into it."""

from __future__ import annotations

import os
import subprocess
import sys

import sgp_torch as sgp

from nodes import LIMIT

# `last` runs after the package's own hook, as it was registered before. Two nodes in one process outlive that hook.
SCRIPT = """
import atexit, logging, tempfile, threading
lines = []
class Keep(logging.Handler):
    def emit(self, record):
        lines.append(record)
logging.basicConfig(level=logging.DEBUG, handlers=[Keep()])
def last():
    before = len(lines)
    groups[0].abort()
    try:
        groups[1].barrier()
    except sgp.Error as error:
        print(error.status, len(lines) - before)
atexit.register(last)
import sgp_torch as sgp
from sgp_torch import group
folder = tempfile.TemporaryDirectory()
groups = [None, None]
def join(rank):
    groups[rank] = sgp.Group(rank=rank, size=2, rendezvous=folder.name, transport="tcp", join_timeout=60)
threads = [threading.Thread(target=join, args=(rank,)) for rank in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
group._open_groups.clear()
"""


def test_no_line_arrives_once_the_interpreter_ends():
    source = os.path.dirname(os.path.dirname(os.path.abspath(sgp.__file__)))
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (process.returncode, process.stdout) == (0, "SGP_ERR_PEER_LOST 0\n"), process.stderr
