# SPDX-License-Identifier: Apache-2.0
"""How runs end early: numbers that are not finite, signals. Nothing of value is lost, and summary.json says what happened."""

import json
import os
import re
import signal
import unittest

from support import LIMIT, ProgramTest, node_pids

DIVERGES = ["--model", "mlp", "--nodes", "4", "--batch-size", "8", "--epochs", "3"]
ALGORITHMS = [["--algorithm", "sgp"], ["--algorithm", "osgp"], ["--algorithm", "osgp", "--overlap", "async"],
              ["--algorithm", "dpsgd"], ["--algorithm", "adpsgd"], ["--algorithm", "server"], ["--algorithm", "allreduce"],
              ["--algorithm", "sgp", "--encoding", "float16"]]


class OutcomeTest(ProgramTest):
    def summary(self, output="out"):
        with open(os.path.join(self.output(output), "summary.json"), encoding="utf-8") as file:
            return json.load(file)

    def checkpoints(self, output="out"):
        folder = os.path.join(self.output(output), "checkpoint")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def train_badly(self, *arguments, output="out"):
        return self.run_program("train", "--data", self.data(), "--output", self.output(output), *DIVERGES, *arguments)


class Divergence(OutcomeTest):
    def check(self, *arguments):
        status, _, err = self.train_badly("--lr", "1e5", *arguments)
        self.assertEqual(status, 1, err)
        said = [line for line in err.splitlines() if line.startswith("sgp: ")]
        self.assertEqual(len(said), 1, err)
        self.assertRegex(said[0], r"^sgp: diverged: .* of (worker 0 of )?node \d is not finite in step \d+ of 48, at lr \S+:")
        self.assertIn("--lr", said[0])
        self.assertNotIn("nan", err)
        summary = self.summary()
        self.assertEqual(summary["status"], "diverged")
        self.assertIn(summary["reason"], said[0])
        self.assertLess(summary["steps"], 48)
        self.assertFalse(os.path.exists(os.path.join(self.output(), "model.safetensors")))
        self.assertEqual(self.checkpoints(), [])

    def test_of_each_algorithm(self):
        for arguments in ALGORITHMS:
            with self.subTest(" ".join(arguments)):
                self.check(*arguments, "--overwrite")

    def test_over_tcp(self):
        self.check("--transport", "tcp")

    def test_of_threads(self):
        self.check("--transport", "loopback")

    def test_of_workers(self):
        self.check("--workers-per-node", "2", "--nodes", "2")

    def test_json(self):
        _, out, _ = self.train_badly("--lr", "1e5", "--json")
        self.assertEqual(json.loads(out)["status"], "diverged")

    def test_checkpoint_before_it_is_kept(self):
        """The warm-up goes from a good rate to one that is too high, so the first steps are good."""
        status, _, err = self.train_badly("--lr", "50", "--warmup-epochs", "40", "--epochs", "40", "--checkpoint-every",
                                          "1")
        self.assertEqual(status, 1, err)
        kept = self.checkpoints()
        self.assertTrue(kept, err)
        self.assertIn(f"the checkpoint of step {int(kept[-1][5:])} is kept", err)
        self.assertEqual(self.run_program("average", self.output())[0], 0)
        _, out, err = self.run_program("eval", "--data", self.data(), os.path.join(self.output(), "average.safetensors"))
        self.assertRegex(out, r"accuracy +0\.\d+|accuracy +1\.0", err)

    def test_weight_is_named_where_it_is_the_cause(self):
        status, _, err = self.train_badly("--graph", "random-uneven", "--nodes", "16", "--lr", "30", "--epochs", "400")
        self.assertEqual(status, 1, err)
        if "push-sum weight" in err:
            self.assertRegex(err, r"push-sum weight of node \d+ is 0\.\d+")

    def test_keep_going(self):
        status, _, err = self.train_badly("--lr", "1e5", "--keep-going")
        self.assertEqual(status, 0, err)
        self.assertIn("is not finite", err)
        self.assertNotRegex(err, r"(?i)\bnan\b")
        self.assertEqual(self.summary()["status"], "finished")

    def test_a_run_that_has_learned_nothing(self):
        status, _, err = self.train_badly("--model", "lenet", "--optimizer", "adam", "--lr", "50", "--quiet")
        self.assertEqual(status, 0, err)
        self.assertEqual(len(err.splitlines()), 1, err)
        self.assertRegex(err, r"node 0: after epoch 1 the accuracy is 0\.1\d*, no better than a guess among 10 classes")


class Signals(OutcomeTest):
    """A run that is interrupted and continued equals an uninterrupted one."""

    RUN = ["--model", "mlp", "--nodes", "4", "--batch-size", "8", "--epochs", "12"]
    STEPS = 12 * 16

    def interrupt(self, *arguments, number=signal.SIGTERM):
        """Returns standard error."""
        process = self.start("train", "--data", self.data(), "--output", self.output(), *self.RUN, "--checkpoint-every",
                             "100000", *arguments)
        lines = [process.stderr.readline() for _ in range(3)]
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + number, "".join(lines) + err)
        return err

    def check(self, *arguments, same=True, number=signal.SIGTERM):
        err = self.interrupt(*arguments, number=number)
        summary = self.summary()
        self.assertEqual(summary["status"], "interrupted")
        self.assertEqual(len(self.checkpoints()), 1, err)
        [kept] = self.checkpoints()
        self.assertEqual(int(kept[5:]), summary["steps"])
        self.assertIn(f"sgp train --resume {self.output()}   # goes on from step {summary['steps']}", err)
        status, _, err = self.run_program("train", "--resume", self.output())
        self.assertEqual(status, 0, err)
        resumed = self.summary()
        self.assertEqual((resumed["status"], resumed["steps"]), ("finished", self.STEPS))
        if same:
            whole = self.train(*self.RUN, *arguments, output="whole")
            self.assertEqual(resumed["parameters_hash"], whole["parameters_hash"])

    def test_sgp(self):
        self.check()

    def test_from_the_terminal(self):
        self.check(number=signal.SIGINT)

    def test_allreduce_over_tcp(self):
        self.check("--algorithm", "allreduce", "--transport", "tcp")

    def test_osgp(self):
        self.check("--algorithm", "osgp", same=False)

    def test_async(self):
        self.check("--algorithm", "osgp", "--overlap", "async", same=False)

    def test_adpsgd(self):
        self.check("--algorithm", "adpsgd", same=False)

    def test_server(self):
        self.check("--algorithm", "server", same=False)

    def test_threads(self):
        self.check("--transport", "loopback")

    def test_workers(self):
        self.check("--nodes", "2", "--workers-per-node", "2")

    def test_a_schedule(self):
        self.check("--algorithm", "0:allreduce,2:sgp,5:dpsgd")

    def test_one_node_hears_of_it(self):
        """A signal to one node only, as in a group started by hand: the others end in order, too."""
        place = {"SGP_SIZE": "3", "SGP_RENDEZVOUS": self.runtime}
        nodes = [self.start("train", "--data", self.data(), "--output", self.output(), "--model", "mlp", "--epochs",
                            "100000", environment={**place, "SGP_RANK": str(rank)}) for rank in range(3)]
        nodes[0].stderr.readline()
        nodes[1].send_signal(signal.SIGINT)
        errors = [node.communicate(timeout=LIMIT)[1] for node in nodes]
        self.assertEqual([node.returncode for node in nodes], [130, 130, 130], errors)
        self.assertEqual(self.summary()["status"], "interrupted")
        self.assertIn("sgp train --resume", errors[0])

    def test_checkpoints_by_time(self):
        process = self.start("train", "--data", self.data(), "--output", self.output(), "--model", "mlp", "--nodes", "4",
                             "--epochs", "100000", "--checkpoint-every", "100000", "--checkpoint-minutes", "1e-4")
        for _ in range(20):
            self.assertRegex(process.stderr.readline(), "^epoch")
        self.assertTrue(self.checkpoints())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 143)


class Failure(OutcomeTest):
    def test_killed_node(self):
        for rank in (0, 1):
            with self.subTest(rank):
                process = self.start_endless("--model", "mlp", "--overwrite", "--on-loss", "stop")
                os.kill(node_pids(process.pid)[rank], signal.SIGKILL)
                process.communicate(timeout=LIMIT)
                self.assertEqual(process.returncode, 1)
                summary = self.summary()
                self.assertEqual(summary["status"], "failed")
                self.assertTrue(re.search(rf"\bnode {rank}\b", summary["reason"]), summary["reason"])


if __name__ == "__main__":
    unittest.main()
