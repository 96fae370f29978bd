# SPDX-License-Identifier: Apache-2.0
"""--preset: options of averaging by the kind of network."""

import json
import os
import unittest

from support import ProgramTest

RUN = ["--model", "mlp", "--nodes", "2", "--transport", "loopback", "--epochs", "1", "--batch-size", "1", "--compute-ms", "0.01"]


class Presets(ProgramTest):
    def options(self, *arguments):
        """What config.json records, and what the program has said."""
        status, _, err = self.run_program("train", "--data", self.data(), "--output", self.output(), "--overwrite", *RUN, *arguments)
        self.assertEqual(status, 0, err)
        with open(os.path.join(self.output(), "config.json"), encoding="utf-8") as file:
            return json.load(file)["options"], err

    def test_each_is_the_options_that_it_prints(self):
        """So a preset can be written out, and changed."""
        for preset in ("lan", "slow", "wan"):
            chosen, err = self.options("--preset", preset)
            (line,) = [line for line in err.splitlines() if line.startswith(f"preset {preset}: ")]
            words = line.removeprefix(f"preset {preset}: ").split(",")[0].split()
            rate = ["--lr", "0.025"] if preset == "wan" else []
            written, err = self.options(*words, *rate)
            self.assertEqual(chosen.pop("preset"), preset)
            self.assertEqual(written.pop("preset"), "none")
            self.assertEqual(chosen, written)
            self.assertNotIn("preset", err)

    def test_they_differ(self):
        slow, wan = self.options("--preset", "slow")[0], self.options("--preset", "wan")[0]
        self.assertEqual((slow["algorithm"], slow["rounds"], slow["encoding"], slow["lr"]), ("sgp", "auto", "int4", 0.1))
        self.assertEqual((wan["algorithm"], wan["local_steps"], wan["encoding"], wan["lr"]), ("allreduce", 16, "int4", 0.025))

    def test_options_beside_it_win(self):
        options, _ = self.options("--lr", "0.3", "--preset", "wan", "--local-steps", "4")
        self.assertEqual((options["lr"], options["local_steps"], options["outer_lr"]), (0.3, 4, 0.7))
        options, _ = self.options("--encoding", "int8", "--preset", "slow")
        self.assertEqual((options["encoding"], options["rounds"]), ("int8", "auto"))

    def test_beside_a_recipe(self):
        options, _ = self.options("--recipe", "paper", "--preset", "wan")
        self.assertEqual((options["lr"], options["weight_decay"], options["local_steps"]), (0.025, 1e-4, 16))

    def test_contradictions_are_refused(self):
        for arguments, said in ((["slow", "--algorithm", "osgp"], "int4 with osgp"), (["wan", "--algorithm", "adpsgd"], "int4 with adpsgd"),
                                (["fast"], "none, lan, slow, wan")):
            status, _, err = self.run_program("train", "--data", self.data(), *RUN, "--preset", *arguments)
            self.assertEqual(status, 2, err)
            self.assertIn(said, err)


if __name__ == "__main__":
    unittest.main()
