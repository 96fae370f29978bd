# SPDX-License-Identifier: Apache-2.0
"""What holds for every test."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("USE_LIBUV", "0")  # the store of Debian 13's torch.distributed has no libuv, but asks for it

# Scripts' background jobs ignore SIGINT and SIGQUIT, programs under nohup SIGHUP; so would every process of a test.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
