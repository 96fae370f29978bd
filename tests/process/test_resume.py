# SPDX-License-Identifier: Apache-2.0
"""Runs that are killed and continued: the same bits as an uninterrupted run, and damaged files are refused."""

import json
import os
import random
import shutil
import signal
import unittest

from support import LIMIT, ProgramTest, node_pids, wait_gone, write

# 16 steps in an epoch, and a checkpoint after every fifth: most are in the middle of one.
RUN = ["--model", "mlp", "--nodes", "4", "--batch-size", "8", "--epochs", "12", "--checkpoint-every", "5"]
STEPS = 12 * 16


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def without_order(record):
    """The consensus distance is added up in the order in which parts arrive: its last digits may differ."""
    return {k: float(f"{v:.9g}") if k == "consensus_distance" and v is not None else v for k, v in record.items()}


class ResumeTest(ProgramTest):
    def setUp(self):
        super().setUp()
        self.data()

    def kill_after(self, epoch, *arguments, **options):
        """Starts a run and kills launcher and nodes some time after an epoch's line, as kill -9 does."""
        process = self.start("train", *arguments, **options)
        lines = []
        while not (lines and lines[-1].startswith(f"epoch {epoch}/")):
            lines.append(process.stderr.readline())
            self.assertNotEqual(lines[-1], "", "".join(lines))
        threads = "loopback" in arguments
        nodes = [] if threads else [os.pidfd_open(pid) for pid in node_pids(process.pid).values()]
        process.kill()
        self.assertTrue(wait_gone(nodes))
        for node in nodes:
            os.close(node)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, -signal.SIGKILL)
        self.assertFalse(os.path.exists(os.path.join(self.output("killed"), "summary.json")))

    def new(self, *arguments, output="killed"):
        return ["--data", self.data(), "--output", self.output(output), *RUN, *arguments]

    def resume(self, *arguments, output="killed"):
        """Resumes the run to its end. Returns (summary, standard error)."""
        status, _, err = self.run_program("train", "--resume", self.output(output), *arguments)
        self.assertEqual(status, 0, err)
        return read_json(os.path.join(self.output(output), "summary.json")), err

    def metrics(self, output):
        """The values that do not depend on the clock."""
        with open(os.path.join(self.output(output), "metrics.jsonl"), encoding="utf-8") as file:
            lines = [without_order(json.loads(line)) for line in file]
        return [{k: v for k, v in line.items() if k == "seconds" or not k.endswith("_ms")} for line in lines]

    def assert_same_run(self, summary, whole, output="killed", whole_output="out"):
        summary, whole = without_order(summary), without_order(whole)
        self.assertEqual(summary["parameters_hash"], whole["parameters_hash"])
        for key in ("steps", "epochs", "train_loss", "test_accuracy", "average_model_accuracy", "messages",
                    "consensus_distance", "mass"):
            self.assertEqual(summary[key], whole[key], key)
        ours, theirs = self.metrics(output), self.metrics(whole_output)
        seconds = [line.pop("seconds") for line in ours
                   if (line["node"], line.get("worker", 0)) == (0, 0)]
        for line in ours + theirs:
            line.pop("seconds", None)
        self.assertEqual(ours, theirs)
        self.assertEqual(seconds, sorted(seconds))

    def steps(self, output="killed"):
        return sorted(os.listdir(os.path.join(self.output(output), "checkpoint")))

    def node_file(self, step, rank, output="killed"):
        return os.path.join(self.output(output), "checkpoint", step, f"node-{rank}.safetensors")


class SameBits(ResumeTest):
    """Killed twice, at any step, and continued."""

    def check(self, *arguments):
        whole = self.train(*RUN, *arguments)
        self.kill_after(random.randint(1, 3), *self.new(*arguments))
        self.kill_after(random.randint(5, 8), "--resume", self.output("killed"))
        summary, _ = self.resume()
        self.assertEqual(summary["steps"], STEPS)
        self.assert_same_run(summary, whole)
        self.assertEqual(self.steps(), self.steps("out"))
        self.assertEqual(len(self.steps()), 2)

    def test_sgp(self):
        self.check()

    def test_allreduce(self):
        self.check("--algorithm", "allreduce")

    def test_osgp(self):
        self.check("--algorithm", "osgp", "--overlap", "2")

    def test_dpsgd(self):
        self.check("--algorithm", "dpsgd")

    def test_switches(self):
        self.check("--algorithm", "0:allreduce,2:sgp,4:osgp,6:dpsgd", "--peers", "0:2,3:1")

    def test_slow_momentum_and_local_steps(self):
        self.check("--slow-momentum", "0.5", "--slow-every", "12", "--local-steps", "3")

    def test_outer_steps(self):
        self.check("--algorithm", "allreduce", "--local-steps", "5", "--outer-lr", "0.7", "--encoding", "int4")

    def test_outer_steps_by_push(self):
        self.check("--local-steps", "5", "--outer-lr", "0.7", "--optimizer", "adamw", "--lr", "0.005")

    def test_rounds(self):
        self.check("--rounds", "auto", "--encoding", "bfloat16")

    def test_adam(self):
        self.check("--optimizer", "adam", "--lr", "0.0123456789012345678", "--augment")

    def test_encodings(self):
        self.check("--encoding", "bfloat16", "--algorithm", "0:allreduce,3:osgp")

    def test_encodings_of_workers(self):
        self.check("--encoding", "float16", "--nodes", "2", "--workers-per-node", "2")

    def test_int8(self):
        self.check("--encoding", "int8", "--algorithm", "0:sgp,3:osgp")

    def test_int4_of_allreduce(self):
        self.check("--encoding", "int4", "--algorithm", "allreduce")

    def test_threads(self):
        self.check("--transport", "loopback")

    def test_workers(self):
        self.check("--nodes", "2", "--workers-per-node", "2", "--algorithm", "0:sgp,6:osgp")

    def test_at_the_end_of_epochs(self):
        self.check("--checkpoint-every", "16")


class Directory(ResumeTest):
    """The files in a run's directory decide how it continues."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.whole = None

    def killed(self, *arguments):
        """A run that was killed after some checkpoints, and the same run uninterrupted."""
        if not os.path.isdir(self.output("out")):
            self.whole = self.train(*RUN, *arguments)
        self.kill_after(4, *self.new(*arguments))
        return self.steps()

    def damage(self, path, at=None, size=None):
        with open(path, "rb") as file:
            content = bytearray(file.read())
        if at is not None:
            content[at] ^= 1
        write(path, bytes(content[:size]))

    def check_goes_back(self, path, reason):
        summary, err = self.resume()
        complaints = [line for line in err.splitlines() if not line.startswith("epoch")]
        self.assertEqual(len(complaints), 1, err)
        self.assertIn(path, complaints[0])
        self.assertIn(reason, complaints[0])
        self.assert_same_run(summary, self.whole)

    def complete(self, step):
        return all(os.path.exists(self.node_file(step, rank)) for rank in range(4))

    def last_complete(self):
        """Removes all files but two complete checkpoints. Returns the newest."""
        for step in self.steps():
            if not self.complete(step):
                shutil.rmtree(os.path.join(self.output("killed"), "checkpoint", step))
        while len(self.steps()) > 2:
            shutil.rmtree(os.path.join(self.output("killed"), "checkpoint", self.steps()[0]))
        self.assertEqual(len(self.steps()), 2)
        return self.steps()[-1]

    def test_cut_file(self):
        self.killed()
        step = self.last_complete()
        self.damage(self.node_file(step, 2), size=-7)
        self.check_goes_back(self.node_file(step, 2), "tensor")

    def test_empty_file(self):
        self.killed()
        step = self.last_complete()
        self.damage(self.node_file(step, 0), size=0)
        self.check_goes_back(self.node_file(step, 0), "not a safetensors file")

    def test_flipped_byte(self):
        self.killed()
        step = self.last_complete()
        self.damage(self.node_file(step, 3), at=-5)
        self.check_goes_back(self.node_file(step, 3), "does not match its hash")

    def test_missing_file(self):
        self.killed()
        step = self.last_complete()
        os.remove(self.node_file(step, 1))
        self.check_goes_back(self.output("killed"), f"step {int(step[5:])} is not complete")

    def test_file_of_another_node(self):
        self.killed()
        step = self.last_complete()
        shutil.copy(self.node_file(step, 1), self.node_file(step, 2))
        self.check_goes_back(self.node_file(step, 2), "rank is 1 there and 2 here")

    def test_leftovers_are_removed(self):
        self.killed()
        step = self.last_complete()
        write(self.node_file(step, 1) + ".part", b"half")
        os.mkdir(os.path.join(self.output("killed"), "checkpoint", "step-000000999"))
        self.resume()
        self.assertEqual(self.steps(), self.steps("out"))
        self.assertEqual([f for s in self.steps() for f in os.listdir(
            os.path.join(self.output("killed"), "checkpoint", s)) if f.endswith(".part")], [])

    def test_cut_line_of_metrics(self):
        self.killed()
        self.last_complete()
        with open(os.path.join(self.output("killed"), "metrics.jsonl"), "ab") as file:
            file.write(b'{"epoch": 1, "step')
        summary, err = self.resume("--quiet")
        self.assertEqual(err, "")
        self.assert_same_run(summary, self.whole)

    def test_another_output(self):
        """The run goes on in another directory, and the old one stays as it is."""
        self.killed()
        self.last_complete()
        before = self.steps()
        status, _, err = self.run_program("train", "--resume", self.output("killed"), "--output",
                                          self.output("other"), "--transport", "loopback", "--quiet")
        self.assertEqual((status, err), (0, ""))
        summary = read_json(os.path.join(self.output("other"), "summary.json"))
        self.assert_same_run(summary, self.whole, output="other")
        self.assertEqual(self.steps(), before)

    def test_before_the_first_checkpoint(self):
        """Killed too early: it starts again, and says so."""
        self.whole = self.train(*RUN)
        for leftover in (None, "folder"):
            with self.subTest(leftover):
                os.makedirs(self.output("killed"), exist_ok=True)
                shutil.copy(os.path.join(self.output("out"), "config.json"), self.output("killed"))
                if leftover:
                    os.makedirs(os.path.join(self.output("killed"), "checkpoint", "step-000000005"))
                    write(self.node_file("step-000000005", 2) + ".part", b"half")
                summary, err = self.resume()
                complaints = [line for line in err.splitlines() if not line.startswith("epoch")]
                self.assertEqual(len(complaints), 1, err)
                self.assertIn("beginning from the start", complaints[0])
                self.assert_same_run(summary, self.whole)
                shutil.rmtree(self.output("killed"))

    def test_killed_before_the_summary(self):
        """All steps are done and in the last checkpoint."""
        self.whole = self.train(*RUN, output="killed")
        shutil.copytree(self.output("killed"), self.output("out"))
        os.remove(os.path.join(self.output("killed"), "summary.json"))
        os.remove(os.path.join(self.output("killed"), "model.safetensors"))
        summary, err = self.resume()
        self.assertEqual(err, "")
        self.assert_same_run(summary, self.whole)
        self.assertEqual(summary["wait_ms"], self.whole["wait_ms"])
        self.assertEqual(summary["step_ms"], self.whole["step_ms"])
        self.assertEqual(summary["seconds"], self.whole["seconds"])

    def test_finished_run(self):
        whole = self.train(*RUN, output="killed")
        for arguments in (["--json", "--quiet"], []):
            status, out, err = self.run_program("train", "--resume", self.output("killed"), *arguments)
            self.assertEqual(status, 0, err)
            if arguments:
                self.assertEqual((json.loads(out), err), (whole, ""))
            else:
                self.assertIn(f"finished, after {STEPS} steps", err)
                self.assertIn(f"{whole['average_model_accuracy']:.4f}", out)

    def test_a_new_run_leaves_nothing_of_the_old_one(self):
        self.train(*RUN, output="killed")
        self.train(*RUN, "--seed", "9", "--epochs", "1", "--checkpoint-every", "16", output="killed")
        self.assertEqual(self.steps(), ["step-000000016"])


class Refused(ResumeTest):
    """The error is one line, and no node starts."""

    def setUp(self):
        super().setUp()
        self.train(*RUN, "--epochs", "1", output="killed")
        os.remove(os.path.join(self.output("killed"), "summary.json"))

    def refuse(self, *arguments):
        before = os.listdir(self.output("killed"))
        err = self.refused("train", "--resume", self.output("killed"), *arguments)
        self.assertEqual(os.listdir(self.output("killed")), before)
        self.assert_nothing_left()
        return err

    def test_other_options(self):
        for name, there, here in (("model", "mlp", "lenet"), ("workers-per-node", "1", "2"), ("algorithm", "sgp", "allreduce"),
                                  ("seed", "1", "2"), ("epochs", "1", "3"), ("lr", "0.1", "0.2"),
                                  ("batch-size", "8", "16"), ("momentum", "0.9", "0.5"),
                                  ("optimizer", "sgd", "adam"), ("limit-samples", "0", "100")):
            with self.subTest(name):
                err = self.refuse("--" + name, here)
                self.assertRegex(err, f"{name.replace('-', '_')} is \"?{there}\"? in that run and \"?{here}\"? was")
                self.assertIn("without --resume", err)

    def test_same_options_are_fine(self):
        self.resume(*RUN, "--epochs", "1", "--lr", "0.1", "--seed", "1", "--data", self.data())

    def test_other_data(self):
        shutil.copytree(self.data(), os.path.join(self.folder, "moved"))
        path = os.path.join(self.folder, "moved", "train-labels-idx1-ubyte")
        with open(path, "rb") as file:
            labels = bytearray(file.read())
        labels[100] = (labels[100] + 1) % 10
        write(path, labels)
        self.assertIn("data_checksum is ", self.refuse("--data", os.path.join(self.folder, "moved")))

    def test_moved_data(self):
        shutil.move(self.data(), os.path.join(self.folder, "moved"))
        self.resume("--data", os.path.join(self.folder, "moved"))

    def test_no_run(self):
        err = self.refused("train", "--resume", os.path.join(self.folder, "nowhere"))
        self.assertIn("nowhere", err)
        os.mkdir(os.path.join(self.folder, "empty"))
        err = self.refused("train", "--resume", os.path.join(self.folder, "empty"))
        self.assertIn("empty", err)
        self.assertIn("config.json", err)

    def test_config_that_is_none(self):
        path = os.path.join(self.output("killed"), "config.json")
        config = read_json(path)
        for content, reason in ((b"", "config.json"), (b"{", "config.json"), (b"[]", "options"),
                                (b'{"options": {"lr": "fast"}}', "--lr fast"),
                                (b'{"options": {"warp": 9}}', "warp")):
            with self.subTest(content):
                write(path, content)
                self.assertIn(reason, self.refuse())
        config["options"]["model"] = "lenet"
        write(path, json.dumps(config).encode())
        self.assertIn("model is mlp there and lenet here", self.refuse())
        config["options"]["model"] = "mlp"
        config["options"]["lr"] = 0.3
        write(path, json.dumps(config).encode())
        self.assertIn("options is ", self.refuse())

    def test_nothing_good(self):
        for step in self.steps():
            with open(self.node_file(step, 1), "r+b") as file:
                file.truncate(1000)
        err = self.refuse()
        self.assertIn(self.node_file(self.steps()[-1], 1), err)
        self.assertIn("none of the 2 checkpoints is good", err)

    def test_files_missing_everywhere(self):
        for step in self.steps():
            os.remove(self.node_file(step, 1))
        self.assertIn("none of the 2 checkpoints is good", self.refuse())

    def test_unreadable_folder(self):
        path = os.path.join(self.output("killed"), "checkpoint")
        shutil.rmtree(path)
        write(path, b"")
        self.assertIn(f"{path}: cannot be read: Not a directory", self.refuse())

    def test_nodes_by_hand_say_it_too(self):
        """Nodes without a launcher, which would check the directory first."""
        for step in self.steps():
            with open(self.node_file(step, 1), "r+b") as file:
                file.truncate(1000)
        place = {"SGP_SIZE": "4", "SGP_RENDEZVOUS": self.runtime}
        nodes = [self.start("train", "--resume", self.output("killed"), environment={**place, "SGP_RANK": str(rank)})
                 for rank in range(4)]
        errors = ""
        for node in nodes:
            _, err = node.communicate(timeout=LIMIT)
            self.assertEqual(node.returncode, 2, err)
            errors += err
        self.assertIn("none of the 2 checkpoints is good", errors)


if __name__ == "__main__":
    unittest.main()
