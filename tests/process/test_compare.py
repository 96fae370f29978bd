# SPDX-License-Identifier: Apache-2.0
"""sgp compare trains one run after another, as sgp train would, and reports those that finished."""

import json
import os
import signal
import unittest

from support import LIMIT, ProgramTest, write

SMALL = ["--nodes", "2", "--model", "mlp", "--epochs", "1"]


class Compare(ProgramTest):
    def compare(self, *arguments, status=0):
        """Returns the output."""
        code, out, err = self.run_program("compare", "--data", self.data(), "--output", self.output("c"), *arguments)
        self.assertEqual(code, status, err)
        return out, err

    def reported(self):
        with open(self.output("c/comparison.json"), encoding="utf-8") as file:
            runs = json.load(file)["runs"]
        with open(self.output("c/report.html"), encoding="utf-8") as file:
            self.assertIn("</html>", file.read())
        self.assertTrue(os.path.exists(self.output("c/comparison.md")))
        return [run["algorithm"] for run in runs]

    def refuse(self, *arguments, **options):
        err = self.refused("compare", "--data", self.data(), "--output", self.output("c"), *arguments, **options)
        self.assertFalse(os.path.exists(self.output("c")))
        return err

    def test_runs_as_train_does(self):
        out, err = self.compare("--algorithms", "sgp,allreduce", "--seed", "3", *SMALL)
        self.assertEqual(self.reported(), ["sgp", "allreduce"])
        self.assertIn("run 1 of 2: sgp", err)
        self.assertIn("run 2 of 2: allreduce", err)
        _, table, _ = self.run_program("table", self.output("c/sgp"), self.output("c/allreduce"))
        self.assertIn(table, out)
        self.assertIn(self.output("c/report.html"), out)
        for algorithm in ("sgp", "allreduce"):
            alone = self.train("--algorithm", algorithm, "--seed", "3", *SMALL, output=algorithm)
            with open(self.output(f"c/{algorithm}/summary.json"), encoding="utf-8") as file:
                self.assertEqual(json.load(file)["parameters_hash"], alone["parameters_hash"])
        self.assert_nothing_left()

    def test_rounds_are_for_the_algorithms_that_have_them(self):
        """The others make one exchange per step, and the table says which do not."""
        for spelling in (["--rounds", "2"], ["--rounds=2"]):
            out, _ = self.compare("--algorithms", "sgp,osgp,allreduce", *spelling, "--overwrite", *SMALL)
            for algorithm, rounds in (("sgp", 2), ("osgp", 1), ("allreduce", 1)):
                with open(self.output(f"c/{algorithm}/summary.json"), encoding="utf-8") as file:
                    self.assertEqual(json.load(file)["rounds"], rounds)
            with open(self.output("c/comparison.md"), encoding="utf-8") as file:
                rows = [line for line in file if line.startswith(("| sgp", "| osgp", "| allreduce"))]
            self.assertEqual(["2 rounds per step" in row for row in rows], [True, False, False])

    def test_quiet(self):
        out, err = self.compare("--algorithms=sgp", "--quiet", *SMALL)
        self.assertEqual((out, err), ("", ""))
        self.assertEqual(self.reported(), ["sgp"])

    def test_threads(self):
        """loopback restarts its process, which must not replace the comparison."""
        self.compare("--algorithms", "sgp,allreduce", "--transport", "loopback", *SMALL)
        self.assertEqual(self.reported(), ["sgp", "allreduce"])

    def test_a_run_fails(self):
        os.mkdir(self.output("c"))
        write(self.output("c/sgp"), b"in the way")
        _, err = self.compare("--algorithms", "sgp,allreduce", *SMALL, status=1)
        self.assertIn("sgp, run 1 of 2, failed", err)
        self.assertEqual(self.reported(), ["allreduce"])

    def test_runs_diverge(self):
        """Diverged runs are in the table and in the report, whether or not the run ends with an error."""
        code, out, err = self.run_program("compare", "--data", self.data(), "--output", self.output("c"), "--algorithms",
                                          "sgp,allreduce", "--lr", "1e6", *SMALL)
        self.assertIn(code, (0, 1), err)
        self.assertEqual(self.reported(), ["sgp", "allreduce"])
        self.assertRegex(out, r"(?m)^sgp +\S+ ")
        self.assertRegex(out, r"(?m)^allreduce +\S+ ")
        self.assertNotRegex(out, r"(?i)\bnan\b")

    def test_all_runs_fail(self):
        os.mkdir(self.output("c"))
        write(self.output("c/sgp"), b"in the way")
        self.compare("--algorithms", "sgp", *SMALL, status=1)
        self.assertEqual(os.listdir(self.output("c")), ["sgp"])

    @staticmethod
    def end_session(leader):
        try:
            os.killpg(leader, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def interrupt(self, number, group):
        process = self.start("compare", "--data", self.data(), "--output", self.output("c"), "--algorithms",
                             "sgp,allreduce", "--nodes", "2", "--model", "mlp", "--epochs", "40",
                             start_new_session=True)
        while "run 2 of 2" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        self.assertIn("epoch 1/40", process.stderr.readline())
        (os.killpg if group else os.kill)(process.pid, number)
        out, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + number, err)
        self.assertIn("sgp: stopped (Terminated)", err)  # the run receives it once, from the comparison
        self.assertIn("1 of 2 runs are finished", err)
        self.assertIn("c/report.html", out)
        self.assertEqual(self.reported(), ["sgp"])
        self.assertRaises(ProcessLookupError, os.killpg, process.pid, 0)
        self.assert_nothing_left()

    def test_ctrl_c(self):
        """A terminal sends the signal to all processes: the run ends in order and is not killed."""
        self.interrupt(signal.SIGINT, group=True)

    def test_hangup(self):
        self.interrupt(signal.SIGHUP, group=True)

    def test_terminated(self):
        self.interrupt(signal.SIGTERM, group=False)

    def test_killed(self):
        """No process continues to train."""
        process = self.start("compare", "--data", self.data(), "--output", self.output("c"), "--nodes", "2",
                             "--model", "mlp", "--epochs", "100000", start_new_session=True)
        self.addCleanup(self.end_session, process.pid)
        process.stderr.readline()
        self.assertIn("epoch 1/", process.stderr.readline())
        process.kill()
        process.communicate(timeout=LIMIT)  # all processes have closed the pipes
        self.assert_nothing_left()

    def test_mistakes(self):
        for arguments, expected in [
                (["--algorithms", "sgp,sgd"], "sgd"),
                (["--algorithms", "sgp,sgp"], "twice"),
                (["--algorithms", "sgp,"], "names"),
                (["--algorithms", ""], "--algorithms"),
                (["--algorithms"], "missing"),
                (["--algorithms", "0:sgp"], "no schedules"),
                (["--algorithms", ",".join(f"a{i}" for i in range(20))], "16 at most"),
                (["--algorithm", "sgp"], "--algorithms"),
                (["--resume", "x"], "begins every run"),
                (["--join", "a:1"], "sgp train --join"),
                (["--json"], "comparison.json"),
                (["--epochs", "none"], "--epochs none"),
                (["--epoch", "1"], "did you mean --epochs?"),
                (["--nodes", "2", "--peers", "9"], "peers"),
                (["--limit-samples", "1000000"], "limit-samples"),
                (["--rounds", "2", "--algorithms", "osgp,allreduce"], "none of osgp,allreduce makes several"),
                (["--rounds", "0"], "--rounds 0"),
                (["--rounds"], "missing"),
                (["--rounds", "2", "--epochs", "none"], "--epochs none"),
                (["stray"], "stray")]:
            with self.subTest(" ".join(arguments)):
                self.assertIn(expected, self.refuse(*arguments))

    def test_no_data(self):
        self.assertIn("nosuch", self.refuse("--data", "nosuch"))

    def test_no_gnuplot(self):
        self.assertIn("gnuplot-nox", self.refuse(*SMALL, environment={"PATH": self.runtime}))

    def test_node_of_a_group(self):
        self.assertIn("SGP_RANK", self.refuse(*SMALL, environment={"SGP_RANK": "0", "SGP_SIZE": "2"}))

    def test_help(self):
        status, out, err = self.run_program("compare", "--help")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("--algorithms", out)


if __name__ == "__main__":
    unittest.main()
