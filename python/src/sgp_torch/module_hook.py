# SPDX-License-Identifier: Apache-2.0
"""Hooks on the modules of a wrapped model: a copy or a pickle of a module has none of them."""

from __future__ import annotations

import weakref
from typing import Any, Callable


class ModuleHook:
    """Calls a bound method for as long as its object lives. Copied or pickled with its module it becomes one that does
    nothing, as the copy takes no part in the group."""

    def __init__(self, method: Callable[..., Any] | None = None) -> None:
        self._method = weakref.WeakMethod(method) if method is not None else None

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        method = self._method() if self._method is not None else None
        return method(*arguments, **keywords) if method is not None else None

    def __reduce__(self) -> tuple[type[ModuleHook], tuple[()]]:
        return ModuleHook, ()
