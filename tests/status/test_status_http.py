# SPDX-License-Identifier: Apache-2.0
"""The status server against good and bad clients: who gets an answer, what strangers may not do, and what a flood costs."""

import base64
import hashlib
import http.client
import json
import os
import re
import socket
import tempfile
import time
import unittest

from status_support import LIMIT, Server, page, start_error

PATHS = ("/", "/members", "/status.json", "/metrics")


def basic(password, user="any"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


class Raw:
    """A client that sends what it likes."""

    def __init__(self, server, source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", server.port), LIMIT, (source, 0))
        self.socket.settimeout(LIMIT)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text.encode("latin-1"))

    def rest(self):
        """All that comes until the server closes the connection."""
        received = b""
        try:
            while chunk := self.socket.recv(1 << 16):
                received += chunk
        except ConnectionResetError:
            pass
        return received.decode("latin-1")

    def until(self, text):
        received = ""
        while text not in received:
            chunk = self.socket.recv(1 << 16)
            if not chunk:
                raise EOFError(received)
            received += chunk.decode("latin-1")
        return received


class Requests(unittest.TestCase):
    def test_pages_and_their_heads(self):
        with Server() as server:
            for path in PATHS:
                status, headers, body = server.ask(path)
                self.assertEqual(status, 200)
                self.assertGreater(len(body), 1000)
                self.assertEqual(int(headers["Content-Length"]), len(body))
                status, head, body = server.ask(path, "HEAD")
                self.assertEqual((status, body), (200, b""))
                self.assertEqual(head["Content-Type"], headers["Content-Type"])

    def test_answers_protect_the_reader(self):
        with Server() as server:
            for path in (*PATHS, "/nothing"):
                _, headers, body = server.ask(path, headers={"Origin": "http://evil.example"})
                self.assertEqual(headers["Cache-Control"], "no-store")
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["X-Frame-Options"], "DENY")
                self.assertFalse([name for name in headers if name.lower().startswith("access-control-")])
                policy = headers["Content-Security-Policy"]
                self.assertIn("default-src 'none'", policy)
                self.assertNotIn("unsafe", policy)
                if path != "/":
                    continue
                for tag in ("style", "script"):
                    inside = re.search(f"<{tag}>(.*?)</{tag}>", body.decode(), re.S).group(1)
                    digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
                    self.assertIn(f"{tag}-src 'sha256-{digest}'", policy)
                tree = page(body.decode())
                self.assertFalse([e.tag for e in tree.all() for name in e.attributes if name == "style" or name.startswith("on")])
                self.assertFalse([e.tag for e in tree.all() if ":" in e.attributes.get("href", "").replace("data:,", "")
                                  or "src" in e.attributes])

    def test_methods(self):
        with Server() as server:
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "NONSENSE"):
                status, headers, _ = server.ask("/status.json", method)
                self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)
            status, headers, _ = server.ask("/flight")
            self.assertEqual((status, headers["Allow"]), (405, "POST"))
            self.assertEqual(server.tell("flights"), "0")

    def test_unknown_paths(self):
        with Server() as server:
            for path in ("/x", "/status.json/", "//", "/..%2f", "/%00", "/index.html?token=1"):
                self.assertEqual(server.ask(path)[0], 404, path)
            self.assertEqual(server.ask("/?x=1")[0], 200)

    def test_hosts(self):
        with Server() as server:
            name = socket.gethostname()
            for host in ("localhost", f"localhost:{server.port}", "127.0.0.1:1", "[::1]", name, name.split(".")[0].upper()):
                self.assertEqual(server.ask("/status.json", headers={"Host": host})[0], 200, host)
            for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", "192.0.2.1", "", "a b",
                         "[::1", "localhost:x"):
                status, _, body = server.ask("/status.json", headers={"Host": host})
                self.assertEqual(status, 403, host)
                self.assertNotIn(b"{", body)

    def test_several_hosts_and_none(self):
        with Server() as server:
            for heads in ("Host: localhost\r\nHost: evil.example\r\n", "Host: evil.example\r\nhost: localhost\r\n", ""):
                with Raw(server) as client:
                    client.send(f"GET /status.json HTTP/1.1\r\n{heads}Connection: close\r\n\r\n")
                    self.assertRegex(client.rest(), r"^HTTP/1.1 40[03] ")

    def test_pipelined_requests(self):
        with Server() as server, Raw(server) as client:
            request = "GET /status.json HTTP/1.1\r\nHost: localhost\r\n"
            client.send((request + "\r\n") * 4 + request + "Connection: close\r\n\r\n")
            self.assertEqual(len(re.findall("HTTP/1.1 200 OK", client.rest())), 5)

    def test_a_byte_at_a_time(self):
        with Server() as server, Raw(server) as client:
            for byte in "GET /status.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n":
                client.send(byte)
            self.assertIn("200 OK", client.rest())

    def test_requests_that_are_too_long(self):
        with Server() as server:
            for request in ("GET /" + "x" * 100000, "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + "y" * 100000,
                            "GET / HTTP/1.1\r\n" + "".join(f"X{i}: {i}\r\n" for i in range(10000))):
                with Raw(server) as client:
                    try:
                        client.send(request)
                        client.send("\r\n\r\n")
                    except (BrokenPipeError, ConnectionResetError):
                        pass
                    self.assertNotIn("200 OK", client.rest())
            self.assertEqual(server.ask("/")[0], 200)

    def test_nonsense(self):
        with Server() as server:
            for request in ("\0" * 100, "GET\r\n\r\n", "HELO x\r\n\r\n", "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
                            "\x16\x03\x01\x02\x00\x01" + "\xff" * 200, "GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
                            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
                            "GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
                with Raw(server) as client:
                    client.send(request)
                    client.socket.shutdown(socket.SHUT_WR)
                    self.assertNotIn("200 OK", client.rest(), request)
            self.assertEqual(server.ask("/")[0], 200)

    def test_bodies_are_refused(self):
        with Server() as server:
            self.assertEqual(server.ask("/status.json", body=b"x" * 100)[0], 413)
            with Raw(server) as client:  # before the body has come
                client.send("POST /flight HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
                self.assertIn("413", client.rest())
            self.assertEqual(server.tell("flights"), "0")


class Flight(unittest.TestCase):
    def test_it_is_written_when_this_machine_asks(self):
        with Server() as server:
            self.assertEqual(server.ask("/flight", "POST")[0], 200)
            own = {"Origin": f"http://127.0.0.1:{server.port}"}
            self.assertEqual(server.ask("/flight", "POST", headers=own)[0], 200)
            self.assertEqual(server.tell("flights"), "2")

    def test_a_foreign_page_cannot_ask(self):
        with Server() as server:
            for origin in ("http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"):
                self.assertEqual(server.ask("/flight", "POST", headers={"Origin": origin})[0], 403, origin)
            self.assertEqual(server.tell("flights"), "0")

    def test_without_a_recorder_there_is_no_such_page(self):
        with Server("--no-flight") as server:
            self.assertEqual(server.ask("/flight", "POST")[0], 404)
            self.assertEqual(server.ask("/flight")[0], 404)
            self.assertNotIn(b"flight", server.ask("/")[2].partition(b"</head>")[2])


class Tokens(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.file = os.path.join(self.folder.name, "token")
        self.write("sesame\n")

    def write(self, text, mode=0o600):
        with open(self.file, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(self.file, mode)

    def test_nothing_is_shown_without_it(self):
        with Server("--token", self.file) as server:
            for path in (*PATHS, "/events", "/nothing"):
                status, headers, body = server.ask(path)
                self.assertEqual(status, 401)
                self.assertIn("Basic", headers["WWW-Authenticate"])
                self.assertNotIn(b"resnet20", body)
            for password in ("", "sesam", "sesame1", "SESAME", "x" * 900):
                self.assertEqual(server.ask("/", headers=basic(password))[0], 401, password)
            for value in ("Basic", "Basic ====", "Bearer sesame", "Basic " + "A" * 9000, "sesame"):
                self.assertEqual(server.ask("/", headers={"Authorization": value})[0], 401, value)
            self.assertEqual(server.ask("/flight", "POST")[0], 401)
            for user in ("any", "", "prometheus"):
                self.assertEqual(server.ask("/status.json", headers=basic("sesame", user))[0], 200)
            self.assertEqual(server.ask("/flight", "POST", headers=basic("sesame"))[0], 200)

    def test_it_is_not_taken_from_a_url(self):
        with Server("--token", self.file) as server:
            self.assertEqual(server.ask("/?token=sesame")[0], 401)

    def test_bad_files(self):
        for text, mode, words in (("sesame", 0o644, "others may read it"), ("", 0o600, "is empty"), ("a\nb\n", 0o600, "one line")):
            self.write(text, mode)
            status, lines = start_error("--token", self.file)
            self.assertEqual((status, len(lines)), (1, 1))
            self.assertIn(self.file, lines[0])
            self.assertIn(words, lines[0])
        status, lines = start_error("--token", self.file + "x")
        self.assertEqual((status, len(lines)), (1, 1))
        self.assertIn("No such file", lines[0])


class Addresses(unittest.TestCase):
    def assert_error(self, address, *words, options=()):
        status, lines = start_error(*options, address=address)
        self.assertEqual((status, len(lines)), (1, 1), lines)
        for word in (address, *words):
            self.assertIn(word, lines[0])

    def test_mistakes_are_one_line(self):
        for address in ("x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:0", ":7070", "99999", "-1"):
            self.assert_error(address, "PORT or HOST:PORT")
        self.assert_error("192.0.2.1:0", "no such address", options=["--insecure"])
        self.assert_error("0.0.0.0:0", "--status-token-file", "--status-insecure")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            self.assert_error(f"127.0.0.1:{taken.getsockname()[1]}", "port is taken")
            self.assert_error(str(taken.getsockname()[1]), "port is taken")

    def test_a_port_alone_is_that_of_loopback(self):
        with Server() as server, open("/proc/net/tcp", encoding="ascii") as file:
            listening = [line.split()[1] for line in file if line.split()[3] == "0A"]
            self.assertIn(f"0100007F:{server.port:04X}", listening)

    def test_all_addresses_without_a_token(self):
        with Server("--insecure", address="0.0.0.0:0") as server:
            for host in ("127.0.0.1", "127.0.0.2"):
                self.assertEqual(server.ask("/status.json", host=host)[0], 200)
            self.assertEqual(server.ask("/status.json", headers={"Host": "192.0.2.1"})[0], 403)

    def test_six(self):
        try:
            with socket.socket(socket.AF_INET6) as tried:
                tried.bind(("::1", 0))
        except OSError:
            self.skipTest("this machine has no IPv6")
        with Server(address="[::1]:0") as server:
            self.assertEqual(server.ask("/status.json", host="::1")[0], 200)

    def test_the_next_node_takes_the_port_over(self):
        with Server() as first, Raw(first) as client:
            client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.until("event: status")
            first.process.stdin.close()
            client.rest()  # ends with the server
            self.assertEqual(first.process.wait(LIMIT), 0)
            with Server(address=str(first.port)) as second:
                self.assertEqual(second.ask("/status.json")[0], 200)


class Events(unittest.TestCase):
    def listen(self, server, source="127.0.0.1"):
        client = Raw(server, source)
        self.addCleanup(client.socket.close)
        client.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return client

    def test_each_event_has_the_parts_of_the_page(self):
        with Server() as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT)
            connection.request("GET", "/events")
            response = connection.getresponse()
            self.assertEqual(response.headers["Content-Type"], "text/event-stream")
            server.tell("gone 3 lost")
            deadline = time.monotonic() + LIMIT
            data = []
            while "is gone" not in "".join(data):
                self.assertLess(time.monotonic(), deadline)
                lines = []
                while (line := response.readline().decode().rstrip("\n")) or not lines:
                    lines.append(line)
                self.assertEqual(lines[0], "event: status")
                data = [line[len("data: "):] for line in lines[1:]]
                self.assertTrue(all(line.startswith("data: ") for line in lines[1:]))
                parts = [part.attributes["id"] for part in page("\n".join(data)).all("section")]
                self.assertEqual(parts, ["title", "figures", "members", "curves", "graph", "time", "log"])
            connection.close()

    def test_listeners_are_limited_and_their_places_free_again(self):
        with Server() as server:
            first = [self.listen(server) for _ in range(16)]
            for client in first:
                client.until("event: status")
            one_more = self.listen(server)
            self.assertIn("503", one_more.until("\r\n\r\n"))
            self.assertEqual(server.ask("/status.json", source="127.0.0.2")[0], 200)
            first[0].socket.close()
            deadline, answer = time.monotonic() + LIMIT, ""
            while "200 OK" not in answer:
                self.assertLess(time.monotonic(), deadline)
                client = self.listen(server, "127.0.0.3")
                answer = client.until("\r\n\r\n")
                client.socket.close()


class Floods(unittest.TestCase):
    def test_too_many_requests_are_told_so(self):
        with Server() as server:
            began = time.monotonic()
            answers = [server.ask("/status.json")[0] for _ in range(60)]
            most = 40 + 10 * (time.monotonic() - began) + 1
            self.assertLessEqual(answers.count(200), most)
            self.assertEqual(set(answers[:40]), {200})
            if len(answers) > most:
                self.assertIn(429, answers)
            self.assertEqual(server.ask("/status.json", source="127.0.0.2")[0], 200)

    def test_snapshots_are_taken_twice_a_second(self):
        with Server() as server:
            began = time.monotonic()
            for i in range(200):
                server.ask(PATHS[i % 4], source=f"127.0.1.{i % 20 + 1}")
            self.assertLessEqual(int(server.tell("taken")), 2 * (time.monotonic() - began) + 1)

    def test_half_open_connections_leave_room_for_others(self):
        with Server() as server:
            clients = []
            try:
                for i in range(200):
                    client = socket.create_connection(("127.0.0.1", server.port), LIMIT)
                    clients.append(client)
                    client.sendall(b"GET / HTTP/1.1\r\n" if i % 2 else b"")
                self.assertEqual(server.ask("/status.json", source="127.0.0.2")[0], 200)
                folder = f"/proc/{server.process.pid}/fd"
                sockets = [name for name in os.listdir(folder) if "socket:" in os.readlink(os.path.join(folder, name))]
                self.assertLessEqual(len(sockets), 32 + 4)  # of one address; the others are ended at once
            finally:
                for client in clients:
                    client.close()
            self.assertEqual(server.ask("/status.json", source="127.0.0.2")[0], 200)

    def test_a_client_that_does_not_read_holds_nobody_up(self):
        with Server("--members", 1024) as server:
            with Raw(server) as lazy:
                for _ in range(5):
                    lazy.send("GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertEqual(len(json.loads(server.ask("/status.json", source="127.0.0.2")[2])["members"]), 1024)


if __name__ == "__main__":
    unittest.main()
