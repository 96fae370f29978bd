# SPDX-License-Identifier: Apache-2.0
"""`sgp status`: runs in every state, by their directory and by a status server, which a fake stands for here."""

import base64
import glob
import http.server
import json
import os
import signal
import socket
import threading
import time
import unittest

from support import LIMIT, ProgramTest, node_pids, wait_gone

RUN = ["--model", "mlp", "--nodes", "4", "--batch-size", "4", "--metrics-seconds", "0.05"]
MEMBER = {"seat": 0, "incarnation": 0, "condition": "live", "slow": False, "host": "a", "reason": "", "gone_step": None, "step": 7,
          "epoch": 1, "age": 0.5, "samples_per_second": 100.0, "step_ms": 20.0, "compute_ms": 10.0, "update_ms": 4.0,
          "wait_ms": 6.0, "weight": 1.0, "loss": 0.75, "accuracy": None}


def snapshot(members, **values):
    """What /status.json has, as docs/status.md describes it."""
    live = [member for member in members if member["condition"] == "live"]
    return {"version": 1, "run": "mine", "run_id": "0123456789abcdef", "algorithm": "sgp", "graph": "exponential",
            "encoding": "float32", "transport": "tcp", "self": 0, "finished": False, "seconds": 12.0, "seconds_left": 60.0,
            "step": 7, "step_min": 7, "epoch": 1, "epochs": 3, "samples_per_second": 100.0 * len(live), "loss": 0.75,
            "accuracy": None, "distance": 0.001, "distance_step": 5, "live": len(live), "total": len(members),
            "members": members, "edges": [], "curves": {"loss": [[1.0, 1, 2.0], [2.0, 7, 0.75]], "accuracy": []}, "log": [],
            **values}


class Server:
    """Answers every request with `answer`, bytes of a whole response or the object of /status.json. requests: their heads."""

    def __init__(self, answer, token=None):
        outer = self
        self.answer, self.token, self.requests = answer, token, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, dict(self.headers)))
                wanted = "Basic " + base64.b64encode(f"sgp:{outer.token}".encode()).decode()
                if outer.token and self.headers.get("Authorization") != wanted:
                    self.send_error(401)
                elif isinstance(outer.answer, bytes):
                    self.wfile.write(outer.answer)
                else:
                    text = json.dumps(outer.answer).encode()
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class StatusTest(ProgramTest):
    def serve(self, answer, token=None):
        server = Server(answer, token)
        self.addCleanup(server.close)
        return server

    def status(self, *arguments):
        """(exit status, lines)"""
        code, out, err = self.run_program("status", *arguments)
        self.assertEqual(err, "")
        return code, out.splitlines()

    def json(self, *arguments):
        code, out, err = self.run_program("status", *arguments, "--json")
        self.assertEqual((err, out.count("\n")), ("", 1))
        return code, json.loads(out)

    def assert_plain(self, text):
        """No byte that a terminal would obey."""
        for character in text:
            self.assertTrue(character == "\n" or (character.isprintable() and character != "\x1b"), repr(character))

    def begin(self, *arguments, output="out"):
        return self.start("train", "--data", self.data(), "--output", self.output(output), "--overwrite", *RUN, *arguments)

    def wait_lines(self, process, output="out"):
        """Until every process has told of itself."""
        end = time.monotonic() + LIMIT
        while len(glob.glob(os.path.join(self.output(output), "metrics-*.jsonl"))) < 4:
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def kill_all(self, process):
        nodes = [os.pidfd_open(pid) for pid in node_pids(process.pid).values()]
        process.kill()
        self.assertTrue(wait_gone(nodes))
        for node in nodes:
            os.close(node)
        process.communicate(timeout=LIMIT)


class Directories(StatusTest):
    def test_finished(self):
        summary = self.train(*RUN, "--epochs", "2")
        code, status = self.json(self.output())
        self.assertEqual((code, status["state"], status["finished"]), (0, "finished", True))
        for key, there in (("step", "steps"), ("loss", "train_loss"), ("samples_per_second", "samples_per_second"),
                           ("distance", "consensus_distance"), ("average_model_accuracy", "average_model_accuracy"),
                           ("run_id", "run_id"), ("epochs", "epochs"), ("algorithm", "algorithm"), ("graph", "graph")):
            self.assertEqual(status[key], summary[there], key)
        self.assertEqual(status["accuracy"], summary["test_accuracy"]["mean"])
        with open(os.path.join(self.output(), "metrics.jsonl"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        for member in status["members"]:
            last = [line for line in lines if line["node"] == member["seat"] and "loss" in line][-1]
            self.assertEqual((member["step"], member["loss"], member["step_ms"]), (last["step"], last["loss"], last["step_ms"]))
        losses = [line["loss"] for line in lines if "loss" in line and line["step"] == lines[0]["step"]]
        self.assertAlmostEqual(status["curves"]["loss"][0][2], sum(losses) / 4, places=9)
        self.assertEqual(status["curves"]["loss"][-1][1], summary["steps"])
        code, lines = self.status(self.output())
        self.assertEqual(code, 0)
        self.assertTrue(lines[0].startswith("finished: "), lines[0])
        self.assertEqual(sum(" done " in line for line in lines), 4)

    def test_running(self):
        process = self.begin("--epochs", "100000", "--compute-ms", "20")
        self.wait_lines(process)
        code, status = self.json(self.output())
        self.assertEqual((code, status["state"], status["total"]), (0, "running", 4))
        for member in status["members"]:  # a busy machine may keep one from its steps for seconds
            self.assertIn(member["condition"], ("live", "silent"))
        self.assertTrue(all(member["host"] == socket.gethostname()[:64] for member in status["members"]))
        self.assertGreater(status["seconds_left"], 0)
        code, lines = self.status(self.output())
        self.assertEqual(code, 0)
        self.assertTrue(lines[0].startswith("running: "), lines[0])
        self.kill_all(process)
        code, status = self.json(self.output())
        self.assertEqual((code, status["state"]), (1, "killed"))
        self.assertEqual({member["condition"] for member in status["members"]}, {"gone"})
        self.assertEqual(self.status(self.output())[0], 1)

    def test_a_slow_node(self):
        """The rule of docs/status.md: at least 1.5 times the median of what the others compute, and it does not wait."""
        process = self.begin("--epochs", "100000", "--compute-ms", "50", "--slow-node", "2:20")
        self.wait_lines(process)
        end = time.monotonic() + LIMIT
        while [member["seat"] for member in self.json(self.output())[1]["members"] if member["slow"]] != [2]:
            self.assertLess(time.monotonic(), end)  # the first steps may say something else
        self.assertRegex("\n".join(self.status(self.output())[1]), r"\n +2 SLOW ")

    def test_a_lost_node(self):
        process = self.begin("--epochs", "100000", "--compute-ms", "5")
        self.wait_lines(process)
        os.kill(node_pids(process.pid)[3], signal.SIGKILL)
        while "node 3 was lost" not in (line := process.stderr.readline()):
            self.assertTrue(line)
        end = time.monotonic() + LIMIT
        while (status := self.json(self.output())[1])["members"][3]["condition"] != "gone":
            self.assertLess(time.monotonic(), end)
        self.assertTrue(status["members"][3]["reason"])
        self.assertGreater(status["members"][3]["gone_step"], 0)
        for member in status["members"][:3]:
            self.assertIn(member["condition"], ("live", "silent"))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT)
        code, status = self.json(self.output())
        self.assertEqual((code, status["state"]), (1, "interrupted"))
        with open(os.path.join(self.output(), "summary.json"), encoding="utf-8") as file:
            [loss] = json.load(file)["losses"]
        self.assertEqual((status["members"][3]["gone_step"], status["members"][3]["reason"]), (loss["step"], loss["reason"]))
        self.assertIn("interrupted", status["reason"])

    def test_diverged(self):
        code, _, _ = self.run_program("train", "--data", self.data(), "--output", self.output(), *RUN, "--epochs", "5", "--lr",
                                      "1e6", "--warmup-epochs", "0")
        self.assertEqual(code, 1)
        code, status = self.json(self.output())
        self.assertEqual((code, status["state"]), (1, "diverged"))
        self.assertIn("not finite", status["reason"])

    def test_a_name_with_escape_sequences(self):
        name = "a\x1b[31m\x1b]0;title\x07\x9b2J\u202e"
        self.train(*RUN, "--epochs", "1", output=name)
        code, out, err = self.run_program("status", self.output(name))
        self.assertEqual((code, err), (0, ""))
        self.assert_plain(out)
        self.assertNotIn("\u202e", out)
        code, status = self.json(self.output(name))
        self.assertEqual((code, status["run"]), (0, name))
        os.remove(os.path.join(self.output(name), "config.json"))
        self.assert_plain(self.refused("status", self.output(name)))

    def test_own_lines_with_escape_sequences(self):
        """They come from other machines."""
        process = self.begin("--epochs", "100000", "--compute-ms", "5")
        self.wait_lines(process)
        self.kill_all(process)
        with open(os.path.join(self.output(), "metrics-1.jsonl"), encoding="utf-8") as file:
            head, *lines = file.read().splitlines()
        head = json.dumps(json.loads(head) | {"host": "x\x1b[2Jy"})
        loss = {"node": 2, "step": 3, "reason": "\x1b[31mred\x1b", "seconds": 0.1, "left": False}
        recent = json.dumps(json.loads([line for line in lines if '"time"' in line][-1]) | {"losses": [loss]})
        with open(os.path.join(self.output(), "metrics-1.jsonl"), "w", encoding="utf-8") as file:
            file.write("\n".join([head, *lines, recent]) + "\n")
        code, out, err = self.run_program("status", self.output(), environment={"COLUMNS": "200"})
        self.assertEqual((code, err), (1, ""))
        self.assert_plain(out)
        self.assertEqual(self.json(self.output())[1]["members"][1]["host"], "x\x1b[2Jy")

    def test_no_run(self):
        os.mkdir(self.output("empty"))
        self.assertIn("empty: not the directory of a run (no config.json)", self.refused("status", self.output("empty")))
        with open(self.output("empty/config.json"), "w", encoding="utf-8") as file:
            file.write("{")
        self.assertIn("empty/config.json: ", self.refused("status", self.output("empty")))
        self.assertIn("neither the directory of a run nor HOST:PORT", self.refused("status", self.output("nosuch")))
        self.assertIn("status: the run is missing", self.refused("status"))
        with open(self.output("empty/config.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        self.assertIn("is for HOST:PORT", self.refused("status", self.output("empty"), "--status-token-file", "x"))

    def test_damaged_files(self):
        """Other contents do no harm."""
        self.train(*RUN, "--epochs", "1")
        path = os.path.join(self.output(), "metrics.jsonl")
        with open(path, "ab") as file:
            file.write(b'[1]\n{}\n\x00\xff\n{"node": 1e300, "step": 1, "loss": 1}\n{"node": -1, "step": 1, "loss": 1}\n'
                       b'{"node": 1, "worker": 99999999, "step": 1, "loss": 1}\n{"node": 0, "step": 9, "test_accuracy": 1, '
                       b'"epoch": 1, "losses": [5, {"node": 1e9}, {"node": 1, "step": "x"}]}\n{"node": 0')
        self.assertEqual(self.json(self.output())[0], 0)
        for name in ("metrics.jsonl", "summary.json"):
            os.remove(os.path.join(self.output(), name))
            code, status = self.json(self.output())
            self.assertEqual(len(status["members"]), 4, name)
        self.assertEqual((code, status["state"]), (1, "killed"))
        with open(os.path.join(self.output(), "config.json"), "r+", encoding="utf-8") as file:
            config = json.load(file)
            config["options"]["nodes"] = "many"
            config["derived"] = 5
            file.seek(0)
            json.dump(config, file)
            file.truncate()
        self.assertEqual(self.json(self.output())[1]["total"], 1)


class Servers(StatusTest):
    def test_what_it_says(self):
        members = [MEMBER, {**MEMBER, "seat": 1, "host": "b", "slow": True, "compute_ms": 18.0, "wait_ms": 0.0},
                   {**MEMBER, "seat": 2, "condition": "gone", "gone_step": 5, "reason": "its process ended"},
                   {**MEMBER, "seat": 3, "condition": "silent", "age": 4.0}]
        server = self.serve(snapshot(members))
        code, status = self.json(server.address)
        self.assertEqual((code, status.pop("state"), status), (0, "running", server.answer))
        self.assertEqual(server.requests[0][0], "/status.json")
        self.assertEqual(server.requests[0][1]["Host"], server.address)
        self.assertNotIn("Authorization", server.requests[0][1])
        code, lines = self.status(str(server.port))  # of this machine
        self.assertEqual(code, 0)
        self.assertTrue(lines[0].startswith("running: mine"), lines[0])
        text = "\n".join(lines)
        for wanted in ("epoch 1/3", "step 7", "loss 0.7500", "2 of 4 nodes live", "1:00 left", "\n     1 SLOW ", "\n     3 silent ",
                       "\n     2 gone    step 5: its process ended"):
            self.assertIn(wanted, text)
        for width, line in ((80, line) for line in lines):
            self.assertLessEqual(len(line), width)

    def test_finished(self):
        code, status = self.json(self.serve(snapshot([MEMBER], finished=True)).address)
        self.assertEqual((code, status["state"]), (0, "finished"))

    def test_token(self):
        server = self.serve(snapshot([MEMBER]), token="secret, of its own: x")
        self.assertIn("--status-token-file", self.refused("status", server.address))
        path = os.path.join(self.folder, "token")
        for text, good in (("wrong\n", False), ("secret, of its own: x\n", True), ("secret, of its own: x", True)):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            if good:
                self.assertEqual(self.status(server.address, "--status-token-file", path)[0], 0)
            else:
                self.assertIn("wants a token, or another one",
                              self.refused("status", server.address, "--status-token-file", path))
        for text in ("", "\n", "x" * 600):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            self.assertIn("must be a token", self.refused("status", server.address, "--status-token-file", path))
        self.assertIn("No such file", self.refused("status", server.address, "--status-token-file", path + "x"))

    def test_no_server(self):
        for answer in (b"", b"hello\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>", b"HTTP/1.1 404 No\r\n\r\n",
                       b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n{}",
                       b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                       b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 100000, b"\x1b[31m" * 1000):
            with self.subTest(answer[:60]):
                err = self.refused("status", self.serve(answer).address)
                self.assertIn("something listens there, but no status server of sgp", err)
                self.assert_plain(err)
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            self.assertIn("nobody listens there", self.refused("status", f"127.0.0.1:{other.getsockname()[1]}"))
        self.assertIn("no such host", self.refused("status", "nosuch.invalid:80"))
        for what in ("127.0.0.1:0", "127.0.0.1:65536", "a b:80", ":80", "127.0.0.1:", "99999"):
            self.assertIn("neither the directory of a run nor HOST:PORT", self.refused("status", what))

    def test_texts_of_others(self):
        evil = "\x1b[2J\x1b]0;x\x07<script>\n\r\t\x9b31m\u202e\u200b\ud83d\ude00"
        members = [{**MEMBER, "host": evil, "reason": evil, "gone_step": 3, "condition": "gone"}]
        answer = snapshot(members, run=evil, algorithm=evil, graph=evil, log=[{"seconds": 1, "level": "info", "text": evil}] * 40)
        code, out, err = self.run_program("status", self.serve(answer).address)
        self.assertEqual((code, err), (0, ""))
        self.assert_plain(out)
        self.assertIn("<script>", out)

    def test_odd_values(self):
        for values in ({"members": [5, None, [], {}, {"seat": "x", "step": {}, "host": 5}]}, {"live": "x", "step": [1], "loss": True},
                       {"curves": 5}, {"curves": {"loss": [1, [], [1, 2], [1, 2, "x"], [1, 2, 1e300], [1, 2, -1e300]]}},
                       {"log": {"a": 1}}, {"log": [1, {"text": 5}]}, {"total": 1e300}, {"seconds": -1e300, "seconds_left": 1e300}):
            with self.subTest(str(values)[:60]):
                self.status(self.serve(snapshot([MEMBER]) | values).address)


if __name__ == "__main__":
    unittest.main()
