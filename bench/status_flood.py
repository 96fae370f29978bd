# SPDX-License-Identifier: Apache-2.0
"""What a flood costs the status server: bench/status_flood.py [MEMBERS [SECONDS]]. wrk asks for a page as fast as it can over 64
connections, beside one reader from another address. Prints the server's processor time, idle and under the flood, and how long
the reader waited. Needs wrk, and a build in build/."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "status"))
from status_support import Server  # noqa: E402  # pylint: disable=wrong-import-position


def flood(members, seconds, path):
    with Server("--members", members) as server:
        began = int(server.tell("cpu"))
        time.sleep(5)
        before, start = int(server.tell("cpu")), time.monotonic()
        wrk = subprocess.Popen(["wrk", "-t1", "-c64", f"-d{seconds}s", f"http://127.0.0.1:{server.port}{path}"],
                               stdout=subprocess.PIPE, text=True)
        waits = []
        while wrk.poll() is None:
            asked = time.monotonic()
            status = server.ask("/status.json", source="127.0.0.9")[0]
            waits.append((time.monotonic() - asked, status))
            time.sleep(1)
        used, passed = int(server.tell("cpu")) - before, time.monotonic() - start
        taken = int(server.tell("taken"))
        rate = next(line.split()[1] for line in wrk.stdout.read().splitlines() if line.startswith("Requests/sec"))
    good = sorted(wait for wait, status in waits if status == 200)
    print(f"{path}, {members} members: idle {before - began} ms in 5 s; flood of {rate} requests/s: {used / passed / 10:.1f} % of a "
          f"core, {taken / passed:.2f} snapshots/s; the reader got {len(good)} of {len(waits)} answers, "
          f"median {1000 * good[len(good) // 2]:.0f} ms, at most {1000 * good[-1]:.0f} ms")


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    for path in ("/", "/status.json"):
        flood(arguments[0] if arguments else 64, arguments[1] if len(arguments) > 1 else 60, path)
