# SPDX-License-Identifier: Apache-2.0
"""Groups of nodes for tests: as threads of this process (cheap), or as processes under `python -m sgp_torch.run`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
from typing import Any, Callable, TypeVar

import torch

import sgp_torch as sgp

T = TypeVar("T")
LIMIT = 120  # seconds; only a hang takes so long
_seeds = threading.Lock()


def seeded(make: Callable[[], T], seed: int = 0) -> T:
    """What `make` makes with torch's global generator at `seed`: nodes that are threads share that generator."""
    with _seeds:
        torch.manual_seed(seed)
        return make()


def data(rank: int, seed: int = 1) -> torch.Generator:
    """A generator of this node's own samples."""
    return torch.Generator().manual_seed(1000 * seed + rank)


def run_nodes(size: int, body: Callable[[sgp.Group], T], **options: Any) -> list[T]:
    """body(group) on `size` nodes, which are threads; their results in order of rank. Raises the error of the node that
    failed first; a node that fails aborts, so that the others end."""
    results: list[Any] = [None] * size
    errors: list[BaseException] = []
    with tempfile.TemporaryDirectory() as rendezvous:

        def run(rank: int) -> None:
            group = None
            try:
                group = sgp.Group(rank=rank, size=size, rendezvous=rendezvous, join_timeout=60, **options)
                results[rank] = body(group)
                group.leave()
            except BaseException as error:
                errors.append(error)
                if group is not None:
                    group.abort()

        threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
            assert not thread.is_alive(), "a node does not end"
    if errors:
        raise errors[0]
    return results


def errors_of_nodes(size: int, body: Callable[[sgp.Group], Any], **options: Any) -> list[BaseException | None]:
    """The exception of each node, None where there was none."""
    found: list[BaseException | None] = [None] * size

    def caught(group: sgp.Group) -> None:
        try:
            body(group)
        except Exception as error:
            found[group.rank] = error

    with contextlib.suppress(Exception):
        run_nodes(size, caught, **options)
    return found


def run_script(
    size: int, script: str, *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A script on `size` nodes, which are processes with one thread each."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "script.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(script))
        source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(sgp.__file__))))
        return subprocess.run(
            [sys.executable, "-m", "sgp_torch.run", "--nodes", str(size), path, *arguments],
            env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", **(environment or {})},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
