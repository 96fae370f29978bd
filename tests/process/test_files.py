# SPDX-License-Identifier: Apache-2.0
"""The files of a run: whose they are, who may write them, and what stands in their place."""

import json
import os
import shutil
import struct
import unittest

from support import ProgramTest

SHORT = ["--model", "mlp", "--nodes", "2", "--epochs", "1", "--batch-size", "32"]


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def metadata(path):
    """Of a safetensors file."""
    with open(path, "rb") as file:
        return json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))["__metadata__"]


class Identity(ProgramTest):
    """Every file of a run has its id."""

    def ids(self, output="out"):
        place = self.output(output)
        checkpoints = os.path.join(place, "checkpoint")
        found = {read_json(os.path.join(place, name))["run_id"] for name in ("config.json", "summary.json")}
        found.add(metadata(os.path.join(place, "model.safetensors"))["run_id"])
        for step in os.listdir(checkpoints):
            for file in os.listdir(os.path.join(checkpoints, step)):
                found.add(metadata(os.path.join(checkpoints, step, file))["run_id"])
        return found

    def test_one_id_for_all_files(self):
        for transport in ("shm", "loopback"):
            self.train(*SHORT, "--transport", transport, output=transport)
        first, second = self.ids("shm"), self.ids("loopback")
        self.assertEqual((len(first), len(second), len(first | second)), (1, 1, 2))
        self.assertRegex(first.pop(), "^[0-9a-f]{32}$")
        self.assertEqual(self.run_program("average", self.output("shm"))[0], 0)
        self.assertIn(metadata(os.path.join(self.output("shm"), "average.safetensors"))["run_id"], self.ids("shm"))

    def test_resume_keeps_it(self):
        self.train(*SHORT, "--checkpoint-every", "5")
        before = self.ids()
        shutil.rmtree(os.path.join(self.output(), "checkpoint", "step-000000008"))
        os.remove(os.path.join(self.output(), "summary.json"))
        self.assertEqual(self.run_program("train", "--resume", self.output(), "--output", "other")[0], 0)
        self.assertEqual(self.ids("other"), before)

    def test_checkpoints_of_two_runs_of_the_same_options(self):
        for name in ("out", "other"):
            self.train(*SHORT, output=name)
        step = os.path.join("checkpoint", "step-000000008")
        path = os.path.join(self.output(), step, "node-1.safetensors")
        shutil.copy(os.path.join(self.output("other"), step, "node-1.safetensors"), path)
        os.remove(os.path.join(self.output(), "summary.json"))
        for command in (["average", self.output()], ["train", "--resume", self.output()]):
            err = self.refused(*command)
            self.assertIn(path, err)
            for name in ("out", "other"):
                self.assertIn(read_json(os.path.join(self.output(name), "config.json"))["run_id"], err)


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
