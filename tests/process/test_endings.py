# SPDX-License-Identifier: Apache-2.0
"""How runs end when something goes wrong: killed nodes, Ctrl-C, a killed launcher. Nothing may stay behind."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import unittest

from support import LIMIT, PROGRAM, ProgramTest, node_pids, wait_gone


class Endings(ProgramTest):
    def watch(self, process):
        """pidfds of all nodes, which notice an end without being the parent."""
        descriptors = [os.pidfd_open(pid) for pid in node_pids(process.pid).values()]
        for descriptor in descriptors:
            self.addCleanup(os.close, descriptor)
        return descriptors

    def test_killed_node(self):
        for rank in (0, 2):
            with self.subTest(rank):
                process = self.start_endless("--model", "mlp", "--on-loss", "stop")
                nodes = self.watch(process)
                os.kill(node_pids(process.pid)[rank], signal.SIGKILL)
                _, err = process.communicate(timeout=LIMIT)
                self.assertEqual(process.returncode, 1, err)
                self.assertRegex(err, f"(?m)^sgp: node {rank} was killed by signal 9")
                self.assertRegex(err, f"(?m)^sgp: node [^{rank}]: .*node {rank}\\b")
                self.assertTrue(wait_gone(nodes))
                self.assert_nothing_left()

    def test_stopped_node_is_killed_with_the_rest(self):
        process = self.start_endless("--model", "mlp", "--on-loss", "stop")
        nodes = self.watch(process)
        pids = node_pids(process.pid)
        os.kill(pids[1], signal.SIGSTOP)
        os.kill(pids[2], signal.SIGKILL)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 1)
        self.assertTrue(wait_gone(nodes))
        self.assert_nothing_left()

    def check_signal(self, number, send):
        process = self.start_endless("--model", "mlp", start_new_session=True)
        nodes = self.watch(process)
        send(process.pid, number)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + number, err)
        said = [line for line in err.splitlines() if not line.startswith("epoch")]
        self.assertEqual(len(said), 2, err)
        self.assertIn(f"sgp train --resume {self.output()}", said[0])
        self.assertRegex(said[1], r"^sgp: stopped \(")
        self.assertTrue(wait_gone(nodes))
        self.assert_nothing_left()

    def test_interrupt(self):
        self.check_signal(signal.SIGINT, os.kill)

    def test_interrupt_from_the_terminal(self):
        self.check_signal(signal.SIGINT, os.killpg)

    def test_terminate(self):
        self.check_signal(signal.SIGTERM, os.kill)

    def test_interrupt_of_threads(self):
        process = self.start_endless("--model", "mlp", "--transport", "loopback")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 130, err)

    def test_threads_that_compute_get_no_signals(self):
        """Their stacks are not safe for a handler; see interrupt.h."""
        process = self.start_endless("--model", "mlp", "--transport", "loopback")
        masks = {}
        for thread in os.listdir(f"/proc/{process.pid}/task"):
            with open(f"/proc/{process.pid}/task/{thread}/status", encoding="ascii") as file:
                masks[int(thread)] = int(re.search(r"SigBlk:\s*(\w+)", file.read()).group(1), 16)
        wanted = sum(1 << (number - 1) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        self.assertEqual(masks.pop(process.pid) & wanted, 0)
        self.assertEqual({mask & wanted for mask in masks.values()}, {wanted})
        self.assertGreaterEqual(len(masks), 4)

    def test_killed_launcher(self):
        """The nodes have connected, and removed their rendezvous directory."""
        for arguments in ([], ["--workers-per-node", "2"], ["--transport", "tcp", "--workers-per-node", "2"]):
            with self.subTest(arguments):
                process = self.start_endless("--model", "mlp", *arguments, nodes=2)
                nodes = self.watch(process)
                process.kill()
                self.assertTrue(wait_gone(nodes))
                self.assert_nothing_left()

    def test_on_a_terminal(self):
        """The live line fits the width, and the last thing written ends a line."""
        columns = 40
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        process = subprocess.Popen(
            [PROGRAM, "train", "--data", self.data(), "--output", self.output(), "--model", "mlp", "--epochs", "40"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=follower, env=self.environment)
        os.close(follower)
        written = b""
        while chunk := self.read_terminal(leader):
            written += chunk
        os.close(leader)
        self.assertEqual(process.wait(LIMIT), 0)
        text = written.decode()
        self.assertTrue(text.endswith(("\n", "\r\x1b[K")), repr(text[-80:]))
        for part in re.split(r"\r\x1b\[K", text):
            if "\n" not in part:
                self.assertLess(len(part), columns)

    @staticmethod
    def read_terminal(leader):
        try:
            return os.read(leader, 4096)
        except OSError:  # the other side is closed
            return b""


class Launcher(ProgramTest):
    """`sgp run`, with the shell as the program."""

    def run_nodes(self, script, nodes=3):
        return self.run_program("run", "--nodes", str(nodes), "--", "sh", "-c", script)

    def test_gives_each_node_its_place(self):
        status, out, _ = self.run_nodes('test -d "$SGP_RENDEZVOUS" && echo $SGP_RANK of $SGP_SIZE $OMP_NUM_THREADS')
        self.assertEqual(status, 0)
        self.assertEqual(sorted(out.splitlines()), ["0 of 3 1", "1 of 3 1", "2 of 3 1"])
        self.assert_nothing_left()

    def test_the_rendezvous_is_private(self):
        _, out, _ = self.run_nodes('stat -c %a "$SGP_RENDEZVOUS"', nodes=1)
        self.assertEqual(out, "700\n")

    def start_waiting(self):
        """A launcher whose node has started. Returns it and the directory."""
        launcher = self.start("run", "--nodes", "1", "--", "sh", "-c", "echo $SGP_RENDEZVOUS; exec sleep 1000")
        return launcher, launcher.stdout.readline().strip()

    def test_removes_what_a_killed_one_has_left(self):
        """The next start leaves the directory of a live launcher alone."""
        killed, left = self.start_waiting()
        alive, kept = self.start_waiting()
        other = os.path.join(self.runtime, os.path.basename(left)[:-6] + "backup")
        os.mkdir(other, 0o755)
        killed.kill()
        killed.wait(LIMIT)
        self.assertTrue(os.path.isdir(left))
        status, out, _ = self.run_nodes('ls -A "$SGP_RENDEZVOUS"', nodes=1)
        self.assertEqual((status, out), (0, ""))
        self.assertEqual(sorted(os.listdir(self.runtime)), sorted(map(os.path.basename, (kept, other))))
        alive.terminate()
        alive.wait(LIMIT)
        self.assertEqual(os.listdir(self.runtime), [os.path.basename(other)])

    def test_leaves_a_set_number_of_threads_alone(self):
        _, out, _ = self.run_program("run", "--nodes", "1", "--", "sh", "-c", "echo $OMP_NUM_THREADS",
                                     environment={"OMP_NUM_THREADS": "3"})
        self.assertEqual(out, "3\n")

    def test_exit_status_of_a_node(self):
        status, _, err = self.run_nodes("test $SGP_RANK != 1 || exit 7")
        self.assertEqual(status, 7)
        self.assertEqual(err, "sgp: node 1 ended with exit status 7\n")
        self.assert_nothing_left()

    def test_ends_nodes_that_wait_for_a_failed_one(self):
        status, _, err = self.run_nodes("test $SGP_RANK = 1 && kill -9 $$; exec sleep 1000")
        self.assertEqual(status, 1)
        self.assertIn("node 1 was killed by signal 9", err)

    def test_ends_what_nodes_have_started(self):
        mark = os.path.join(self.folder, "pid")
        status, _, _ = self.run_nodes(f"sleep 1000 & echo $! > {mark}", nodes=1)
        self.assertEqual(status, 0)
        with open(mark, encoding="ascii") as file:
            pid = int(file.read())
        self.assertFalse(os.path.exists(f"/proc/{pid}"))

    def test_program_that_is_not_there(self):
        err = self.refused("run", "--nodes", "3", "--", "./nosuch")
        self.assertIn("./nosuch: cannot be started: No such file", err)
        self.assert_nothing_left()

    def test_program_is_missing(self):
        self.assertIn("program", self.refused("run", "--nodes", "3"))


if __name__ == "__main__":
    unittest.main()
