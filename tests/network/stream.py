# SPDX-License-Identifier: Apache-2.0
"""The rate of plain TCP streams between hosts: bytes of payload per second.

    rates(network, [(0, 1), (1, 0)], seconds)    # from host 0 to 1 and from 1 to 0, at the same time

A stream is what any program could do at best: one connection, nothing but send and receive of large buffers. The rate is
measured by the receiver between its first byte and its last, so bytes still in queues do not count."""

import socket
import subprocess
import sys
import time

BUFFER = 1 << 20
LIMIT = 60
WARM_UP = 0.5  # seconds; TCP finds the rate


def listen(address):
    """Receives one stream. Prints its port, then bytes per second after the warm-up."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        server.settimeout(LIMIT)
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
    buffer = bytearray(BUFFER)
    received, start, last = 0, None, None
    with connection:
        connection.settimeout(LIMIT)
        first = None
        while count := connection.recv_into(buffer):
            last = time.monotonic()
            first = first or last
            if start is None:
                start = last if last - first >= WARM_UP else None
            else:
                received += count
    print(received / (last - start), flush=True)


def send(address, port, seconds):
    buffer = bytes(BUFFER)
    with socket.create_connection((address, int(port)), timeout=LIMIT) as connection:
        end = time.monotonic() + float(seconds) + WARM_UP
        while time.monotonic() < end:
            connection.sendall(buffer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)


def here(*arguments):
    return [sys.executable, __file__, *map(str, arguments)]


def rates(network, pairs, seconds, ipv6=False):
    """pairs: (sender, receiver). Returns the rates in the same order."""
    def address(host):
        return host.ipv6 if ipv6 else host.ipv4

    receivers = [network[to].popen(here("listen", address(network[to])), stdout=subprocess.PIPE, text=True) for _, to in pairs]
    ports = [receiver.stdout.readline().strip() for receiver in receivers]
    senders = [network[of].popen(here("send", address(network[to]), port, seconds)) for (of, to), port in zip(pairs, ports)]
    found = [float(receiver.communicate(timeout=seconds + 2 * LIMIT)[0]) for receiver in receivers]
    if any(sender.wait(timeout=LIMIT) for sender in senders):
        raise RuntimeError("a stream broke")
    return found


if __name__ == "__main__":
    {"listen": listen, "send": send}[sys.argv[1]](*sys.argv[2:])
