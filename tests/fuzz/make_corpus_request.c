/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to the status server, and texts that it shows (fuzz_status_request.c). */
#include "make_corpus.h"

enum { HOST = 1, PASSWORD = 2, SHOWN = 4 };

void corpus_make_requests(void) {
    static const struct {
        const char *name;
        unsigned switches;
        const char *text;
    } inputs[] = {
        {"host-name", HOST, "machine:7070"},
        {"host-address", HOST, "192.0.2.7:7070"},
        {"host-six", HOST, "[::1]:7070"},
        {"host-mapped", HOST, "[::ffff:127.0.0.1]"},
        {"host-foreign", HOST, "localhost.evil.example:80"},
        {"host-open", HOST, "[::1:7070"},
        {"host-port", HOST, "localhost:123456"},
        {"password", PASSWORD, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"password-empty", PASSWORD, "Basic Og=="},
        {"password-none", PASSWORD, "Basic YWJj"},
        {"password-long", PASSWORD, "Basic QTpiOmM="},
        {"origin", PASSWORD, "http://a:1"},
        {"path", PASSWORD, "/status.json"},
        {"shown-markup", SHOWN, "<script>alert('1')</script> & \"x\" \\"},
        {"shown-letters", SHOWN, "\xc3\xbc \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"shown-cut", SHOWN, "\xf0\x9f\x98"},
        {"shown-long", SHOWN, "\xc0\xaf \xe0\x80\xaf \xed\xa0\x80 \xf4\x90\x80\x80"},
        {"shown-controls", SHOWN, "a\nb\x01 \xc2\x85 \xe2\x80\xae"},
    };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        bytes_t bytes = {0};
        corpus_add_byte(&bytes, inputs[i].switches);
        corpus_add(&bytes, inputs[i].text, strlen(inputs[i].text));
        corpus_write("status_request", inputs[i].name, &bytes);
    }
}
