# SPDX-License-Identifier: Apache-2.0
"""metrics.jsonl and TensorBoard's files grow while an epoch runs, by the lines that they have at its end."""

import glob
import json
import os
import signal
import time
import unittest

from support import LIMIT, ProgramTest, node_pids, wait_gone
from test_tensorboard import decode, records

# 32 steps in an epoch of 512 samples, 16 lines of two steps each.
RUN = ["--model", "mlp", "--nodes", "4", "--batch-size", "4"]
LINES = 16
# Where two runs must have the same numbers: on a busy machine nodes would go on without a message that is late.
WAITING = ["--on-loss", "stop"]


def without_times(line):
    """The distance is added up in the order in which parts arrive: its last digits may differ."""
    return {key: float(f"{value:.9g}") if key == "consensus_distance" and value is not None else value
            for key, value in line.items() if key != "seconds" and not key.endswith("_ms")}


class LiveMetrics(ProgramTest):
    def path(self, *names, output="out"):
        return os.path.join(self.output(output), *names)

    def text(self, output="out"):
        with open(self.path("metrics.jsonl", output=output), encoding="utf-8") as file:
            return file.read()

    def lines(self, output="out"):
        return [json.loads(line) for line in self.text(output).splitlines()]

    def own_files(self, output="out"):
        return sorted(glob.glob(self.path("metrics-*.jsonl", output=output)))

    def begin(self, *arguments):
        return self.start("train", "--data", self.data(), "--output", self.output(), "--overwrite", *RUN, *arguments)

    def wait_for(self, wanted, process):
        """Until wanted() is true; the run must be going on."""
        end = time.monotonic() + LIMIT
        while not (result := wanted()):
            self.assertIsNone(process.poll(), "the run has ended")
            self.assertLess(time.monotonic(), end)
            time.sleep(0.005)
        return result

    def wait_lines(self, count, process):
        """Until metrics.jsonl has so many."""
        self.wait_for(lambda: os.path.exists(self.path("metrics.jsonl")) and self.text().count("\n") >= count, process)

    def kill_all(self, process):
        nodes = [os.pidfd_open(pid) for pid in node_pids(process.pid).values()]
        process.kill()
        self.assertTrue(wait_gone(nodes))
        for node in nodes:
            os.close(node)
        process.communicate(timeout=LIMIT)

    def events(self, part):
        """Those after the beginning, of each file by time."""
        files = []
        for name in sorted(glob.glob(self.path("tensorboard", part, "*"))):
            with open(name, "rb") as file:
                files.append([decode(record) for record in records(file.read())])
        return sorted(files, key=lambda events: events[0]["time"])

    def assert_each_once(self, lines):
        """Each node's line of a step, and in the order of the file: by epoch, its steps before its end."""
        keys = [(line["epoch"], "test_accuracy" in line, line["step"], line["node"], line.get("worker", 0)) for line in lines]
        self.assertEqual(len(set(keys)), len(keys))
        self.assertEqual(keys, sorted(keys))


class SameLines(LiveMetrics):
    """Whatever the time between two writes."""

    def check(self, *arguments):
        for name, seconds in (("out", "0"), ("live", "0.01")):
            self.train(*RUN, "--epochs", "3", "--metrics-seconds", seconds, *WAITING, *arguments, output=name)
        self.assertEqual([without_times(line) for line in self.lines("live")],
                         [without_times(line) for line in self.lines()])
        self.assert_each_once(self.lines("live"))
        self.assertEqual(self.own_files("live"), [])

    def test_processes(self):
        self.check()

    def test_threads(self):
        self.check("--transport", "loopback")

    def test_workers(self):
        self.check("--nodes", "2", "--workers-per-node", "2")

    def test_without_waiting(self):
        for name in ("out", "live"):
            self.train(*RUN, "--epochs", "3", "--overlap", "async", "--metrics-seconds", "0.01", output=name)
            self.assert_each_once(self.lines(name))
            self.assertEqual(len(self.lines(name)), 3 * 4 * (LINES + 1))

    def test_in_the_middle_of_an_epoch(self):
        """Each state of the file is a beginning of the last one."""
        process = self.begin("--epochs", "2", "--metrics-seconds", "0.02", "--compute-ms", "20")
        seen = set()
        while process.poll() is None:
            if os.path.exists(self.path("metrics.jsonl")):
                seen.add(self.text())
            time.sleep(0.01)
        self.assertEqual(process.returncode, 0)
        last = self.text()
        for text in seen:
            self.assertTrue(last.startswith(text))
        between = [text for text in seen if 0 < text.count("\n") < 4 * LINES]
        self.assertGreater(len(between), 2)

    def test_tensorboard(self):
        process = self.begin("--epochs", "2", "--metrics-seconds", "0.02", "--compute-ms", "20", "--tensorboard")
        self.wait_lines(4, process)
        self.wait_for(lambda: len(self.events("node-2")[0]) > 3, process)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 0, err)
        for part in ("node-0", "node-3", "all"):
            [[_, start, *events]] = self.events(part)
            lines = [line for line in self.lines() if line["node"] == (0 if part == "all" else int(part[-1]))]
            self.assertEqual(start["step"], 1)
            self.assertEqual([event["step"] for event in events], [line["step"] for line in lines])
            times = [event["time"] for event in events]
            self.assertEqual(times, sorted(times))

    def test_only_at_the_ends_of_epochs(self):
        process = self.begin("--epochs", "100000", "--metrics-seconds", "0", "--compute-ms", "5")
        self.wait_lines(4 * (LINES + 1), process)
        self.assertEqual(self.own_files(), [])
        self.assertEqual(self.text().count("\n") % (4 * (LINES + 1)), 0)
        self.kill_all(process)


class Killed(LiveMetrics):
    LONG = ["--metrics-seconds", "0.05", "--checkpoint-every", "7", "--checkpoint-minutes", "0"]

    def test_all_killed_and_resumed(self):
        """The lines of the run that nothing has stopped."""
        self.data(train=2048)
        self.train(*RUN, "--epochs", "6", *self.LONG, *WAITING, output="whole")
        process = self.begin("--epochs", "6", *self.LONG, *WAITING)
        self.wait_lines(4 * 3, process)
        self.kill_all(process)
        self.assertGreater(len(self.own_files()), 0)
        status, _, err = self.run_program("train", "--resume", self.output())
        self.assertEqual(status, 0, err)
        self.assertEqual([without_times(line) for line in self.lines()],
                         [without_times(line) for line in self.lines("whole")])
        self.assertEqual(self.own_files(), [])

    def test_own_lines_say_more(self):
        """What a process tells of itself, in the middle of an epoch."""
        process = self.begin("--epochs", "100000", *self.LONG, "--compute-ms", "20")
        self.wait_for(lambda: len(self.own_files()) == 4, process)
        self.wait_lines(8, process)
        self.kill_all(process)
        with open(self.path("config.json"), encoding="utf-8") as file:
            run_id = json.load(file)["run_id"]
        for rank, name in enumerate(self.own_files()):
            with open(name, encoding="utf-8") as file:
                head, *lines = [json.loads(line) for line in file]
            self.assertEqual((head["run_id"], head["process"], head["node"], head["every"]), (run_id, rank, rank, 0.05))
            recent = [line for line in lines if "time" in line]
            made = [line for line in lines if "probe" in line]
            self.assertEqual(len(recent) + len(made), len(lines))
            self.assertGreater(len(recent), 0)
            for line in recent:  # 4 samples in 20 ms or more
                self.assertGreater(line["samples_per_second"], 0)
                self.assertLess(line["samples_per_second"], 201)
                self.assertGreaterEqual(line["step_ms"], 20)
            own = [line for line in self.lines() if line["node"] == rank and line["epoch"] == head["epoch"]]
            for line, there in zip(made, own):
                probe, distance = line.pop("probe"), there.pop("consensus_distance")
                self.assertEqual(line, there)
                self.assertTrue(probe and distance >= 0)

    def test_a_node_is_killed(self):
        """The lost node has the lines that it made before, and no line twice."""
        process = self.begin("--epochs", "2", *self.LONG, "--compute-ms", "30")
        self.wait_lines(12, process)
        os.kill(node_pids(process.pid)[2], signal.SIGKILL)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 0, err)
        lines = self.lines()
        self.assert_each_once(lines)
        lost = [line["step"] for line in lines if line["node"] == 2]
        self.assertGreaterEqual(len(lost), 3)
        self.assertEqual(lost, [line["step"] for line in lines if line["node"] == 1][:len(lost)])
        for node in (0, 1, 3):
            self.assertGreaterEqual(sum(line["node"] == node and "loss" in line for line in lines), 2 * LINES)
        self.assertEqual(self.own_files(), [])

    def test_the_writing_node_is_killed(self):
        """The next one goes on with the file at the end of the epoch."""
        process = self.begin("--epochs", "3", *self.LONG, "--compute-ms", "20")
        self.wait_lines(12, process)
        os.kill(node_pids(process.pid)[0], signal.SIGKILL)
        self.wait_lines(3 * (LINES + 1), process)
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 0, err)
        lines = self.lines()
        self.assert_each_once(lines)
        for node in (1, 2, 3):
            self.assertGreaterEqual(sum(line["node"] == node and "loss" in line for line in lines), 3 * LINES)
        self.assertEqual(self.own_files(), [])

    def test_an_own_file_of_another_run(self):
        """Lines that an earlier run has left are nobody's."""
        process = self.begin("--epochs", "100000", *self.LONG, "--compute-ms", "10")
        self.wait_for(lambda: len(self.own_files()) == 4, process)
        self.kill_all(process)
        os.rename(self.path("metrics-3.jsonl"), self.path("metrics-7.jsonl"))
        self.train(*RUN, "--epochs", "1", "--metrics-seconds", "0.01")
        self.assertEqual(self.own_files(), [])
        self.assertEqual(len(self.lines()), 4 * (LINES + 1))


class Reports(LiveMetrics):
    """`sgp report` reads the lines of the unfinished epoch, those that are in no process's file but its own among them."""

    def report(self):
        status, _, err = self.run_program("report", self.output(), "--output", self.output("report"))
        if "gnuplot" in err:
            self.skipTest("gnuplot is missing")
        self.assertEqual((status, err), (0, ""))
        with open(self.path("comparison.json", output="report"), encoding="utf-8") as file:
            run = json.load(file)["runs"][0]
        with open(self.path("report.html", output="report"), encoding="utf-8") as file:
            return run, file.read()

    def test_running_and_killed(self):
        self.data(train=4096)
        process = self.begin("--epochs", "100000", "--metrics-seconds", "0.05", "--batch-size", "1")
        self.wait_lines(12, process)
        run, page = self.report()
        self.assertIn("It is still running", page)
        self.assertGreater(run["samples_per_second"], 0)
        self.kill_all(process)
        run, page = self.report()
        self.assertNotIn("It is still running", page)
        self.assertFalse(run["finished"])
        # What the common file has of the unfinished epoch is in the processes' own ones.
        finished = max([line["epoch"] for line in self.lines() if "test_accuracy" in line], default=0)
        kept = [line for line in self.text().splitlines() if json.loads(line)["epoch"] <= finished]
        with open(self.path("metrics.jsonl"), "w", encoding="utf-8") as file:
            file.write("".join(line + "\n" for line in kept))
        again, _ = self.report()
        for key in ("seconds", "samples_per_second", "wait_ms"):
            self.assertAlmostEqual(again[key], run[key], delta=1e-9 * abs(run[key]), msg=key)


if __name__ == "__main__":
    unittest.main()
