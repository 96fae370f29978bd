# SPDX-License-Identifier: Apache-2.0
"""The page in a browser: it follows the run, keeps what its reader has opened, runs no foreign script, and fits a phone."""

import time
import unittest

import chromium
from status_support import LIMIT, Server

EVIL = "<script>alert(1)</script><img src=x onerror=\"document.title='evil'\">"


@unittest.skipUnless(chromium.PROGRAM, "chromium is missing (Debian: chromium)")
class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = chromium.Browser().__enter__()
        cls.addClassCleanup(cls.browser.__exit__)

    def open(self, server):
        self.browser.open("about:blank")
        self.browser.events.clear()
        self.browser.open(f"http://127.0.0.1:{server.port}/")

    def wait_for(self, expression):
        deadline = time.monotonic() + LIMIT
        while not self.browser.evaluate(expression):
            self.assertLess(time.monotonic(), deadline, expression)

    def test_the_page_follows_the_run(self):
        with Server() as server:
            self.open(server)
            self.assertNotIn("is gone", self.browser.evaluate("document.body.innerText"))
            began = time.monotonic()
            server.tell("gone 3 its process ended")
            self.wait_for("document.getElementById('members').innerText.includes('Node 3 is gone')")
            print(f"(a loss was on the page after {time.monotonic() - began:.2f} s)", end=" ", flush=True)
            self.assertEqual(self.browser.evaluate("document.querySelector('#figures dd').innerText.split('\\n')[0]"), "7 / 8")
            self.assertEqual(self.browser.complaints(), [])

    def test_what_is_open_stays_open(self):
        with Server("--members", 20) as server:
            self.open(server)
            self.browser.evaluate("document.querySelector('#healthy summary').focus()")
            self.browser.evaluate("document.querySelector('#healthy').open = true")
            server.tell("gone 3 lost")
            self.wait_for("document.getElementById('members').innerText.includes('Node 3 is gone')")
            self.assertTrue(self.browser.evaluate("document.querySelector('#healthy').open"))
            self.assertTrue(self.browser.evaluate("document.activeElement.tagName == 'SUMMARY'"))

    def test_texts_are_never_markup(self):
        with Server() as server:
            server.tell("name " + EVIL)
            server.tell("gone 2 " + EVIL)
            self.open(server)
            server.tell("gone 3 " + EVIL)
            self.wait_for("document.getElementById('members').innerText.includes('Node 3 is gone')")
            self.assertEqual(self.browser.evaluate("document.querySelector('h1').innerText"), EVIL)
            self.assertEqual(self.browser.evaluate("document.querySelectorAll('img, main script').length"), 0)
            self.assertNotEqual(self.browser.evaluate("document.title"), "evil")
            self.assertEqual(self.browser.complaints(), [])

    def test_the_policy_stops_foreign_scripts(self):
        """Even markup that slipped through would do nothing."""
        with Server() as server:
            self.open(server)
            self.browser.evaluate("document.body.insertAdjacentHTML('beforeend', "
                                  "'<img src=\"data:,\" onerror=\"document.title = 1\"><p style=\"color: red\">')")
            self.wait_for("performance.now() > 0")
            self.assertNotEqual(self.browser.evaluate("document.title"), "1")
            self.assertNotEqual(self.browser.evaluate("getComputedStyle(document.body.lastChild).color"), "rgb(255, 0, 0)")

    def test_nothing_is_wider_than_the_screen(self):
        for members in (1, 8, 64, 1024):
            with Server("--members", members) as server:
                if members > 1:
                    server.tell("gone 1 " + "a" * 100)
                self.open(server)
                for width in (1280, 768, 390):
                    self.browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                                      mobile=False)
                    self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width, members)

    def test_the_flight_recorder(self):
        with Server() as server:
            self.open(server)
            self.browser.evaluate("document.querySelector('#flight button').click()")
            self.wait_for("document.querySelector('#flight').innerText.includes('has been written')")
            self.assertEqual(server.tell("flights"), "1")

    def test_without_a_script_the_button_works_too(self):
        with Server() as server:
            self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
            try:
                self.open(server)
                self.browser.call("Emulation.setScriptExecutionDisabled", value=False)
                self.browser.evaluate("HTMLFormElement.prototype.submit.call(document.querySelector('#flight'))")
                self.wait_for("document.body.innerText.includes('has been written')")
            finally:
                self.browser.call("Emulation.setScriptExecutionDisabled", value=False)
            self.assertEqual(server.tell("flights"), "1")

    def test_a_node_that_no_longer_answers_is_said(self):
        with Server() as server:
            self.open(server)
            self.wait_for("document.getElementById('connection').hidden")
        self.wait_for("!document.getElementById('connection').hidden")
        self.assertIn("No answer", self.browser.evaluate("document.getElementById('connection').innerText"))


if __name__ == "__main__":
    unittest.main()
