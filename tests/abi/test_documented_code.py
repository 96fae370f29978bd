# SPDX-License-Identifier: Apache-2.0
"""The code in README.md and docs/ compiles against include/sgp, and the Python in docs/library.md runs with the library.

A C block that defines a function is a file; any other is the body of a function in which the names of PRELUDE are declared."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGES = ["README.md", "docs/guide.md", "docs/library.md"]

INCLUDES = """
#include <poll.h>
#include <signal.h>
#include <sgp/sgp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
"""

PRELUDE = """
enum { P = 100, S = 10, M = 2 };
void must(sgp_status_t status);
void compute_gradient(const float *z, const int *batch, float *gradient);
const int *batch_of(int step);
void update(float *z, const float *gradient);
void forward(int layer);
void backward(int layer);
void fill(float *vector);
void on_signal(int number);
int go_on(void);
sgp_status_t save_optimizer(void *user, void **bytes, size_t *count);
void print_log(sgp_log_level_t level, int rank, const char *line, void *user);

sgp_group_t *group;
sgp_mixer_t *mixer;
sgp_optimizer_t *optimizer;
sgp_mixer_options_t options;
sgp_optimizer_options_t optimizer_options;
sgp_status_t status;
FILE *file;
float initial[P + S], average[P + S], gradient[P], change[P], learning_rate, *z;
double loss;
int steps, layers;
size_t offset[10], count[10], size, optimizer_size;
void *bytes, *optimizer_bytes;
volatile sig_atomic_t stop;
"""


def blocks(page, language):
    """[(line, text)] of the fenced blocks in this language"""
    with open(os.path.join(SOURCE, page), encoding="utf-8") as file:
        text = file.read()
    pattern = re.compile(rf"^```{language}\n(.*?)^```$", re.M | re.S)
    return [(text.count("\n", 0, m.start()) + 2, m.group(1)) for m in pattern.finditer(text)]


def program(text, line, page):
    marked = f'#line {line} "{page}"\n{text}'
    if re.search(r"^(static|int main|#include)\b", text, re.M):
        return INCLUDES + marked
    return INCLUDES + PRELUDE + "sgp_status_t block(void);\nsgp_status_t block(void) {\n" + marked + "return SGP_OK;\n}\n"


def compile_errors(text):
    command = [os.environ.get("SGP_CC", "cc"), "-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Werror"]
    command += ["-Wno-unused", "-I", os.path.join(SOURCE, "include"), "-fsyntax-only", "-x", "c", "-"]
    done = subprocess.run(command, input=text, stderr=subprocess.PIPE, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stderr


def documented_layouts():
    """{struct: [(field, offset)]} of layouts.txt"""
    layouts = {}
    with open(os.path.join(SOURCE, "tests", "abi", "layouts.txt"), encoding="utf-8") as file:
        for line in file:
            struct = re.match(r"struct (\w+):", line)
            field = re.match(r"    (\w+): at (\d+),", line)
            if struct:
                fields = layouts.setdefault(struct.group(1), [])
            elif field:
                fields.append((field.group(1), int(field.group(2))))
    return layouts


class DocumentedCode(unittest.TestCase):
    def test_c_compiles(self):
        seen = 0
        for page in PAGES:
            for line, text in blocks(page, "c"):
                seen += 1
                with self.subTest(page=page, line=line):
                    self.assertEqual(compile_errors(program(text, line, page)), "")
        self.assertGreater(seen, 10)

    def test_a_wrong_name_is_seen(self):
        text = "must(sgp_mixer_stop(mixer));\n"
        self.assertIn("sgp_mixer_stop", compile_errors(program(text, 1, "none")))

    def test_python_trains(self):
        for line, text in blocks("docs/library.md", "python"):
            with self.subTest(line=line), tempfile.TemporaryDirectory() as directory:
                nodes = []
                for rank in range(2):
                    environment = dict(os.environ, SGP_RANK=str(rank), SGP_SIZE="2", SGP_RENDEZVOUS=directory)
                    nodes.append(subprocess.Popen([sys.executable, "-c", text], env=environment, text=True,
                                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
                    self.addCleanup(nodes[-1].kill)
                for node in nodes:
                    output = node.communicate(timeout=60)[0]
                    self.assertEqual(node.returncode, 0, output)
                    self.assertLess(float(output), 0.01)

    def test_python_structs_have_the_layout_of_the_library(self):
        layouts = documented_layouts()
        for line, text in blocks("docs/library.md", "python"):
            scope = {}
            declarations = text[text.index("class Graph"):text.index("def call")]
            exec("import ctypes as c\n" + declarations, scope)  # pylint: disable=exec-used
            for name, struct in (("sgp_graph_t", scope["Graph"]), ("sgp_mixer_options_t", scope["MixerOptions"])):
                mine = [(field[0], getattr(struct, field[0]).offset) for field in struct._fields_]
                with self.subTest(line=line, struct=name):
                    self.assertEqual(mine, layouts[name][:len(mine)])


if __name__ == "__main__":
    unittest.main()
