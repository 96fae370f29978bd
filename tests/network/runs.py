# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of runs on several hosts."""

import json
import os
import subprocess
import sys
import unittest

import hosts

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "process"))

from support import LIMIT, PROGRAM, ProgramTest, write  # noqa: E402

# 1.1 MB of parameters; 4 steps an epoch on 4 nodes.
TRAINING = ["--model", "mlp", "--epochs", "2", "--seed", "3"]
PARAMETER_BYTES = 269_322 * 4
KEY = "the tests' secret, long enough"


def with_port(address, port):
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@unittest.skipIf(hosts.why_not(), hosts.why_not())
class NetworkTest(ProgramTest):
    """Trainings whose nodes are processes on hosts of their own."""

    port = 7070  # in a namespace all ports are free; each run takes another one, apart from the remains of the run before
    known = {}  # parameters_hash of runs on one machine, by their options

    def make_network(self, count, **options):
        network = hosts.Network(count, **options)
        self.addCleanup(network.remove)
        return network.__enter__()

    def key_file(self, secret=KEY, name="key"):
        """Written once: a process that has just started may be reading it."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            write(path, secret.encode())
            os.chmod(path, 0o600)
        return path

    def start_on(self, host, *arguments, environment=None):
        """The program there, with pipes for its output."""
        process = host.popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, env={**self.environment, **(environment or {})}, cwd=self.folder)
        self.addCleanup(self.end, process)
        return process

    def start_node(self, host, *arguments, at, nodes=4, key=True, output=None, environment=None):
        """One node of a training whose nodes meet at an address."""
        keys = ["--key-file", self.key_file()] if key else []
        return self.start_on(host, "train", "--data", self.data(), "--output", self.output(output or host.name), "--overwrite", "--json",
                             "--transport", "tcp", "--join", with_port(at, self.port), "--nodes", str(nodes), *keys, *arguments,
                             environment=environment)

    def start_nodes(self, network, *arguments, ipv6=False, nodes=4, **options):
        """Node i of the group on host i, for the first `nodes` hosts."""
        at = network[0].ipv6 if ipv6 else network[0].ipv4
        self.port += 1
        return [self.start_node(network[rank], "--rank", str(rank), *arguments, at=at, nodes=nodes, **options)
                for rank in range(nodes)]

    def finish(self, processes):
        """Waits for all, which must succeed. Returns node 0's summary."""
        try:
            outcomes = [process.communicate(timeout=LIMIT) for process in processes]
        except subprocess.TimeoutExpired:
            for process in processes:
                process.kill()
            self.fail("\n".join(process.communicate()[1] for process in processes))
        for process, (_, err) in zip(processes, outcomes):
            self.assertEqual(process.returncode, 0, err)
        said = [json.loads(out.splitlines()[-1]) for out, _ in outcomes if out]
        self.assertEqual(len(said), 1, outcomes)
        return said[0]

    def reference(self, *arguments, nodes=4):
        """parameters_hash of the same training on one machine, over shared memory."""
        key = (nodes, *arguments)
        if key not in self.known:
            self.known[key] = self.train(*arguments, "--nodes", str(nodes), output=f"reference{len(self.known)}")["parameters_hash"]
        return self.known[key]

    def complaints(self, err):
        """The lines other than progress."""
        return [line for line in err.splitlines() if line and not line.startswith(("epoch ", "joining ", "node "))]

    def one_line(self, process, status=1):
        """The one line with which a run fails."""
        out, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, status, err)
        self.assertEqual(out, "")
        lines = self.complaints(err)
        self.assertEqual(len(lines), 1, err)
        self.assertTrue(lines[0].startswith("sgp: "), err)
        return lines[0]
