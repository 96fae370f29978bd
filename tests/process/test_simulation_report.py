# SPDX-License-Identifier: Apache-2.0
"""The page about a simulation, made from simulation.json, without SimGrid."""

import json
import os
import re
import shutil
import unittest

import report_support
from report_support import NASTY, pictures, words

PLOTS = ["step-nodes", "efficiency-nodes", "hours-nodes"]


def row(algorithm, nodes, step_ms=500.0, **more):
    return {"algorithm": algorithm, "nodes": nodes, "steps": 100, "step_ms": step_ms, "mean_node_ms": 432.1,
            "wait_ms": 55.5, "samples_per_second": 1e6 * nodes / step_ms, "efficiency": 250 / step_ms,
            "scaling_efficiency": 0.987, "hours_90_epochs": 10 / nodes, "bytes_per_step": 102228128.0,
            "consensus_distance": 0.654, **more}


ROWS = [row(name, nodes, step) for name, step in (("allreduce", 500.0), ("sgp", 300.0)) for nodes in (4, 16, 64)]
SETTINGS = {"model": "resnet50", "parameters": 25557032.0, "network": {"name": "ethernet-10g", "rate_mbps": 9910.0},
            "compute_ms": {"mean": 245.0, "spread": 0.01}, "slow_node": None}


class Simulation(report_support.ReportTest):
    def write_simulation(self, name, rows=ROWS, settings=SETTINGS, **more):
        os.makedirs(self.path(name), exist_ok=True)
        whole = {"kind": "simulation", "command": "sgp simulate --nodes 4,16,64", "settings": settings,
                 "constants": {"tail_factor": 10}, "rows": rows, **more}
        with open(os.path.join(self.path(name), "simulation.json"), "w", encoding="utf-8") as file:
            json.dump(whole, file)
        return name

    def curve(self, picture, color="rgb(  0, 114, 178)"):
        """The points of the line of that colour, from left to right; by default the first algorithm's."""
        for element in picture.iter("path"):
            if element.get("stroke") == color and element.get("d").count("L") > 0:
                return [tuple(map(float, point.split(","))) for point in re.findall(r"[ML] ?([\d.]+,[\d.]+)", element.get("d"))]
        return []

    def test_page(self):
        """Three plots in two widths, all numbers of the rows, the settings, and the command."""
        text, page = self.report(self.write_simulation("a"))
        shown = pictures(text)
        self.assertEqual(list(shown), PLOTS)
        for name, label in zip(PLOTS, ("milliseconds per step", "efficiency, %", "hours, log scale")):
            self.assertEqual(len(shown[name]), 2, name)
            for picture in shown[name]:
                self.assertTrue(picture.get("aria-label"), name)
                self.assertLessEqual({"allreduce", "sgp", "4", "16", "64", label, "nodes, log scale"}, set(words(picture)))
        for cell in ("300.00", "500.00", "83.33\u202f%", "50.00\u202f%", "2.50", "0.16"):
            self.assertIn(cell, page.text)
        for told in ("compute_ms.spread", "network.rate_mbps", "9910.0", "tail_factor", "sgp simulate --nodes 4,16,64",
                     "SGP in lock step"):
            self.assertIn(told, page.text)
        self.assertIn("Simulation: resnet50 over ethernet-10g", page.text)

    def test_same_in_all_rows(self):
        """A value that all rows share is shown once, above the table, and has no column."""
        text, page = self.report(self.write_simulation("a"))
        [said] = [part for part in re.findall(r"<p>In all rows: (.*?)</p>", text)]
        self.assertEqual(said.split(" \u00b7 "), ["distance 0.654", "waiting, ms 55.50", "mean node, ms 432.10",
                                                "scaling 98.70\u202f%", "bytes sent 102 M"])
        titles = re.findall(r'<th class="n">(.*?)</th>', text)
        self.assertEqual(titles, ["nodes", "step, ms", "samples/s", "efficiency", "hours, 90 epochs"])
        self.assertEqual(text.count("data-label="), len(titles) * len(ROWS))
        self.write_simulation("a", ROWS[:1])
        self.assertNotIn("In all rows", self.report("a")[0])

    def test_headline(self):
        """The headline compares with all-reduce on the largest number of nodes."""
        def said(rows):
            self.write_simulation("a", rows)
            return report_support.leads(self.report("a")[0])
        self.assertEqual(said(ROWS), ["On 64 nodes a step of sgp took 0.60 of allreduce\u2019s time (300 ms against 500 ms)."])
        self.assertEqual(said([row("sgp", 4, 250.0), row("sgp", 8, 500.0)]),
                         ["On 8 nodes a step of sgp takes 500 ms, at an efficiency of 50.00\u202f%."])
        self.assertEqual(said([row("osgp", 4, 200.0), row("sgp", 4, 500.0)]),
                         ["On 4 nodes a step of sgp took 2.50 times as long as osgp (500 ms against 200 ms)."])
        self.assertEqual(said([{**row("sgp", 4), "step_ms": None}]), [])
        many = [row(f"a{i}", 4, 500.0 - i) for i in range(5)]
        self.assertEqual(said([row("allreduce", 4, 1000.0), *many]),
                         ["On 4 nodes a step of a4 took 0.50 of allreduce\u2019s time (496 ms against 1000 ms)."])

    def test_colors_are_those_of_runs(self):
        """An algorithm has the colour that it has on the page about runs."""
        self.write_run("run", report_support.metrics(1, 2), algorithm="allreduce")
        of_run = report_support.line_colors(pictures(self.report("run")[0])["loss-epochs"][0])
        self.write_simulation("a", [row("sgp", 4), row("sgp", 8), row("allreduce", 4), row("allreduce", 8)])
        of_simulation = report_support.line_colors(pictures(self.report("a")[0])["step-nodes"][0])
        self.assertEqual(len(of_simulation), 2)
        self.assertEqual(len(of_run), 1)
        self.assertLess(of_run, of_simulation)

    def test_in_a_browser(self):
        self.write_simulation("a", ROWS + [row("allreduce-buckets", 64, 1234567.0)])
        self.report("a")
        self.check_in_browser("a/report.html", ["nodes", "step, ms", "samples/s", "efficiency"])

    def test_axis_of_nodes(self):
        """The axis of nodes is logarithmic, whatever the order of rows; the axis of times begins at 0."""
        steps = {4: 100.0, 16: 200.0, 64: 400.0}
        self.write_simulation("a", [row("sgp", nodes, steps[nodes]) for nodes in (64, 4, 16)])
        text, _ = self.report("a")
        for picture in pictures(text)["step-nodes"]:
            (x1, y1), (x2, y2), (x3, y3) = self.curve(picture)
            self.assertAlmostEqual(x2 - x1, x3 - x2, delta=0.3)
            self.assertAlmostEqual((y1 - y2) * 2, y2 - y3, delta=0.5)
            self.assertIn("0", words(picture))

    def test_labels_leave_room(self):
        """Sixteen close numbers of nodes: a narrow page shows the largest, and no labels overlap."""
        self.write_simulation("a", [row("sgp", nodes) for nodes in range(10, 26)])
        text, _ = self.report("a")
        wide, narrow = (set(words(picture)) for picture in pictures(text)["step-nodes"])
        labels = {str(nodes) for nodes in range(10, 26)}
        self.assertIn("25", narrow)
        self.assertLess(len(labels & narrow), len(labels & wide))
        self.assertIn(len(labels & narrow), range(6, 16))

    def test_wide_spread(self):
        """Above a factor of ten the axis of times is logarithmic; that of efficiencies never is."""
        for most, log in ((900.0, False), (1100.0, True)):
            self.write_simulation("a", [row("sgp", 4, 100.0), row("sgp", 8, most)])
            text, _ = self.report("a")
            shown = pictures(text)
            self.assertEqual("milliseconds per step, log scale" in words(shown["step-nodes"][0]), log)
            self.assertIn("efficiency, %", words(shown["efficiency-nodes"][0]))

    def test_failures(self):
        """Rows that a failure ended are marked, and a column shows the cost of restarts."""
        ended = row("sgp", 8, hours_90_epochs_with_restarts=77.25, failure={"node": 5, "seconds": 12.5}, steps=41)
        self.write_simulation("a", [ended])
        _, page = self.report("a")
        self.assertIn("ended after 41 steps: node 5 failed at 12.5 s", page.text)
        self.assertIn("77.25", page.text)
        self.assertIn("with restarts", page.text)
        self.write_simulation("a")
        self.assertNotIn("with restarts", self.report("a")[1].text)

    def test_nothing_measured(self):
        """Missing numbers are null; the rest is drawn."""
        empty = dict.fromkeys(("step_ms", "efficiency", "hours_90_epochs", "consensus_distance"))
        self.write_simulation("a", [row("sgp", 4), {**row("osgp", 4), **empty}])
        text, page = self.report("a")
        self.assertIn("Not shown: osgp", " ".join(page.text))
        self.write_simulation("a", [{**row("osgp", 4), **empty}])
        self.assertEqual(pictures(self.report("a")[0]), {name: [] for name in PLOTS})

    def test_nasty_names(self):
        """Text from the file is shown literally and never interpreted."""
        settings = {**SETTINGS, "model": NASTY, "network": {"platform": "<img src=x>"}, "<x>": {"<y>": ["&", None]}}
        self.write_simulation("a", [row(NASTY, 4), row("a\nb\x1b", 4)], settings, command="<script>", constants=5)
        text, page = self.report("a")
        self.assertNotIn("img", page.tags)
        for name in (NASTY, "<script>", "<x>.<y>", "a\ufffdb\ufffd", f"Simulation: {NASTY} over <img src=x>"):
            self.assertIn(name, page.text)
        for shown in pictures(text).values():
            for picture in shown:
                self.assertIn(NASTY, words(picture))
        for name in ("x", "y"):
            self.assertFalse(os.path.exists(self.path(name)))

    def test_no_gnuplot(self):
        """Without gnuplot the page has only the table; the program and the page say so."""
        self.write_simulation("a")
        status, out, err = self.run_program("report", "a", environment={"PATH": self.runtime})
        self.assertEqual((status, out), (0, "a/report.html\n"))
        self.assertEqual(len(err.splitlines()), 1)
        self.assertIn("gnuplot-nox", err)
        with open(self.path("a/report.html"), encoding="utf-8") as file:
            text = file.read()
        page = self.check_page(text)
        self.assertEqual(pictures(text), {})
        self.assertIn("gnuplot", " ".join(page.text))
        self.assertIn("300.00", page.text)

    def test_output(self):
        """The page goes to another directory; the simulation's directory is not changed."""
        self.write_simulation("a")
        self.report("a", "--output", "b/c")
        self.assertEqual((os.listdir(self.path("a")), os.listdir(self.path("b/c"))), (["simulation.json"], ["report.html"]))

    def test_mistakes(self):
        self.write_simulation("a")
        self.write_run("run", report_support.metrics(1, 2))
        for arguments in (["a", "run"], ["run", "a"], ["a", "a"]):
            self.assertIn("a: a simulation", self.refused("report", *arguments, "--output", "out"))
        self.assertFalse(os.path.exists(self.path("out")))
        for more, said in (({"rows": []}, "rows"), ({"settings": 5}, "settings"), ({"kind": "x"}, "kind"),
                           ({"rows": [row("sgp", 4), {}]}, "algorithm"), ({"rows": [{**row("sgp", 4), "nodes": 0}]}, "nodes"),
                           ({"rows": [row(7, 4)]}, "algorithm")):
            with self.subTest(said):
                self.write_simulation("a", **more)
                err = self.refused("report", "a")
                self.assertIn("a/simulation.json", err)
                self.assertIn(said, err)
        for content in ("", "{", "[]"):
            with open(self.path("a/simulation.json"), "w", encoding="utf-8") as file:
                file.write(content)
            self.assertIn("a/simulation.json", self.refused("report", "a"))
        shutil.rmtree(self.path("a"))


if __name__ == "__main__":
    unittest.main()
