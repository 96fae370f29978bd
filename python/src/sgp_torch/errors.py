# SPDX-License-Identifier: Apache-2.0
"""The one exception of this package."""

from __future__ import annotations


class Error(RuntimeError):
    """A call that failed. The text says why, with the wrong value; it is the library's own where the library failed.

    Attributes:
        status: name of the status, such as "SGP_ERR_TIMEOUT" or "SGP_ERR_INVALID" (include/sgp/status.h).
    """

    def __init__(self, text: str, status: str = "SGP_ERR_INVALID") -> None:
        super().__init__(text)
        self.status = status

    def __reduce__(self) -> tuple[type[Error], tuple[str, str]]:
        return Error, (str(self), self.status)
