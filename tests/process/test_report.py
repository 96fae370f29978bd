# SPDX-License-Identifier: Apache-2.0
"""The report: one page that needs nothing else, with all runs in it, whatever they are called and however they ended."""

import html.parser
import json
import os
import re
import shutil
import signal
import unittest
import xml.etree.ElementTree as ElementTree

from support import LIMIT, SOURCE, ProgramTest

VOID = {"meta", "br", "hr", "img", "link", "input"}
NASTY = "a 'b' \"c\" <script>alert(1)</script> &amp; `touch x` $(touch y) \\n @z {/Bold q} \u20ac_%"


class Page(html.parser.HTMLParser):
    """What is on a page; fails where an element is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


def pictures(text):
    """{name of the plot: its SVG elements}, the wide one first."""
    found = {}
    for name, figure in re.findall(r'(?s)<figure id="([a-z-]+)">(.*?)</figure>', text):
        found[name] = [ElementTree.fromstring(svg) for svg in re.findall(r"(?s)<svg.*?</svg>", figure)]
    return found


def words(element):
    return ["".join(text.itertext()).strip() for text in element.iter("text")]


def step_line(epoch, step, node, **more):
    return {"epoch": epoch, "step": step, "node": node, "seconds": step * 0.01, "loss": 1 + 1 / step, "lr": 0.1,
            "step_ms": 10.0, "gradient_ms": 6.0, "wait_ms": 1.0 + node, "weight": 1.0, **more}


def epoch_line(epoch, step, node, **more):
    return {"epoch": epoch, "step": step, "node": node, "seconds": step * 0.01, "train_loss": 1.0, "test_loss": 1.0,
            "test_accuracy": 0.5 + 0.001 * node, "average_model_accuracy": 0.51, "consensus_distance": 1e-3 / epoch,
            "w_total": 2.0, "drift": 0.0, **more}


def metrics(epochs, nodes, per_epoch=20, interval=5, **more):
    lines = []
    for epoch in range(1, epochs + 1):
        for i in range(1, per_epoch + 1):
            step = ((epoch - 1) * per_epoch + i) * interval
            lines += [step_line(epoch, step, node, **more) for node in range(nodes)]
        lines += [epoch_line(epoch, step, node) for node in range(nodes)]
    return lines


class ReportTest(ProgramTest):
    def path(self, name):
        return os.path.join(self.folder, name)

    def write_run(self, name, lines, nodes=2, epochs=1, **options):
        """A run's directory without summary.json."""
        os.makedirs(self.path(name))
        given = {"algorithm": "sgp", "graph": "exponential", "peers": 1, "overlap": 0, "nodes": nodes,
                 "model": "mlp", "data": "somewhere", "batch_size": 32, "epochs": epochs, "seed": 1, **options}
        with open(os.path.join(self.path(name), "config.json"), "w", encoding="utf-8") as file:
            json.dump({"options": given, "derived": {"steps_per_epoch": 100}}, file)
        with open(os.path.join(self.path(name), "metrics.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        return name

    def report(self, *arguments, err=""):
        """Returns the page's text and what is on it."""
        status, out, said = self.run_program("report", *arguments)
        self.assertEqual(status, 0, said)
        self.assertEqual(said, err)
        with open(self.path(out.strip()), encoding="utf-8") as file:
            text = file.read()
        return text, self.check_page(text)

    def check_page(self, text):
        """Well-formed, nothing to load, and every picture is sound."""
        page = Page(text)
        for tag, name, value in page.attributes:
            self.assertNotIn(name, ("src", "srcset", "xlink:href", "onload"), tag)
            if name == "href":
                self.assertTrue(value.startswith("#"), value)
        self.assertNotIn("script", page.tags)
        self.assertNotIn("link", page.tags)
        self.assertNotRegex(text, r"@import|url\((?!#)")
        self.assertEqual(len(page.ids), len(set(page.ids)))
        for name, shown in pictures(text).items():
            self.assertIn(len(shown), (0, 2), name)
            for picture in shown:
                ids = {e.get("id") for e in picture.iter() if e.get("id")}
                used = {e.get("href")[1:] for e in picture.iter() if e.get("href")}
                self.assertLessEqual(used, ids)
        return page


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
            self.assertIn(f"{summary['average_model_accuracy']:.4f}", page.text)
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
        """Goes into the run's own directory, and nothing else with it."""
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
        """Whatever a name holds stands on the page as it is, and does nothing."""
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
                self.assertIn("s'g\"p\\, mlp", words(picture), name)
        with open(self.path("out/comparison.md"), encoding="utf-8") as file:
            self.assertEqual(len(file.read().splitlines()), 7)
        with open(self.path("out/comparison.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["runs"][0]["directory"], first)
        for name in ("x", "y"):
            self.assertFalse(os.path.exists(self.path(name)))

    def test_nasty_label(self):
        """The same in gnuplot's hands: the label is the directory's name."""
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
        self.assertLessEqual({"sgp, ring, seed 1", "sgp, exponential, seed 7", "allreduce, seed 1"}, set(labels))

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
        """Step lines may carry it, or null, or nothing."""
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
        """What is measured with nothing in flight is not joined to what is measured while training."""
        self.write_run("a", metrics(3, 2, consensus_distance=1e-2))
        text, page = self.report("a")
        self.assertIn("Crosses", " ".join(page.text))
        crosses = [e for e in pictures(text)["consensus"][0].iter("use") if e.get("href", "").endswith("-gpPt1")]
        self.assertEqual(len(crosses), 3)

    def test_axes_are_labelled(self):
        names = [self.write_run(f"run{i}", metrics(1, 2), seed=i) for i in range(12)]
        text, _ = self.report(*names, "--output", "out")
        for name, label in (("loss-epochs", "epoch"), ("loss-time", "training time (seconds)"), ("consensus", "step"),
                            ("accuracy-epochs", "test accuracy (fraction)"), ("step-time", "milliseconds per step")):
            for picture in pictures(text)[name]:
                self.assertIn(label, words(picture), name)

    def test_step_time_adds_up(self):
        """Compute, update and wait end where the step ends."""
        self.write_run("a", metrics(1, 2))
        text, _ = self.report("a")
        self.assertEqual([word for word in words(pictures(text)["step-time"][0]) if word == "10.0"], ["10.0"] * 2)

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


class Incomplete(ReportTest):
    def test_interrupted(self):
        process = self.start_endless("--model", "mlp", nodes=2)
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        self.assertFalse(os.path.exists(self.output("out/summary.json")))
        text, page = self.report("out")
        self.assertRegex(" ".join(page.text), r"unfinished: \d+ of 100000 epochs")
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
        """Files that are JSON but not ours do no harm."""
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


class Manual(ProgramTest):
    def test_manual_has_the_options(self):
        with open(os.path.join(SOURCE, "docs", "sgp.1"), encoding="utf-8") as file:
            manual = file.read().replace("\\-", "-")
        for command in ("report", "compare"):
            status, out, _ = self.run_program(command, "--help")
            self.assertEqual(status, 0)
            self.assertIn(".SS sgp " + command, manual)
            section = manual[manual.index(".SH OPTIONS OF SGP COMPARE"):manual.index(".SH EXIT STATUS")]
            for name in re.findall(r"(?m)^  (--[a-z-]+)", out):
                if name != "--help":
                    self.assertIn(name, section, command)


if __name__ == "__main__":
    unittest.main()
