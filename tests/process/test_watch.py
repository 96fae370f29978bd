# SPDX-License-Identifier: Apache-2.0
"""`sgp watch` in a terminal, which a pty stands for, and without one."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from support import LIMIT, PROGRAM
from test_status import MEMBER, StatusTest, snapshot

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
OURS = re.compile(r"\x1b\[(\?1049[hl]|\?25[hl]|\?7[hl]|H|J|K|0m|1m|31m|33m)")


class Terminal:
    """The program in a terminal of its own. text: all that it has written."""

    def __init__(self, test, *arguments, size=(24, 80), environment=None):
        self.test, self.text = test, ""
        self.master, slave = pty.openpty()
        self.resize(size)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [PROGRAM, "watch", *arguments], stdin=slave, stdout=slave, stderr=slave, cwd=test.folder, start_new_session=True,
            env={**test.environment, "TERM": "xterm", "LANG": "C.UTF-8", **(environment or {})})
        test.addCleanup(self.close)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.slave)
        os.close(self.master)

    def resize(self, size):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            self.text += os.read(self.master, 65536).decode("utf-8", "replace")
            seconds = 0

    def wait_for(self, wanted):
        """Until what it writes from now on contains the text. Returns that."""
        end, start = time.monotonic() + LIMIT, len(self.text)
        while wanted not in self.text[start:]:
            self.test.assertLess(time.monotonic(), end, self.text[-3000:])
            self.test.assertIsNone(self.process.poll(), self.text[-3000:])
            self.read()
        return self.text[start:]

    def type(self, keys):
        os.write(self.master, keys.encode())

    def end(self):
        """Its exit status; the terminal is as it was."""
        end = time.monotonic() + LIMIT
        while self.process.poll() is None:
            self.test.assertLess(time.monotonic(), end)
            self.read()
        self.read()
        self.test.assertEqual(termios.tcgetattr(self.slave), self.before)
        self.test.assertEqual(self.text.count(ENTER), self.text.count(LEAVE))
        self.test.assertGreater(self.text.rfind(LEAVE), self.text.rfind(ENTER))
        self.test.assertGreater(self.text.rfind("\x1b[?25h"), self.text.rfind("\x1b[?25l"))
        return self.process.returncode

    def frames(self):
        """The lines of each screen."""
        return [[line.replace("\x1b[K", "") for line in frame.split("\r\n")] for frame in self.text.split("\x1b[H")[1:]]


class Screens(StatusTest):
    def watch(self, *arguments, **options):
        return Terminal(self, *arguments, **options)

    def test_q_ends_it(self):
        server = self.serve(snapshot([MEMBER, {**MEMBER, "seat": 1, "slow": True}]))
        terminal = self.watch(server.address)
        text = terminal.wait_for("q: end")
        self.assertIn(ENTER, text)
        for wanted in ("running: mine", "1 SLOW", "loss ▁", "epoch 1/3"):
            self.assertIn(wanted, text.replace("█", "▁"))
        server.answer = snapshot([{**MEMBER, "step": 8}], step=8)
        terminal.wait_for("step 8")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)

    def test_signals(self):
        server = self.serve(snapshot([MEMBER]))
        for number, how in ((signal.SIGINT, "key"), (signal.SIGINT, "kill"), (signal.SIGTERM, "kill"), (signal.SIGHUP, "kill")):
            with self.subTest(number=number, how=how):
                terminal = self.watch(server.address)
                terminal.wait_for("q: end")
                os.kill(terminal.process.pid, number)
                self.assertEqual(terminal.end(), 128 + number)

    def test_stopped_and_continued(self):
        terminal = self.watch(self.serve(snapshot([MEMBER])).address)
        terminal.wait_for("q: end")
        os.kill(terminal.process.pid, signal.SIGTSTP)
        terminal.wait_for(LEAVE)
        os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOWAIT)
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.before)
        os.kill(terminal.process.pid, signal.SIGCONT)
        terminal.wait_for("q: end")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)

    def test_it_fits(self):
        """No screen has more lines than the terminal, and no line more characters."""
        members = [{**MEMBER, "seat": seat} for seat in range(200)]
        members[150] |= {"condition": "gone", "gone_step": 4, "reason": "its process ended"}
        members[170] |= {"slow": True}
        terminal = self.watch(self.serve(snapshot(members)).address, size=(12, 60))
        text = terminal.wait_for("q: end")
        self.assertRegex(text, r"170 SLOW")
        self.assertRegex(text, r"150 gone +step 4: its process ended")
        self.assertRegex(text, r"\.\.\. 19\d more")
        for size in ((40, 132), (6, 30), (1, 1), (300, 300), (12, 60)):
            terminal.resize(size)
            os.kill(terminal.process.pid, signal.SIGWINCH)
            terminal.wait_for("q: end")
            terminal.wait_for("q: end")
            terminal.read()
            last = terminal.frames()[-1]
            self.assertLessEqual(len(last), max(size[0], 3), size)
            for line in last:
                self.assertLessEqual(len(OURS.sub("", line)), max(size[1], 20), (size, line))
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)

    def test_no_colour_alone(self):
        """Without colours the same words are there."""
        members = [MEMBER, {**MEMBER, "seat": 1, "slow": True}, {**MEMBER, "seat": 2, "condition": "gone", "gone_step": 1}]
        server = self.serve(snapshot(members))
        texts = []
        for environment in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}):
            terminal = self.watch(server.address, environment=environment)
            terminal.wait_for("q: end")
            terminal.type("q")
            self.assertEqual(terminal.end(), 0)
            colours = re.findall(r"\x1b\[[0-9;]*m", terminal.text)
            self.assertEqual(bool(colours), not environment, environment)
            texts.append(OURS.sub("", "\n".join(terminal.frames()[0])))
        self.assertEqual(texts[0], texts[1])

    def test_texts_of_others(self):
        evil = "\x1b[2J\x1b]0;x\x07\n\r\t\x9b31m\u202e\u200b"
        members = [{**MEMBER, "host": evil, "reason": evil}]
        answer = snapshot(members, run=evil, algorithm=evil, log=[{"seconds": 1, "level": "info", "text": evil}] * 40)
        terminal = self.watch(self.serve(answer).address, size=(40, 150))
        terminal.wait_for("q: end")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)
        rest = OURS.sub("", terminal.text).replace("\r\n", "")
        self.assertTrue(rest.replace("\n", "").isprintable(), repr(rest))

    def test_a_server_that_goes(self):
        """The last numbers stay, with a line; it is asked again."""
        server = self.serve(snapshot([MEMBER]))
        terminal = self.watch(server.address)
        terminal.wait_for("q: end")
        server.answer = b""
        text = terminal.wait_for("no status server of sgp")
        self.assertIn("running: mine", text)
        server.answer = snapshot([MEMBER], finished=True)
        terminal.wait_for("finished: mine")
        terminal.type("q")
        self.assertEqual(terminal.end(), 0)

    def test_a_run(self):
        process = self.begin("--epochs", "100000", "--compute-ms", "20")
        self.wait_lines(process)
        terminal = self.watch(self.output())
        terminal.wait_for("running: ")
        terminal.wait_for("4 of 4 nodes live")
        self.kill_all(process)
        terminal.wait_for("killed: ")
        terminal.type("q")
        self.assertEqual(terminal.end(), 1)

    def test_mistakes_leave_the_terminal_alone(self):
        terminal = self.watch(self.output("nosuch"))
        while terminal.process.poll() is None:
            terminal.read()
        terminal.read()
        self.assertEqual(terminal.process.returncode, 2)
        self.assertNotIn("\x1b[?", terminal.text)
        self.assertIn("neither the directory of a run nor HOST:PORT", terminal.text)


class Lines(StatusTest):
    """Without a terminal."""

    def test_to_the_end_of_a_run(self):
        run = self.begin("--epochs", "3", "--compute-ms", "20")
        self.wait_lines(run)
        code, out, err = self.run_program("watch", self.output())
        self.assertEqual((code, err), (0, ""))
        run.communicate(timeout=LIMIT)
        lines = out.splitlines()
        self.assertRegex(lines[-1], r"^finished: epoch 3 step 96 ")
        for line in lines[:-1]:
            self.assertRegex(line, r"^running: epoch \d+ step \d+ ")
        self.assert_plain(out)

    def test_a_server(self):
        server = self.serve(snapshot([MEMBER, {**MEMBER, "seat": 1, "condition": "gone"}]))
        process = self.start("watch", server.address)
        self.assertEqual(process.stdout.readline(), "running: epoch 1 step 7 loss 0.7500 100 samples/s nodes 1 of 2, 1 gone\n")
        server.answer = snapshot([MEMBER], finished=True)
        out, err = process.communicate(timeout=LIMIT)
        self.assertEqual((process.returncode, err), (0, ""))
        self.assertIn("finished: epoch 1 step 7", out)

    def test_nobody(self):
        self.assertIn("nobody listens there", self.refused("watch", "127.0.0.1:1"))
        self.assertIn("watch: the run is missing", self.refused("watch"))
        server = self.serve(snapshot([MEMBER]))
        process = self.start("watch", server.address)
        process.stdout.readline()
        server.close()
        _, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 1)
        self.assertIn("nobody listens there", err)


if __name__ == "__main__":
    unittest.main()
