# SPDX-License-Identifier: Apache-2.0
"""sgp bench measures consistent constants, and sgp simulate reads them."""

import json
import os
import socket
import unittest

from support import ProgramTest

LINKS = ("rate_mbps", "pair_mbps", "latency_ms")
PASSES = ("update_ms", "copy_ms", "absorb_ms")

# (arguments, text in the line)
MISTAKES = [
    (["--nodes", "0"], ["--nodes 0", "from 1 to 65536"]),
    (["--transport", "pigeon"], ["--transport pigeon", "auto, shm, tcp, mpi"]),
    (["--model", "vgg"], ["--model vgg", "lenet"]),
    (["--megabytes", "0"], ["--megabytes 0", "0.001 to 10000"]),
    (["--rounds", "0"], ["--rounds 0"]),
    (["--join", "127.0.0.1:7070"], ["--join 127.0.0.1:7070", "--nodes N"]),
    (["--output", "none/x.json"], ["--output none/x.json", "No such file or directory"]),
    (["--output", "."], ["--output .", "Is a directory"]),
    (["stray"], ["stray"]),
]


class Bench(ProgramTest):
    SMALL = ("--megabytes", "1", "--rounds", "3")

    def bench(self, *arguments):
        path = self.output("found.json")
        status, out, err = self.run_program("bench", "--json", "--output", path, *self.SMALL, *arguments)
        self.assertEqual((status, err), (0, ""))
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        self.assertEqual(found, json.loads(out))
        self.assert_nothing_left()
        return found

    def test_mistakes(self):
        for arguments, expected in MISTAKES:
            with self.subTest(" ".join(arguments)):
                err = self.refused("bench", *arguments)
                for part in expected:
                    self.assertIn(part, err)

    def test_links(self):
        for transport in ("shm", "tcp"):
            found = self.bench("--nodes", "3", "--transport", transport)
            self.assertEqual((found["nodes"], found["transport"]), (3, transport))
            for name in LINKS + PASSES:
                self.assertGreater(found[name], 0, name)
            self.assertEqual(found["pass_parameters"], 250000)
            for name in ("model", "parameters", "batch_size", "gradient_ms", "gradient_spread"):
                self.assertIsNone(found[name], name)

    def test_one_node(self):
        """One node has a gradient and no links."""
        found = self.bench("--nodes", "1", "--model", "mlp", "--batch-size", "4")
        for name in LINKS:
            self.assertIsNone(found[name], name)
        self.assertEqual((found["model"], found["parameters"], found["batch_size"]), ("mlp", 269322, 4))
        self.assertGreater(found["gradient_ms"], 0)
        self.assertGreaterEqual(found["gradient_spread"], 0)

    def test_joined(self):
        """With --join; node 0 writes the file."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        paths = [self.output(f"{rank}.json") for rank in range(2)]
        nodes = [self.start("bench", "--nodes", "2", "--join", f"127.0.0.1:{port}", "--rank", str(rank), "--quiet",
                            "--output", path, *self.SMALL) for rank, path in enumerate(paths)]
        for node in nodes:
            out, err = node.communicate()
            self.assertEqual((node.returncode, out), (0, ""), err)
        self.assertEqual([os.path.exists(path) for path in paths], [True, False])

    def test_text(self):
        status, out, err = self.run_program("bench", *self.SMALL)
        self.assertEqual((status, err), (0, ""))
        for name in ("rate", "latency", "update", "copy", "absorb"):
            self.assertRegex(out, rf"(?m)^{name} +[0-9.e+-]+ m?", name)
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        self.assertTrue(os.path.exists(os.path.join(self.folder, "calibration.json")))


if __name__ == "__main__":
    unittest.main()
