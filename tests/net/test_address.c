/* SPDX-License-Identifier: Apache-2.0 */
#include "ranks.h"

#include "net/address.h"

#include <string.h>

static void test_text_round_trip(void **state) {
    (void)state;
    static const char *const good[] = {"127.0.0.1:7070", "10.1.2.3:1", "[::1]:65535",
                                       "[2001:db8::1]:80"};
    char text[SGP_ADDRESS_TEXT];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        sgp_address_t address;
        assert_int_equal(sgp_address_parse(good[i], &address), SGP_OK);
        assert_string_equal(sgp_address_text(&address, text), good[i]);
    }
}

static void test_bad_text(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",         "localhost", ":80",           "127.0.0.1",  "::1:80", "[::1]",  "[::1:80",
        "1.2.3.4:", "1.2.3.4:x", "1.2.3.4:65536", "1.2.3.4:-1", "[]:80",  "name:80"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sgp_address_t address = {.length = 77};
        assert_int_equal(sgp_address_parse(bad[i], &address), SGP_ERR_INVALID);
        assert_int_equal(address.length, 77);
    }
}

static void test_names(void **state) {
    (void)state;
    sgp_address_t addresses[4];
    int count = 0;
    assert_int_equal(sgp_address_resolve("localhost:7070", 4, addresses, &count), SGP_OK);
    assert_in_range(count, 1, 4);
    for (int i = 0; i < count; i++) {
        assert_true(sgp_address_is_here(&addresses[i]));
        assert_int_equal(sgp_address_port(&addresses[i]), 7070);
    }
    assert_int_equal(sgp_address_resolve("no-such-host.invalid:7070", 4, addresses, &count),
                     SGP_ERR_NOT_FOUND);
}

static void test_is_here(void **state) {
    (void)state;
    static const char *const here[] = {"127.0.0.1:1", "127.8.9.1:1", "[::1]:1",
                                       "[::ffff:127.0.0.1]:1"};
    static const char *const away[] = {"192.0.2.1:1", "[2001:db8::77]:1"}; /* for documentation */
    sgp_address_t address;
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        assert_int_equal(sgp_address_parse(here[i], &address), SGP_OK);
        assert_true(sgp_address_is_here(&address));
    }
    for (size_t i = 0; i < sizeof away / sizeof *away; i++) {
        assert_int_equal(sgp_address_parse(away[i], &address), SGP_OK);
        assert_false(sgp_address_is_here(&address));
    }
}

static int port_in(const sgp_address_t *address) {
    char text[SGP_ADDRESS_TEXT];
    return atoi(strrchr(sgp_address_text(address, text), ':') + 1);
}

/* A listener on all interfaces is reached over IPv4 as well, and advertises an address of this
 * machine. */
static void test_listen_everywhere(void **state) {
    (void)state;
    int listener;
    sgp_address_t bound, advertised, to;
    char text[SGP_ADDRESS_TEXT];
    assert_int_equal(sgp_address_listen(NULL, NULL, &listener, &bound, &advertised), SGP_OK);
    assert_true(sgp_address_is_here(&advertised));
    assert_int_equal(port_in(&advertised), port_in(&bound));
    snprintf(text, sizeof text, "127.0.0.1:%d", port_in(&bound));
    assert_int_equal(sgp_address_parse(text, &to), SGP_OK);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(made, (struct sockaddr *)&to.at, to.length), 0);
    close(made);
    close(listener);
}

/* The first free port of a range is taken; if there is none, the log line names the range and the
 * cause. */
static void test_ranges(void **state) {
    (void)state;
    int first, second;
    sgp_address_t bound, advertised;
    char range[32], wanted[128];
    assert_int_equal(sgp_address_listen("127.0.0.1", NULL, &first, &bound, &advertised), SGP_OK);
    int port = port_in(&bound);
    snprintf(range, sizeof range, "%d", port);
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    assert_int_equal(sgp_address_listen("127.0.0.1", range, &second, &bound, &advertised),
                     SGP_ERR_SYSTEM);
    snprintf(wanted, sizeof wanted, "cannot listen on 127.0.0.1, port %d: Address already in use",
             port);
    assert_string_equal(ranks_last_error, wanted);
    snprintf(range, sizeof range, "%d-%d", port, port + 200 < 65535 ? port + 200 : 65535);
    assert_int_equal(sgp_address_listen("127.0.0.1", range, &second, &bound, &advertised), SGP_OK);
    assert_true(port_in(&bound) > port);
    close(second);
    close(first);
    static const char *const bad[] = {"", "x", "0", "70000", "8-7", "7070-", "7070-x", "-5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(sgp_address_listen(NULL, bad[i], &second, &bound, &advertised),
                         SGP_ERR_INVALID);
    sgp_log_set(NULL, NULL, 0);
}

static void test_interfaces(void **state) {
    (void)state;
    int listener;
    sgp_address_t bound, advertised;
    assert_int_equal(sgp_address_listen("lo", NULL, &listener, &bound, &advertised), SGP_OK);
    assert_true(sgp_address_is_here(&bound));
    close(listener);
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    assert_int_equal(sgp_address_listen("nowhere7", NULL, &listener, &bound, &advertised),
                     SGP_ERR_INVALID);
    assert_non_null(strstr(ranks_last_error, "interface nowhere7: "));
    assert_non_null(strstr(ranks_last_error, "lo"));
    assert_int_equal(sgp_address_listen("192.0.2.1", NULL, &listener, &bound, &advertised),
                     SGP_ERR_SYSTEM);
    sgp_log_set(NULL, NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_is_here),
        cmocka_unit_test(test_listen_everywhere),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_interfaces),
    };
    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}
