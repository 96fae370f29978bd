# SPDX-License-Identifier: Apache-2.0
"""sgp graph prints who sends to whom and how well it averages, and draws it."""

import json
import os
import re
import unittest
import xml.etree.ElementTree as ElementTree

from support import ProgramTest

KINDS = ["exponential", "ring", "complete", "static-exponential", "bipartite-exponential", "random", "base",
         "random-uneven"]
SVG = "{http://www.w3.org/2000/svg}"

# (arguments, text in the line)
MISTAKES = [
    (["--graph", "star"], ["--graph star", ", ".join(KINDS[:4]) + ", ..."]),
    (["--graph"], ["--graph", "missing"]),
    (["--nodes", "0"], ["--nodes 0", "from 1 to 1024"]),
    (["--nodes", "1025"], ["--nodes 1025", "from 1 to 1024"]),
    (["--peers", "0"], ["--peers 0", "from 1 to"]),
    (["--nodes", "8", "--peers", "8"], ["8 peers", "at most 7"]),
    (["--graph", "ring", "--peers", "3"], ["3 peers", "1 or 2"]),
    (["--graph", "base", "--nodes", "4", "--peers", "4"], ["4 peers", "at most 3"]),
    (["--graph", "random", "--nodes", "4", "--peers", "4"], ["4 peers", "at most 3"]),
    (["--graph", "bipartite-exponential", "--nodes", "8", "--peers", "5"], ["5 peers", "at most 4"]),
    (["--seed", "-1"], ["--seed -1"]),
    (["--steps", "0"], ["--steps 0", "from 1 to"]),
    (["--step", "3"], ["did you mean --steps?"]),
    (["stray"], ["stray"]),
    (["--svg", ""], ["--svg"]),
    (["--svg", "none/x.svg"], ["none/x.svg", "No such file or directory"]),
    (["--svg", "."], ["--svg .", "Is a directory"]),
    (["--svg", "x.svg", "--nodes", "65"], ["65 nodes", "at most 64"]),
    (["--svg", "x.svg", "--steps", "49"], ["49 steps", "at most 48"]),
]


class Graph(ProgramTest):
    def graph(self, *arguments):
        status, out, err = self.run_program("graph", *arguments)
        self.assertEqual((status, err), (0, ""))
        return out

    def graph_json(self, *arguments):
        out = self.graph("--json", *arguments)
        self.assertEqual(len(out.splitlines()), 1)
        return json.loads(out)

    def test_mistakes(self):
        for arguments, expected in MISTAKES:
            with self.subTest(" ".join(arguments)):
                err = self.refused("graph", *arguments)
                for part in expected:
                    self.assertIn(part, err)
        self.assertFalse(os.path.exists(os.path.join(self.folder, "x.svg")))

    def test_table(self):
        """Node i of eight sends to i + 1, i + 2, i + 4."""
        out = self.graph("--nodes", "8")
        rows = re.findall(r"(?m)^node (\d+) +(\d+) +(\d+) +(\d+)$", out)
        self.assertEqual([[int(n) for n in row] for row in rows],
                         [[i, (i + 1) % 8, (i + 2) % 8, (i + 4) % 8] for i in range(8)])
        self.assertRegex(out, "exact mean +after 3 steps")
        self.assertRegex(out, "messages +8 a step")
        self.assertRegex(out, r"variance 0\.5 s\^2")

    def test_many_nodes_are_abbreviated(self):
        self.assertEqual(len(re.findall(r"(?m)^node ", self.graph("--nodes", "40", "--steps", "1"))), 16)
        self.assertIn("24 more nodes", self.graph("--nodes", "40", "--steps", "1"))
        self.assertEqual(len(re.findall(r"(?m)^node ", self.graph("--nodes", "40", "--steps", "1", "--all"))), 40)
        self.assertIn("1,2,3,4,5,6,7,+32", self.graph("--nodes", "40", "--graph", "complete"))
        self.assertIn(",".join(str(n) for n in range(1, 40)),
                      self.graph("--nodes", "40", "--graph", "complete", "--all"))

    def test_wide_tables_are_broken(self):
        for arguments in (["--steps", "50"], ["--graph", "base", "--nodes", "23"], ["--graph", "random"]):
            out = self.graph(*arguments)
            self.assertLessEqual(max(len(line) for line in out.splitlines()), 80)
            steps = re.findall(r"step (\d+)(?= |$)", out, re.M)
            self.assertEqual([int(step) for step in steps], list(range(len(steps))))

    def test_weights(self):
        """Three nodes with one peer: 0 and 1 average, then 2 takes 2/3 of a mean, then they average again."""
        out = self.graph("--graph", "base", "--nodes", "3")
        self.assertIn("2 (0.667)", out)
        self.assertIn("(x)", out)
        self.assertNotIn("(x)", self.graph("--graph", "bipartite-exponential", "--nodes", "9"))

    def test_numbers(self):
        """Known figures that check an implementation of the method."""
        found = self.graph_json("--nodes", "24")
        self.assertIsNone(found["exact_steps"])
        self.assertEqual((found["steps"], found["period"]), (5, 5))
        self.assertAlmostEqual(found["contraction"], 0.2073, delta=5e-5)
        self.assertAlmostEqual(found["contraction_per_step"], 0.2073 ** 0.2, delta=5e-5)
        self.assertAlmostEqual(found["deviation"], 0.02083, delta=5e-6)
        found = self.graph_json("--nodes", "32", "--peers", "2")
        self.assertAlmostEqual(found["contraction"], 0.1253, delta=5e-5)
        self.assertAlmostEqual(found["noise_variance"], 0.398, delta=5e-4)
        self.assertEqual(found["messages_per_step"], 64)
        self.assertAlmostEqual(self.graph_json("--nodes", "32")["noise_variance"], 0.8125, places=9)
        self.assertAlmostEqual(self.graph_json("--graph", "ring", "--peers", "2", "--nodes", "32")["noise_variance"],
                               3.45, delta=5e-3)

    def test_json_edges_are_the_graph(self):
        """The product of the matrices that the edges give is exact after exact_steps, not before."""
        for arguments in (["--nodes", "16"], ["--graph", "base", "--nodes", "13"], ["--graph", "base", "--nodes", "11",
                          "--peers", "3"], ["--graph", "bipartite-exponential", "--nodes", "4"],
                          ["--graph", "complete", "--nodes", "5"]):
            with self.subTest(" ".join(arguments)):
                found = self.graph_json(*arguments)
                n = found["nodes"]
                rows = [[float(i == j) for j in range(n)] for i in range(n)]
                deviations = []
                for edges in found["edges"]:
                    kept = [1.0] * n
                    for src, _, weight in edges:
                        kept[src] -= weight
                    mixed = [[kept[i] * x for x in rows[i]] for i in range(n)]
                    for src, dst, weight in edges:
                        mixed[dst] = [a + weight * b for a, b in zip(mixed[dst], rows[src])]
                    rows = mixed
                    deviations.append(max(abs(x - 1 / n) for row in rows for x in row))
                exact = found["exact_steps"]
                self.assertLess(deviations[exact - 1], 1e-12)
                self.assertTrue(all(deviation > 1e-6 for deviation in deviations[:exact - 1]))
                self.assertEqual(found["contraction"], 0)

    def test_random(self):
        def edges(*seed):
            return self.graph_json("--graph", "random", "--nodes", "20", *seed)["edges"]
        self.assertEqual(edges("--seed", "5"), edges("--seed", "5"))
        self.assertNotEqual(edges("--seed", "5"), edges("--seed", "6"))
        found = self.graph_json("--graph", "random", "--seed", "7")
        self.assertEqual((found["seed"], found["period"], found["symmetric"]), (7, None, False))
        self.assertIsNone(self.graph_json("--seed", "7")["seed"])

    def test_large(self):
        self.assertIsNone(self.graph_json("--nodes", "513", "--steps", "1")["noise_variance"])
        self.assertRegex(self.graph("--nodes", "1024"), "exact mean +after 10 steps")

    def draw(self, *arguments):
        path = os.path.join(self.folder, "graph.svg")
        self.graph("--svg", path, *arguments)
        root = ElementTree.parse(path).getroot()
        self.assertEqual(root.tag, SVG + "svg")
        return root

    def test_svg(self):
        for kind in KINDS:
            for nodes in (1, 2, 3, 8, 33, 64):
                with self.subTest(f"{kind} {nodes}"):
                    arguments = ["--graph", kind, "--nodes", str(nodes)]
                    found = self.graph_json(*arguments)
                    root = self.draw(*arguments)
                    self.assertEqual(len(list(root.iter(SVG + "circle"))), nodes * found["steps"])
                    lines = [path for path in root.iter(SVG + "path") if path.get("stroke-width")]
                    edges = sum(len(step) for step in found["edges"])
                    self.assertEqual(len(lines), edges // 2 if found["symmetric"] else edges)
                    width, height = float(root.get("width")), float(root.get("height"))
                    number = r"(-?\d+\.\d)"
                    for line in lines:
                        curve = re.fullmatch(f"M{number} {number}Q{number} {number} {number} {number}", line.get("d"))
                        self.assertIsNotNone(curve, line.get("d"))
                        self.assertTrue(all(abs(float(x)) < max(width, height) for x in curve.groups()))

    def test_svg_shows_idle_nodes_hollow(self):
        circles = list(self.draw("--graph", "bipartite-exponential", "--nodes", "9").iter(SVG + "circle"))
        self.assertEqual(sum(circle.get("fill") == "#ffffff" for circle in circles), 5)

    def test_help_has_every_kind(self):
        text = " ".join(self.graph("--help").split())
        for kind in KINDS:
            self.assertIn(kind, text)


if __name__ == "__main__":
    unittest.main()
