# SPDX-License-Identifier: Apache-2.0
"""sgp simulate: times that follow from the definitions, the published figures, and mistakes.

Numbers do not come from the program: they are bytes over rates, and the figures of the papers."""

import html
import json
import math
import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from support import LIMIT, PROGRAM, ProgramTest, write

HEAD = '<?xml version="1.0"?>\n<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">\n'
# Three hosts that share one link of 1 Gb/s, not in the order of their names.
PLATFORM = HEAD + """<platform version="4.1"><zone id="z" routing="Full">
<host id="n10" speed="1Gf"/><host id="n2" speed="1Gf"/><host id="n1" speed="1Gf"/>
<link id="l" bandwidth="125MBps" latency="1ms"/>
<route src="n1" dst="n2"><link_ctn id="l"/></route>
<route src="n1" dst="n10"><link_ctn id="l"/></route>
<route src="n2" dst="n10"><link_ctn id="l"/></route>
</zone></platform>
"""

# (arguments, parts of the message)
MISTAKES = [
    (["--network", "star"], ["--network star", "ethernet-10g", "platform"]),
    (["--network", "none.xml"], ["none.xml", "No such file or directory"]),
    (["--network", "."], ["--network .", "directory"]),
    (["--network", "bad.xml"], ["bad.xml", "Parse error", "line 1"]),
    (["--network", "empty.xml"], ["empty.xml", "Parse error"]),
    (["--network", "unit.xml"], ["unit.xml", "unknown unit"]),
    (["--network", "negative.xml"], ["negative.xml", "-1.25e+08 bytes a second", "above 0"]),
    (["--network", "zero.xml"], ["zero.xml", "0 bytes a second", "above 0"]),
    (["--network", "good.xml", "--nodes", "2,4"], ["good.xml", "4 nodes", "3 hosts"]),
    (["--network", "good.xml", "--nodes", "2", "--rate-mbps", "5"], ["good.xml", "--rate-mbps"]),
    (["--rate-mbps", "0"], ["--rate-mbps 0", "above 0"]),
    (["--rate-mbps", "-5"], ["--rate-mbps -5", "above 0"]),
    (["--latency-ms", "-1"], ["--latency-ms -1", "0 or more"]),
    (["--compute-ms", "0"], ["--compute-ms 0", "MEAN[:SPREAD[:TAIL]]"]),
    (["--compute-ms", "5:-1"], ["--compute-ms 5:-1"]),
    (["--compute-ms", "5:1:2"], ["--compute-ms 5:1:2", "probability"]),
    (["--compute-ms", "5:1:0:0"], ["--compute-ms 5:1:0:0"]),
    (["--compute-ms", "nan"], ["--compute-ms nan"]),
    (["--local-ms", "-1"], ["--local-ms -1", "UPDATE[:COPY[:ABSORB]]"]),
    (["--nodes", "0"], ["--nodes 0", "from 1 to 100000"]),
    (["--nodes", "4,,8"], ["--nodes 4,,8"]),
    (["--nodes", "4,"], ["--nodes 4,"]),
    (["--algorithm", "sgd"], ["--algorithm sgd", "osgp", "allreduce-ring"]),
    (["--algorithm", "sgp,"], ["--algorithm sgp,"]),
    (["--model", "vgg"], ["--model vgg", "resnet50"]),
    (["--parameters", "0"], ["--parameters 0", "25.6M"]),
    (["--parameters", "5X"], ["--parameters 5X", "25.6M"]),
    (["--encoding", "int7"], ["--encoding int7", "did you mean int8?"]),
    (["--encoding", "int4"], ["int4 with sgp", "int8"]),
    (["--workers-per-node", "0"], ["--workers-per-node 0"]),
    (["--peers", "4", "--nodes", "4"], ["4 peers", "at most 3"]),
    (["--algorithm", "dpsgd", "--graph", "exponential"], ["dpsgd", "bipartite-exponential"]),
    (["--overlap", "0"], ["--overlap 0", "async"]),
    (["--slow-node", "4:2"], ["--slow-node 4", "4 nodes", "last one is 3"]),
    (["--slow-node", "1:0.5"], ["--slow-node 1:0.5", "RANK:FACTOR"]),
    (["--failures", "0"], ["--failures 0", "above 0"]),
    (["--distance-at", "0"], ["--distance-at 0", "above 0"]),
    (["--steps", "0"], ["--steps 0", "from 1 to"]),
    (["--steps", "5", "--warmup-steps", "5"], ["--warmup-steps 5", "less than"]),
    (["--calibration", "none.json"], ["--calibration none.json", "No such file or directory"]),
    (["--calibration", "bad.xml"], ["--calibration bad.xml"]),
    (["--calibration", "list.json"], ["--calibration list.json", "sgp bench"]),
    (["--calibration", "wrong.json"], ["--calibration wrong.json", "rate_mbps", "sgp bench"]),
    (["--output", "bad.xml"], ["--output bad.xml"]),
    (["stray"], ["stray"]),
]


def have_simgrid():
    """Whether this build can simulate at all."""
    line = subprocess.run([PROGRAM, "simulate", "--nodes", "1", "--steps", "1", "--output", "/dev/null/none"],
                          capture_output=True, text=True, timeout=LIMIT, check=False).stderr
    return "libsimgrid" not in line


@unittest.skipUnless(have_simgrid(), "this build has no SimGrid (Debian: libsimgrid-dev)")
class Simulate(ProgramTest):
    def run_program(self, *arguments, environment=None):
        """As usual, without the progress lines of a slow machine."""
        status, out, err = super().run_program(*arguments, environment=environment)
        return status, out, re.sub(r"(?m)^[a-z-]+, \d+ nodes?  step \d+/\d+\n", "", err)

    def simulate(self, *arguments):
        """{(algorithm, nodes): row}"""
        status, out, err = self.run_program("simulate", "--json", "--quiet", "--output", self.output(), *arguments)
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(len(out.splitlines()), 1)
        return {(row["algorithm"], row["nodes"]): row for row in json.loads(out)["rows"]}

    def near(self, found, expected, part, what=""):
        self.assertLess(abs(found / expected - 1), part, f"{what}: {found}, expected {expected}")

    def test_mistakes(self):
        files = {"bad.xml": "<platform", "empty.xml": "", "good.xml": PLATFORM, "list.json": "[1]",
                 "unit.xml": PLATFORM.replace("1ms", "1parsec"),
                 "negative.xml": PLATFORM.replace("125MBps", "-125MBps"),
                 "zero.xml": PLATFORM.replace("125MBps", "0Bps"),
                 "wrong.json": '{"rate_mbps": -5}'}
        for name, content in files.items():
            write(os.path.join(self.folder, name), content.encode())
        for arguments, expected in MISTAKES:
            with self.subTest(" ".join(arguments)):
                nodes = [] if "--nodes" in arguments else ["--nodes", "4"]
                if arguments[0] == "--network" and not nodes == []:
                    nodes = ["--nodes", "3"]
                err = self.refused("simulate", *nodes, *arguments)
                for part in expected:
                    self.assertIn(part, err)

    # ---- against theory, where all gradients take the same time ----

    RATE, LATENCY, GRADIENT, BYTES = 1e9 / 8, 20e-3, 0.1, 4e6 * 4

    def theory(self, algorithms, nodes=(2, 4, 8, 32), more=()):
        """{(algorithm, nodes): seconds of a step beyond its gradient}"""
        rows = self.simulate("--nodes", ",".join(map(str, nodes)), "--algorithm", algorithms, "--parameters", "4M",
                             "--rate-mbps", "1000", "--latency-ms", "20", "--compute-ms", "100", "--steps", "10",
                             *more)
        return {key: row["step_ms"] / 1e3 - self.GRADIENT for key, row in rows.items()}

    def test_a_push(self):
        """A push takes P / B and a latency, for any number of nodes; two pushes of a node share its link."""
        push = self.BYTES / self.RATE
        for (name, nodes), seconds in self.theory("sgp,dpsgd").items():
            self.near(seconds, push + self.LATENCY, 0.02, f"{name}, {nodes} nodes")
        for (name, nodes), seconds in self.theory("sgp", nodes=(9, 27), more=("--peers", "2")).items():
            self.near(seconds, 2 * push + self.LATENCY, 0.02, f"{name}, {nodes} nodes, 2 peers")
        for (name, nodes), seconds in self.theory("sgp", more=("--encoding", "bfloat16")).items():
            self.near(seconds, push / 2 + self.LATENCY, 0.02, f"{name}, {nodes} nodes, bfloat16")
        for (name, nodes), seconds in self.theory("sgp,dpsgd", more=("--encoding", "int8")).items():
            self.near(seconds, push * 260 / 1024 + self.LATENCY, 0.02, f"{name}, {nodes} nodes, int8")

    def test_hidden_pushes(self):
        """A push of 128 ms during a gradient of 100: a step waits for the message of the previous step, or with an
        overlap of 2 for the link alone. A push of 64 ms is hidden."""
        push = self.BYTES / self.RATE
        for key, seconds in self.theory("osgp").items():
            self.near(seconds + self.GRADIENT, push + self.LATENCY, 0.02, key)
        for key, seconds in self.theory("osgp", more=("--overlap", "2", "--steps", "60")).items():
            self.near(seconds + self.GRADIENT, push, 0.04, key)
        for key, seconds in self.theory("osgp,osgp-async", more=("--encoding", "bfloat16")).items():
            self.near(seconds + self.GRADIENT, self.GRADIENT, 0.001, key)

    def test_allreduce(self):
        """2 (n - 1) / n P / B, plus two latencies in this project's, 2 (n - 1) in a ring; in a tree log2 n whole vectors
        each way."""
        for (name, nodes), seconds in self.theory("allreduce,allreduce-ring,allreduce-tree").items():
            part = 2 * (nodes - 1) / nodes * self.BYTES / self.RATE
            latencies = {"allreduce": 2, "allreduce-ring": 2 * (nodes - 1)}
            if name == "allreduce-tree":
                expected = 2 * math.log2(nodes) * (self.BYTES / self.RATE + self.LATENCY)
            else:
                expected = part + latencies[name] * self.LATENCY
            self.near(seconds, expected, 0.02, f"{name}, {nodes} nodes")
        more = ("--encoding", "int4")
        for (name, nodes), seconds in self.theory("allreduce,allreduce-ring,allreduce-halving", more=more).items():
            part = 2 * (nodes - 1) / nodes * self.BYTES / self.RATE * 132 / 1024
            latencies = {"allreduce": 2, "allreduce-ring": 2 * (nodes - 1)}.get(name, 2 * math.log2(nodes))
            self.near(seconds, part + latencies * self.LATENCY, 0.02, f"{name}, {nodes} nodes, int4")

    def test_halving(self):
        """2 (n - 1) / n P / B and 2 log2 n latencies, rounded up, for any number of nodes, with an exact mean; and no more
        than a ring takes if gradients vary."""
        rows = self.theory("allreduce-halving", nodes=(1, 2, 3, 5, 7, 8, 24, 64))
        for (_, nodes), seconds in rows.items():
            expected = 2 * (nodes - 1) / nodes * self.BYTES / self.RATE + 2 * math.ceil(math.log2(nodes)) * self.LATENCY
            self.assertAlmostEqual(seconds, expected, delta=0.001 + 0.02 * expected, msg=nodes)
        rows = self.simulate("--nodes", "1,6,32", "--algorithm", "allreduce-halving,allreduce-ring", "--compute-ms", "245:0.3")
        for (name, nodes), row in rows.items():
            self.assertLess(row["consensus_distance"], 1e-4, f"{name}, {nodes} nodes")
            self.assertAlmostEqual(row["bytes_per_step"], 2 * (nodes - 1) / nodes * 25557032 * 4, delta=1, msg=f"{name}, {nodes} nodes")
            self.assertLess(rows["allreduce-halving", nodes]["step_ms"], rows["allreduce-ring", nodes]["step_ms"] * 1.001)

    def test_buckets(self):
        """Forward is a third of the gradient, and 100 MB are four buckets. The link is busy from the end of the first
        bucket's gradients on: 1/3 + 2/3 / 4 of the gradient, plus the whole all-reduce."""
        rows = self.simulate("--nodes", "2,8", "--algorithm", "allreduce-buckets", "--parameters", "26.2144M",
                             "--rate-mbps", "1000", "--latency-ms", "0", "--compute-ms", "100", "--steps", "10")
        for (name, nodes), row in rows.items():
            expected = 0.1 * (1 / 3 + 2 / 3 / 4) + 2 * (nodes - 1) / nodes * 26.2144e6 * 4 / self.RATE
            self.near(row["step_ms"] / 1e3, expected, 0.02, f"{name}, {nodes} nodes")

    def test_adpsgd_exchange(self):
        """AD-PSGD: an active node exchanges vectors with a passive one during its gradient, in 16 chunks, each answered on
        arrival; passive nodes wait for nothing. All make the same number of steps, so the active ones set the rate."""
        exchange = (1 + 1 / 16) * self.BYTES / self.RATE + 2 * self.LATENCY
        rows = self.simulate("--nodes", "2,8", "--algorithm", "adpsgd", "--parameters", "4M", "--rate-mbps", "1000",
                             "--latency-ms", str(self.LATENCY * 1e3), "--compute-ms", "50", "--steps", "20",
                             "--workers-per-node", "1")
        for (_, nodes), row in rows.items():
            self.near(row["step_ms"] / 1e3, exchange, 0.02, nodes)
            self.near(row["fastest_node_ms"], 50, 0.001, nodes)
            self.near(row["mean_node_ms"] / 1e3, (0.05 + exchange) / 2, 0.02, nodes)
            self.near(row["samples_per_second"], nodes * 32 / exchange, 0.02, nodes)

    def test_server_bottleneck(self):
        """A parameter server: each step of each other node is a vector into the link of node 0 and one out of it, so that link
        sets the rate once it is busy; node 0 itself waits for nothing."""
        vector = self.BYTES / self.RATE
        rows = self.simulate("--nodes", "8,64", "--algorithm", "server", "--parameters", "4M", "--rate-mbps", "1000",
                             "--latency-ms", "0", "--compute-ms", "50", "--steps", "40", "--workers-per-node", "1")
        for (_, nodes), row in rows.items():
            self.near(row["step_ms"] / 1e3, (nodes - 1) * vector, 0.15, nodes)  # the first and last steps leave it idle
            self.near(row["fastest_node_ms"], 50, 0.001, nodes)
        few = self.simulate("--nodes", "2", "--algorithm", "server", "--parameters", "4M", "--rate-mbps", "1000",
                            "--latency-ms", "0", "--compute-ms", "50", "--steps", "40", "--workers-per-node", "1")
        self.near(few["server", 2]["step_ms"] / 1e3, 0.05 + (1 + 1 / 16) * vector, 0.02)

    def test_passes(self):
        """An update of 5 ms, a copy of 200, which is longer than the push, and 11 for the absorption."""
        rows = self.simulate("--nodes", "4", "--algorithm", "sgp", "--parameters", "4M", "--rate-mbps", "1000",
                             "--latency-ms", "0", "--compute-ms", "100", "--local-ms", "5:200:11", "--steps", "10")
        self.near(rows["sgp", 4]["step_ms"], 100 + 5 + 200 + 11, 0.001)

    def test_platform(self):
        """Hosts are in the order of their numbers; two pushes of two nodes share the single link."""
        path = os.path.join(self.folder, "good.xml")
        write(path, PLATFORM.encode())
        rows = self.simulate("--nodes", "2", "--network", path, "--algorithm", "sgp", "--parameters", "4M",
                             "--compute-ms", "100", "--steps", "10")
        self.near(rows["sgp", 2]["step_ms"] / 1e3, 0.1 + 2 * self.BYTES / self.RATE, 0.02)

    def test_slow_node(self):
        """A slow node delays all nodes in lock step, and no other node if none waits."""
        rows = self.simulate("--nodes", "8", "--algorithm", "allreduce,osgp-async", "--slow-node", "3:4",
                             "--compute-ms", "100", "--network", "infiniband-100g", "--steps", "40")
        row = rows["osgp-async", 8]
        self.near(row["fastest_node_ms"], 100, 0.01)
        self.near(row["slowest_node_ms"], 400, 0.01)
        self.near(row["mean_node_ms"], (7 * 100 + 400) / 8, 0.01)
        self.near(row["step_ms"], 400, 0.01)
        self.assertGreater(rows["allreduce", 8]["fastest_node_ms"], 400)

    def test_gradient_times(self):
        """The mean of one log-normal draw, and of the larger of two: mean (1 + erf(sigma / 2))."""
        for workers, factor in ((1, 1), (2, 1 + math.erf(math.sqrt(math.log(1 + 0.3**2)) / 2))):
            rows = self.simulate("--nodes", "16", "--algorithm", "osgp-async", "--steps", "500", "--compute-ms",
                                 "10:0.3", "--workers-per-node", str(workers), "--warmup-steps", "0")
            self.near(rows["osgp-async", 16]["gradient_ms"], 10 * factor, 0.015, workers)
        rows = self.simulate("--nodes", "16", "--algorithm", "osgp-async", "--steps", "500", "--compute-ms",
                             "10:0:0.1", "--workers-per-node", "1", "--warmup-steps", "0")
        self.near(rows["osgp-async", 16]["gradient_ms"], 10 * (0.9 + 0.1 * 10), 0.1)

    def test_consensus(self):
        """In units of a step's noise: the root of 1 - (1 + log2 n) / n (docs: method), and 0 in all-reduce."""
        rows = self.simulate("--nodes", "8,32,128", "--algorithm", "sgp,allreduce,allreduce-ring,allreduce-tree",
                             "--steps", "30", "--compute-ms", "10:0.1")
        for nodes in (8, 32, 128):
            expected = math.sqrt(1 - (1 + math.log2(nodes)) / nodes)
            self.near(rows["sgp", nodes]["consensus_distance"], expected, 0.05, nodes)
            for name in ("allreduce", "allreduce-ring", "allreduce-tree"):
                self.assertLess(rows[name, nodes]["consensus_distance"], 1e-4)

    def test_distance_at(self):
        """After the same time, with pushes as long as 20 gradients. SGP has made one step, means of pairs: 1/2, less the
        variance 1/16 of the mean of all. Nodes that wait for nothing have made 16, and no message has arrived: the first step
        adds 1; then half of the mass is under way, w = 1/2, and each step adds 4."""
        rows = self.simulate("--nodes", "16", "--algorithm", "sgp,osgp-async,allreduce", "--compute-ms", "100",
                             "--parameters", "25M", "--rate-mbps", "400", "--latency-ms", "0", "--steps", "40",
                             "--distance-at", "1.55")
        then = {name: row["then"] for (name, _), row in rows.items()}
        self.assertEqual(then["sgp"], {"seconds": 1.55, "steps": 1, "consensus_distance": then["sgp"]["consensus_distance"]})
        self.near(then["sgp"]["consensus_distance"]**2, 1 / 2 - 1 / 16, 0.05)
        self.assertEqual(then["osgp-async"]["steps"], 16)
        self.near(then["osgp-async"]["consensus_distance"]**2, (1 + 15 * 4) * 15 / 16, 0.1)
        self.assertLess(then["allreduce"]["consensus_distance"], 1e-4)
        rows = self.simulate("--nodes", "4", "--algorithm", "sgp", "--steps", "10", "--distance-at", "60")
        self.assertEqual(rows["sgp", 4]["then"], {"seconds": 60, "steps": None, "consensus_distance": None})

    # ---- against published figures ----

    def test_published_figures(self):
        """Milliseconds on 32 nodes of 8 GPUs over 10 Gb/s Ethernet, ResNet-50: within 10 %, all with the defaults."""
        rows = self.simulate("--nodes", "4,32")
        for name, published in (("allreduce", 420), ("sgp", 304), ("osgp", 271)):
            self.near(rows[name, 32]["step_ms"], published, 0.1, name)

    # ---- repeatability and files ----

    def test_repeats(self):
        """The same seed gives the same bytes, and another seed gives others."""
        arguments = ["--nodes", "5,16", "--algorithm", "sgp,osgp,osgp-async,dpsgd,adpsgd,server,allreduce,allreduce-buckets",
                     "--compute-ms", "30:0.3:0.01", "--steps", "30", "--output", self.output()]
        path = os.path.join(self.output(), "simulation.json")
        results = []
        for seed in ("1", "1", "2"):
            status, out, err = self.run_program("simulate", "--seed", seed, *arguments)
            self.assertEqual((status, err), (0, ""))
            with open(path, "rb") as file:
                results.append((out, file.read()))
        self.assertEqual(results[0], results[1])
        self.assertNotEqual(results[0], results[2])

    def test_files(self):
        """The file holds settings and rows, and the printed line equals the file."""
        status, out, err = self.run_program("simulate", "--nodes", "2,4", "--algorithm", "sgp", "--seed", "7",
                                            "--json", "--output", self.output("a/b"))
        self.assertEqual((status, err), (0, ""))
        with open(os.path.join(self.output("a/b"), "simulation.json"), encoding="utf-8") as file:
            found = json.load(file)
        self.assertEqual(found, json.loads(out))
        self.assertEqual([(row["algorithm"], row["nodes"]) for row in found["rows"]], [("sgp", 2), ("sgp", 4)])
        settings = found["settings"]
        self.assertEqual((settings["model"], settings["seed"], settings["workers_per_node"]), ("resnet50", 7, 8))
        self.assertEqual(settings["network"]["name"], "ethernet-10g")
        self.assertEqual(found["rows"][0]["scaling_efficiency"], 1)

    def test_page(self):
        """The page is written with the table and shows the command; sgp report writes the same page again."""
        platform = os.path.join(self.folder, os.fsdecode(b"it's \xff.xml"))
        write(platform, PLATFORM.encode())
        status, out, err = self.run_program("simulate", "--network", platform, "--nodes", "2,3", "--steps", "10",
                                            "--output", self.output(), "--json")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(json.loads(out)["settings"]["network"]["platform"], platform.replace("\udcff", "\ufffd"))
        path = os.path.join(self.output(), "report.html")
        with open(path, encoding="utf-8") as file:
            page = file.read()
        command = f"sgp simulate --network '{platform}' --nodes 2,3 --steps 10"
        command = command.replace("it's \udcff", "it'\\''s \ufffd")
        self.assertIn(command, html.unescape(page))
        os.remove(path)
        status, out, err = self.run_program("report", self.output())
        self.assertEqual((status, err), (0, ""))
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), page)

    def test_without_gnuplot(self):
        """The page has only the table, and the program says why."""
        status, out, err = self.run_program("simulate", "--nodes", "2", "--steps", "5", "--output", self.output(),
                                            environment={"PATH": self.runtime})
        self.assertEqual((status, err), (0, ""))
        self.assertIn("gnuplot-nox", out)
        with open(os.path.join(self.output(), "report.html"), encoding="utf-8") as file:
            self.assertNotIn("<figure", file.read())

    def test_calibration(self):
        """Passes scale with the model; options on the command line take precedence."""
        path = os.path.join(self.folder, "calibration.json")
        write(path, json.dumps({"rate_mbps": 1000, "latency_ms": 0, "gradient_ms": 50, "gradient_spread": 0,
                                "pass_parameters": 1e6, "update_ms": 1, "copy_ms": 0, "absorb_ms": 2}).encode())
        arguments = ["--nodes", "4", "--algorithm", "sgp", "--parameters", "4M", "--steps", "10", "--calibration",
                     path]
        push = self.BYTES / self.RATE * 1e3
        self.near(self.simulate(*arguments)["sgp", 4]["step_ms"], 50 + push + 4 * 1 + 4 * 2, 0.001)
        more = ["--compute-ms", "80", "--local-ms", "0", "--rate-mbps", "2000"]
        self.near(self.simulate(*arguments, *more)["sgp", 4]["step_ms"], 80 + push / 2, 0.001)

    def test_failures(self):
        """No failure ends a run. Of two nodes in 32 that fail the others lose half a second each at most, and the row says how long 90
        epochs take; where a failure ends the run it has the cost of restarts alone."""
        rows = self.simulate("--nodes", "32", "--algorithm", "sgp,osgp-async,allreduce-halving", "--failures", "86400:300",
                             "--compute-ms", "245", "--seed", "3", "--warmup-steps", "2", "--steps", "40")
        for name in ("sgp", "osgp-async", "allreduce-halving"):
            row = rows[name, 32]
            self.assertEqual(row["steps"], 40)
            rate, epoch = 32 / 86400, 1281167 / row["samples_per_second"]
            self.near(row["hours_90_epochs_with_restarts"],
                      90 * (1 / rate + 70) * math.expm1(rate * epoch) / 3600, 0.001)
            self.assertGreater(row["hours_90_epochs_with_checkpoints"], row["hours_90_epochs"])
        self.assertNotIn("failures", rows["allreduce-halving", 32])
        self.assertEqual(rows["osgp-async", 32]["failures"]["held_up_s"], 0)
        failures = rows["sgp", 32]["failures"]
        self.assertEqual(failures["nodes"], 2)
        self.assertTrue(0 <= failures["held_up_s"] <= 0.5, failures)
        self.assertTrue(100 < failures["longest_step_ms"] - failures["longest_step_without_ms"] < 600, failures)
        working = 86400 / 86700
        useful = 1 - working * 32 / 86400 * failures["held_up_s"]
        self.near(failures["hours_90_epochs"], rows["sgp", 32]["hours_90_epochs"] / working / useful, 0.001)

    def test_failures_do_not_change_a_row(self):
        arguments = ["--nodes", "4", "--algorithm", "sgp", "--steps", "20"]
        row = self.simulate(*arguments)["sgp", 4]
        failing = self.simulate(*arguments, "--failures", "1000")["sgp", 4]
        self.assertEqual(row, {key: failing[key] for key in row})

    def test_table(self):
        status, out, err = self.run_program("simulate", "--nodes", "4,8", "--output", self.output())
        self.assertEqual((status, err), (0, ""))
        self.assertIn("resnet50, 25.56M parameters in float32, 102.2 MB", out)
        self.assertEqual(len(re.findall(r"(?m)^(?:allreduce|sgp|osgp) +[48] +\d+\.\d\d ", out)), 6)

    def test_width(self):
        """No line is wider than 80 columns, and columns stay apart, whatever the numbers."""
        algorithms = "sgp,osgp,osgp-async,dpsgd,adpsgd,server,allreduce,allreduce-buckets,allreduce-ring,allreduce-halving,allreduce-tree"
        for more in (["--compute-ms", "245:0.3:0.01", "--failures", "50", "--distance-at", "3"],
                     ["--compute-ms", "1e4:10:1", "--parameters", "9.99G", "--rate-mbps", "100", "--distance-at", "1e12",
                      "--failures", "1e-9", "--seed", str(2**64 - 1), "--batch-size", "65536", "--workers-per-node", "1024"],
                     ["--compute-ms", "1e-6", "--batch-size", "65536", "--workers-per-node", "1024", "--parameters", "1"]):
            with self.subTest(" ".join(more)):
                status, out, err = self.run_program("simulate", "--nodes", "2,16", "--algorithm", algorithms, "--steps", "10",
                                                    "--output", "out", *more)
                self.assertEqual((status, err), (0, ""))
                self.assertLessEqual(max(map(len, out.splitlines())), 80, out)
                rows = [line.split() for line in out.splitlines() if re.match(r"(sgp|osgp|dpsgd|adpsgd|server|allreduce)[a-z-]* ", line)]
                self.assertEqual([len(row) for row in rows], [10] * 22, out)
        for command in ("simulate", "bench"):
            _, out, _ = self.run_program(command, "--help")
            self.assertLessEqual(max(map(len, out.splitlines())), 80, command)

    # ---- long runs ----

    LONG = ["--nodes", "1,64", "--algorithm", "allreduce", "--compute-ms", "245:0.1", "--network", "ethernet-1g"]

    def start_long(self, *more):
        """A simulation that has printed its first row and is in its second, which would take hours."""
        process = self.start("simulate", *self.LONG, "--steps", "200000", "--output", self.output(), *more)
        head = []
        while not head or not head[-1].startswith("allreduce "):
            head.append(process.stdout.readline())
            self.assertTrue(head[-1], head)
        return process

    def wait_for_child(self, process):
        """Returns the id of the process that simulates a row."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
                children = file.read().split()
            if children:
                return int(children[0])
            os.sched_yield()
        return self.fail("no row has begun")

    def read_result(self):
        with open(os.path.join(self.output(), "simulation.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_interrupted(self):
        """A row is printed when it is finished; a long one reports its progress. Ctrl-C ends it, and finished rows
        are in the file and on the page."""
        process = self.start_long()
        line = "allreduce, 1 node "
        while line.startswith("allreduce, 1 node "):  # on a slow machine
            line = process.stderr.readline()
        self.assertRegex(line, r"^allreduce, 64 nodes  step \d+/200000\n$")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 130, err)
        self.assertIn("sgp: simulate: stopped (Interrupt); 1 of 2 rows are finished", err.splitlines())
        self.assertIn("report.html", out)
        found = self.read_result()
        self.assertIs(found["interrupted"], True)
        self.assertEqual([row["nodes"] for row in found["rows"]], [1])
        with open(os.path.join(self.output(), "report.html"), encoding="utf-8") as file:
            self.assertIn("Simulation, interrupted: ", file.read())

    def test_ended_by_another_signal(self):
        process = self.start_long()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        self.assertEqual(len(self.read_result()["rows"]), 1)

    def test_row_that_fails(self):
        """Earlier rows are kept, and one message names the cause."""
        process = self.start_long()
        os.kill(self.wait_for_child(process), signal.SIGKILL)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 1, err)
        self.assertIn("allreduce, 64 nodes: the simulation was ended by signal 9", err)
        self.assertEqual([row["nodes"] for row in self.read_result()["rows"]], [1])

    def test_interrupted_at_once(self):
        """Without a finished row no file is written."""
        process = self.start("simulate", "--nodes", "256", "--steps", "100000", "--algorithm", "allreduce", "--output", self.output())
        self.wait_for_child(process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT)
        self.assertEqual((process.returncode, out), (130, ""), err)
        self.assertEqual(os.listdir(self.output()), [])

    def test_quiet(self):
        status, out, err = self.run_program("simulate", "--nodes", "2", "--quiet", "--output", self.output())
        self.assertEqual((status, out, err), (0, "", ""))
        self.assertEqual(os.listdir(self.output()), ["simulation.json"])


class Without(ProgramTest):
    def test_without_the_module(self):
        """Without the module beside the program, one message names the package to install."""
        program = shutil.copy(PROGRAM, os.path.join(self.folder, "sgp"))
        done = subprocess.run([program, "simulate"], capture_output=True, text=True, timeout=LIMIT, cwd=self.folder,
                              check=False)
        self.assertEqual((done.returncode, done.stdout, len(done.stderr.splitlines())), (2, "", 1), done.stderr)
        self.assertIn("libsimgrid-dev", done.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "runs")))


if __name__ == "__main__":
    unittest.main()
