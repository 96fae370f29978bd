# SPDX-License-Identifier: Apache-2.0
"""Reports about runs that did not finish, or whose files are damaged or missing."""

import json
import os
import re
import shutil
import signal
import unittest

from report_support import ReportTest, banners, leads, metrics, pictures
from support import LIMIT


class Endings(ReportTest):
    """A run that did not finish has a banner, and dashes for missing figures."""

    def test_banner(self):
        for status, said in (("diverged", "sgp diverged after 103 steps: "), ("failed", "sgp failed after 103 steps: "),
                             ("interrupted", "sgp was interrupted after 103 steps: ")):
            with self.subTest(status):
                self.write_diverged("a", status=status, lines=[])
                text, page = self.report("a")
                [banner] = banners(text)
                self.assertTrue(banner.startswith(said + "node 1 has a loss that is not finite."), banner)
                cells = re.findall(r'<td class="n" data-label="(.*?)">(.*?)</td>', text)
                self.assertEqual({title for title, cell in cells if cell != "\u2013"}, {"messages sent"})
                self.assertNotRegex(" ".join(page.text), r"(?i)\bnan\b|\bnull\b|\binf\b")
                self.assertEqual(leads(text), [])
                shutil.rmtree(self.path("a"))

    def test_finished(self):
        """With a status, or without one, as earlier versions wrote it."""
        for fields in ({}, {"status": "finished"}, {"status": "finished", "reason": None}):
            self.write_summary("a", **fields)
            text, _ = self.report("a")
            self.assertEqual(banners(text), [])
            shutil.rmtree(self.path("a"))

    def test_bad_pictures(self):
        """A finished run has a note about pictures that could not be read, if there were any."""
        for bad, noted in (({"replaced": 3, "left_out": 1}, True), ({"replaced": 0, "left_out": 0}, False)):
            self.write_summary("a", bad_pictures=bad)
            text, page = self.report("a")
            self.assertEqual(banners(text), [])
            self.assertEqual("3 in training" in " ".join(page.text), noted)
            shutil.rmtree(self.path("a"))

    def test_bad_pictures_of_an_unfinished_run(self):
        """Without summary.json they are counted over the epochs and processes in metrics.jsonl, as far as its lines have them."""
        lines = metrics(2, 2)
        for line in lines:
            if "test_accuracy" in line:
                line["bad_pictures"] = {"replaced": 1 + line["node"], "left_out": line["epoch"]}
        del lines[-1]["bad_pictures"]
        self.write_run("a", lines)
        said = " ".join(self.report("a")[1].text)
        self.assertIn("could not be read, counted anew in each epoch: 4 in training, with the next one in place of each, and 4 left out",
                      said)
        self.write_run("b", metrics(1, 2))
        self.assertNotIn("could not be read", " ".join(self.report("b")[1].text))

    def test_beside_others(self):
        self.write_diverged("a", reason=None)
        self.write_summary("b", algorithm="allreduce")
        text, page = self.report("a", "b", "--output", "out")
        self.assertEqual(banners(text), ["sgp diverged after 103 steps."])
        self.assertIn("diverged after 103 steps", page.text)
        with open(self.path("out/comparison.json"), encoding="utf-8") as file:
            runs = json.load(file)["runs"]
        self.assertEqual([run["finished"] for run in runs], [False, True])
        with open(self.path("out/comparison.md"), encoding="utf-8") as file:
            self.assertIn("sgp (diverged after 103 steps) | \u2013 |", file.read())

    def test_figures_of_the_last_epoch(self):
        """An interrupted run shows the figures of its last epoch; a diverged one does not."""
        for status, shown in (("interrupted", True), ("failed", True), ("diverged", False)):
            self.write_diverged("a", status=status, lines=metrics(1, 2))
            text, page = self.report("a")
            self.assertEqual("51.00\u202f%" in page.text, shown, status)
            self.assertEqual("Its figures are those of epoch 1." in text, shown, status)
            shutil.rmtree(self.path("a"))

    def test_odd_reasons(self):
        self.write_diverged("a", reason="<b>\nx & y!", status="<i>")
        text, page = self.report("a")
        self.assertTrue(banners(text)[0].startswith("sgp <i> after 103 steps: <b>\ufffdx & y! "), banners(text))
        self.assertNotIn("i", page.tags)
        for reason, status in ((5, "failed"), (["x"], "failed"), ("", "failed"), ("x", 5)):
            shutil.rmtree(self.path("a"))
            self.write_diverged("a", reason=reason, status=status)
            self.report("a")


class Incomplete(ReportTest):
    def test_interrupted(self):
        process = self.start_endless("--model", "mlp", nodes=2)
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        text, page = self.report("out")
        self.assertRegex(" ".join(page.text), r"[Ii]nterrupted")
        self.assertEqual(len(pictures(text)["loss-time"]), 2)
        self.assertIn("sgp", page.text)

    def test_numbers_of_an_interrupted_run(self):
        self.write_run("a", metrics(2, 4), nodes=4, epochs=9)
        self.write_run("b", metrics(1, 4), nodes=4, epochs=9)
        self.report("a", "b", "--output", "out")
        with open(self.path("out/comparison.json"), encoding="utf-8") as file:
            run = json.load(file)["runs"][0]
        self.assertFalse(run["finished"])
        self.assertEqual(run["epochs_done"], 2)
        self.assertAlmostEqual(run["test_accuracy"]["mean"], 0.5015)
        self.assertEqual((run["test_accuracy"]["min"], run["test_accuracy"]["max"]), (0.5, 0.503))
        self.assertAlmostEqual(run["wait_ms"], 2.5)
        self.assertAlmostEqual(run["seconds"], 2.0)
        self.assertAlmostEqual(run["samples_per_second"], 200 * 32 * 4 / 2.0)

    def test_damaged_lines(self):
        self.write_run("a", metrics(1, 2))
        with open(self.path("a/metrics.jsonl"), "r+b") as file:
            content = file.read()
            file.seek(0)
            file.write(b"[1]\n{}\n\x00\xff\n" + b'{"node": 1e300, "step": 1, "loss": 1}\n' + content[:-20])
            file.truncate()
        _, page = self.report("a", err="sgp: a/metrics.jsonl: 5 damaged lines left out\n")
        self.assertIn("5 damaged lines", " ".join(page.text))

    def test_no_run(self):
        os.mkdir(self.path("empty"))
        self.write_run("a", metrics(1, 2))
        for name in ("nosuch", "empty"):
            self.assertIn(name + ": not the directory of a run", self.refused("report", "a", name, "--output", "out"))
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        self.assertIn("file: not the directory", self.refused("report", "file"))
        self.assertFalse(os.path.exists(self.path("out")))
        self.assertIn("directories are missing", self.refused("report"))

    def test_damaged_files(self):
        self.write_run("a", metrics(1, 2))
        for content in ("", "{", "[]"):
            with open(self.path("a/summary.json"), "w", encoding="utf-8") as file:
                file.write(content)
            self.assertIn("a/summary.json", self.refused("report", "a"))

    def test_odd_types(self):
        """JSON files with other contents do no harm."""
        self.write_run("a", metrics(1, 2), nodes="many", epochs=None, algorithm=["x"], peers={"y": 1}, seed=-1e300)
        with open(self.path("a/config.json"), "r+", encoding="utf-8") as file:
            config = json.load(file)
            config["derived"] = 5
            config["x<y"] = {"<z>": ["&", None, True]}
            file.seek(0)
            json.dump(config, file)
        _, page = self.report("a")
        self.assertIn("<z>", page.text)
        for values in ({"loss": "x"}, {"loss": 0.0}, {"loss": -1.0}, {"seconds": None}, {"step_ms": -5.0}, {"step": 0}):
            with self.subTest(values):
                shutil.rmtree(self.path("b"), ignore_errors=True)
                self.write_run("b", [{**line, **values} for line in metrics(1, 2)])
                self.report("b")

    def test_no_gnuplot(self):
        self.write_run("a", metrics(1, 2))
        err = self.refused("report", "a", "--output", "out", environment={"PATH": self.runtime})
        self.assertIn("gnuplot-nox", err)
        self.assertFalse(os.path.exists(self.path("out")))

    def test_output_cannot_be_made(self):
        self.write_run("a", metrics(1, 2))
        self.assertIn("--output a/config.json", self.refused("report", "a", "--output", "a/config.json"))


if __name__ == "__main__":
    unittest.main()
