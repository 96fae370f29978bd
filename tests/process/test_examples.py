# SPDX-License-Identifier: Apache-2.0
"""The examples, started by `sgp run`, do what their first lines describe."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import tempfile
import unittest

from support import node_pids

SGP = os.environ["SGP_PROGRAM"]
EXAMPLES = os.environ["SGP_EXAMPLES"]


def run(nodes, example, *arguments):
    command = [SGP, "run", "--nodes", str(nodes), "--", os.path.join(EXAMPLES, example), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stdout.splitlines()


def free_ports(count):
    """The first of so many neighbouring ports that are free."""
    for _ in range(100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            sockets[0].bind(("127.0.0.1", 0))
            first = sockets[0].getsockname()[1]
            for i in range(1, count):
                sockets[i].bind(("127.0.0.1", first + i))
            return first
    raise AssertionError(f"no {count} free ports beside each other")


def start(rank, nodes, example, directory):
    """A node without a launcher, which meets the others in a directory."""
    environment = dict(os.environ, SGP_RANK=str(rank), SGP_SIZE=str(nodes), SGP_RENDEZVOUS=directory)
    return subprocess.Popen([os.path.join(EXAMPLES, example)], env=environment, stdout=subprocess.PIPE, text=True)


class Examples(unittest.TestCase):
    def test_average_agrees_on_the_mean(self):
        for nodes, mean in ((1, "10"), (2, "15"), (4, "25"), (8, "45")):
            expected = [
                f"node {r} of {nodes}: mine {10 * (r + 1)}, mean {mean}, exact mean {mean}"
                for r in range(nodes)
            ]
            self.assertEqual(sorted(run(nodes, "average")), expected)

    def test_average_of_three_is_not_exact_yet_and_keeps_the_mean(self):
        lines = run(3, "average")
        estimates = [float(re.search(r", mean ([\d.]+)", line).group(1)) for line in lines]
        self.assertAlmostEqual(sum(estimates) / 3, 20, places=4)
        self.assertTrue(all(line.endswith("exact mean 20") for line in lines))

    def test_own_loop_learns_from_all_nodes(self):
        lines = run(4, "train_own_loop")
        summary = [line for line in lines if line.startswith("average of 4 nodes")]
        self.assertEqual(len(summary), 1)
        accuracy = float(re.search(r"accuracy ([\d.]+)", summary[0]).group(1))
        self.assertGreater(accuracy, 0.95)
        self.assertIn("total weight 4", summary[0])
        self.assertEqual(len(lines), 5)

    def test_own_optimizer_reaches_the_mean_of_the_targets(self):
        (line,) = run(4, "own_optimizer")
        self.assertLess(float(re.search(r"([\d.]+) from the mean", line).group(1)), 1e-3)
        self.assertIn("total weight 4", line)

    def test_a_resumed_run_equals_a_whole_one(self):
        whole = sorted(run(2, "save_and_resume", "200"))
        self.assertEqual(len(whole), 2)
        with tempfile.TemporaryDirectory() as directory:
            run(2, "save_and_resume", "120", directory)
            rest = run(2, "save_and_resume", "200", directory)
        self.assertEqual([line for line in sorted(rest) if "resumed" not in line], whole)
        self.assertIn("node 1: resumed after step 120", rest)

    def test_step_in_parts_gives_the_bits_of_whole_steps(self):
        lines = run(4, "step_in_parts")
        self.assertEqual(len(lines), 4)
        for line in lines:
            self.assertLess(float(re.search(r"loss ([\d.]+)", line).group(1)), 0.01)
            self.assertTrue(line.endswith("the same bits as whole steps"), line)

    def test_interrupt_leaves_in_the_middle_of_a_step(self):
        with tempfile.TemporaryDirectory() as directory:
            nodes = [start(r, 3, "leave_on_interrupt", directory) for r in range(3)]
            self.addCleanup(lambda: [node.kill() for node in nodes])
            for r, step in ((0, 1), (1, 2)):  # node 0 receives from node 2 in its first step, node 1 in its second
                lines = iter(nodes[r].stdout.readline, "")  # a slow neighbour may make it wait earlier as well
                self.assertIn(f"node {r}: waiting in step {step}\n", lines)
            for node in nodes:
                node.send_signal(signal.SIGINT)
            for r, how in ((0, " in the middle of a step"), (1, " in the middle of a step"), (2, "")):
                self.assertEqual(nodes[r].communicate(timeout=120)[0], f"node {r}: left{how}\n")
                self.assertEqual(nodes[r].returncode, 0)

    def test_elastic_goes_on(self):
        """Node 0 is killed, and node 2 told to leave; then the others, one after the other."""
        command = [SGP, "run", "--on-loss", "continue", "--nodes", "4", "--", os.path.join(EXAMPLES, "elastic"), "1000000"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)

        def read_until(*patterns):
            missing = set(patterns)
            for _ in range(1000):
                line = process.stdout.readline()
                missing -= {pattern for pattern in missing if re.fullmatch(pattern, line.rstrip())}
                if not missing:
                    return
                self.assertTrue(line, missing)
            self.fail(missing)

        read_until(r"node 0: step 500, 4 nodes, accuracy [\d.]+")
        pids = node_pids(process.pid)
        os.kill(pids[0], signal.SIGKILL)
        read_until(*(rf"node {rank}: step \d+, node 0 is lost: .+" for rank in (1, 2, 3)),
                   r"node 1: step \d+, 3 nodes, accuracy [\d.]+")
        os.kill(pids[2], signal.SIGTERM)
        read_until(r"node 2: left after step \d+", *(rf"node {rank}: step \d+, node 2 has left" for rank in (1, 3)),
                   r"node 1: step \d+, 2 nodes, accuracy [\d.]+")
        for rank in (3, 1):
            os.kill(pids[rank], signal.SIGTERM)
            read_until(rf"node {rank}: left after step \d+")
        _, err = process.communicate(timeout=120)
        self.assertEqual((process.returncode, err), (0, "sgp: node 0 was lost (killed by signal 9): the others go on\n"))

    def test_elastic_takes_newcomers(self):
        """One joins three; node 0 is killed; another one joins at a member that is left. All that are left are told to leave."""
        first = free_ports(8)
        ports = [f"127.0.0.1:{port}" for port in range(first, first + 8)]
        elastic = os.path.join(EXAMPLES, "elastic")

        def begin(command, **variables):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       env=dict(os.environ, **variables))
            self.addCleanup(process.communicate)
            self.addCleanup(process.kill)
            return process

        def read_until(process, pattern):
            """The part of the line that is in parentheses."""
            for _ in range(10000):
                line = process.stdout.readline()
                found = re.fullmatch(pattern, line.rstrip())
                if found:
                    return found.group(1)
                self.assertTrue(line, f"{pattern}: {process.stderr.read() if not line else ''}")
            self.fail(pattern)

        founders = begin([SGP, "run", "--on-loss", "continue", "--nodes", "3", "--", elastic, "1000000"],
                         SGP_PORTS=f"{first}-{first + 7}")
        read_until(founders, r"node 0: step (500), 3 nodes, accuracy [\d.]+")
        contacts = ",".join(ports)
        newcomers = [begin([elastic, "1000000", contacts])]
        read_until(founders, r"node \d: step \d+, node (3) joins after step \d+")
        read_until(founders, r"node 0: step (\d+), 4 nodes, accuracy [\d.]+")
        pids = node_pids(founders.pid)
        os.kill(pids[0], signal.SIGKILL)
        read_until(newcomers[0], r"node 3: step \d+, node (0) is lost: .+")
        read_until(founders, r"node 1: step (\d+), 3 nodes, accuracy [\d.]+")
        newcomers.append(begin([elastic, "1000000", contacts]))
        read_until(newcomers[0], r"node 3: step \d+, node (4) joins after step \d+")
        read_until(founders, r"node 1: step (\d+), 4 nodes, accuracy [\d.]+")
        for process, pid, rank in [(founders, pids[1], 1), (founders, pids[2], 2), (newcomers[0], newcomers[0].pid, 3),
                                   (newcomers[1], newcomers[1].pid, 4)]:
            os.kill(pid, signal.SIGTERM)
            read_until(process, rf"node {rank}: left after step (\d+)")
        for process in (founders, *newcomers):
            process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    unittest.main()
