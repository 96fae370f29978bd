# SPDX-License-Identifier: Apache-2.0
"""The files of a run: whose they are, who may write them, and what stands in their place."""

import os
import shutil
import unittest

from support import ProgramTest

SHORT = ["--model", "mlp", "--nodes", "2", "--epochs", "1", "--batch-size", "32"]


class NoFiles(ProgramTest):
    """A pipe in place of a file is refused, not waited for."""

    def setUp(self):
        super().setUp()
        self.data()

    def replace(self, path, kind):
        if os.path.exists(path):
            os.remove(path)
        if kind == "pipe":
            os.mkfifo(path)
        else:
            os.mkdir(path)
        return "is not a regular file" if kind == "pipe" else "is a directory"

    def test_data(self):
        for kind in ("pipe", "directory"):
            copy = os.path.join(self.folder, kind)
            shutil.copytree(self.data(), copy)
            path = os.path.join(copy, "train-labels-idx1-ubyte")
            reason = self.replace(path, kind)
            self.assertIn(f"{path}: {reason}", self.refused("train", *SHORT, "--data", copy, "--output", "x"))
            self.assertFalse(os.path.exists(self.output("x")))

    def test_files_of_a_run(self):
        self.train(*SHORT)
        step = os.path.join(self.output(), "checkpoint", "step-000000008")
        os.remove(os.path.join(self.output(), "summary.json"))
        for kind in ("pipe", "directory"):
            for path, command in ((os.path.join(step, "node-1.safetensors"), ["train", "--resume", self.output()]),
                                  (os.path.join(step, "node-1.safetensors"), ["average", step]),
                                  (os.path.join(self.output(), "model.safetensors"),
                                   ["eval", os.path.join(self.output(), "model.safetensors")]),
                                  (os.path.join(self.output(), "config.json"), ["train", "--resume", self.output()])):
                with self.subTest(kind=kind, command=command):
                    shutil.move(path, path + ".kept")
                    self.assertIn(self.replace(path, kind), self.refused(*command))
                    shutil.rmtree(path) if kind == "directory" else os.remove(path)
                    shutil.move(path + ".kept", path)


if __name__ == "__main__":
    unittest.main()
