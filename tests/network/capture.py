# SPDX-License-Identifier: Apache-2.0
"""Everything that crosses a network (hosts.py), as somebody sees it who sits on its switch.

    with Capture(network, folder) as capture:
        ...
    capture.streams     # {"10.83.0.1:7070>10.83.0.2:40000": bytes}: what one side of a TCP connection has sent, whole
    capture.others      # all other frames, one after another

A packet socket on the switch's ports, in a process of its own: this file, run as a program in the switch's namespace."""

import glob
import os
import select
import socket
import struct
import subprocess
import sys

SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 263, 6, 33
ETH_P_ALL, ETH_P_IP, TCP, SYN = 3, 0x0800, 6, 2
INCOMING = (0, 1, 2, 3)  # sll_pkttype of frames that come from a host; the switch's copies on their way out are PACKET_OUTGOING
BUFFER = 256 << 20
LIMIT = 60


class Capture:
    def __init__(self, network, folder):
        self.namespace, self.folder = network.switch, folder
        self.streams, self.others = {}, b""

    def __enter__(self):
        os.mkdir(self.folder)
        self.process = subprocess.Popen(["ip", "netns", "exec", self.namespace, sys.executable, "-B", __file__, self.folder],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(self.process.communicate(timeout=LIMIT)[1])
        return self

    def __exit__(self, *_):
        """Takes the frames that have arrived so far."""
        try:
            _, err = self.process.communicate(timeout=LIMIT)
        except BaseException:
            self.process.kill()
            raise
        if self.process.returncode:
            raise RuntimeError(err)
        for path in glob.glob(os.path.join(self.folder, "*")):
            with open(path, "rb") as file:
                self.streams[os.path.basename(path)] = file.read()
        self.others = self.streams.pop("others")


class Stream:
    """One direction of a connection, put together by TCP's sequence numbers."""

    def __init__(self):
        self.first = None  # number of its first byte
        self.pieces = {}

    def add(self, number, syn, payload):
        if syn:
            self.first = number + 1 & 0xFFFFFFFF
        if payload and len(payload) > len(self.pieces.get(number, b"")):
            self.pieces[number] = payload

    def join(self):
        """All bytes. ValueError: some are missing."""
        if not self.pieces:  # such as a refusal
            return b""
        if self.first is None:
            raise ValueError("its beginning")
        placed = sorted((number - self.first & 0xFFFFFFFF, piece) for number, piece in self.pieces.items())
        whole = bytearray()
        for at, piece in placed:
            if at >= 1 << 31:  # a keepalive probe repeats the byte before the first
                continue
            if at > len(whole):
                raise ValueError(f"bytes {len(whole)} to {at}")
            whole[at:at + len(piece)] = piece
        return bytes(whole)


def sort_frame(frame, streams, others):
    kind, = struct.unpack_from(">H", frame, 12)
    if kind != ETH_P_IP or frame[23] != TCP:
        others.append(frame)
        return
    length, = struct.unpack_from(">H", frame, 16)
    packet = frame[14:14 + length]
    segment = packet[(packet[0] & 15) * 4:]
    source, target, number, _, offset, flags = struct.unpack_from(">HHIIBB", segment)
    name = f"{socket.inet_ntoa(packet[12:16])}:{source}>{socket.inet_ntoa(packet[16:20])}:{target}"
    streams.setdefault(name, Stream()).add(number, flags & SYN, segment[(offset >> 4) * 4:])


def main(folder):
    streams, others = {}, []
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        print("ready", flush=True)
        ended = False
        while True:
            ready, _, _ = select.select([sock] if ended else [sock, sys.stdin], [], [], 0 if ended else None)
            if sock in ready:
                frame, address = sock.recvfrom(1 << 17)
                if address[2] in INCOMING and address[0].startswith("port"):
                    sort_frame(frame, streams, others)
            elif ended:
                break
            else:
                ended = True
        _, dropped = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    if dropped:
        sys.exit(f"{dropped} frames were not captured")
    for name, stream in streams.items():
        try:
            whole = stream.join()
        except ValueError as error:
            sys.exit(f"{name} was not captured whole: {error}")
        with open(os.path.join(folder, name), "wb") as file:
            file.write(whole)
    with open(os.path.join(folder, "others"), "wb") as file:
        file.write(b"".join(others))


if __name__ == "__main__":
    main(sys.argv[1])
