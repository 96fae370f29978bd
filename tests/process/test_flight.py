# SPDX-License-Identifier: Apache-2.0
"""The flight recorder: real runs in which a node is stopped, killed or slow, and sgp flight, which says so."""

import glob
import json
import os
import signal
import time
import unittest

from support import LIMIT, ProgramTest, node_pids

# Scripts' background jobs ignore it, and so would every process of a test.
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

NODES = 3
RUN = ["--model", "mlp", "--batch-size", "4", "--transport", "shm"]


class FlightTest(ProgramTest):
    def flight(self, *arguments, directory=None):
        status, out, err = self.run_program("flight", directory or self.output(), *arguments)
        self.assertEqual(status, 0, err)
        return out

    def look(self, directory=None):
        return json.loads(self.flight("--json", directory=directory))

    def of(self, found, process):
        return next(node for node in found["nodes"] if node["process"] == process)


class Flight(FlightTest):
    def files(self):
        return sorted(os.path.basename(path) for path in glob.glob(os.path.join(self.output(), "flight-*.json")))

    def ask(self, process, nodes):
        """SIGQUIT to the launcher; waits until these nodes have written new files."""
        paths = [os.path.join(self.output(), f"flight-{node}.json") for node in nodes]
        before = {path: os.stat(path).st_ino for path in paths if os.path.exists(path)}
        process.send_signal(signal.SIGQUIT)
        deadline = time.monotonic() + LIMIT
        while not all(os.path.exists(path) and os.stat(path).st_ino != before.get(path) for path in paths):
            self.assertLess(time.monotonic(), deadline, self.files())
            self.assertIsNone(process.poll())
            time.sleep(0.01)

    def ask_until(self, process, nodes, holds):
        """Asks until what `sgp flight` says holds: the nodes take a moment until all of them wait."""
        deadline = time.monotonic() + LIMIT
        while True:
            self.ask(process, nodes)
            found = self.look()
            if holds(found):
                return found
            self.assertLess(time.monotonic(), deadline, found)

    def all_wait_for(self, found, root, nodes):
        return found["holds_up"] == [root] and all(self.of(found, n).get("root") == root for n in nodes)

    def go_on(self, process, stopped):
        """The SIGQUIT of before reaches the node when it goes on; the run does so, too."""
        os.kill(stopped, signal.SIGCONT)
        while "flight-1.json" not in self.files():
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        self.assertIsNone(process.poll())

    def check_stopped(self, *arguments, what):
        """Node 1 is stopped: the others wait for it, directly or not."""
        self.data(train=4096)  # most of an epoch are steps
        process = self.start_endless(*RUN, "--on-loss", "stop", "--peer-timeout", str(10 * LIMIT), *arguments,
                                     nodes=NODES)
        stopped = node_pids(process.pid)[1]
        direct = []
        while not direct or direct[0]["for"] == "collective":  # it was stopped between two epochs: once more
            if direct:
                self.go_on(process, stopped)
                os.remove(os.path.join(self.output(), "flight-1.json"))
            os.kill(stopped, signal.SIGSTOP)
            found = self.ask_until(process, [0, 2], lambda found: self.all_wait_for(found, 1, [0, 2]))
            self.assertEqual(self.files(), ["flight-0.json", "flight-2.json"])
            self.assertEqual(self.of(found, 1)["state"], "unknown")
            direct = [self.of(found, n) for n in (0, 2) if self.of(found, n)["waits_for"] == 1]
            self.assertTrue(direct)
        for node in direct:
            self.assertEqual(node["for"], what)
            self.assertIn(1, node["from"])
            self.assertRegex(node["text"], "from .*node 1")
            self.assertEqual(node["call"], "sgp_mixer_step")
        words = self.flight()
        self.assertIn("node 1 holds up 2 others", words)
        self.assertIn("node 1 has no file", words)
        self.go_on(process, stopped)

    def test_a_stopped_node_is_named(self):
        self.check_stopped(what="message")

    def test_a_stopped_node_in_an_allreduce(self):
        self.check_stopped("--algorithm", "allreduce", what="parts")

    def test_a_stopped_node_until_the_others_give_up(self):
        """Its silence ends the run; the files are written without being asked for."""
        process = self.start_endless(*RUN, "--on-loss", "stop", "--peer-timeout", "2", nodes=NODES)
        os.kill(node_pids(process.pid)[1], signal.SIGSTOP)
        _, err = process.communicate(timeout=LIMIT)
        self.assertNotEqual(process.returncode, 0, err)
        found = self.look()
        self.assertEqual(self.of(found, 1)["state"], "gone")
        self.assertIn("silent", self.of(found, 1)["text"])
        for node in (0, 2):
            self.assertEqual(self.of(found, node)["why"], "failure")
        self.assertEqual(found["holds_up"], [1])

    def test_a_killed_node_is_named(self):
        process = self.start_endless(*RUN, "--on-loss", "stop", nodes=NODES)
        os.kill(node_pids(process.pid)[2], signal.SIGKILL)
        _, err = process.communicate(timeout=LIMIT)
        self.assertNotEqual(process.returncode, 0, err)
        found = self.look()
        self.assertEqual(self.of(found, 2)["state"], "gone")
        self.assertIsNone(self.of(found, 2)["file"])
        self.assertIn("its process ended", self.of(found, 2)["text"])
        for node in (0, 1):
            self.assertEqual(self.of(found, node)["status"], "SGP_ERR_PEER_LOST")
            self.assertIn("node 2", self.of(found, node)["text"])
        self.train(*RUN, "--nodes", str(NODES), "--epochs", "1")  # with --overwrite
        self.assertEqual(self.files(), [])

    def test_a_slow_node_computes(self):
        process = self.start("train", "--data", self.data(), "--output", self.output(), "--nodes", str(NODES), *RUN,
                             "--compute-ms", "50", "--slow-node", "1:100000", "--on-loss", "stop",
                             "--peer-timeout", str(10 * LIMIT))
        deadline = time.monotonic() + LIMIT
        while not os.path.exists(os.path.join(self.output(), "metrics.jsonl")):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        found = self.ask_until(process, [0, 1, 2], lambda found: self.all_wait_for(found, 1, [0, 2]))
        self.assertEqual(self.of(found, 1)["state"], "outside")
        words = self.flight()
        self.assertRegex(words, "node 1 computes for .* \\(it is outside of sgp's calls\\)")
        self.assertIn("the message of step 0 from node 1", words)

    def test_the_run_goes_on_as_if_nobody_had_asked(self):
        arguments = [*RUN, "--nodes", str(NODES), "--epochs", "4", "--on-loss", "stop"]
        reference = self.train(*arguments, output="reference")
        process = self.start("train", "--data", self.data(), "--output", self.output(), *arguments)
        asked = False
        while line := process.stderr.readline():
            if line.startswith("epoch 1/"):
                process.send_signal(signal.SIGQUIT)
                asked = True
        self.assertTrue(asked)
        self.assertEqual(process.wait(timeout=LIMIT), 0)
        self.assertEqual(self.files(), [f"flight-{n}.json" for n in range(NODES)])
        with open(os.path.join(self.output(), "summary.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["parameters_hash"], reference["parameters_hash"])
        for name in self.files():
            with open(os.path.join(self.output(), name), encoding="ascii") as file:
                self.assertEqual(json.load(file)["why"], "SIGQUIT")

    def test_a_run_that_succeeds_writes_nothing(self):
        self.train(*RUN, "--nodes", str(NODES), "--epochs", "1")
        self.assertEqual(self.files(), [])

    def test_a_program_without_a_folder_keeps_its_sigquit(self):
        process = self.start("run", "--nodes", "2", "--", "sleep", "1000")
        while len(node_pids(process.pid)) < 2:
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        process.send_signal(signal.SIGQUIT)
        process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 128 + signal.SIGQUIT)

    def test_the_trace(self):
        process = self.start_endless(*RUN, nodes=NODES)
        self.ask(process, range(NODES))
        path = os.path.join(self.folder, "trace.json")
        self.flight("--trace", path)
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        kinds = {event["ph"] for event in events}
        self.assertEqual(kinds, {"M", "X", "i", "s", "f"})
        self.assertEqual({event["pid"] for event in events}, set(range(1, NODES + 1)))
        self.assertIn("sgp_mixer_step", {event["name"] for event in events if event["ph"] == "X"})
        begun = {event["id"]: event["ts"] for event in events if event["ph"] == "s"}
        arrows = [(begun[event["id"]], event["ts"]) for event in events
                  if event["ph"] == "f" and event["id"] in begun]
        self.assertTrue(arrows)
        for sent, arrived in arrows:
            self.assertLessEqual(sent, arrived)


SECOND = 10**9


def wait(what, peer, step, since, missing=None):
    return {"for": what, "peer": peer, "step": step, "since": since, "woke": 0, "asleep": True,
            "missing": [peer] if missing is None and peer >= 0 else missing or []}


def node(process, size, now, waiting=None, boot="a", wall=1000 * SECOND, run="r", traffic=(), steps=35, began=1):
    """A file as a node writes it, at `now` of its clock, which shows the time `wall` later."""
    peers = [{"rank": r, "state": "present", "silent": 0, "step": 0, "arrived": 0, "arrived_step": 0, "sent": 0,
              "sent_step": 0, "why": ""} for r in range(size) if r != process]
    group = {"transport": "tcp", "rank": process, "size": size, "capacity": size, "first": 0, "stride": 1,
             "elastic": False, "steps": steps, "called": now - 20 * SECOND if waiting else 0,
             "returned": now - 12 * SECOND, "call": "sgp_mixer_step" if waiting else "", "caller": None,
             "messages": waiting, "failed": None, "peers": peers, "calls": {"before": 0, "events": []},
             "traffic": {"before": 0, "events": list(traffic)}}
    return {"format": "sgp-flight", "version": 1, "run": run, "process": process, "workers": 1, "incarnation": 0,
            "pid": 1, "host": "h", "boot": boot, "why": "SIGQUIT", "status": "", "text": "",
            "clocks": [{"monotonic": began, "wall": wall + began, "within": 1},
                       {"monotonic": now, "wall": wall + now, "within": 1}], "groups": [group]}


class Words(FlightTest):
    """Files that were made up."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.output())

    def put(self, file, name=None):
        name = name or f"flight-{file['process']}.json"
        with open(os.path.join(self.output(), name), "w", encoding="utf-8") as out:
            json.dump(file, out)

    def test_a_chain_is_followed_to_its_root(self):
        now = 100 * SECOND
        self.put(node(0, 4, now, wait("message", 3, 34, now - 3 * SECOND)))
        self.put(node(1, 4, now, steps=34))
        self.put(node(2, 4, now, wait("room", 0, 35, now - SECOND)))
        self.put(node(3, 4, now, wait("message", 1, 34, now - 12400000000)))
        lines = self.flight().splitlines()
        self.assertEqual(lines[2], "node 1 holds up 3 others:")
        self.assertEqual([line.strip() for line in lines[3:]], [
            "node 1 computes for 12.0 s, since its step 33 has ended (it is outside of sgp's calls)",
            "node 3 waits 12.4 s for the message of step 34 from node 1 (in sgp_mixer_step)",
            "node 0 waits 3.0 s for the message of step 34 from node 3 (in sgp_mixer_step)",
            "node 2 waits 1.0 s for room to send the message of step 35 to node 0 (in sgp_mixer_step)"])

    def test_a_circle_is_named(self):
        now = 100 * SECOND
        for process in range(3):
            self.put(node(process, 4, now, wait("message", (process + 1) % 3, 34, now - SECOND)))
        self.put(node(3, 4, now, wait("message", 0, 34, now - SECOND)))
        found = self.look()
        self.assertEqual(found["circles"], [[0, 1, 2]])
        self.assertEqual(found["holds_up"], [])
        self.assertEqual(self.of(found, 3)["circle"], 0)
        self.assertIn("wait for each other in a circle", self.flight())

    def test_of_several_the_one_without_a_file_is_to_blame(self):
        now = 100 * SECOND
        self.put(node(0, 4, now, wait("collective", 1, 7, now - SECOND, [1, 2, 3])))
        self.put(node(1, 4, now, wait("message", 0, 34, now - SECOND)))
        self.put(node(3, 4, now))
        found = self.look()
        self.assertEqual(self.of(found, 0)["waits_for"], 2)
        self.assertIn("from node 1, node 2 and node 3", self.of(found, 0)["text"])

    def test_a_message_that_was_sent_is_under_way(self):
        now = 100 * SECOND
        self.put(node(0, 2, now, wait("message", 1, 34, now - 5 * SECOND)))
        sent = [now - 4 * SECOND, "sent", 0, 34, 99, "push", 1]
        self.put(node(1, 2, now, wait("message", 0, 35, now - SECOND), traffic=[sent]))
        found = self.look()
        self.assertEqual(self.of(found, 0)["under_way"], 4.0)
        self.assertEqual(self.of(found, 0)["root"], 0)
        self.assertEqual(self.of(found, 1)["root"], 0)
        self.assertIn("held up on the way", self.flight())

    def test_clocks_of_machines_are_aligned_by_messages(self):
        """The second machine's wall clock is a minute slow; messages took one and three milliseconds by true time."""
        ms = SECOND // 1000
        now, other, slow = 100 * SECOND, 5000 * SECOND, 60 * SECOND
        first = [[now - 90 * ms, "begun", 1, 30, 1, "push", 1], [now - 50 * ms, "arrived", 1, 30, 7, "push", 1]]
        second = [[other - 89 * ms, "arrived", 0, 30, 1, "push", 1], [other - 53 * ms, "begun", 0, 30, 7, "push", 1]]
        self.put(node(0, 2, now, wait("message", 1, 34, now - SECOND), traffic=first))
        self.put(node(1, 2, other, boot="b", traffic=second, wall=1000 * SECOND - slow - other + now, began=4950 * SECOND))
        found = self.look()
        self.assertEqual(found["machines"], 2)
        self.assertAlmostEqual(found["clock_doubt_seconds"], 0.004)
        path = os.path.join(self.folder, "trace.json")
        self.flight("--trace", path)
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
        at = {(event["ph"], event["id"]): event["ts"] for event in events if event["ph"] in "sf"}
        self.assertEqual(len(at), 4)
        for kind, number in at:
            self.assertLessEqual(at["s", number], at["f", number])

    def test_another_run_is_left_out(self):
        now = 100 * SECOND
        self.put(node(0, 2, now, wait("message", 1, 34, now - SECOND)))
        for name, file in (("flight-1.json", node(1, 2, now // 4, run="r")),    # the same id, but over before
                           ("flight-2.json", node(2, 2, now, run="another", began=99 * SECOND))):
            file["clocks"][0]["monotonic"] = max(1, file["clocks"][0]["monotonic"])
            self.put(file, name)
        self.put(node(0, 2, now, wait("message", 1, 34, now - SECOND), began=90 * SECOND))
        newest = node(0, 2, now + 1, wait("message", 1, 34, now - SECOND), began=90 * SECOND)
        self.put(newest)
        status, out, err = self.run_program("flight", self.output(), "--json")
        self.assertEqual(status, 0, err)
        found = json.loads(out)
        self.assertEqual((found["files"], found["left_out"]), (1, 2))
        self.assertEqual(len(err.splitlines()), 2, err)
        self.assertIn("of another run", err)

    def test_mistakes(self):
        self.assertIn("no flight-*.json", self.refused("flight", self.output()))
        self.assertIn("cannot be opened", self.refused("flight", self.output("missing")))
        self.assertIn("directory is missing", self.refused("flight"))
        self.assertIn("one directory", self.refused("flight", self.output(), self.output()))
        good = node(0, 2, SECOND)
        for text, message in (("{", "no JSON"), ("[]", "not a file of sgp's"), ("{}", "not a file of sgp's"),
                              (json.dumps({**good, "version": 2}), "version 2"),
                              (json.dumps({**good, "groups": []}), '"groups"'),
                              (json.dumps({**good, "process": -1}), '"process"'),
                              (json.dumps({**good, "clocks": [{}, {}]}), '"monotonic"'),
                              ("[" * 100000, "no JSON"), ("x" * (8 * 2**20 + 1), "at most 8 MiB")):
            with open(os.path.join(self.output(), "flight-0.json"), "w", encoding="utf-8") as out:
                out.write(text)
            self.assertIn(message, self.refused("flight", self.output()))
        os.remove(os.path.join(self.output(), "flight-0.json"))
        os.mkfifo(os.path.join(self.output(), "flight-0.json"))
        self.assertIn("no regular file", self.refused("flight", self.output()))

    def test_names_from_files_are_no_markup_and_no_control_characters(self):
        now = 100 * SECOND
        file = node(0, 2, now, wait("message", 1, 34, now - SECOND),
                    traffic=[[now - SECOND, "begun", 1, 34, 1, 'a"b\\c\u001b[31m<script>', 1]])
        file["groups"][0]["call"] = 'x"\u001b\n<script>'
        self.put(file)
        words = self.flight("--trace", os.path.join(self.folder, "trace.json"))
        self.assertTrue(all(line.isprintable() for line in words.splitlines()))
        with open(os.path.join(self.folder, "trace.json"), encoding="utf-8") as trace:
            json.load(trace)


if __name__ == "__main__":
    unittest.main()
