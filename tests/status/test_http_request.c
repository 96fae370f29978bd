/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "status/server/http_request.h"

#include <string.h>

static void test_paths(void **state) {
    (void)state;
    assert_int_equal(http_target("/"), HTTP_PAGE);
    assert_int_equal(http_target("/status.json"), HTTP_JSON);
    assert_int_equal(http_target("/metrics"), HTTP_METRICS);
    assert_int_equal(http_target("/events"), HTTP_EVENTS);
    assert_int_equal(http_target("/members"), HTTP_MEMBERS);
    assert_int_equal(http_target("/flight"), HTTP_FLIGHT);
    static const char *const others[] = {"",        "//", "/x", "/status.json/", "/../etc/passwd",
                                         "/METRICS"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(http_target(others[i]), HTTP_NOTHING);
}

static void test_hosts_are_parsed(void **state) {
    (void)state;
    static const char *const good[][2] = {{"localhost", "localhost"},
                                          {"localhost:7070", "localhost"},
                                          {"10.1.2.3:1", "10.1.2.3"},
                                          {"[::1]:7070", "::1"},
                                          {"[2001:DB8::1]", "2001:DB8::1"}};
    static const char *const bad[] = {
        "",    ":80", "a:",      "a:b",    "a:123456", "[::1",     "::1",     "[]:80",
        "a b", "a/b", "a:80:80", "[::1]x", "user@a",   "a\r\nb:1", "[a%25b]", "<script>:1"};
    char name[HTTP_NAME], longest[400];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(http_host(good[i][0], name));
        assert_string_equal(name, good[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(http_host(bad[i], name));
    memset(longest, 'a', sizeof longest);
    longest[HTTP_NAME] = '\0';
    assert_false(http_host(longest, name));
    longest[HTTP_NAME - 1] = '\0';
    assert_true(http_host(longest, name));
}

/* What a page of a stranger can make a browser send (DNS rebinding) is a name of the stranger's. */
static void test_only_names_of_this_server_are_allowed(void **state) {
    (void)state;
    http_names_t names = {.given = "node17.cluster", .machine = "node17.example.org"};
    sgp_address_t local;
    assert_int_equal(sgp_address_parse("192.0.2.7:7070", &local), SGP_OK);
    static const char *const good[] = {"localhost:1",       "LOCALHOST",          "127.0.0.1:7070",
                                       "127.9.9.9",         "[::1]:7070",         "192.0.2.7:7070",
                                       "node17.cluster",    "NODE17.Example.Org", "node17:7070",
                                       "[::ffff:127.0.0.1]"};
    static const char *const bad[] = {
        "evil.example", "192.0.2.8",   "localhost.evil.example", "127.0.0.1.nip.io", "node17.evil",
        "node1",        "example.org", "[2001:db8::1]:7070",     "0.0.0.0",          "127.1",
        "2130706433",   "0x7f.0.0.1"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(http_host_allowed(good[i], &names, &local));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(http_host_allowed(bad[i], &names, &local));
    names = (http_names_t){0};
    assert_false(http_host_allowed("node17", &names, &local));
    assert_true(http_host_allowed("192.0.2.7", &names, &local));
}

static void test_same_origin(void **state) {
    (void)state;
    assert_true(http_same_origin(NULL, "localhost:7070"));
    assert_true(http_same_origin("http://localhost:7070", "localhost:7070"));
    assert_false(http_same_origin("http://localhost:7071", "localhost:7070"));
    assert_false(http_same_origin("https://localhost:7070", "localhost:7070"));
    assert_false(http_same_origin("null", "localhost:7070"));
    assert_false(http_same_origin("http://evil.example", "localhost:7070"));
    assert_false(http_same_origin("", "localhost:7070"));
}

/* RFC 7617; its example is "Aladdin" with "open sesame". */
static void test_passwords(void **state) {
    (void)state;
    char password[HTTP_PASSWORD];
    int length = http_password("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", password);
    assert_int_equal(length, strlen("open sesame"));
    assert_memory_equal(password, "open sesame", (size_t)length);
    assert_int_equal(http_password("basic Og==", password), 0); /* ":" */
    assert_int_equal(http_password("Basic YTpiOmM=", password), 3);
    assert_memory_equal(password, "b:c", 3);
    static const char *const bad[] = {
        "",      "Basic",           "Basic ",      "Basic YWJj", "Bearer QTpi",
        "Basic", "Basic QTpi%%%%%", "Basic QTpi=", "Basic Q",    "QTpi"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(http_password(bad[i], password), -1);
    char longest[4096] = "Basic ";
    memset(longest + 6, 'A', sizeof longest - 7);
    assert_int_equal(http_password(longest, password), -1);
}

static void test_formats_of_metrics(void **state) {
    (void)state;
    assert_true(http_wants_open_metrics("application/openmetrics-text;version=1.0.0,application/"
                                        "openmetrics-text;version=0.0.1;q=0.75,"
                                        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
    assert_false(http_wants_open_metrics("text/plain;version=0.0.4,*/*"));
    assert_false(http_wants_open_metrics(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_hosts_are_parsed),
        cmocka_unit_test(test_only_names_of_this_server_are_allowed),
        cmocka_unit_test(test_same_origin),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_formats_of_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
