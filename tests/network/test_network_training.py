# SPDX-License-Identifier: Apache-2.0
"""Four hosts, one process on each, learn the same parameters, bit by bit, as four processes of one machine over shared memory."""

import unittest

from runs import KEY, PARAMETER_BYTES, TRAINING, NetworkTest

ALGORITHMS = {
    "sgp": ["--algorithm", "sgp"],
    "osgp": ["--algorithm", "osgp"],
    "osgp, overlap 2": ["--algorithm", "osgp", "--overlap", "2"],
    "dpsgd": ["--algorithm", "dpsgd"],
    "allreduce": ["--algorithm", "allreduce"],
}


class Training(NetworkTest):
    def check(self, network, *arguments, way=(), **options):
        """way: options that say how the nodes reach each other."""
        summary = self.finish(self.start_nodes(network, *arguments, *TRAINING, *way, **options))
        self.assertEqual(summary["parameters_hash"], self.reference(*arguments, *TRAINING))
        return summary

    def test_same_bits_over_ipv4(self):
        network = self.make_network(4)
        for name, arguments in ALGORITHMS.items():
            with self.subTest(name):
                self.check(network, *arguments)

    def test_same_bits_over_ipv6(self):
        network = self.make_network(4)
        if not network[0].ipv6:
            self.skipTest("this kernel has no IPv6")
        for name, arguments in ALGORITHMS.items():
            with self.subTest(name):
                self.check(network, *arguments, ipv6=True)

    def test_same_bits_over_slow_links(self):
        network = self.make_network(4, rate=50e6)
        for name in ("sgp", "osgp", "allreduce"):
            with self.subTest(name):
                self.check(network, *ALGORITHMS[name])

    def test_same_bits_over_a_long_way(self):
        network = self.make_network(4, rate=100e6, delay=0.01)
        for name in ("sgp", "osgp", "allreduce"):
            with self.subTest(name):
                self.check(network, *ALGORITHMS[name])

    def test_what_waits_for_nothing_ends_well(self):
        """Its parameters depend on the order of messages, and the mass does not."""
        network = self.make_network(4, rate=100e6)
        for arguments in (["--algorithm", "sgp", "--overlap", "async"], ["--algorithm", "adpsgd"]):
            with self.subTest(arguments):
                summary = self.finish(self.start_nodes(network, *arguments, *TRAINING))
                self.assertAlmostEqual(summary["mass"]["w_total"], 4, places=9)
                self.assertLess(summary["mass"]["drift"], 1e-4)

    def test_the_network_carries_it(self):
        """A run over another path would prove nothing. One push per step and node, each with all parameters."""
        network = self.make_network(4)
        before = [host.counters() for host in network]
        summary = self.check(network)
        for (received, sent), host in zip(before, network):
            now = host.counters()
            self.assertGreater(now[0] - received, summary["steps"] * PARAMETER_BYTES)
            self.assertGreater(now[1] - sent, summary["steps"] * PARAMETER_BYTES)

    def test_ranks_in_order_of_arrival(self):
        network = self.make_network(4)
        processes = [self.start_node(host, *TRAINING, at=network[0].ipv4) for host in network]
        self.assertEqual(self.finish(processes)["parameters_hash"], self.reference(*TRAINING))

    def test_the_place_to_meet_may_come_last(self):
        network = self.make_network(4)
        processes = [self.start_node(network[rank], "--rank", str(rank), *TRAINING, at=network[3].ipv4) for rank in range(4)]
        self.assertEqual(self.finish(processes)["parameters_hash"], self.reference(*TRAINING))

    def test_interface_and_ports(self):
        network = self.make_network(4)
        self.check(network, way=["--interface", "eth0", "--ports", "7000-7010"])

    def test_key_in_the_environment(self):
        network = self.make_network(4)
        self.check(network, key=False, environment={"SGP_KEY": KEY})

    def test_without_a_key_if_asked_for(self):
        network = self.make_network(4)
        self.check(network, way=["--insecure"], key=False)

    def test_three_hosts(self):
        network = self.make_network(3)
        summary = self.finish(self.start_nodes(network, *TRAINING, nodes=3))
        self.assertEqual(summary["parameters_hash"], self.reference(*TRAINING, nodes=3))


if __name__ == "__main__":
    unittest.main()
