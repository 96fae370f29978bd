# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of the status server: the program that serves snapshots, what these hold, and the page as a tree."""

import html.parser
import http.client
import math
import os
import subprocess

PROGRAM = os.environ.get("SGP_STATUS_PROGRAM", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "tests", "status", "status_program"))
LIMIT = 60  # seconds, of a hang


class Server:
    """status_program; its input stays open while the with block runs."""

    def __init__(self, *options, address="0"):
        self.command = [PROGRAM, address, *map(str, options)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        if line[:1] != ["port"]:
            raise RuntimeError(f"the server does not start: {line}")
        self.port = int(line[1])
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.stdout.close()
        if self.process.wait(LIMIT) != 0 and error == (None, None, None):
            raise RuntimeError(f"the server has ended with {self.process.returncode}")

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def ask(self, path, method="GET", host="127.0.0.1", headers=None, body=None, source=None):
        """(status, headers, body) over a connection of its own."""
        connection = http.client.HTTPConnection(host, self.port, timeout=LIMIT,
                                                source_address=(source, 0) if source else None)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()


def start_error(*options, address="0"):
    """(status, lines) of a server that cannot start."""
    done = subprocess.run([PROGRAM, address, *map(str, options)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          text=True, timeout=LIMIT, check=False)
    return done.returncode, done.stdout.splitlines()


def member(seat):
    """As tests/status/synthetic.c has it."""
    return {"seat": seat, "incarnation": 0, "condition": "live", "slow": False, "host": f"host-{seat // 8:02d}", "reason": "",
            "gone_step": None, "step": 1200 + seat % 3, "epoch": 3, "age": 0.25 + seat / 1024,
            "samples_per_second": 1000.5 + seat, "step_ms": 120.25 + seat / 64, "compute_ms": 80.5 + seat / 64,
            "update_ms": 7.75, "wait_ms": 32, "weight": 1 + seat / 4096, "loss": 0.5 + seat / 1000,
            "accuracy": 0.75 + seat / 8192, "bytes_sent": 1.1e9 + 1000 * seat, "bytes_received": 1.2e9 + 1000 * seat,
            "sent": 20000 + seat, "received": 30000 + seat, "lost": 0, "late": 0, "refused": 0, "resent": 0,
            "memory": 400000000 + 1000 * seat}


def edges(members):
    found, distance = [], 1
    while distance < members:
        for src in range(members):
            found.append({"src": src, "dst": (src + distance) % members, "in_step": distance == (8 if members > 16 else 1),
                          "bytes_per_second": 9e6 + 1000 * len(found), "age": 0.125 + len(found) / 4096})
        distance *= 2
    return found


LOSS = [[3.0 * i, 10.0 * i, 0.5 + 1.8 * math.exp(-i / 25) + 0.03 * math.sin(i * 2.3)] for i in range(120)]
ACCURACY = [[30.0 * i, 100.0 * i, 0.76 - 0.6 * math.exp(-i / 3)] for i in range(12)]


class Element:
    def __init__(self, tag, attributes, above):
        self.tag, self.attributes, self.above, self.inside = tag, dict(attributes), above, []

    def all(self, tag=None, **attributes):
        """The elements inside it, at any depth; class_="a" is one of several classes."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        for part in self.inside:
            if isinstance(part, Element):
                if (tag is None or part.tag == tag) and all(
                        value in part.attributes.get(name, "").split(" ") if name == "class"
                        else part.attributes.get(name) == value for name, value in wanted.items()):
                    yield part
                yield from part.all(tag, **attributes)

    def one(self, tag=None, **attributes):
        found = list(self.all(tag, **attributes))
        if len(found) != 1:
            raise AssertionError(f"{len(found)} of <{tag} {attributes}>")
        return found[0]

    def text(self):
        return "".join(part if isinstance(part, str) else part.text() for part in self.inside)

    def first_text(self):
        """Without its elements."""
        return "".join(part for part in self.inside if isinstance(part, str)).strip()


class Tree(html.parser.HTMLParser):
    """Every element that is opened must be closed, in order."""

    VOID = {"meta", "link", "br"}

    def __init__(self, text):
        super().__init__()
        self.root = self.at = Element("", [], None)
        self.feed(text)
        self.close()
        if self.at is not self.root:
            raise AssertionError(f"<{self.at.tag}> is not closed")

    def handle_starttag(self, tag, attrs):
        element = Element(tag, attrs, self.at)
        self.at.inside.append(element)
        if tag not in self.VOID:
            self.at = element

    def handle_startendtag(self, tag, attrs):
        self.at.inside.append(Element(tag, attrs, self.at))

    def handle_endtag(self, tag):
        if tag != self.at.tag:
            raise AssertionError(f"</{tag}> closes <{self.at.tag}>")
        self.at = self.at.above

    def handle_data(self, data):
        self.at.inside.append(data)


def page(text):
    return Tree(text).root
