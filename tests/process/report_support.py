# SPDX-License-Identifier: Apache-2.0
"""Makes runs by hand and parses pages, for the tests of reports."""

import html
import html.parser
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

from support import LIMIT, ProgramTest

VOID = {"meta", "br", "hr", "img", "link", "input"}
NASTY = "a 'b' \"c\" <script>alert(1)</script> &amp; `touch x` $(touch y) \\n @z {/Bold q} \u20ac_%"


class Page(html.parser.HTMLParser):
    """The elements and texts of a page. An element that is not closed is a failure."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids, self.text = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


def pictures(text):
    """{name of the plot: its SVG elements}, the wide one first."""
    found = {}
    for name, figure in re.findall(r'(?s)<figure id="([a-z-]+)">(.*?)</figure>', text):
        found[name] = [ElementTree.fromstring(svg) for svg in re.findall(r"(?s)<svg.*?</svg>", figure)]
    return found


def words(element):
    return ["".join(text.itertext()).strip() for text in element.iter("text")]


def plain(markup):
    return html.unescape(re.sub(r"<.*?>", "", markup))


def leads(text):
    """The sentences of the headline."""
    return [plain(sentence) for sentence in re.findall(r'<p class="lead">(.*?)</p>', text)]


def banners(text):
    return [plain(banner) for banner in re.findall(r'<p class="card note bad">(.*?)</p>', text)]


def line_colors(picture):
    """The colours of the curves; the axes are grey."""
    used = {tuple(map(int, re.findall(r"\d+", e.get("stroke")))) for e in picture.iter("path")
            if (e.get("stroke") or "").startswith("rgb")}
    return {color for color in used if len(set(color)) > 1}


def labels_of_y(picture):
    """[(pixel, text)] of the labels beside the y axis, from the top."""
    found = []
    for element in picture.iter("g"):
        place = re.match(r"translate\(([\d.]+),([\d.]+)\)", element.get("transform") or "")
        if place and element.get("text-anchor") == "end":
            found.append((float(place[2]), "".join(element.itertext()).strip()))
    return sorted(found)


def step_line(epoch, step, node, **more):
    return {"epoch": epoch, "step": step, "node": node, "seconds": step * 0.01, "loss": 1 + 1 / step, "lr": 0.1,
            "step_ms": 10.0, "gradient_ms": 6.0, "wait_ms": 1.0 + node, "weight": 1.0, **more}


def epoch_line(epoch, step, node, **more):
    return {"epoch": epoch, "step": step, "node": node, "seconds": step * 0.01, "train_loss": 1.0, "test_loss": 1.0,
            "test_accuracy": 0.5 + 0.001 * node, "average_model_accuracy": 0.51, "consensus_distance": 1e-3 / epoch,
            "w_total": 2.0, "drift": 0.0, **more}


def metrics(epochs, nodes, per_epoch=20, interval=5, **more):
    lines = []
    for epoch in range(1, epochs + 1):
        for i in range(1, per_epoch + 1):
            step = ((epoch - 1) * per_epoch + i) * interval
            lines += [step_line(epoch, step, node, **more) for node in range(nodes)]
        lines += [epoch_line(epoch, step, node) for node in range(nodes)]
    return lines


class ReportTest(ProgramTest):
    def path(self, name):
        return os.path.join(self.folder, name)

    def write_run(self, name, lines, nodes=2, epochs=1, **options):
        """A run's directory without summary.json."""
        os.makedirs(self.path(name))
        given = {"algorithm": "sgp", "graph": "exponential", "peers": 1, "overlap": 0, "nodes": nodes,
                 "model": "mlp", "data": "somewhere", "batch_size": 32, "epochs": epochs, "seed": 1, **options}
        with open(os.path.join(self.path(name), "config.json"), "w", encoding="utf-8") as file:
            json.dump({"options": given, "derived": {"steps_per_epoch": 100}}, file)
        with open(os.path.join(self.path(name), "metrics.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        return name

    def write_summary(self, name, nodes=2, lines=None, **fields):
        """A run's directory with a summary.json, and metrics of one epoch if none are given."""
        whole = {"algorithm": "sgp", "graph": "exponential", "peers": 1, "overlap": 0, "nodes": nodes, "workers_per_node": 1,
                 "model": "lenet", "data": "fashion-mnist", "batch_size": 32, "seed": 1, "transport": "auto",
                 "encoding": "float32", "parameters": 61706, "epochs": 3, "steps": 300, "seconds": 20.0,
                 "samples_per_second": 9600.0, "step_ms": {"mean": 10.0, "p50": 9.0, "p99": 20.0}, "wait_ms": 1.0,
                 "train_loss": 0.2, "test_accuracy": {"mean": 0.9, "min": 0.89, "max": 0.91},
                 "average_model_accuracy": 0.9035, "consensus_distance": 1e-3,
                 "mass": {"w_total": 4.0, "drift": 1e-9}, "parameters_hash": "0" * 32,
                 "messages": {"sent": 1200, "received": 1200, "late": 0, "refused": 0, "resent": 0, "reabsorbed": 0},
                 **fields}
        options = {key: whole[key] for key in ("algorithm", "graph", "peers", "overlap", "model", "data", "seed")}
        self.write_run(name, metrics(1, nodes) if lines is None else lines, nodes=nodes, epochs=3, **options)
        with open(os.path.join(self.path(name), "summary.json"), "w", encoding="utf-8") as file:
            json.dump(whole, file)
        return name

    def write_diverged(self, name, **fields):
        """A run that ended without final figures."""
        nothing = {**dict.fromkeys(("seconds", "samples_per_second", "wait_ms", "train_loss", "average_model_accuracy",
                                    "consensus_distance", "parameters_hash")),
                   "test_accuracy": dict.fromkeys(("mean", "min", "max")), "step_ms": dict.fromkeys(("mean", "p50", "p99"))}
        return self.write_summary(name, **{"status": "diverged", "reason": "node 1 has a loss that is not finite",
                                           "steps": 103, **nothing, **fields})

    def check_in_browser(self, page, titles):
        """At the widths of a screen, a tablet and a phone no page scrolls sideways, and the cells of these columns lie
        within their card."""
        widths = (1280, 768, 390)
        browser = shutil.which("chromium")
        if not browser:
            self.skipTest("chromium is missing")
        with open(self.path(page), encoding="utf-8") as file:
            text = html.escape(file.read())
        frames = [f'<iframe width="{width}" height="900" style="border:0" srcdoc="{text}"></iframe>' for width in widths]
        measure = """onload = () => { document.title = 'found ' + [...document.querySelectorAll('iframe')].map(element => {
            const frame = element.contentWindow;
            const cells = [...frame.document.querySelectorAll('td[data-label]')].filter(c => %s.includes(c.dataset.label));
            const out = cells.filter(c => {
                const card = c.closest('.card').getBoundingClientRect(), r = c.getBoundingClientRect();
                return r.left < card.left || r.right > card.right || r.width === 0;
            });
            return [frame.innerWidth, frame.document.documentElement.scrollWidth, cells.length, out.length].join(' ');
        }).join(', '); };""" % json.dumps(titles)
        with open(self.path("probe.html"), "w", encoding="utf-8") as file:
            file.write(f"<!DOCTYPE html><title>none</title><script>{measure}</script>{''.join(frames)}")
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.path('profile')}",
                   "--dump-dom", "file://" + self.path("probe.html")]
        said = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=LIMIT, text=True, check=False).stdout
        if "<title>" not in said:
            self.skipTest("chromium does not run here")
        found = re.search("<title>found (.*?)</title>", said)
        for width, frame in zip(widths, found[1].split(", "), strict=True):
            inner, scrolled, cells, out = map(int, frame.split())
            self.assertEqual((inner, out), (width, 0), frame)
            self.assertLessEqual(scrolled, width)
            self.assertGreaterEqual(cells, len(titles))

    def report(self, *arguments, err=""):
        """Returns the text of the page, and the page parsed."""
        status, out, said = self.run_program("report", *arguments)
        self.assertEqual(status, 0, said)
        self.assertEqual(said, err)
        with open(self.path(out.strip()), encoding="utf-8") as file:
            text = file.read()
        return text, self.check_page(text)

    def check_page(self, text):
        """The page is well-formed and loads nothing, and every reference inside a picture resolves."""
        page = Page(text)
        for tag, name, value in page.attributes:
            self.assertNotIn(name, ("src", "srcset", "xlink:href", "onload"), tag)
            if name == "href":
                self.assertTrue(value.startswith("#"), value)
        self.assertNotIn("script", page.tags)
        self.assertNotIn("link", page.tags)
        self.assertNotRegex(text, r"@import|url\((?!#)")
        self.assertEqual(len(page.ids), len(set(page.ids)))
        for name, shown in pictures(text).items():
            self.assertIn(len(shown), (0, 2), name)
            for picture in shown:
                ids = {e.get("id") for e in picture.iter() if e.get("id")}
                used = {e.get("href")[1:] for e in picture.iter() if e.get("href")}
                self.assertLessEqual(used, ids)
        return page
