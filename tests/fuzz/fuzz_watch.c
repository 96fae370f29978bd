/* SPDX-License-Identifier: Apache-2.0 */
/* What `sgp watch` makes of an answer: the bytes after the switches are one of HTTP, or with FUZZ_REPAIR its body alone. */
#include "fuzz.h"

#include "files/json.h"
#include "watch/watch_http.h"
#include "watch/watch_text.h"

/* Printable text of one column a character, and lines. */
static void check_drawn(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        FUZZ_CHECK(c == '\n' || (c >= 0x20 && c != 0x7f));
        FUZZ_CHECK(c != 0xc2 || (unsigned char)text[i + 1] >= 0xa1); /* no C1 control */
    }
}

static void draw(const watch_view_t *view, int width, int height) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    watch_style_t style = {.width = width, .height = height, .utf8 = width % 2};
    FUZZ_CHECK(out);
    watch_text_draw(out, view, &style, "\n");
    FUZZ_CHECK(fclose(out) == 0);
    int lines = 0;
    for (size_t i = 0; i < length; i++) lines += text[i] == '\n';
    FUZZ_CHECK(height == 0 || lines <= height);
    check_drawn(text, length);
    free(text);
}

static void check_body(const char *body, size_t length) {
    watch_view_t *view = malloc(sizeof *view);
    json_t *json = files_json_parse(body, length, 0, NULL);
    FUZZ_CHECK(view && watch_view_fill(view, json));
    draw(view, 81, 0);
    draw(view, 140, 12);
    draw(view, 20, 2);
    watch_view_release(view);
    json_decref(json);
    free(view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    watch_http_answer_t answer;
    if (size < 1) return 0;
    size_t length = size - 1;
    char *text = malloc(size);
    FUZZ_CHECK(text);
    memcpy(text, data + 1, length);
    text[length] = '\0';
    if (data[0] & FUZZ_REPAIR) check_body(text, length);
    else if (watch_http_parse(text, length, &answer)) {
        FUZZ_CHECK(answer.status >= 0 && answer.status <= 999);
        FUZZ_CHECK(answer.body >= text && answer.body + answer.length <= text + length);
        check_body(answer.body, answer.length);
    }
    free(text);
    return 0;
}
