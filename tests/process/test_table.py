# SPDX-License-Identifier: Apache-2.0
"""sgp table lists runs, named by their directories or the directory above, in lines of 80 columns."""

import os
import shutil
import unittest

from report_support import ReportTest, metrics


class Table(ReportTest):
    def table(self, *arguments, status=0):
        """Returns the output and the fields of its rows."""
        code, out, err = self.run_program("table", *arguments)
        self.assertEqual(code, status, err)
        lines = out.splitlines()
        heads = [i for i, line in enumerate(lines) if line.startswith("run ")]
        rows = []
        for line in lines[heads[0] + 1:] if heads else []:
            if not line:
                break
            rows.append(line.split())
        return out, rows, err

    def test_accuracy_speed_and_place(self):
        self.write_summary("x/sgp")
        self.write_summary("x/other", algorithm="allreduce", average_model_accuracy=0.5)
        _, rows, _ = self.table("x/sgp", "x/other")
        figures = ["0.8900", "0.9100", "20.0", "9600", "10.00", "1.00"]
        self.assertEqual(rows, [["sgp", "0.9035", *figures, "x/sgp"], ["allreduce", "0.5000", *figures, "x/other"]])

    def test_shared_settings_stand_once(self):
        self.write_summary("a")
        self.write_summary("b", algorithm="allreduce")
        out, _, _ = self.table("a", "b")
        facts = out[:out.index("\n\n")].replace("\n", " ").split(", ")
        self.assertEqual(facts, ["2 nodes", "lenet", "61.7 k parameters", "fashion-mnist", "3 epochs", "batch size 32",
                                 "exponential graph", "seed 1"])

    def test_80_columns(self):
        """Directories that would make lines too long are below the table; such columns are omitted."""
        for name, more, beside in (("runs/short", {}, True), ("runs/quickstart-allreduce", {}, False),
                                   ("runs/lenet-allreduce-20261129-201825", {"seconds": 123456.7, "wait_ms": 1234.5}, False),
                                   ("x" * 60 + "/" + "y" * 60, {}, False)):
            self.write_summary(name, algorithm="allreduce", samples_per_second=1234567.0, **more)
            self.write_summary("second", graph="bipartite-exponential", seed=10)
            self.write_summary("third", graph="static-exponential", seed=11)
            out, rows, _ = self.table(name, "second", "third")
            self.assertLessEqual(max(len(line) for line in out.splitlines() if name not in line or len(name) < 60), 80, out)
            self.assertRegex(out, rf"(?m)^allreduce .* {name}$")
            self.assertEqual(len(rows), 3)
            self.assertIn("1234567", rows[0])
            out, rows, _ = self.table(name)
            self.assertEqual(name in rows[0], beside, out)
            shutil.rmtree(self.path(name.split("/")[0]))
            shutil.rmtree(self.path("second"))
            shutil.rmtree(self.path("third"))

    def test_runs_that_have_no_end(self):
        """Missing figures are dashes, and the reason is below the table."""
        self.write_diverged("a", lines=[])
        self.write_summary("b", algorithm="allreduce")
        self.write_run("c", metrics(1, 2), epochs=3, algorithm="osgp")
        out, rows, _ = self.table("a", "b", "c")
        self.assertEqual(set(rows[0][1:-1]), {"-"})
        self.assertEqual(rows[2][1], "0.5100")
        self.assertTrue(out.endswith("\nsgp: diverged after 103 steps: node 1 has a loss that is not finite\n"
                                     "osgp: unfinished: 1 of 3 epochs\n"), out)
        self.assertNotIn("nan", out)
        self.write_diverged("d", reason="word " * 40)
        out, _, _ = self.table("a", "d")
        self.assertLessEqual(max(map(len, out.splitlines())), 80)

    def test_one_bad_run_among_others(self):
        self.write_summary("a")
        self.write_summary("b")
        with open(self.path("b/summary.json"), "w", encoding="utf-8") as file:
            file.write("{")
        _, rows, err = self.table("nosuch", "a", "b", status=2)
        self.assertEqual([row[0] for row in rows], ["sgp"])
        self.assertEqual([line.split(":")[1].strip() for line in err.splitlines()], ["nosuch", "b/summary.json"])


class Subdirectories(ReportTest):
    """A directory that contains runs names all of them."""

    def setUp(self):
        super().setUp()
        for name, algorithm in (("b", "osgp"), ("a", "sgp"), ("c", "allreduce")):
            self.write_summary("all/" + name, algorithm=algorithm)
        os.makedirs(self.path("all/other/deeper"))
        self.write_summary("all/other/deeper/run")
        self.write_summary("all/.hidden")
        with open(self.path("all/file"), "w", encoding="utf-8"):
            pass

    def test_table(self):
        for name in ("all", "all/"):
            status, out, _ = self.run_program("table", name)
            self.assertEqual(status, 0)
            self.assertEqual([line.split()[0] for line in out.splitlines()[-3:]], ["sgp", "osgp", "allreduce"])

    def test_report(self):
        """The page goes into the one directory that was named; of several, into a new one."""
        self.report("all")
        self.assertLessEqual({"report.html", "comparison.md", "comparison.json"}, set(os.listdir(self.path("all"))))
        text, _ = self.report("all", "--output", "elsewhere")
        self.assertIn("Comparison of 3 runs", text)
        status, out, _ = self.run_program("report", "all", "all/other/deeper/run")
        self.assertEqual(status, 0)
        self.assertRegex(out, "^runs/comparison-")
        self.assertNotIn("report.html", os.listdir(self.path("all/a")))

    def test_a_run_is_itself(self):
        """A run's directory names that run, even if it contains others."""
        self.write_summary("all/a/inside", algorithm="dpsgd")
        _, out, _ = self.run_program("table", "all/a")
        self.assertNotIn("dpsgd", out)
        self.report("all/a")
        self.assertIn("report.html", os.listdir(self.path("all/a")))

    def test_none(self):
        os.mkdir(self.path("empty"))
        for command in ("table", "report"):
            self.assertIn("empty: not the directory of a run or of runs", self.refused(command, "empty"))
            self.assertIn("nosuch: not the directory of a run", self.refused(command, "nosuch"))
            self.assertIn("all/file: not the directory of a run", self.refused(command, "all/file"))
        self.assertEqual(os.listdir(self.path("empty")), [])

    def test_compare(self):
        """The directory of sgp compare."""
        status, _, err = self.run_program("compare", "--data", self.data(), "--output", "c", "--nodes", "2", "--epochs", "1",
                                          "--model", "mlp")
        self.assertEqual(status, 0, err)
        _, out, _ = self.run_program("table", "c")
        self.assertEqual([line.split()[0] for line in out.splitlines()[-2:]], ["allreduce", "sgp"])


if __name__ == "__main__":
    unittest.main()
