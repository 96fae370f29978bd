# SPDX-License-Identifier: Apache-2.0
"""trace.json: every step of every node is there, in order, on one clock."""

import collections
import json
import os
import signal
import statistics
import unittest

from support import LIMIT, ProgramTest

COMPUTING = {"data", "forward", "backward"}
MIXING = {"update", "push", "wait", "absorb"}


class Trace(ProgramTest):
    def trace(self, *arguments, nodes=4, **options):
        self.train("--model", "lenet", "--nodes", str(nodes), "--trace", *arguments, **options)
        return self.load()

    def load(self):
        """{(process, thread): its spans in order of time}, by their names."""
        with open(os.path.join(self.output(), "trace.json"), encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        names = {kind: {(e["pid"], e.get("tid") if kind == "thread_name" else None): e["args"]["name"]
                        for e in events if e["name"] == kind}
                 for kind in ("process_name", "thread_name")}
        tracks = collections.defaultdict(list)
        for event in events:
            if event["ph"] == "M":
                continue
            self.assertEqual(event["ph"], "X")
            process = names["process_name"][event["pid"], None]
            tracks[process, names["thread_name"][event["pid"], event["tid"]]].append(event)
        for spans in tracks.values():
            spans.sort(key=lambda span: span["ts"])
        return tracks

    @staticmethod
    def end_of(span):
        return span["ts"] + span["dur"]

    def assert_in_order(self, tracks):
        for track, spans in tracks.items():
            for before, after in zip(spans, spans[1:]):
                self.assertLessEqual(self.end_of(before), after["ts"] + 0.002, (track, before, after))

    @staticmethod
    def by_step(spans):
        """{step: {kind: its spans}}"""
        steps = collections.defaultdict(lambda: collections.defaultdict(list))
        for span in spans:
            steps[span["args"]["step"]][span["name"]].append(span)
        return steps

    def test_every_node_has_a_track_with_every_step(self):
        tracks = self.trace("--epochs", "2")
        self.assertEqual(sorted(tracks), [(f"node {node}", "computing") for node in range(4)])
        self.assert_in_order(tracks)
        for spans in tracks.values():
            steps = self.by_step(spans)
            for step in range(1, 9):
                for kind in COMPUTING | {"update"}:
                    self.assertEqual(len(steps[step][kind]), 1, (step, kind))
            kinds = {span["name"] for span in spans} | {"wait"}  # which the slowest node may lack
            self.assertEqual(kinds, COMPUTING | MIXING | {"evaluate", "checkpoint"})
        self.assertTrue(any(span["name"] == "wait" for spans in tracks.values() for span in spans))

    def test_a_step_is_nearly_all_there(self):
        """From one step to the next; the median, since a busy machine may delay any step."""
        shares = []
        for spans in self.trace("--epochs", "2").values():
            starts = [span["ts"] for span in spans if span["name"] == "data"]
            steps = self.by_step(spans)
            for step in (1, 2, 3, 5, 6, 7):  # the epochs end with the others
                inside = sum(span["dur"] for kind in COMPUTING | MIXING for span in steps[step][kind])
                shares.append(inside / (starts[step] - starts[step - 1]))
        self.assertGreater(statistics.median(shares), 0.9)

    def test_nodes_have_one_clock(self):
        """In lock step no node absorbs a message before its sender has begun to push it, and after two
        steps of four nodes everybody has heard of everybody."""
        tracks = self.trace("--epochs", "2")
        nodes = [self.by_step(tracks[f"node {node}", "computing"]) for node in range(4)]
        for step in range(1, 9):
            hop = 1 if step % 2 else 2
            for receiver in range(4):
                sender = nodes[(receiver - hop) % 4][step]
                begun = sender["update"][0]["ts"]
                self.assertLess(begun, self.end_of(nodes[receiver][step]["absorb"][-1]), step)
        for step in range(1, 7):
            slowest = max(node[step]["data"][0]["ts"] for node in nodes)
            for node in nodes:
                self.assertLess(slowest, node[step + 2]["data"][0]["ts"])

    def test_messages_have_their_own_track(self):
        large = ("--algorithm", "osgp", "--model", "resnet20", "--compute-ms", "2")
        for arguments in (("--algorithm", "adpsgd"), ("--overlap", "async"), large):
            with self.subTest(arguments):
                tracks = self.trace("--epochs", "2", *arguments)
                self.assert_in_order(tracks)
                for node in range(4):
                    self.assertIn((f"node {node}", "computing"), tracks)
                kinds = {span["name"] for track, spans in tracks.items() if track[1] == "messages"
                         for span in spans}
                self.assertTrue(kinds and kinds <= {"push", "absorb", "wait"}, kinds)

    def test_other_algorithms(self):
        for algorithm in ("osgp", "dpsgd", "allreduce"):
            with self.subTest(algorithm):
                tracks = self.trace("--epochs", "1", "--algorithm", algorithm)
                self.assert_in_order(tracks)
                for node in range(4):
                    kinds = {span["name"] for span in tracks[f"node {node}", "computing"]}
                    self.assertLessEqual(COMPUTING | {"push", "absorb", "evaluate"}, kinds)

    def test_delays_show(self):
        tracks = self.trace("--epochs", "1", "--compute-ms", "2", "--slow-node", "1:3", nodes=2)
        for node, least in ((0, 2), (1, 6)):
            steps = self.by_step(tracks[f"node {node}", "computing"])
            for step in range(1, 9):
                self.assertGreaterEqual(sum(span["dur"] for span in steps[step]["delay"]), 1000 * least)
                self.assertEqual(steps[step]["forward"], [])

    def test_threads_have_tracks_as_processes_have(self):
        tracks = self.trace("--epochs", "1", "--transport", "loopback")
        self.assertEqual(sorted(tracks), [(f"node {node}", "computing") for node in range(4)])
        self.assert_in_order(tracks)

    def test_an_interrupted_run_leaves_a_trace(self):
        process = self.start_endless("--model", "lenet", "--trace")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        tracks = self.load()
        self.assert_in_order(tracks)
        self.assertGreater(len(tracks["node 0", "computing"]), 3)


if __name__ == "__main__":
    unittest.main()
