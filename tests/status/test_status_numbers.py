# SPDX-License-Identifier: Apache-2.0
"""The numbers of a snapshot are those of the page, of status.json and of the metrics; texts are shown as they are."""

import json
import math
import os
import re
import shutil
import subprocess
import unittest

from status_support import ACCURACY, LIMIT, LOSS, Server, edges, member, page

PROMTOOL = os.environ.get("SGP_PROMTOOL") or shutil.which("promtool")
EVIL = "<script>alert(1)</script>\"'&"

# ---- as a person reads them, by the definitions of docs/status.md ----


def three(number):
    """Three significant digits; none behind the point from 100 on."""
    return f"{number:.2f}" if number < 9.995 else f"{number:.1f}" if number < 99.95 else f"{number:.0f}"


def scaled(number):
    units = ["B", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.0f} B" if units[0] == "B" else f"{three(number)} {units[0]}"


def shown(row):
    """What the cells of a member say, by their labels."""
    return {"step": f"{row['step']:,}", "samples/s": f"{math.floor(row['samples_per_second'] + 0.5):,}",
            "step, ms": three(row["step_ms"]), "compute": three(row["compute_ms"]), "update": three(row["update_ms"]),
            "wait": three(row["wait_ms"]), "loss": f"{row['loss']:.4g}", "accuracy": f"{100 * row['accuracy']:.2f} %",
            "weight": f"{row['weight']:.4g}", "sent": scaled(row["bytes_sent"]), "received": scaled(row["bytes_received"]),
            "memory": scaled(row["memory"]), "heard": f"{row['age']:.1f} s ago", "host": row["host"]}


def samples(text):
    """{(name, labels): value} of a text of metrics."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r'(\w+)(?:\{(.*)\})? (\S+)', line).groups()
            key = name, tuple(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
            if key in found:
                raise AssertionError(f"{key} stands there twice")
            found[key] = float(value)
    return found


class Numbers(unittest.TestCase):
    def get(self, server, path, headers=None):
        status, _, body = server.ask(path, headers=headers)
        self.assertEqual(status, 200)
        return body.decode()

    def test_json_has_every_number(self):
        for members in (1, 8, 64):
            with self.subTest(members=members), Server("--members", members) as server:
                found = json.loads(self.get(server, "/status.json"))
                self.assertEqual(found["members"], [member(seat) for seat in range(members)])
                self.assertEqual(found["edges"], edges(members))
                for name, curve in (("loss", LOSS), ("accuracy", ACCURACY)):
                    for point, expected in zip(found["curves"][name], curve, strict=True):
                        self.assertEqual(point[:2], expected[:2])
                        self.assertAlmostEqual(point[2], expected[2], places=14)
                self.assertEqual([line["level"] for line in found["log"]], ["info", "info", "warning", "info"])
                self.assertEqual(found["log"][1]["text"], "epoch 1: loss 1.2345")
                facts = {"version": 1, "run": "resnet20 on cifar10", "run_id": "0123456789abcdef", "algorithm": "sgp",
                         "graph": "exponential", "encoding": "float32", "transport": "tcp", "self": 0, "finished": False,
                         "seconds": 361.5, "seconds_left": 1234, "step": 1200 + min(members - 1, 2), "step_min": 1200,
                         "epoch": 3, "epochs": 10, "distance": 0.0123, "distance_step": 1100, "live": members,
                         "total": members}
                self.assertEqual({name: found[name] for name in facts}, facts)
                for name in ("loss", "accuracy"):
                    self.assertAlmostEqual(found[name], sum(member(s)[name] for s in range(members)) / members, places=12)
                self.assertAlmostEqual(found["samples_per_second"], sum(1000.5 + seat for seat in range(members)))

    def test_json_has_the_documented_fields_and_no_others(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "status.md")
        with open(path, encoding="utf-8") as file:
            data = file.read().partition("## The data")[2].partition("\n## ")[0]
        run, _, of_member = data.partition("A member:")

        def fields(text):
            return {name for row in re.findall(r"^\| (`[^|]*) \|", text, re.M) for name in re.findall(r"`(\w+)`", row)}

        with Server() as server:
            found = json.loads(self.get(server, "/status.json"))
        self.assertEqual(set(found), fields(run))
        self.assertEqual(set(found["members"][0]), fields(of_member))

    def test_page_has_every_number(self):
        for members, path in ((8, "/"), (64, "/"), (1024, "/members")):
            with self.subTest(members=members), Server("--members", members) as server:
                tree = page(self.get(server, path))
                rows = [row for row in tree.one("section", id="members").all("tr") if list(row.all("td"))]
                self.assertEqual(len(rows), members)
                for row in rows:
                    expected = member(int(row.one("th", scope="row").first_text()))
                    cells = {cell.attributes["data-label"]: cell for cell in row.all("td")}
                    for label, words in shown(expected).items():
                        self.assertEqual(cells[label].first_text(), words, (expected["seat"], label))
                    self.assertIn("live", cells["condition"].text())
                    self.assertIn(f"{expected['sent']:,} msg", cells["sent"].text())
                    self.assertIn(f"{expected['received']:,} msg", cells["received"].text())

    def test_page_has_the_figures_of_the_run(self):
        with Server() as server:
            figures = page(self.get(server, "/")).one("section", id="figures")
        found = {figure.one("dt").text(): figure.one("dd").text() for figure in figures.all("div")}
        self.assertEqual(found, {"members live": "8 / 8", "step": "1,202the last at 1,200", "epoch": "3of 10",
                                 "time left": "20 min 34 s", "samples/s": "8,032", "loss": "0.5035", "accuracy": "75.04 %",
                                 "consensus distance": "0.0123at step 1,100"})

    def test_curves_go_through_their_points(self):
        with Server() as server:
            section = page(self.get(server, "/")).one("section", id="curves")
        for plot, curve in zip(section.all("div", class_="plot"), (LOSS, ACCURACY), strict=True):
            ticks = [float(tick.text().rstrip(" %")) for tick in plot.one("div", class_="ticks").all("span")]
            unit = 0.01 if "%" in plot.one("div", class_="ticks").text() else 1
            steps = [high - low for high, low in zip(ticks, ticks[1:])]
            self.assertAlmostEqual(min(steps), max(steps), places=9)
            points = re.findall(r"[ML]([\d.]+) ([\d.]+)", plot.one("path", class_="curve").attributes["d"])
            high, low = ticks[0] * unit, ticks[-1] * unit
            for (x, y), (seconds, _, value) in zip(points, curve, strict=True):
                self.assertAlmostEqual(float(x) / 1000, seconds / curve[-1][0], delta=1e-4)
                self.assertAlmostEqual(high - float(y) / 240 * (high - low), value, delta=(high - low) / 240 / 10)

    def test_edges_are_drawn_and_listed(self):
        for members in (8, 64):
            with self.subTest(members=members), Server("--members", members) as server:
                graph = page(self.get(server, "/")).one("section", id="graph")
                drawn = {path.one("title").text() for path in graph.all("path", class_="edge")}
                rows = [[cell.text() for cell in row.all("td")] for row in graph.all("tr")]
                titles = {f"{edge['src']} to {edge['dst']}: {scaled(edge['bytes_per_second'])}/s, last message "
                          f"{edge['age']:.1f} s ago" for edge in edges(members) if edge["in_step"]}
                self.assertEqual(drawn, titles)
                oldest = sorted(edges(members), key=lambda edge: -edge["age"])[:256]
                expected = [[str(edge["src"]), str(edge["dst"]), "yes" if edge["in_step"] else "no",
                             f"{scaled(edge['bytes_per_second'])}/s", f"{edge['age']:.1f} s ago"] for edge in oldest]
                self.assertEqual([row for row in rows if row], expected)

    def test_bars_are_as_long_as_the_times(self):
        with Server() as server:
            server.tell("slow 5 2")
            rows = list(page(self.get(server, "/")).one("section", id="time").all("tr"))
        self.assertEqual(len(rows), 8)
        longest = 2 * (80.5 + 5 / 64 + 7.75) + 0.5
        for seat, row in enumerate(rows):
            times = [80.5 + seat / 64, 7.75, 32] if seat != 5 else [2 * (80.5 + 5 / 64), 15.5, 0.5]
            for rect, name, time in zip(row.all("rect"), ("compute", "update", "wait"), times, strict=True):
                self.assertEqual(rect.attributes["class"], name)
                self.assertAlmostEqual(float(rect.attributes["width"]) / 1000, time / longest, delta=1e-4)
            self.assertIn(f"node {seat}: compute {three(times[0])} ms, update {three(times[1])} ms, wait",
                          row.one("title").text())

    def test_metrics_have_every_number(self):
        units = {"step_ms": 1e-3, "compute_ms": 1e-3, "update_ms": 1e-3, "wait_ms": 1e-3}
        names = {"step": "steps_total", "epoch": "epoch", "age": "age_seconds", "samples_per_second": "samples_per_second",
                 "step_ms": "step_seconds", "compute_ms": "compute_seconds", "update_ms": "update_seconds",
                 "wait_ms": "wait_seconds", "weight": "weight", "loss": "loss", "accuracy": "accuracy_ratio",
                 "bytes_sent": "sent_bytes_total", "bytes_received": "received_bytes_total", "memory": "memory_bytes",
                 **{kind: f"{kind}_messages_total" for kind in ("sent", "received", "lost", "late", "refused", "resent")}}
        with Server("--members", 64) as server:
            server.tell("trouble 7")
            for accept in (None, "application/openmetrics-text"):
                found = samples(self.get(server, "/metrics", {"Accept": accept} if accept else None))
                for seat in range(64):
                    row = member(seat)
                    if seat == 7:
                        row.update(lost=1001, late=1002, refused=1003, resent=1004)
                    for field, name in names.items():
                        self.assertAlmostEqual(found[f"sgp_member_{name}", (("seat", str(seat)),)],
                                               row[field] * units.get(field, 1), places=12)
                for edge in edges(64):
                    labels = (("src", str(edge["src"])), ("dst", str(edge["dst"])))
                    self.assertEqual(found["sgp_edge_bytes_per_second", labels], edge["bytes_per_second"])
                    self.assertEqual(found["sgp_edge_age_seconds", labels], edge["age"])
                self.assertEqual(found["sgp_members", (("condition", "live"),)], 64)
                self.assertEqual(found["sgp_run_consensus_distance", ()], 0.0123)
                self.assertEqual(found["sgp_run_left_seconds", ()], 1234)

    def test_messages_in_trouble_are_shown(self):
        with Server() as server:
            server.tell("trouble 7")
            section = page(self.get(server, "/")).one("section", id="members")
        row = next(row for row in section.all("tr") if any(th.first_text() == "7" for th in row.all("th", scope="row")))
        for words in ("1,001 lost", "1,002 late", "1,003 refused", "1,004 resent", "use 3"):
            self.assertIn(words, row.text())

    def test_unknown_numbers_are_null_a_dash_or_left_out(self):
        with Server() as server:
            server.tell("unknown 2")
            found = json.loads(self.get(server, "/status.json"), parse_constant=self.fail)
            tree = page(self.get(server, "/"))
            metrics = samples(self.get(server, "/metrics"))
        for name in ("age", "samples_per_second", "step_ms", "compute_ms", "update_ms", "wait_ms", "weight", "loss", "accuracy"):
            self.assertIsNone(found["members"][2][name])
        self.assertIsNone(found["distance"])
        self.assertIsNone(found["edges"][2]["age"])
        row = next(row for row in tree.one("section", id="members").all("tr")
                   if any(th.first_text() == "2" for th in row.all("th", scope="row")))
        for cell in row.all("td", class_="n"):
            if cell.attributes["data-label"] not in ("step", "sent", "received"):
                self.assertEqual(cell.first_text(), "–", cell.attributes["data-label"])
        self.assertNotRegex(tree.one("main").text(), r"(?i)\bnan\b")
        seats = {labels for name, labels in metrics if name == "sgp_member_loss"}
        self.assertEqual(len(seats), 7)
        self.assertNotIn("sgp_run_consensus_distance", {name for name, _ in metrics})

    def test_texts_are_never_markup(self):
        with Server() as server:
            server.tell("name " + EVIL)
            server.tell("gone 3 " + EVIL)
            text = self.get(server, "/")
            everyone = self.get(server, "/members")
            found = json.loads(self.get(server, "/status.json"))
            metrics = samples(self.get(server, "/metrics"))
        for source in (text, everyone):
            self.assertNotIn("<script>alert", source)
            tree = page(source)
            self.assertEqual(tree.one("h1").text(), EVIL)
            self.assertIn(EVIL, tree.one("section", id="members").text())
        self.assertEqual((found["run"], found["members"][3]["reason"]), (EVIL, EVIL))
        labels = next(dict(labels) for name, labels in metrics if name == "sgp_run_info")
        self.assertEqual(labels["run"].replace('\\"', '"'), EVIL)

    def test_trouble_is_in_words_and_first(self):
        with Server("--members", 64) as server:
            server.tell("gone 40 its process ended")
            server.tell("slow 50 2.5")
            server.tell("silent 60")
            section = page(self.get(server, "/")).one("section", id="members")
            found = json.loads(self.get(server, "/status.json"))
        notes = [note.text() for note in section.all("li")]
        self.assertEqual([re.search(r"Node (\d+) is (\w+)", note).groups() for note in notes],
                         [("40", "gone"), ("60", "silent"), ("50", "slow")])
        self.assertIn("since step 1,100: its process ended", notes[0])
        seats = [th.first_text() for th in section.all("th", scope="row")]
        self.assertEqual(seats[:3], ["40", "60", "50"])
        self.assertEqual(sorted(map(int, seats)), list(range(64)))
        folded = section.one("details", id="healthy")
        self.assertEqual(len(list(folded.all("th", scope="row"))), 61)
        self.assertNotIn("open", folded.attributes)
        self.assertEqual([row["seat"] for row in found["members"] if row["slow"]], [50])
        self.assertEqual((found["members"][40]["condition"], found["members"][40]["gone_step"]), ("gone", 1100))
        self.assertEqual((found["live"], found["total"]), (62, 64))

    def test_a_large_group_is_summed_up(self):
        with Server("--members", 1024) as server:
            server.tell("gone 700 lost")
            text = self.get(server, "/")
            found = json.loads(self.get(server, "/status.json"))
        self.assertEqual(len(found["members"]), 1024)
        self.assertEqual(len(found["edges"]), 10240)
        self.assertLess(len(text), 150_000)
        seats = [th.first_text() for th in page(text).one("section", id="members").all("th", scope="row")]
        self.assertEqual(seats, ["700"])


class Formats(unittest.TestCase):
    def metrics(self, open_metrics):
        with Server("--members", 3) as server:
            server.tell("name " + EVIL + " \\ ")
            server.tell("unknown 1")
            accept = {"Accept": "application/openmetrics-text; version=1.0.0"} if open_metrics else {}
            _, headers, body = server.ask("/metrics", headers=accept)
        return headers["Content-Type"], body.decode()

    def test_one_end_at_the_end(self):
        for open_metrics, kind in ((False, "text/plain; version=0.0.4"), (True, "application/openmetrics-text; version=1.0.0")):
            found, text = self.metrics(open_metrics)
            self.assertTrue(found.startswith(kind), found)
            self.assertTrue(text.endswith("\n# EOF\n"))
            self.assertEqual(text.count("# EOF"), 1)

    def test_a_type_goes_before_its_samples_in_one_piece(self):
        for open_metrics in (False, True):
            _, text = self.metrics(open_metrics)
            family, seen = None, set()
            for line in text.splitlines()[:-1]:
                if line.startswith("# TYPE"):
                    family, kind = line.split()[2:]
                    self.assertNotIn(family, seen)
                    seen.add(family)
                elif not line.startswith("#"):
                    suffix = {"counter": "_total", "info": "_info"}.get(kind, "") if open_metrics else ""
                    self.assertEqual(re.match(r"\w+", line).group(), family + suffix)

    @unittest.skipUnless(PROMTOOL, "promtool is missing (Debian: prometheus)")
    def test_promtool_has_no_complaint(self):
        _, text = self.metrics(False)
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=LIMIT, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def test_the_dashboard_asks_for_metrics_that_exist(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "grafana-dashboard.json")
        with open(path, encoding="utf-8") as file:
            wanted = {name for panel in json.load(file)["panels"] for target in panel["targets"]
                      for name in re.findall(r"sgp_\w+", target["expr"])}
        with Server() as server:
            found = {name for name, _ in samples(server.ask("/metrics")[2].decode())}
        self.assertGreater(len(wanted), 10)
        self.assertEqual(wanted - found, set())

    def test_python_reads_open_metrics(self):
        try:
            from prometheus_client.openmetrics.parser import text_string_to_metric_families
        except ImportError:
            self.skipTest("prometheus_client is missing (Debian: python3-prometheus-client)")
        _, text = self.metrics(True)
        families = {family.name: family for family in text_string_to_metric_families(text)}
        self.assertEqual(families["sgp_run"].samples[0].labels["run"], EVIL + " \\ ")
        self.assertEqual(families["sgp_member_steps"].type, "counter")


if __name__ == "__main__":
    unittest.main()
