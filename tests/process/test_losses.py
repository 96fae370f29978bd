# SPDX-License-Identifier: Apache-2.0
"""A node is killed or stopped, and the run stops: every survivor names that node and no other, and so does the launcher.
test_on_loss.py: the others go on."""

import os
import re
import signal
import time
import unittest

from support import LIMIT, ProgramTest, node_pids

NODES = 6
NODE = 2
PEER_TIMEOUT = "2"  # seconds
ALGORITHMS = {
    "sgp": ["--algorithm", "sgp"],
    "async": ["--algorithm", "sgp", "--overlap", "async"],
    "adpsgd": ["--algorithm", "adpsgd"],
    "server": ["--algorithm", "server"],
}


class Losses(ProgramTest):
    def start_nodes(self, transport, algorithm="sgp"):
        process = self.start_endless("--model", "mlp", "--batch-size", "4", "--transport", transport, "--peer-timeout",
                                     PEER_TIMEOUT, "--on-loss", "stop", *ALGORITHMS[algorithm], nodes=NODES)
        return process, node_pids(process.pid)

    def check(self, process, why):
        """One line of each survivor, which names the node and why it is lost. Returns all lines."""
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 1, err)
        lost = re.findall(r"(?m)^sgp: node (\d+): node (\d+) is lost \((.*?)\)", err)
        self.assertEqual(sorted(lost_by for lost_by, _, _ in lost), [str(r) for r in range(NODES) if r != NODE], err)
        for _, node, text in lost:
            self.assertEqual(node, str(NODE), err)
            self.assertRegex(text, why, err)
        self.assert_nothing_left()
        return err

    def check_killed(self, transport, algorithm):
        process, pids = self.start_nodes(transport, algorithm)
        os.kill(pids[NODE], signal.SIGKILL)
        err = self.check(process, "ended|reset|refused|Broken pipe")
        self.assertTrue(err.endswith(f"sgp: node {NODE} was killed by signal 9 (Killed)\n"), err)

    def check_stopped(self, transport, algorithm):
        process, pids = self.start_nodes(transport, algorithm)
        os.kill(pids[NODE], signal.SIGSTOP)
        err = self.check(process, "silent")
        self.assertRegex(err, rf"(?m)^sgp: node {NODE} \(pid {pids[NODE]}\) did not end within \d+ s of node \d+'s failure and is killed$")
        self.assertTrue(err.endswith(f"sgp: node {NODE} was lost, and the others ended because of it\n"), err)

    def test_killed(self):
        for transport in ("shm", "tcp"):
            for algorithm in ALGORITHMS:
                with self.subTest(f"{transport}, {algorithm}"):
                    self.check_killed(transport, algorithm)

    def test_killed_again_and_again(self):
        """The order in which the others end varies."""
        for transport in ("shm", "tcp"):
            for attempt in range(5):
                with self.subTest(f"{transport}, {attempt}"):
                    self.check_killed(transport, "sgp")

    def test_stopped(self):
        for transport in ("shm", "tcp"):
            for algorithm in ALGORITHMS:
                with self.subTest(f"{transport}, {algorithm}"):
                    self.check_stopped(transport, algorithm)

    def test_all_are_stopped(self):
        """A machine that sleeps for longer than the limit: no node is lost when it wakes up."""
        for transport in ("shm", "tcp"):
            with self.subTest(transport):
                process, pids = self.start_nodes(transport)
                for pid in pids.values():
                    os.kill(pid, signal.SIGSTOP)
                time.sleep(2 * float(PEER_TIMEOUT))  # the sleep itself
                for pid in pids.values():
                    os.kill(pid, signal.SIGCONT)
                for _ in range(10):
                    self.assertTrue(process.stderr.readline().startswith("epoch"))
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=LIMIT)
                self.assertEqual(process.returncode, 128 + signal.SIGINT)


class Launcher(ProgramTest):
    """The launcher goes by the losses that nodes have recorded, not by the order in which they end."""

    # Word P of the file: the number of the process that is lost, plus 1.
    TELL = "printf '\\002\\000\\000\\000' | dd of=$SGP_LOSSES bs=4 seek=$SGP_RANK conv=notrunc status=none; exit 1"
    WORDS = "od -An -tu4 -w12 $SGP_LOSSES | tr -s ' '"

    def run_nodes(self, script):
        return self.run_program("run", "--nodes", "3", "--", "sh", "-c", script)

    def test_the_cause_ends_last(self):
        wait = f'while test "$({self.WORDS})" != " 2 0 2"; do sleep 0.01; done'
        status, _, err = self.run_nodes(f"test $SGP_RANK = 1 || {{ {self.TELL}; }}; {wait}; exit 7")
        self.assertEqual(err, "sgp: node 1 ended with exit status 7\n")
        self.assertEqual(status, 7)

    def test_the_cause_does_not_end(self):
        status, _, err = self.run_nodes(f"test $SGP_RANK = 1 || {{ {self.TELL}; }}; trap '' TERM; while true; do sleep 1; done")
        self.assertEqual(status, 1)
        killed, last = err.splitlines()
        self.assertRegex(killed, r"^sgp: node 1 \(pid \d+\) did not end within \d+ s of node [02]'s failure and is killed$")
        self.assertEqual(last, "sgp: node 1 was lost, and the others ended because of it")
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
