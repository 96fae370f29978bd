# SPDX-License-Identifier: Apache-2.0
"""Nodes are killed, and the others go on to the end: --on-loss continue, the default where the nodes can."""

import contextlib
import json
import os
import re
import shutil
import signal
import struct
import time
import unittest

from support import LIMIT, ProgramTest, node_pids

NODES = 4
EPOCHS = 6
STEPS = 32  # of an epoch of all nodes
RUN = ["--model", "mlp", "--batch-size", "4", "--nodes", str(NODES), "--epochs", str(EPOCHS)]


class OnLoss(ProgramTest):
    def start_run(self, *arguments, output="out"):
        return self.start("train", "--data", self.data(), "--output", self.output(output), "--overwrite", *RUN, *arguments)

    def read_to_epoch(self, process, epoch):
        """Reads the run's lines up to that epoch's. Returns the others."""
        others = []
        while line := process.stderr.readline():
            if line.startswith(f"epoch {epoch}/"):
                return others
            if not line.startswith("epoch"):
                others.append(line)
        self.fail(f"no epoch {epoch}: {others}")

    def kill(self, process, ranks, number=signal.SIGKILL):
        pids = node_pids(process.pid)
        for rank in ranks:
            os.kill(pids[rank], number)

    def finish(self, process, status=0):
        out, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, status, err)
        self.assert_nothing_left()
        return out, err

    def load(self, name, output="out"):
        with open(os.path.join(self.output(output), name), encoding="utf-8") as file:
            return json.load(file)

    def lines(self):
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def label(self, path):
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            return json.loads(file.read(length))["__metadata__"]

    def checkpoint(self):
        """The label of each file of the newest one."""
        folder = os.path.join(self.output(), "checkpoint")
        newest = os.path.join(folder, sorted(os.listdir(folder))[-1])
        return {name: self.label(os.path.join(newest, name)) for name in sorted(os.listdir(newest))}

    def check_files(self, lost, epoch):
        """lost: in epochs from `epoch` on."""
        summary = self.load("summary.json")
        self.assertEqual(summary["status"], "finished")
        self.assertEqual(sorted(loss["node"] for loss in summary["losses"]), lost)
        for loss in summary["losses"]:
            self.assertGreaterEqual(loss["step"], (epoch - 1) * STEPS)
            self.assertTrue(loss["reason"])
            self.assertGreaterEqual(loss["seconds"], 0)
        self.assertEqual(summary["samples"], {"missed": 0})
        left = [rank for rank in range(NODES) if rank not in lost]
        self.assertAlmostEqual(summary["mass"]["w_total"], len(left))
        self.assertGreater(summary["test_accuracy"]["min"], 0.9)
        self.assertGreater(summary["average_model_accuracy"], 0.9)
        lines = self.lines()
        self.assertEqual(sorted({line["node"] for line in lines if line["epoch"] == EPOCHS}), left)
        self.assertEqual(sorted({line["node"] for line in lines if line["epoch"] < epoch}), list(range(NODES)))
        ends = [(line["epoch"], line["node"]) for line in lines if "test_accuracy" in line]
        self.assertEqual(ends, sorted(set(ends)))
        self.assertEqual({e for e, _ in ends}, set(range(1, EPOCHS + 1)))
        self.assertEqual(sorted({loss["node"] for line in lines for loss in line.get("losses", [])}), lost)
        labels = self.checkpoint()
        self.assertEqual(list(labels), [f"node-{place}.safetensors" for place in range(len(left))])
        for place, label in enumerate(labels.values()):
            self.assertEqual((label["nodes"], label["rank"]), (str(len(left)), str(place)))
        model = self.label(os.path.join(self.output(), "model.safetensors"))
        page = ""
        if shutil.which("gnuplot"):
            with open(os.path.join(self.output(), "report.html"), encoding="utf-8") as file:
                page = re.search(r"Went on without [^<]*", file.read()).group()
        for rank in lost:
            self.assertIn(f"node {rank} in step ", model["losses"])
            if page:
                self.assertIn(f"node {rank} from step ", page)
        return summary

    def check_killed(self, ranks, *arguments):
        process = self.start_run(*arguments)
        self.read_to_epoch(process, 2)
        self.kill(process, ranks)
        out, err = self.finish(process)
        for rank in ranks:
            self.assertEqual(err.count(f"sgp: node {rank} was lost (killed by signal 9): the others go on\n"), 1, err)
            self.assertRegex(out, rf"(?m)^  lost +node {rank} in step \d+ \(")
        self.assertEqual(len([line for line in err.splitlines() if not line.startswith("epoch")]), len(ranks), err)
        # The first node may be lost when it has shown an epoch, and the others do not know yet that it has.
        shown = [int(epoch) for epoch in re.findall(r"(?m)^epoch (\d+)/", err)]
        self.assertEqual(shown[-(EPOCHS - 2):], list(range(3, EPOCHS + 1)), err)
        self.assertIn(shown[:-(EPOCHS - 2)], ([], [2]), err)
        self.check_files(ranks, 3)

    def test_one_is_killed(self):
        for transport, algorithm in (("shm", "sgp"), ("tcp", "osgp")):
            with self.subTest(f"{transport}, {algorithm}"):
                self.check_killed([2], "--transport", transport, "--algorithm", algorithm)

    def test_the_first_is_killed(self):
        for transport in ("shm", "tcp"):
            with self.subTest(transport):
                self.check_killed([0], "--transport", transport)

    def test_two_are_killed(self):
        for transport, algorithm in (("shm", "osgp"), ("tcp", "sgp")):
            with self.subTest(f"{transport}, {algorithm}"):
                self.check_killed([0, 3], "--transport", transport, "--algorithm", algorithm)

    def test_one_is_left(self):
        self.check_killed([0, 1, 3])

    def test_other_mixers(self):
        for arguments in (["--overlap", "async"], ["--algorithm", "dpsgd", "--slow-every", "7"]):
            with self.subTest(arguments):
                self.check_killed([1], *arguments)

    def test_other_algorithms(self):
        for transport, algorithm, rank in (("shm", "adpsgd", 0), ("tcp", "adpsgd", 1), ("shm", "allreduce", 1), ("tcp", "allreduce", 0)):
            with self.subTest(f"{transport}, {algorithm}, {rank}"):
                self.check_killed([rank], "--transport", transport, "--algorithm", algorithm)
        with self.subTest("a schedule"):
            self.check_killed([1, 2], "--algorithm", "0:allreduce,3:adpsgd,4:sgp")

    def test_the_writer_of_other_files_is_killed(self):
        self.check_killed([0], "--tensorboard", "--trace", "--checkpoint-every", "20")
        names = {event["args"]["name"] for event in self.load("trace.json")["traceEvents"] if event["name"] == "process_name"}
        self.assertEqual(names, {f"node {rank}" for rank in range(NODES)})
        steps = [event["args"]["step"] for event in self.load("trace.json")["traceEvents"] if event["ph"] == "X" and event["pid"] == 2]
        self.assertEqual(max(steps), self.load("summary.json")["steps"])
        for rank in range(NODES):
            self.assertTrue(os.listdir(os.path.join(self.output(), "tensorboard", f"node-{rank}")))

    def test_one_hangs(self):
        process = self.start_run("--peer-timeout", "1")
        self.read_to_epoch(process, 2)
        self.kill(process, [3], signal.SIGSTOP)
        _, err = self.finish(process)
        self.assertRegex(err, r"(?m)^sgp: node 3 was lost in step \d+ \(.*silent.*\): the others go on$")
        self.assertRegex(err, r"(?m)^sgp: node 3 \(pid \d+\) did not end within \d+ s of SIGTERM and is killed$")
        self.check_files([3], 2)

    def test_interrupted_after_a_loss(self):
        """All that are left halt together, and their checkpoint is whole."""
        process = self.start_run("--epochs", "100000")
        self.read_to_epoch(process, 2)
        self.kill(process, [0])
        self.read_to_epoch(process, 5)
        process.send_signal(signal.SIGINT)
        _, err = self.finish(process, 130)
        self.assertIn(f"sgp train --resume {self.output()}", err)
        self.assertEqual(self.load("summary.json")["status"], "interrupted")
        self.assertEqual(len(self.checkpoint()), 3)

    def test_one_hangs_for_a_while(self):
        """When it runs again it ends, and leaves the files to the others. (No checkpoint: in the middle of writing one it would
        meet a folder that the others have removed.)"""
        for transport in ("shm", "tcp"):
            with self.subTest(transport):
                process = self.start_run("--epochs", "30", "--peer-timeout", "1", "--transport", transport,
                                         "--checkpoint-every", "1000000")
                self.read_to_epoch(process, 2)
                self.kill(process, [0], signal.SIGSTOP)
                while "node 0 was lost in step" not in process.stderr.readline():
                    self.assertIsNone(process.poll())
                self.kill(process, [0], signal.SIGCONT)
                _, err = self.finish(process)
                self.assertNotIn("--resume", err)
                summary = self.load("summary.json")
                self.assertEqual((summary["status"], [loss["node"] for loss in summary["losses"]]), ("finished", [0]))

    def test_resumed_after_a_loss(self):
        """In the middle of an epoch, by as many nodes as are left, and by as many as there were."""
        process = self.start_run("--epochs", "12", "--compute-ms", "4")
        self.read_to_epoch(process, 2)
        self.kill(process, [1])
        self.read_to_epoch(process, 4)
        process.send_signal(signal.SIGINT)
        self.finish(process, 130)
        step = self.load("summary.json")["steps"]
        labels = self.checkpoint()
        self.assertEqual({label["step"] for label in labels.values()}, {str(step)})
        for nodes in (3, NODES):
            with self.subTest(nodes):
                status, _, err = self.run_program("train", "--resume", self.output(), "--nodes", str(nodes), "--output",
                                                  self.output(f"by-{nodes}"))
                self.assertEqual(status, 0, err)
                summary = self.load("summary.json", f"by-{nodes}")
                self.assertEqual((summary["nodes"], summary["losses"]), (nodes, []))
                self.assertAlmostEqual(summary["mass"]["w_total"], nodes)

    def names(self, path):
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            return list(json.loads(file.read(length)))

    def divided_checkpoint(self):
        """The step of the newest checkpoint, if it is one of three nodes in an epoch whose samples were divided anew; else None."""
        folder = os.path.join(self.output(), "checkpoint")
        for step in sorted(os.listdir(folder), reverse=True):
            files = [os.path.join(folder, step, f"node-{place}.safetensors") for place in range(NODES - 1)]
            if all(os.path.exists(file) for file in files):
                return step if all("sgp.run.data" in self.names(file) for file in files) else None
        return None

    @staticmethod
    def signal_all(pids, number):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def copy_while_stopped(self, process, pids, name, before):
        """Copies the output as a kill of all nodes would leave it, once there is another checkpoint. Returns its step."""
        while process.poll() is None:
            self.signal_all(pids, signal.SIGSTOP)
            step = self.divided_checkpoint()
            if step and step != before:
                shutil.copytree(self.output(), self.output(name))
            self.signal_all(pids, signal.SIGCONT)
            if step and step != before:
                return step
            time.sleep(0.005)  # between two looks
        return None

    def check_goes_on_alike(self, *arguments):
        """A run of all but one is killed after checkpoints in the middle of the epoch of the loss, at which the samples were divided
        anew and while they are made up, and ends as the run that was not killed."""
        process = self.start_run("--checkpoint-every", "9", "--augment", "--epochs", "4", *arguments)
        self.read_to_epoch(process, 2)
        all_pids = node_pids(process.pid)
        os.kill(all_pids.pop(1), signal.SIGKILL)
        pids, copies, step = list(all_pids.values()), [], None
        while len(copies) < 4 and (step := self.copy_while_stopped(process, pids, f"copy-{len(copies)}", step)):
            copies.append(f"copy-{len(copies)}")
        self.finish(process)
        whole = self.load("summary.json")
        self.assertTrue(copies)
        for name in copies:
            stops = ["--on-loss", "stop"] if name != copies[0] else []  # also a run that no longer goes on makes up
            status, _, err = self.run_program("train", "--resume", self.output(name), "--nodes", str(NODES - 1), *stops)
            self.assertEqual(status, 0, err)
            summary = self.load("summary.json", name)
            for key in ("parameters_hash", "steps", "average_model_accuracy"):
                self.assertEqual(summary[key], whole[key], name)

    def test_killed_after_a_loss(self):
        for arguments in ([], ["--algorithm", "osgp", "--fixed-rate"]):
            with self.subTest(arguments):
                try:
                    self.check_goes_on_alike(*arguments)
                finally:
                    for folder in os.listdir(self.folder):
                        if folder.startswith("copy-"):
                            shutil.rmtree(self.output(folder))

    def rates(self):
        """The learning rate of each step with a line, of the first node."""
        return {(line["epoch"], line["step"]): line["lr"] for line in self.lines() if line["node"] == 0 and "lr" in line}

    def test_learning_rate(self):
        """It follows the batch of the nodes that are left, from the division of the samples without the lost one on, unless it is fixed."""
        for fixed in (False, True):
            with self.subTest(fixed):
                process = self.start_run("--lr", "1", "--lr-schedule", "constant", "--warmup-epochs", "0",
                                         *(["--fixed-rate"] if fixed else []))
                self.read_to_epoch(process, 2)
                self.kill(process, [3])
                self.finish(process)
                summary, rates = self.load("summary.json"), self.rates()
                full = NODES * 4 / 256
                for (epoch, step), rate in rates.items():
                    part = (NODES - 1) / NODES if epoch > 3 and not fixed else 1
                    if epoch != 3:
                        self.assertAlmostEqual(rate, full * part, msg=(epoch, step))
                self.assertEqual(summary["losses"][0]["node"], 3)
                # Each epoch after the loss: 512 samples, 12 a step; that of the loss: up to 32 steps and what is made up.
                ends = [max(step for e, step in rates if e == epoch) for epoch in range(1, EPOCHS + 1)]
                self.assertEqual(ends[:2], [STEPS, 2 * STEPS])
                self.assertEqual([b - a for a, b in zip(ends[2:], ends[3:])], [43] * 3)
                lost = 3 * STEPS - (summary["losses"][0]["step"] - 1)  # the last steps of the lost node may be known to nobody
                self.assertIn(ends[2] - 3 * STEPS, range(lost * 4 // 12 - 1, lost * 4 // 12 + 4))
                self.assertEqual(summary["steps"], ends[-1])

    def test_interrupted_and_killed_at_once(self):
        for rank in (0, 3):
            with self.subTest(rank):
                process = self.start_run("--epochs", "100000")
                self.read_to_epoch(process, 2)
                process.send_signal(signal.SIGINT)
                self.kill(process, [rank])
                self.finish(process, 130)
                self.assertEqual(self.load("summary.json")["status"], "interrupted")

    def test_all_are_killed(self):
        process = self.start_run("--epochs", "100000")
        self.read_to_epoch(process, 2)
        self.kill(process, range(NODES))
        _, err = self.finish(process, 1)
        self.assertRegex(err, r"(?m)^sgp: node \d was killed by signal 9 \(Killed\)$")

    def test_without_a_loss(self):
        """The option changes no bit, and the list of losses is empty."""
        stop = self.train(*RUN, "--on-loss", "stop")
        go_on = self.train(*RUN, "--on-loss", "continue")
        usual = self.train(*RUN)
        self.assertEqual(stop["parameters_hash"], go_on["parameters_hash"])
        self.assertEqual(stop["parameters_hash"], usual["parameters_hash"])
        self.assertEqual(go_on["losses"], [])
        self.assertFalse([line for line in self.lines() if "losses" in line])

    def test_what_cannot_go_on(self):
        for arguments, words in ((["--workers-per-node", "2"], "workers"), (["--graph", "ring"], "ring")):
            with self.subTest(arguments):
                err = self.refused("train", "--data", self.data(), "--output", self.output(), *RUN, *arguments, "--on-loss", "continue")
                self.assertIn("on-loss", err)
                self.assertIn(words, err)
        process = self.start_run("--graph", "ring", "--epochs", "100000")
        self.read_to_epoch(process, 1)
        self.kill(process, [1])
        self.finish(process, 1)


if __name__ == "__main__":
    unittest.main()
