# SPDX-License-Identifier: Apache-2.0
"""What a process prints when it ends because of another node.

With many nodes, the traceback of the one that failed would drown in those of the others, which have merely noticed it. So an
uncaught Error of a lost node is one line, with the place in the user's program. SGP_TORCH_TRACEBACK=1 shows tracebacks as usual.
"""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType
from typing import Callable

from .errors import Error

VARIABLE = "SGP_TORCH_TRACEBACK"
_CONSEQUENCES = ("SGP_ERR_PEER_LOST", "SGP_ERR_ENDED")
_installed = False


def _place(trace: TracebackType | None) -> str:
    """The innermost line that belongs neither to Python, nor to an installed package, nor to this one."""
    others = tuple(os.path.dirname(os.path.abspath(file)) + os.sep for file in (__file__, os.__file__))
    for frame in reversed(traceback.extract_tb(trace)):
        path = os.path.abspath(frame.filename)
        if not frame.filename.startswith("<") and "-packages" not in path and not path.startswith(others):
            return f"{os.path.basename(path)}, line {frame.lineno}; "
    return ""


def line(error: Error, trace: TracebackType | None, rank: int) -> str:
    """The error of node `rank`, in one line."""
    return f"sgp_torch: node {rank} stops: {error} ({_place(trace)}{VARIABLE}=1 shows the traceback)"


def install(rank: int, before: Callable[[], None]) -> None:
    """Once, when a process becomes node `rank` of a group. before(): called when such an error is about to end the process."""
    global _installed
    if _installed:
        return
    _installed = True
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, Error) or error.status not in _CONSEQUENCES:
            previous(kind, error, trace)
            return
        before()
        if os.environ.get(VARIABLE):
            previous(kind, error, trace)
            return
        clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # over a progress bar
        sys.stderr.write(f"{clear}{line(error, trace, rank)}\n")  # in one piece, as other nodes write, too
        sys.stderr.flush()

    sys.excepthook = hook
