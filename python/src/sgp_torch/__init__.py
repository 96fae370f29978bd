# SPDX-License-Identifier: Apache-2.0
"""Stochastic Gradient Push for PyTorch: one line in place of DistributedDataParallel.

    import sgp_torch as sgp
    model = sgp.DistributedDataParallel(model)

Start a script with torchrun, mpirun, srun, or `python -m sgp_torch.run --nodes 4 script.py`.

Names are loaded when they are first used, so that the launcher starts without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import Error as Error
    from .group import (
        Event as Event,
        Group as Group,
        abort as abort,
        barrier as barrier,
        broadcast as broadcast,
        default_group as default_group,
        events as events,
        init as init,
        rank as rank,
        report as report,
        share as share,
        size as size,
    )
    from .mixer import Mixer as Mixer
    from .parallel import DistributedDataParallel as DistributedDataParallel
    from .sampler import ElasticSampler as ElasticSampler

_WHERE = {
    "Error": "errors",
    "Event": "group",
    "Group": "group",
    "abort": "group",
    "barrier": "group",
    "broadcast": "group",
    "default_group": "group",
    "events": "group",
    "init": "group",
    "rank": "group",
    "report": "group",
    "share": "group",
    "size": "group",
    "Mixer": "mixer",
    "DistributedDataParallel": "parallel",
    "ElasticSampler": "sampler",
}
__all__ = ["__version__", *_WHERE]


def _version() -> str:
    """Of the installation; among the sources, of the library. Both come from the project's CMakeLists.txt."""
    import importlib.metadata

    try:
        return importlib.metadata.version("sgp-torch")
    except importlib.metadata.PackageNotFoundError:
        from .library import load

        return str(load().sgp_version().decode())


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_WHERE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
