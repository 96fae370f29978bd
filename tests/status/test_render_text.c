/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "status/server/render_text.h"
#include "status/server/render_words.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The text so far, which begins anew. */
static char *end(render_t *text) {
    static char copy[512];
    assert_true(text->length < sizeof copy);
    memcpy(copy, text->length ? text->bytes : "", text->length);
    copy[text->length] = '\0';
    render_free(text);
    return copy;
}

typedef void add_t(render_t *, const char *);

static const char *added(add_t *add, const char *foreign) {
    render_t text = {0};
    add(&text, foreign);
    return end(&text);
}

static void test_html_is_escaped(void **state) {
    (void)state;
    assert_string_equal(added(render_html, "<script>alert('1')</script> & \"x\""),
                        "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;");
    assert_string_equal(added(render_html, "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x98\x80"),
                        "M\xc3\xbcller \xe2\x82\xac \xf0\x9f\x98\x80");
}

static void test_json_and_labels_are_quoted(void **state) {
    (void)state;
    assert_string_equal(added(render_json_string, "a\"b\\c</script>"), "\"a\\\"b\\\\c</script>\"");
    assert_string_equal(added(render_label, "a\"b\\c"), "\"a\\\"b\\\\c\"");
}

#define BAD "\xef\xbf\xbd"

/* RFC 3629; what is not UTF-8 costs one U+FFFD for each byte. */
static void test_what_is_not_text_is_replaced(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a\nb\tc\x01\x7f", "a" BAD "b" BAD "c" BAD BAD},
        {"\x80", BAD},
        {"\xc3", BAD},
        {"\xc3(", BAD "("},
        {"\xc0\xaf", BAD BAD},                 /* longer than need be */
        {"\xe0\x80\xaf", BAD BAD BAD},         /* the same */
        {"\xed\xa0\x80", BAD BAD BAD},         /* a surrogate */
        {"\xf4\x90\x80\x80", BAD BAD BAD BAD}, /* above U+10FFFF */
        {"\xf0\x9f\x98", BAD BAD BAD},         /* cut off */
        {"\xc2\x85", BAD},                     /* a C1 control */
        {"a\xe2\x80\xae"
         "b",
         "a" BAD "b"}, /* right-to-left override */
        {"a\xe2\x81\xa6"
         "b",
         "a" BAD "b"}, /* an isolate */
        {"\xff\xfe", BAD BAD},
    };
    char quoted[128];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(added(render_html, cases[i][0]), cases[i][1]);
        snprintf(quoted, sizeof quoted, "\"%s\"", cases[i][1]);
        assert_string_equal(added(render_json_string, cases[i][0]), quoted);
        assert_string_equal(added(render_label, cases[i][0]), quoted);
    }
}

static const char *number(double value) {
    render_t text = {0};
    render_number(&text, value, "null");
    return end(&text);
}

static void test_numbers_read_back(void **state) {
    (void)state;
    static const double numbers[] = {0.1,
                                     1.0 / 3,
                                     1e300,
                                     5e-324,
                                     -2.5,
                                     1e15,
                                     123456789012,
                                     0.30000000000000004,
                                     -0.0,
                                     1e-7,
                                     9007199254740993.0,
                                     1.7976931348623157e308};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        assert_true(strtod(number(numbers[i]), NULL) == numbers[i]);
    assert_string_equal(number(0.1), "0.1");
    assert_string_equal(number(1200), "1200");
    assert_string_equal(number(NAN), "null");
    assert_string_equal(number(INFINITY), "null");
    assert_string_equal(number(-INFINITY), "null");
}

static void test_words(void **state) {
    (void)state;
    render_t text = {0};
    words_count(&text, 0);
    assert_string_equal(end(&text), "0");
    words_count(&text, 999);
    assert_string_equal(end(&text), "999");
    words_count(&text, 1234567);
    assert_string_equal(end(&text), "1,234,567");
    words_count(&text, UINT64_MAX);
    assert_string_equal(end(&text), "18,446,744,073,709,551,615");
    words_bytes(&text, 999);
    assert_string_equal(end(&text), "999 B");
    words_bytes(&text, 1234);
    assert_string_equal(end(&text), "1.23 kB");
    words_bytes(&text, 999999);
    assert_string_equal(end(&text), "1.00 MB");
    words_rate(&text, 12345678);
    assert_string_equal(end(&text), "12.3 MB/s");
    words_ms(&text, 0.1234);
    assert_string_equal(end(&text), "0.123");
    words_ms(&text, 9.996);
    assert_string_equal(end(&text), "10.0");
    words_ms(&text, 123.4);
    assert_string_equal(end(&text), "123");
    words_percent(&text, 0.91234);
    assert_string_equal(end(&text), "91.23 %");
    words_speed(&text, 1234.5);
    assert_string_equal(end(&text), "1,235");
}

static void test_durations(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *words;
    } cases[] = {{0, "0 s"},
                 {0.42, "0.4 s"},
                 {9.94, "9.9 s"},
                 {9.96, "10 s"},
                 {59.4, "59 s"},
                 {59.6, "1 min 0 s"},
                 {3599, "59 min 59 s"},
                 {3600, "1 h 0 min"},
                 {86400 + 7200, "1 d 2 h"},
                 {NAN, "\xe2\x80\x93"},
                 {-1, "\xe2\x80\x93"},
                 {INFINITY, "\xe2\x80\x93"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        render_t text = {0};
        words_seconds(&text, cases[i].seconds);
        assert_string_equal(end(&text), cases[i].words);
    }
}

static void test_unknown_is_a_dash(void **state) {
    (void)state;
    void (*const words[])(render_t *, double) = {words_bytes, words_rate, words_ms, words_percent,
                                                 words_speed};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        render_t text = {0};
        words[i](&text, NAN);
        words[i](&text, INFINITY);
        assert_string_equal(end(&text), "\xe2\x80\x93\xe2\x80\x93");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_html_is_escaped),
        cmocka_unit_test(test_json_and_labels_are_quoted),
        cmocka_unit_test(test_what_is_not_text_is_replaced),
        cmocka_unit_test(test_numbers_read_back),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_unknown_is_a_dash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
