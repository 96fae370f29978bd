# SPDX-License-Identifier: Apache-2.0
"""The plots of a report: which points, colours and labels they show."""

import re
import shutil
import unittest

from report_support import ReportTest, labels_of_y, line_colors, metrics, pictures, step_line, words


class Plots(ReportTest):
    def test_large_runs_are_thinned_out(self):
        lines = metrics(90, 64, consensus_distance=1e-3)
        self.write_run("big", lines, nodes=64, epochs=90)
        self.write_run("other", lines, nodes=64, epochs=90, algorithm="osgp")
        text, page = self.report("big", "other", "--output", "out")
        self.assertLess(len(text), 600_000)
        self.assertTrue(all(len(shown) == 2 for shown in pictures(text).values()))
        self.assertIn("that waits most", " ".join(page.text))
        bars = words(pictures(text)["step-time"][0])
        self.assertLess(sum(word.startswith("node ") for word in bars), 20)
        self.assertLessEqual({"node 0", "node 63"}, set(bars))  # wait least and most

    def test_consensus_of_steps(self):
        """Lines of steps may have a consensus distance, or null, or lack it."""
        def points(name, **more):
            self.write_run(name, metrics(1, 2, **more))
            text, _ = self.report(name)
            wide = pictures(text)["consensus"][0]
            drawn = [e.get("d") for e in wide.iter("path") if e.get("stroke") == "rgb(  0, 114, 178)"]
            return sum(d.count("L") for d in drawn)
        self.assertGreaterEqual(points("with", consensus_distance=1e-2), 15)
        self.assertEqual(points("null", consensus_distance=None), 0)
        self.assertEqual(points("without"), 0)

    def test_evaluations_stand_apart(self):
        """Distances measured with no message in flight are not joined to those measured while training."""
        self.write_run("a", metrics(3, 2, consensus_distance=1e-2))
        text, page = self.report("a")
        self.assertIn("Crosses", " ".join(page.text))
        crosses = [e for e in pictures(text)["consensus"][0].iter("use") if e.get("href", "").endswith("-gpPt1")]
        self.assertEqual(len(crosses), 3)

    def test_axes_are_labelled(self):
        names = [self.write_run(f"run{i}", metrics(1, 2), seed=i) for i in range(12)]
        text, _ = self.report(*names, "--output", "out")
        for name, label in (("loss-epochs", "epoch"), ("loss-time", "training time (seconds)"), ("consensus", "step"),
                            ("accuracy-epochs", "test accuracy, %"), ("step-time", "milliseconds per step")):
            for picture in pictures(text)[name]:
                self.assertIn(label, words(picture), name)

    def test_step_time_adds_up(self):
        """Compute, update and wait add up to the step."""
        self.write_run("a", metrics(1, 2))
        text, _ = self.report("a")
        self.assertEqual([word for word in words(pictures(text)["step-time"][0]) if word == "10.0"], ["10.0"] * 2)


class Drawing(ReportTest):
    def test_one_color_for_an_algorithm(self):
        """Lines, bars and samples have the same colour in any order of the runs."""
        self.write_run("a", metrics(1, 2))
        self.write_run("b", metrics(1, 2), algorithm="allreduce")
        both, _ = self.report("a", "b", "--output", "out")
        turned, _ = self.report("b", "a", "--output", "turned")
        alone = {}
        for name in ("a", "b"):
            text, _ = self.report(name)
            [alone[name]] = line_colors(pictures(text)["loss-epochs"][0])
        self.assertNotEqual(alone["a"], alone["b"])
        for text, order in ((both, "ab"), (turned, "ba")):
            shown = pictures(text)
            self.assertEqual(line_colors(shown["loss-epochs"][0]), set(alone.values()))
            samples = re.findall(r'<svg class="sample".*?stroke="#(\w{6})"', text)
            self.assertEqual([tuple(bytes.fromhex(color)) for color in samples], [alone[name] for name in order])
            for picture in shown["step-time"]:
                filled = {tuple(map(int, re.findall(r"\d+", e.get("fill")))) for e in picture.iter()
                          if (e.get("fill") or "").startswith("rgb")}
                self.assertLessEqual(set(alone.values()), filled)

    def test_runs_of_one_algorithm(self):
        """Runs of one algorithm have different shades of its colour."""
        names = [self.write_run(f"run{i}", metrics(1, 2), seed=i) for i in range(3)]
        text, _ = self.report(*names, "--output", "out")
        self.assertEqual(len(line_colors(pictures(text)["loss-epochs"][0])), 3)

    def test_logarithmic_axes(self):
        """From half a decade to three hundred: two to seven labels, at round numbers, and apart."""
        for low, high in ((0.9e-3, 1.1e-3), (1e-3, 1e-2), (2.1e-4, 9.9e-4), (1e-17, 1e-2), (1e-300, 1.0), (1e-9, 2e-9), (1, 9e7)):
            with self.subTest(f"{low} {high}"):
                shutil.rmtree(self.path("a"), ignore_errors=True)
                lines = [step_line(1, step, 0, consensus_distance=low if step % 2 else high) for step in range(1, 9)]
                self.write_run("a", lines, nodes=1)
                for picture in pictures(self.report("a")[0])["consensus"]:
                    labels = labels_of_y(picture)
                    self.assertIn(len(labels), range(2, 8), labels)
                    for (above, _), (below, _) in zip(labels, labels[1:]):
                        self.assertGreaterEqual(below - above, 15)
                    if high / low > 100:
                        for _, label in labels:
                            self.assertRegex(label, r"^(0\.0*|10*|)[1235]?0*$|^([1235]\u00b7)?10[\u207b\u2070\u00b9\u00b2\u00b3"
                                                    r"\u2074-\u2079]+$")


if __name__ == "__main__":
    unittest.main()
