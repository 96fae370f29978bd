# SPDX-License-Identifier: Apache-2.0
"""sgp report writes one page that loads no other file and shows all runs, whatever their names."""

import json
import os
import re
import shutil
import unittest

from report_support import NASTY, ReportTest, leads, metrics, pictures, words
from support import SOURCE, ProgramTest


class Report(ReportTest):
    def test_real_runs(self):
        self.train("--nodes", "2", "--epochs", "2", "--model", "mlp", output="one")
        self.train("--nodes", "2", "--epochs", "2", "--model", "mlp", "--algorithm", "allreduce", output="two")
        text, page = self.report("one", "two", "--output", "both")
        self.assertEqual(sorted(os.listdir(self.path("both"))),
                         ["comparison.json", "comparison.md", "report.html"])
        content = " ".join(page.text)
        shown = pictures(text)
        self.assertEqual(len(shown), 6)
        for algorithm, directory in (("sgp", "one"), ("allreduce", "two")):
            with open(self.path(directory + "/summary.json"), encoding="utf-8") as file:
                summary = json.load(file)
            self.assertIn(f"{100 * summary['average_model_accuracy']:.2f}\u202f%", page.text)
            self.assertIn(f"{summary['wait_ms']:.2f}", page.text)
            self.assertIn(directory, page.text)
            self.assertIn(summary["data"], content)
            for name, widths in shown.items():
                for picture in widths:
                    if name != "consensus":  # exactly 0 with all-reduce
                        self.assertIn(algorithm, words(picture), name)
        self.assertIn("Not shown: allreduce", content)
        self.compare_tables(self.path("both"))

    def compare_tables(self, directory):
        with open(os.path.join(directory, "comparison.json"), encoding="utf-8") as file:
            runs = json.load(file)["runs"]
        self.assertEqual([run["directory"] for run in runs], ["one", "two"])
        with open(os.path.join(directory, "comparison.md"), encoding="utf-8") as file:
            rows = [line.split(" | ") for line in file.read().splitlines() if line.startswith("| ")]
        self.assertEqual(len(rows), 3)
        self.assertEqual({len(row) for row in rows}, {len(rows[0])})
        for run, row in zip(runs, rows[1:]):
            with open(os.path.join(self.path(run["directory"]), "summary.json"), encoding="utf-8") as file:
                summary = json.load(file)
            self.assertEqual({**run, **summary}, run)
            self.assertTrue(run["finished"])
            self.assertIn(f"{summary['test_accuracy']['mean']:.4f}", row)

    def test_one_run(self):
        """report.html goes into the run's own directory, and no other file."""
        self.train("--nodes", "2", "--epochs", "1", "--model", "mlp")
        self.assertTrue(os.path.exists(os.path.join(self.output(), "report.html")))  # sgp train has written one
        os.remove(os.path.join(self.output(), "report.html"))
        before = os.listdir(self.output())
        self.report("out")
        self.assertEqual(sorted(os.listdir(self.output())), sorted(before + ["report.html"]))

    def test_several_without_output(self):
        self.write_run("a", metrics(1, 2))
        self.write_run("b", metrics(1, 2))
        status, out, _ = self.run_program("report", "a", "b")
        self.assertEqual(status, 0)
        self.assertRegex(out, r"^runs/comparison-\d{8}-\d{6}/report.html\n$")

    def test_option_anywhere(self):
        self.write_run("a", metrics(1, 2))
        self.write_run("--b", metrics(1, 2), algorithm="allreduce")
        for arguments in (["--output", "c", "a"], ["a", "--output", "c"], ["--output=c", "--", "a", "--b"],
                          ["a", "--output", "c", "--", "--b"]):
            with self.subTest(arguments):
                self.report(*arguments)
                with open(self.path("c/comparison.json"), encoding="utf-8") as file:
                    runs = [run["directory"] for run in json.load(file)["runs"]]
                self.assertEqual(runs, [a for a in ("a", "--b") if a in arguments])
                shutil.rmtree(self.path("c"))

    def test_nasty_names(self):
        """A name is shown as it is and never interpreted."""
        first = self.write_run(NASTY.replace("/", "|"), metrics(1, 2), data="<img src=x onerror=alert(1)>")
        second = self.write_run("line\nbreak\t\x1b[31m", metrics(1, 2), model="x|y`z`*w*")
        third = os.fsdecode(b"not\xffutf-8")
        self.write_run(third, metrics(1, 2), algorithm="s'g\"p\\")
        text, page = self.report(first, second, third, "--output", "out", err="")
        self.assertNotIn("img", page.tags)
        self.assertIn(first, page.text)
        self.assertIn("line\ufffdbreak\ufffd\ufffd[31m", page.text)
        self.assertIn("not\ufffdutf-8", page.text)
        self.assertIn("<img src=x onerror=alert(1)>", page.text)
        for name, shown in pictures(text).items():
            for picture in shown:
                self.assertIn("s'g\"p\\", words(picture), name)
        with open(self.path("out/comparison.md"), encoding="utf-8") as file:
            self.assertEqual(len(file.read().splitlines()), 9)
        with open(self.path("out/comparison.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["runs"][0]["directory"], first)
        for name in ("x", "y"):
            self.assertFalse(os.path.exists(self.path(name)))

    def test_nasty_label(self):
        """gnuplot does not interpret a label, here the directory's name."""
        names = ["it's `touch x`", "\"q\" \\ <b>&amp;", "'; system 'touch x'; '", "a_b^{c} @d $e #f"]
        for name in names:
            self.write_run(name, metrics(1, 2))
        text, _ = self.report(*names, "--output", "out")
        for plot, shown in pictures(text).items():
            for picture in shown:
                self.assertLessEqual(set(names), set(words(picture)), plot)
        self.assertFalse(os.path.exists(self.path("x")))

    def test_labels_are_unique(self):
        for parent in ("p", "q"):
            self.write_run(parent + "/" + "long" * 20, metrics(1, 2))
        self.write_run("other", metrics(1, 2))
        text, _ = self.report("p/" + "long" * 20, "q/" + "long" * 20, "other", "--output", "out")
        with open(self.path("out/comparison.json"), encoding="utf-8") as file:
            labels = [run["label"] for run in json.load(file)["runs"]]
        self.assertEqual(len(set(labels)), 3)
        self.assertLessEqual(max(map(len, labels)), 28)
        self.assertLessEqual(set(labels), set(words(pictures(text)["loss-epochs"][0])))

    def test_differences_are_named(self):
        self.write_run("a", metrics(1, 2), graph="ring")
        self.write_run("b", metrics(1, 2), seed=7)
        self.write_run("c", metrics(1, 2), algorithm="allreduce")
        text, _ = self.report("a", "b", "c", "--output", "out")
        labels = words(pictures(text)["loss-epochs"][0])
        self.assertLessEqual({"sgp, ring, seed 1", "sgp, exponential, seed 7", "allreduce"}, set(labels))

    def test_without_measurements(self):
        self.write_run("a", [])
        text, page = self.report("a")
        self.assertIn("no measurements", " ".join(page.text))
        self.assertEqual(pictures(text), {name: [] for name in pictures(text)})
        os.remove(self.path("a/metrics.jsonl"))
        self.report("a")

    def test_nothing_learned(self):
        """--compute-ms: losses and accuracies are null."""
        self.train("--nodes", "2", "--epochs", "1", "--model", "mlp", "--compute-ms", "1")
        text, _ = self.report("out")
        shown = pictures(text)
        self.assertEqual(shown["accuracy-epochs"], [])
        self.assertEqual(len(shown["step-time"]), 2)


class Results(ReportTest):
    """The headline and the settings."""

    def headline(self, *runs):
        names = [self.write_summary(f"run{i}", **run) for i, run in enumerate(runs)]
        text, _ = self.report(*names, "--output", "out")
        for name in names:
            shutil.rmtree(self.path(name))
        return leads(text)

    def test_against_allreduce(self):
        for seconds, accuracy, said in [
                (12.2, 0.8995, "osgp took 0.61 of allreduce\u2019s time, with 0.4 points less accuracy (89.95\u202f% against "
                               "90.35\u202f%)."),
                (30.0, 0.9135, "osgp took 1.50 times as long as allreduce, with 1.0 points more accuracy (91.35\u202f% against "
                               "90.35\u202f%)."),
                (20.01, 0.9035, "osgp took as long as allreduce, with the same accuracy (90.35\u202f%)."),
                (0.09, 0.9031, "osgp took 0.0045 of allreduce\u2019s time, with 0.04 points less accuracy (90.31\u202f% against "
                               "90.35\u202f%)."),
                (19.0, 0.90351, "osgp took 0.95 of allreduce\u2019s time, with the same accuracy within 0.01 points "
                                "(90.35\u202f%).")]:
            with self.subTest(said):
                self.assertEqual(self.headline({"algorithm": "allreduce"},
                                               {"algorithm": "osgp", "seconds": seconds, "average_model_accuracy": accuracy}),
                                 [said])

    def test_one(self):
        self.assertEqual(self.headline({"seconds": 4351.0}),
                         ["sgp reached 90.35\u202f% accuracy in 1\u202fh 13\u202fmin of training, 9600 samples per second."])
        self.assertEqual(self.headline({"average_model_accuracy": None, "test_accuracy": None}),
                         ["sgp made 300 steps in 20.0\u202fs of training, 9600 samples per second."])

    def test_without_allreduce(self):
        two = {"algorithm": "osgp", "seconds": 10.0}
        self.assertEqual(self.headline({}, two), ["osgp took 0.50 of sgp\u2019s time, with the same accuracy (90.35\u202f%)."])
        three = {"algorithm": "dpsgd", "average_model_accuracy": 0.99999}
        self.assertEqual(self.headline({}, two, three), ["Fastest: osgp, in 10.0\u202fs.",
                                                         "Most accurate: dpsgd, with >\u202f99.99\u202f%."])
        self.assertEqual(self.headline({}, two, {"seed": 2})[1], "The accuracy is the same for all: 90.35\u202f%.")

    def test_many(self):
        """Up to four runs are each compared with all-reduce; two runs by all-reduce are no reference."""
        others = [{"algorithm": name, "seconds": 10.0} for name in ("sgp", "osgp", "dpsgd", "adpsgd")]
        said = self.headline({"algorithm": "allreduce"}, *others)
        self.assertEqual([sentence.split()[0] for sentence in said], ["sgp", "osgp", "dpsgd", "adpsgd"])
        said = self.headline({"algorithm": "allreduce"}, *others, {"seed": 2})
        self.assertTrue(said[0].startswith("Fastest: "), said)
        said = self.headline({"algorithm": "allreduce"}, {"algorithm": "allreduce", "seed": 2}, {})
        self.assertTrue(said[0].startswith("Fastest: "), said)

    def test_not_comparable(self):
        """Runs with different models, data or epochs are not compared, nor is a run that did not finish."""
        self.assertEqual(self.headline({"algorithm": "allreduce"}, {"data": "elsewhere"}), [])
        self.assertEqual(self.headline({"algorithm": "allreduce"}, {"epochs": 9}), [])
        said = self.headline({"algorithm": "allreduce", "status": "failed"}, {"seconds": 12.0})
        self.assertEqual(said, ["sgp reached 90.35\u202f% accuracy in 12.0\u202fs of training, 9600 samples per second."])
        self.assertEqual(self.headline({"status": "interrupted"}), [])

    def test_shared_settings_stand_once(self):
        self.write_summary("a", algorithm="osgp", overlap=1)
        self.write_summary("b", algorithm="allreduce", graph="complete", peers=3)
        text, _ = self.report("a", "b", "--output", "out")
        facts = re.search(r'<p class="soft">(.*?)</p>', text)[1].split(" \u00b7 ")
        self.assertEqual(facts, ["2 nodes", "lenet", "61.7 k parameters", "fashion-mnist", "3 epochs", "batch size 32",
                                 "exponential graph", "overlap 1", "seed 1"])
        titles = re.findall(r'<th class="n">(.*?)</th>', text)
        self.assertEqual(titles[:3], ["accuracy", "training time", "samples/s"])
        with open(self.path("out/comparison.md"), encoding="utf-8") as file:
            self.assertEqual(file.readline().strip().split(", "), facts)

    def test_own_settings_stand_with_the_run(self):
        self.write_summary("a", graph="ring")
        self.write_summary("b", seed=7, nodes=4)
        _, page = self.report("a", "b", "--output", "out")
        self.assertIn("2 nodes \u00b7 ring graph \u00b7 seed 1", page.text)
        self.assertIn("4 nodes \u00b7 exponential graph \u00b7 seed 7", page.text)

    def columns(self, *names):
        text, _ = self.report(*names, "--output", "out")
        shown = re.findall(r'<td class="n" data-label="(.*?)">(.*?)</td>', text)
        titles = re.findall(r'<th class="n">(.*?)</th>', text)
        self.assertEqual([title for title, _ in shown], titles * len(names))
        return {title: [value for key, value in shown if key == title] for title in titles}

    def test_top_5(self):
        """Beside the accuracy, if a run has measured it and it can be below 1, as it is for more than five classes."""
        self.write_summary("earlier")
        self.write_summary("measured", average_model_top5_accuracy=0.9871)
        self.write_summary("two-classes", average_model_top5_accuracy=1.0)
        self.write_diverged("diverged", average_model_top5_accuracy=None)
        self.assertNotIn("top-5 accuracy", self.columns("earlier", "two-classes", "diverged"))
        found = self.columns("earlier", "measured", "diverged")
        self.assertEqual(list(found)[:3], ["accuracy", "top-5 accuracy", "training time"])
        self.assertEqual(found["top-5 accuracy"], ["\u2013", "98.71\u202f%", "\u2013"])

    def test_parts_of_the_test_set(self):
        """Nodes evaluate pictures in parts, and the page says so."""
        self.write_summary("a")
        for form, said in (("folder", True), ("shards", True), ("idx", False)):
            with open(self.path("a/config.json"), "w", encoding="utf-8") as file:
                json.dump({"data": {"format": form}}, file)
            self.assertEqual("own models, of pictures each on its part of the test set" in " ".join(self.report("a")[1].text), said)

    def test_top_5_of_an_unfinished_run(self):
        lines = metrics(2, 2)
        for line in lines:
            if "test_accuracy" in line:
                line["average_model_top5_accuracy"] = 0.9 + 0.01 * line["epoch"]
        self.write_run("a", lines)
        self.assertEqual(self.columns("a")["top-5 accuracy"], ["92.00\u202f%"])

    def test_in_a_browser(self):
        names = [self.write_summary("a"), self.write_summary("b", algorithm="allreduce", seconds=4351.0),
                 self.write_diverged("c", algorithm="osgp"), self.write_summary("d" * 200, seed=2, graph="static-exponential")]
        self.report(*names, "--output", "out")
        self.check_in_browser("out/report.html", ["accuracy", "training time", "samples/s"])
        self.report("a")
        self.check_in_browser("a/report.html", ["accuracy", "training time", "samples/s"])
        self.write_summary("e", average_model_top5_accuracy=0.9871)
        self.report("e")
        self.check_in_browser("e/report.html", ["accuracy", "top-5 accuracy", "training time", "samples/s"])


class Manual(ProgramTest):
    def test_manual_has_the_commands(self):
        """The manual describes the commands of sgp help, in that order."""
        with open(os.path.join(SOURCE, "docs", "sgp.1"), encoding="utf-8") as file:
            described = re.findall(r"(?m)^\.SS sgp ([a-z]+)$", file.read())
        listed = re.findall(r"(?m)^  ([a-z]+) ", self.run_program("help")[1])
        self.assertEqual(listed, described + ["help", "version"])


if __name__ == "__main__":
    unittest.main()
