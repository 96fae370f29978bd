# SPDX-License-Identifier: Apache-2.0
"""`sgp run --on-loss`: the launcher of programs that go on without a lost process, with the shell as the program."""

import os
import signal
import unittest

from support import LIMIT, ProgramTest, node_pids


class LauncherLosses(ProgramTest):
    """Each process waits for a line of a pipe, which the test holds open: so that is when it ends."""

    def setUp(self):
        super().setUp()
        self.pipe = os.path.join(self.folder, "pipe")
        os.mkfifo(self.pipe)
        self.writer = os.open(self.pipe, os.O_RDWR)
        self.addCleanup(os.close, self.writer)

    def start_nodes(self, script, *arguments, nodes=3):
        """`wait` is that line, without which the process does not end."""
        process = self.start("run", "--nodes", str(nodes), *arguments, "--", "sh", "-c",
                             f'wait() {{ echo up; read line < "{self.pipe}"; }}; {script}')
        for _ in range(nodes):
            self.assertEqual(process.stdout.readline(), "up\n")
        return process

    def end_nodes(self, count):
        os.write(self.writer, b"go\n" * count)

    def finish(self, process, status):
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, status, err)
        self.assert_nothing_left()
        return err

    def test_a_killed_one(self):
        process = self.start_nodes("wait", "--on-loss", "continue")
        os.kill(node_pids(process.pid)[1], signal.SIGKILL)
        self.assertEqual(process.stderr.readline(), "sgp: node 1 was lost (killed by signal 9): the others go on\n")
        self.assertEqual(sorted(node_pids(process.pid)), [0, 2])
        self.end_nodes(2)
        self.assertEqual(self.finish(process, 0), "")

    def test_some_that_fail(self):
        """Also if they fail alike."""
        process = self.start_nodes('test $SGP_RANK = 1 && { echo up; exit 3; }; test $SGP_RANK = 2 && { echo up; exit 3; }; wait',
                                   "--on-loss", "continue")
        said = {process.stderr.readline() for _ in range(2)}
        self.assertEqual(said, {f"sgp: node {rank} was lost (exit status 3): the others go on\n" for rank in (1, 2)})
        self.assertEqual(sorted(node_pids(process.pid)), [0])
        self.end_nodes(1)
        self.assertEqual(self.finish(process, 0), "")

    def test_all_are_killed(self):
        process = self.start_nodes("wait", "--on-loss", "continue")
        for pid in node_pids(process.pid).values():
            os.kill(pid, signal.SIGKILL)
        err = self.finish(process, 1)
        self.assertEqual(err.count("was lost"), 2, err)
        self.assertRegex(err, r"(?m)^sgp: node \d was killed by signal 9 \(Killed\)$")

    def test_all_fail(self):
        process = self.start_nodes("echo up; exit 3", "--on-loss", "continue")
        self.assertRegex(self.finish(process, 3), r"^sgp: node \d ended with exit status 3\n$")

    def test_stop_is_the_default(self):
        for arguments in ([], ["--on-loss", "stop"]):
            process = self.start_nodes("wait", *arguments)
            os.kill(node_pids(process.pid)[2], signal.SIGKILL)
            self.assertEqual(self.finish(process, 1), "sgp: node 2 was killed by signal 9 (Killed)\n")

    def test_interrupt(self):
        process = self.start_nodes("wait", "--on-loss", "continue")
        process.send_signal(signal.SIGINT)
        self.finish(process, 130)

    def test_what_cannot_be(self):
        err = self.refused("run", "--nodes", "2", "--join", "127.0.0.1:1", "--on-loss", "continue", "--", "true")
        self.assertIn("--join", err)


if __name__ == "__main__":
    unittest.main()
