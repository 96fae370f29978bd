# SPDX-License-Identifier: Apache-2.0
"""sgp bench on hosts with links of a known rate and delay: nothing is faster than the link, however busy the machine is, and a quiet one is
nearly as fast."""

import json
import unittest

from runs import NetworkTest, with_port

RATE, DELAY = 50e6, 0.01  # bits a second, seconds


class Bench(NetworkTest):
    def bench(self, network, nodes):
        self.port += 1
        path = self.output("found.json")
        at = with_port(network[0].ipv4, self.port)
        self.finish([self.start_on(network[rank], "bench", "--json", "--transport", "tcp", "--join", at, "--nodes", str(nodes),
                                   "--rank", str(rank), "--key-file", self.key_file(), "--megabytes", "2", "--rounds", "3",
                                   "--output", path) for rank in range(nodes)])
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def test_rate(self):
        found = self.bench(self.make_network(3, rate=RATE), 3)
        for name in ("rate_mbps", "pair_mbps"):
            # The bucket of the link lets a few milliseconds' worth pass at once.
            self.assertLess(found[name], 1.1 * RATE / 1e6, name)
            self.assertGreater(found[name], 0.3 * RATE / 1e6, name)

    def test_latency(self):
        found = self.bench(self.make_network(2, rate=RATE, delay=DELAY), 2)
        self.assertGreater(found["latency_ms"], 1e3 * DELAY)
        self.assertLess(found["latency_ms"], 5e3 * DELAY)


if __name__ == "__main__":
    unittest.main()
