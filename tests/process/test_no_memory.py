# SPDX-License-Identifier: Apache-2.0
"""When an allocation fails, the program reports it and ends, or works without; it never prints partial output."""

import os
import shutil
import subprocess
import unittest

from support import LIMIT, PROGRAM, ProgramTest

PRELOAD = os.environ.get("SGP_FAILING_PRELOAD")


@unittest.skipUnless(PRELOAD, "SGP_FAILING_PRELOAD is not set: ctest names the library whose malloc fails")
class NoMemory(ProgramTest):
    def start(self, arguments, **settings):
        environment = dict(self.environment, OMP_NUM_THREADS="1", LD_PRELOAD=PRELOAD, **settings)
        shutil.rmtree(self.output(), ignore_errors=True)
        return subprocess.run([PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=LIMIT)

    def fail_each(self, *arguments, stride=1):
        """Each allocation fails alone, and together with all later ones."""
        count = os.path.join(self.folder, "count")
        good = self.start(arguments, FAIL_COUNT=count)
        self.assertEqual(good.returncode, 0, good.stderr)
        with open(count, encoding="ascii") as file:
            allocations = int(file.read())
        self.assertGreater(allocations, 0)
        for number in range(1, allocations + 1, stride):
            for settings in ({}, {"FAIL_ALL": "1"}):
                with self.subTest(allocation=number, **settings):
                    ended = self.start(arguments, FAIL_AT=str(number), **settings)
                    self.assertIn(ended.returncode, (0, 1, 2), ended.stderr)
                    if ended.returncode == 0:
                        self.assertEqual(ended.stdout, good.stdout)
                    else:
                        self.assertRegex(ended.stderr, "^sgp: ")

    def test_json(self):
        self.fail_each("graph", "--nodes", "4", "--json", stride=3)

    def test_model(self):
        self.fail_each("model", "--model", "mlp", stride=3)

    def test_eval(self):
        data = self.data(train=32, test=10)
        kept = os.path.join(self.folder, "kept")
        subprocess.run([PROGRAM, "train", "--nodes", "1", "--model", "mlp", "--epochs", "1", "--data", data, "--output", kept,
                        "--quiet"], env=self.environment, check=True, timeout=LIMIT)
        self.fail_each("eval", "--data", data, "--batch-size", "8", os.path.join(kept, "model.safetensors"), stride=5)

    def test_data(self):
        data, pictures = self.data(train=20, test=10), os.path.join(self.folder, "pictures")
        subprocess.run([PROGRAM, "data", "unpack", data, pictures, "--quiet"], env=self.environment, check=True, timeout=LIMIT)
        sheet = os.path.join(self.folder, "sheet.png")
        options = ["--threads", "1", "--quiet"]
        self.fail_each("data", "pack", pictures, self.output(), "--shards", "2", "--resize", "8", *options, stride=61)
        self.fail_each("data", "unpack", data, self.output(), *options, stride=61)
        self.fail_each("data", "check", pictures, *options, stride=17)
        self.fail_each("data", "show", pictures, "--batch-size", "2", "--output", sheet, "--quiet", stride=17)

    def test_training(self):
        self.fail_each("train", "--nodes", "2", "--transport", "loopback", "--model", "mlp", "--epochs", "1",
                       "--data", self.data(train=32, test=10), "--batch-size", "8", "--output", self.output(),
                       "--quiet", stride=97)


if __name__ == "__main__":
    unittest.main()
