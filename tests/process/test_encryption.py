# SPDX-License-Identifier: Apache-2.0
"""--encryption, and the cipher of each connection."""

import os
import re
import unittest

from support import node_pids, write
from test_join import RUN, JoinTest

PRELOAD = os.environ.get("SGP_CIPHER_PRELOAD")
WITHOUT_AES = {"OPENSSL_ia32cap": "~0x200000200000000"}  # as the manual page OPENSSL_ia32cap(3) does it


def has_aes():
    """Whether this is an x86 CPU with the instructions that WITHOUT_AES takes away."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return bool(re.search(r"^flags\s*:(?=.*\baes\b)(?=.*\bpclmulqdq\b)", file.read(), re.MULTILINE))


class Environment(JoinTest):
    """Encryption without a key is a mistake, so that a run without a key shows what was chosen."""

    ON = {"SGP_ENCRYPTION": "on"}

    def test_environment_decides_without_an_option(self):
        line = self.refused(*self.arguments("--nodes", "1", "--join", self.at), environment=self.ON)
        self.assertIn("there is no key", line)

    def test_option_overrides_it(self):
        for word in ("auto", "off"):
            with self.subTest(word):
                self.end_all([self.node("--encryption", word, "--overwrite", nodes=1, environment=self.ON)])


@unittest.skipUnless(PRELOAD, "sanitizers must be the first library of a program, so no other one is preloaded")
class Cipher(JoinTest):
    def keyed_node(self, name, *more, environment=None):
        key = os.path.join(self.folder, "key")
        if not os.path.exists(key):
            write(key, b"a secret of this test")
            os.chmod(key, 0o600)
        seen = {"LD_PRELOAD": PRELOAD, "CIPHERS_FILE": os.path.join(self.folder, name + ".ciphers")}
        return self.node("--transport", "tcp", "--key-file", key, *more, nodes=3, environment={**seen, **(environment or {})})

    def ciphers(self, name):
        with open(os.path.join(self.folder, name + ".ciphers"), encoding="ascii") as file:
            return set(file.read().split())

    def check(self, encryption, without, expected):
        """Three nodes, of which those of the set `without` have no AES."""
        nodes = [self.keyed_node(str(rank), "--rank", str(rank), "--encryption", encryption,
                                 environment=WITHOUT_AES if rank in without else None) for rank in range(3)]
        self.assertEqual(self.end_all(nodes), ["", "", ""])
        self.assertEqual([self.ciphers(str(rank)) for rank in range(3)], expected)
        self.assertEqual(self.hash_of(), self.reference(3))

    @unittest.skipUnless(has_aes(), "this CPU is not an x86 with AES")
    def test_all_have_aes(self):
        self.check("on", {}, [{"AES"}] * 3)

    @unittest.skipUnless(has_aes(), "this CPU is not an x86 with AES")
    def test_one_has_no_aes(self):
        """Its connections use the other cipher, and those of the others stay as they are. The bits are the same."""
        self.check("on", {2}, [{"AES", "ChaCha20"}, {"AES", "ChaCha20"}, {"ChaCha20"}])

    @unittest.skipUnless(has_aes(), "this CPU is not an x86 with AES")
    def test_authentication_alone(self):
        self.check("off", {2}, [{"AES", "ChaCha20"}, {"AES", "ChaCha20"}, {"ChaCha20"}])

    def test_none_has_aes(self):
        self.check("on", {0, 1, 2}, [{"ChaCha20"}] * 3)


class Memory(JoinTest):
    def hidden(self, pid):
        """KiB in use of the private mappings that a core dump leaves out, by their size."""
        found, size, used = {}, None, None
        with open(f"/proc/{pid}/smaps", encoding="utf-8") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name == "Size":
                    size = int(value.split()[0])
                elif name == "Rss":
                    used = int(value.split()[0])
                elif name == "VmFlags" and "dd" in value.split():
                    found[size] = found.get(size, 0) + used
        return found

    def test_memory_of_libcrypto_is_not_dumped(self):
        """The mapping of tools/sgp/cli/crypto_memory.c is there, and in use. test_crypto_memory.c shows that no key is elsewhere."""
        launcher = self.start_endless("--transport", "tcp", nodes=2)
        pids = node_pids(launcher.pid)
        self.assertEqual(len(pids), 2)
        for pid in pids.values():
            self.assertGreater(self.hidden(pid).get(32 << 10, 0), 0)


if __name__ == "__main__":
    unittest.main()
