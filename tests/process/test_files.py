# SPDX-License-Identifier: Apache-2.0
"""The files of a run: the run they belong to, the processes that may write them, and other things in their place."""

import json
import os
import select
import shlex
import shutil
import socket
import struct
import unittest

from support import LIMIT, PROGRAM, ProgramTest, node_pids, wait_gone, write

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


def tree(directory):
    """{path: content} of everything in it."""
    found = {}
    for path, _, names in os.walk(directory):
        for name in names:
            with open(os.path.join(path, name), "rb") as file:
                found[os.path.join(path, name)] = file.read()
    return found


class Overwrite(ProgramTest):
    """The files of a run are replaced only with --overwrite."""

    def refuse(self, *arguments):
        before = tree(self.output())
        err = self.refused("train", "--data", self.data(), "--output", self.output(), *arguments)
        self.assertEqual(tree(self.output()), before)
        self.assert_nothing_left()
        return err

    def unfinish(self):
        for name in ("summary.json", "model.safetensors"):
            os.remove(os.path.join(self.output(), name))

    def test_a_finished_run(self):
        self.train(*SHORT)
        for arguments in ([], ["--epochs", "2"], ["--transport", "loopback"]):
            self.assertIn("holds a finished run: give another directory, or --overwrite", self.refuse(*SHORT, *arguments))

    def test_a_finished_run_in_the_way_of_a_resumed_one(self):
        for name in ("out", "other"):
            self.train(*SHORT, output=name)
        os.remove(os.path.join(self.output("other"), "summary.json"))
        err = self.refused("train", "--resume", self.output("other"), "--output", self.output())
        self.assertIn("holds a finished run", err)
        err = self.refused("train", "--resume", self.output("other"), "--overwrite")
        self.assertIn("--overwrite begins a new run", err)

    def test_another_run(self):
        self.train(*SHORT)
        self.unfinish()
        self.assertIn("holds another run (epochs is 1)", self.refuse(*SHORT, "--epochs", "2"))
        os.remove(os.path.join(self.output(), "config.json"))
        self.assertIn("holds files of a run", self.refuse(*SHORT))

    def test_an_unfinished_run_of_the_same_options(self):
        """The message has the command that continues the run."""
        os.mkdir(self.output("my runs"))
        self.train(*SHORT, output="my runs/a")
        whole = self.train(*SHORT)
        os.remove(os.path.join(self.output("my runs/a"), "summary.json"))
        err = self.refused("train", "--data", self.data(), *SHORT, "--output", self.output("my runs/a"))
        self.assertIn("holds this run, unfinished: sgp train --resume ", err)
        line = shlex.split(err[err.index("sgp train --resume"):])
        status, _, err = self.run_program(*line[1:])
        self.assertEqual(status, 0, err)
        summary = read_json(os.path.join(self.output("my runs/a"), "summary.json"))
        self.assertEqual(summary["parameters_hash"], whole["parameters_hash"])

    def test_an_unfinished_run_of_other_nodes(self):
        self.train(*SHORT, "--nodes", "3")
        self.unfinish()
        err = self.refuse(*SHORT, "--nodes", "2")
        self.assertIn("holds this run, unfinished, with 3 nodes: sgp train --resume ", err)
        self.assertTrue(err.endswith(" --nodes 2\n"), err)

    def test_nodes_that_somebody_else_starts(self):
        line = ["run", "--nodes", "2", "--", PROGRAM, "train", "--data", self.data(), "--output", self.output(),
                *SHORT]
        self.assertEqual(self.run_program(*line)[0], 0)
        before = tree(self.output())
        status, _, err = self.run_program(*line)
        self.assertEqual(status, 2)
        self.assertIn("holds a finished run", err)
        self.assertEqual(tree(self.output()), before)
        self.assertEqual(self.run_program(*line, "--overwrite")[0], 0)
        self.assertFalse(os.path.exists(os.path.join(self.output(), "lock")))

    def test_the_old_files_go_and_no_others(self):
        self.train(*SHORT, "--tensorboard", "--trace", "--checkpoint-every", "3")
        own = {os.path.join(self.output(), name): name.encode() for name in
               ("notes.txt", "tensorboard/mine", "checkpoint/mine", "checkpoint/step-000000006/mine", "average.safetensors")}
        for path, content in own.items():
            write(path, content)
        for name in ("config-3.json", "config.json.part", "metrics.jsonl.part"):
            write(os.path.join(self.output(), name), b"left")
        self.train(*SHORT)
        now = tree(self.output())
        self.assertEqual({path: now[path] for path in own}, own)
        names = ("config.json", "metrics.jsonl", "summary.json", "model.safetensors", "report.html",
                 "checkpoint/step-000000008/node-0.safetensors", "checkpoint/step-000000008/node-1.safetensors")
        self.assertLessEqual(set(now) - set(own), {os.path.join(self.output(), name) for name in names})

    def test_a_directory_with_other_files(self):
        os.mkdir(self.output())
        write(os.path.join(self.output(), "notes.txt"), b"mine")
        status, _, err = self.run_program("train", "--data", self.data(), "--output", self.output(), *SHORT)
        self.assertEqual(status, 0, err)

    def test_compare(self):
        """The refusal comes before the first run starts."""
        line = ["compare", "--algorithms", "sgp,allreduce", "--data", self.data(), "--output", self.output(), *SHORT,
                "--quiet"]
        self.assertEqual(self.run_program(*line)[0], 0)
        shutil.rmtree(self.output("out/sgp"))
        self.assertIn("out/allreduce: holds a finished run", self.refused(*line))
        self.assertFalse(os.path.exists(self.output("out/sgp")))
        self.assertEqual(self.run_program(*line, "--overwrite")[0], 0)


class OneAtATime(ProgramTest):
    """Two runs never work in one directory."""

    def refuse(self, holder):
        before = self.names()
        for command in (["--data", self.data(), "--output", self.output(), *SHORT],
                        ["--data", self.data(), "--output", self.output(), *SHORT, "--overwrite"],
                        ["--resume", self.output()], ["--resume", self.output(), "--output", self.output("other")]):
            err = self.refused("train", *command)
            self.assertIn(f"{self.output()}: process {holder} on {socket.gethostname()} is working there", err)
        self.assertEqual(self.names(), before)

    def names(self):
        """Unfinished files of the active run are left out."""
        return sorted(name for name in os.listdir(self.output())
                      if not name.endswith(".part") and name != "checkpoint")

    def wait_for_an_epoch(self, process):
        while "epoch" not in process.stderr.readline():
            self.assertIsNone(process.poll())

    def kill(self, process, nodes):
        descriptors = [os.pidfd_open(pid) for pid in nodes]
        process.kill()
        self.assertTrue(wait_gone(descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        process.communicate(timeout=LIMIT)

    def check(self, *arguments, nodes=True):
        process = self.start_endless("--model", "mlp", *arguments, nodes=2)
        pids = node_pids(process.pid).values() if nodes else []
        self.refuse(process.pid)
        self.kill(process, pids)
        again = self.start("train", "--resume", self.output())
        self.wait_for_an_epoch(again)
        self.refuse(again.pid)
        self.kill(again, node_pids(again.pid).values() if nodes else [])

    def test_processes(self):
        self.check()

    def test_threads(self):
        self.check("--transport", "loopback", nodes=False)

    def test_nodes_that_somebody_else_starts(self):
        """Node 0 holds it."""
        place = {"SGP_SIZE": "2", "SGP_RENDEZVOUS": self.runtime}
        nodes = [self.start("train", "--data", self.data(), "--output", self.output(), "--model", "mlp", "--epochs",
                            "100000", environment={**place, "SGP_RANK": str(rank)}) for rank in range(2)]
        self.wait_for_an_epoch(nodes[0])
        self.refuse(nodes[0].pid)
        for node in nodes:
            node.kill()
        for node in nodes:
            node.communicate(timeout=LIMIT)
        again = self.start("train", "--resume", self.output())
        self.wait_for_an_epoch(again)
        self.kill(again, node_pids(again.pid).values())

    def test_of_many_that_resume_one_goes_on(self):
        first = self.start_endless("--model", "mlp", nodes=2)
        self.kill(first, node_pids(first.pid).values())
        rivals = [self.start("train", "--resume", self.output(), "--quiet") for _ in range(4)]
        descriptors = {os.pidfd_open(rival.pid): rival for rival in rivals}
        waiting = set(descriptors)
        while len(waiting) > 1:
            ready, _, _ = select.select(list(waiting), [], [], LIMIT)
            self.assertTrue(ready)
            waiting -= set(ready)
        for descriptor, rival in descriptors.items():
            os.close(descriptor)
            if descriptor not in waiting:
                _, err = rival.communicate(timeout=LIMIT)
                self.assertEqual(rival.returncode, 2)
                self.assertIn("is working there", err)
            else:
                self.assertIsNone(rival.poll())
                self.kill(rival, node_pids(rival.pid).values())

    def test_nothing_is_left_of_it(self):
        self.train(*SHORT)
        self.assertFalse(os.path.exists(os.path.join(self.output(), "lock")))

    def test_a_file_of_that_name(self):
        os.mkdir(self.output())
        path = os.path.join(self.output(), "lock")
        write(path, b"mine")
        err = self.refused("train", "--data", self.data(), "--output", self.output(), *SHORT)
        self.assertIn(f"{path}: cannot be locked: it is not a lock of sgp", err)
        self.assertEqual(tree(self.output()), {path: b"mine"})


class Names(ProgramTest):
    """JSON is UTF-8: a name in another encoding that a file of the run would contain is refused before anything
    starts."""

    BYTES = os.fsdecode(b"r\xff")

    def refuse(self, *arguments):
        before = os.listdir(os.fsencode(self.folder))
        self.assertIn(r"r\xff: must be UTF-8", self.refused(*arguments))
        self.assertEqual(os.listdir(os.fsencode(self.folder)), before)

    def test_refused(self):
        self.data()
        for arguments in (["train", *SHORT, "--output"], ["train", *SHORT, "--data"], ["train", "--resume"],
                          ["compare", "--output"], ["eval", "--data"], ["eval"], ["average"], ["bench", "--output"]):
            with self.subTest(arguments):
                self.refuse(*arguments, self.BYTES)

    def test_everything_else_is_fine(self):
        name = "l\u00e4uft \u2713/\U0001f600"
        self.train(*SHORT, output=name)
        os.remove(os.path.join(self.output(name), "summary.json"))
        self.assertEqual(self.run_program("train", "--resume", self.output(name), "--json", "--quiet")[0], 0)


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
