# SPDX-License-Identifier: Apache-2.0
"""The report: one page that needs nothing else, with all runs in it, whatever they are called and however they ended."""

import html
import html.parser
import json
import os
import re
import shutil
import signal
import subprocess
import unittest
import xml.etree.ElementTree as ElementTree

from support import LIMIT, ProgramTest

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


def plain(markup):
    return html.unescape(re.sub(r"<.*?>", "", markup))


def leads(text):
    """The sentences at the head of the page."""
    return [plain(sentence) for sentence in re.findall(r'<p class="lead">(.*?)</p>', text)]


def banners(text):
    return [plain(banner) for banner in re.findall(r'<p class="card note bad">(.*?)</p>', text)]


def line_colors(picture):
    """Of the curves: no greys, of which the axes are made."""
    used = {tuple(map(int, re.findall(r"\d+", e.get("stroke")))) for e in picture.iter("path")
            if (e.get("stroke") or "").startswith("rgb")}
    return {color for color in used if len(set(color)) > 1}


def labels_of_y(picture):
    """[(pixel, text)] of the labels beside the y axis, from the top."""
    found = []
    for element in picture.iter("g"):
        place = re.match(r"translate\(([\d.]+),([\d.]+)\)", element.get("transform") or "")
        if place and element.get("text-anchor") == "end":
            found.append((float(place[2]), "".join(element.itertext()).strip()))
    return sorted(found)


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

    def write_summary(self, name, nodes=2, lines=None, **fields):
        """A run's directory with a summary.json, and metrics of one epoch if none are given."""
        whole = {"algorithm": "sgp", "graph": "exponential", "peers": 1, "overlap": 0, "nodes": nodes, "workers_per_node": 1,
                 "model": "lenet", "data": "fashion-mnist", "batch_size": 32, "seed": 1, "transport": "auto",
                 "encoding": "float32", "parameters": 61706, "epochs": 3, "steps": 300, "seconds": 20.0,
                 "samples_per_second": 9600.0, "step_ms": {"mean": 10.0, "p50": 9.0, "p99": 20.0}, "wait_ms": 1.0,
                 "train_loss": 0.2, "test_accuracy": {"mean": 0.9, "min": 0.89, "max": 0.91},
                 "average_model_accuracy": 0.9035, "consensus_distance": 1e-3,
                 "mass": {"w_total": 4.0, "drift": 1e-9}, "parameters_hash": "0" * 32,
                 "messages": {"sent": 1200, "received": 1200, "late": 0, "refused": 0, "resent": 0, "reabsorbed": 0},
                 **fields}
        options = {key: whole[key] for key in ("algorithm", "graph", "peers", "overlap", "model", "data", "seed")}
        self.write_run(name, metrics(1, nodes) if lines is None else lines, nodes=nodes, epochs=3, **options)
        with open(os.path.join(self.path(name), "summary.json"), "w", encoding="utf-8") as file:
            json.dump(whole, file)
        return name

    def write_diverged(self, name, **fields):
        """As a run writes it that has no figures of its end."""
        nothing = {**dict.fromkeys(("seconds", "samples_per_second", "wait_ms", "train_loss", "average_model_accuracy",
                                    "consensus_distance", "parameters_hash")),
                   "test_accuracy": dict.fromkeys(("mean", "min", "max")), "step_ms": dict.fromkeys(("mean", "p50", "p99"))}
        return self.write_summary(name, **{"status": "diverged", "reason": "node 1 has a loss that is not finite",
                                           "steps": 103, **nothing, **fields})

    def check_in_browser(self, page, titles):
        """At the widths of a screen, a tablet and a phone nothing needs scrolling sideways, and the cells of these
        columns lie within their card."""
        widths = (1280, 768, 390)
        browser = shutil.which("chromium")
        if not browser:
            self.skipTest("there is no chromium")
        with open(self.path(page), encoding="utf-8") as file:
            text = html.escape(file.read())
        frames = [f'<iframe width="{width}" height="900" style="border:0" srcdoc="{text}"></iframe>' for width in widths]
        measure = """onload = () => { document.title = 'found ' + [...document.querySelectorAll('iframe')].map(element => {
            const frame = element.contentWindow;
            const cells = [...frame.document.querySelectorAll('td[data-label]')].filter(c => %s.includes(c.dataset.label));
            const out = cells.filter(c => {
                const card = c.closest('.card').getBoundingClientRect(), r = c.getBoundingClientRect();
                return r.left < card.left || r.right > card.right || r.width === 0;
            });
            return [frame.innerWidth, frame.document.documentElement.scrollWidth, cells.length, out.length].join(' ');
        }).join(', '); };""" % json.dumps(titles)
        with open(self.path("probe.html"), "w", encoding="utf-8") as file:
            file.write(f"<!DOCTYPE html><title>none</title><script>{measure}</script>{''.join(frames)}")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.path('profile')}",
                   "--dump-dom", "file://" + self.path("probe.html")]
        said = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=LIMIT, text=True, check=False).stdout
        if "<title>" not in said:
            self.skipTest("chromium does not run here")
        found = re.search("<title>found (.*?)</title>", said)
        for width, frame in zip(widths, found[1].split(", "), strict=True):
            inner, scrolled, cells, out = map(int, frame.split())
            self.assertEqual((inner, out), (width, 0), frame)
            self.assertLessEqual(scrolled, width)
            self.assertGreaterEqual(cells, len(titles))

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
                self.assertIn("s'g\"p\\", words(picture), name)
        with open(self.path("out/comparison.md"), encoding="utf-8") as file:
            self.assertEqual(len(file.read().splitlines()), 9)
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
        self.assertLessEqual({"sgp, ring, seed 1", "sgp, exponential, seed 7", "allreduce"}, set(labels))

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
                            ("accuracy-epochs", "test accuracy, %"), ("step-time", "milliseconds per step")):
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


class Results(ReportTest):
    """What a reader sees first."""

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
        """One against all-reduce each, up to four; two by all-reduce are no reference."""
        others = [{"algorithm": name, "seconds": 10.0} for name in ("sgp", "osgp", "dpsgd", "adpsgd")]
        said = self.headline({"algorithm": "allreduce"}, *others)
        self.assertEqual([sentence.split()[0] for sentence in said], ["sgp", "osgp", "dpsgd", "adpsgd"])
        said = self.headline({"algorithm": "allreduce"}, *others, {"seed": 2})
        self.assertTrue(said[0].startswith("Fastest: "), said)
        said = self.headline({"algorithm": "allreduce"}, {"algorithm": "allreduce", "seed": 2}, {})
        self.assertTrue(said[0].startswith("Fastest: "), said)

    def test_not_comparable(self):
        """Runs that learned different things are not compared in words, and one that has no end with none."""
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

    def test_in_a_browser(self):
        names = [self.write_summary("a"), self.write_summary("b", algorithm="allreduce", seconds=4351.0),
                 self.write_diverged("c", algorithm="osgp"), self.write_summary("d" * 200, seed=2, graph="static-exponential")]
        self.report(*names, "--output", "out")
        self.check_in_browser("out/report.html", ["accuracy", "training time", "samples/s"])
        self.report("a")
        self.check_in_browser("a/report.html", ["accuracy", "training time", "samples/s"])


class Drawing(ReportTest):
    def test_one_color_for_an_algorithm(self):
        """Lines, bars and samples have it, in whatever order the runs stand."""
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
        """Shades of its colour, so that they are told apart."""
        names = [self.write_run(f"run{i}", metrics(1, 2), seed=i) for i in range(3)]
        text, _ = self.report(*names, "--output", "out")
        self.assertEqual(len(line_colors(pictures(text)["loss-epochs"][0])), 3)

    def test_logarithmic_axes(self):
        """From half a decade to three hundred: at least two labels, few, at round numbers, and apart."""
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


class Endings(ReportTest):
    """Runs that did not come to their end: a banner, and dashes for figures that do not exist."""

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
        """Said, or not said: by a version that knew no status."""
        for fields in ({}, {"status": "finished"}, {"status": "finished", "reason": None}):
            self.write_summary("a", **fields)
            text, _ = self.report("a")
            self.assertEqual(banners(text), [])
            shutil.rmtree(self.path("a"))

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
        """An interrupted run keeps what its epochs have shown; a diverged one does not."""
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


if __name__ == "__main__":
    unittest.main()
