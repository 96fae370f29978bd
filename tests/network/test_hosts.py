# SPDX-License-Identifier: Apache-2.0
"""The hosts of the other tests and of bench/network: they reach each other as real hosts do, and leave nothing behind."""

import glob
import os
import signal
import subprocess
import sys
import unittest

import hosts
import stream

PROGRAM = """
import subprocess, sys
import hosts
with hosts.Network(2) as network:
    process = network[1].popen(["sh", "-c", "echo there; exec sleep 1000"], stdout=subprocess.PIPE)
    process.stdout.readline()
    print(network.prefix, flush=True)
    sys.stdin.read()
"""

# Prints the time until a connection to a closed port is refused: one round trip.
ROUND_TRIP = """
import socket, sys, time
start = time.monotonic()
try:
    socket.create_connection((sys.argv[1], 9), timeout=60)
except ConnectionRefusedError:
    print(time.monotonic() - start)
"""


def left(prefix):
    return glob.glob(f"/run/netns/{prefix}*")


def round_trip(of, address):
    done = of.run([sys.executable, "-c", ROUND_TRIP, address], stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


@unittest.skipIf(hosts.why_not(), hosts.why_not())
class Hosts(unittest.TestCase):
    def test_reach_each_other_and_nothing_else(self):
        with hosts.Network(3) as network:
            for host in network:
                for other in network:
                    for address in (other.ipv4, other.ipv6):
                        if address:
                            round_trip(host, address)
            routes = network[0].run(["ip", "route", "show", "default"], stdout=subprocess.PIPE, text=True)
            self.assertEqual(routes.stdout, "")
            names = {host.run(["hostname"], stdout=subprocess.PIPE, text=True).stdout for host in network}
            self.assertEqual(len(names), 3)

    def test_rate_holds_in_both_directions(self):
        """More than the rate never arrives, however fast the machine; half of it does, however busy."""
        rate = 50e6
        with hosts.Network(2, rate=rate) as network:
            for bytes_per_second in stream.rates(network, [(0, 1), (1, 0)], 2):
                self.assertLess(bytes_per_second * 8, rate)
                self.assertGreater(bytes_per_second * 8, rate / 2)

    def test_rate_holds_for_what_comes_from_several(self):
        rate = 50e6
        with hosts.Network(3, rate=rate) as network:
            self.assertLess(sum(stream.rates(network, [(1, 0), (2, 0)], 2)) * 8, rate * 1.1)

    def test_delay(self):
        with hosts.Network(3, rate=50e6, delay=0.03) as network:
            for address in (network[1].ipv4, network[1].ipv6):
                if address:
                    self.assertGreaterEqual(round_trip(network[0], address), 0.06)
            for bytes_per_second in stream.rates(network, [(1, 0)], 1):
                self.assertLess(bytes_per_second * 8, 50e6)
            self.assertLess(sum(stream.rates(network, [(1, 0), (2, 0)], 2)) * 8, 50e6 * 1.1)
        self.assertIn("frames", network.relay_report)

    def test_ending_what_runs_in_a_host_leaves_the_network(self):
        for delay in (0, 0.001):
            with self.subTest(delay), hosts.Network(2, delay=delay) as network:
                process = network[1].popen(["sh", "-c", "echo there; exec sleep 1000"], stdout=subprocess.PIPE)
                process.stdout.readline()
                for host in network:
                    hosts.end_processes(host.namespace)
                self.assertEqual(process.wait(), -signal.SIGKILL)
                process.stdout.close()
                round_trip(network[0], network[1].ipv4)

    def test_link_down_and_up(self):
        for delay in (0, 0.001):
            with self.subTest(delay), hosts.Network(2, delay=delay) as network:
                round_trip(network[0], network[1].ipv4)
                network[1].set_link(False)
                quick = ROUND_TRIP.replace("60", "1")
                done = network[0].run([sys.executable, "-c", quick, network[1].ipv4], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True)
                self.assertIn("Error", done.stderr)
                network[1].set_link(True)
                round_trip(network[0], network[1].ipv4)


@unittest.skipIf(hosts.why_not(), hosts.why_not())
class Removal(unittest.TestCase):
    def start(self):
        process = subprocess.Popen([sys.executable, "-B", "-c", PROGRAM], cwd=os.path.dirname(os.path.abspath(__file__)),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(self.end, process)
        prefix = process.stdout.readline().strip()
        self.assertEqual(len(left(prefix)), 3)
        return process, prefix

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
            process.communicate()
            hosts.remove_stale()
        process.stdin.close()
        process.stdout.close()

    def test_at_the_end(self):
        process, prefix = self.start()
        process.communicate("")
        self.assertEqual(left(prefix), [])

    def test_after_a_signal(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process, prefix = self.start()
            process.send_signal(number)
            process.wait()
            self.assertEqual(left(prefix), [], number)

    def test_after_a_kill_by_the_next(self):
        process, prefix = self.start()
        pids = hosts.pids_in(f"{prefix}-host1")
        self.assertTrue(pids)
        process.kill()
        process.wait()
        self.assertEqual(len(left(prefix)), 3)
        with hosts.Network(1):
            self.assertEqual(left(prefix), [])
        for pid in pids:
            self.assertIsNone(hosts.started_at(pid))

    def test_of_others_that_live_is_none(self):
        _, prefix = self.start()
        with hosts.Network(1):
            self.assertEqual(len(left(prefix)), 3)


if __name__ == "__main__":
    unittest.main()
