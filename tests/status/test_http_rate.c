/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "status/server/http_rate.h"

#include <stdio.h>

#define SECOND UINT64_C(1000000000)

static sgp_address_t address(int a, int b) {
    char text[SGP_ADDRESS_TEXT];
    sgp_address_t made;
    snprintf(text, sizeof text, "10.0.%d.%d:1", a, b);
    assert_int_equal(sgp_address_parse(text, &made), SGP_OK);
    return made;
}

/* Requests of one address that are answered within `seconds`, tried every millisecond. */
static int answered(rate_t *rate, const sgp_address_t *from, uint64_t begin, uint64_t seconds) {
    int count = 0;
    for (uint64_t at = 0; at < seconds * SECOND; at += SECOND / 1000)
        count += rate_take(rate, from, begin + at);
    return count;
}

static void test_an_address_has_a_rate_and_a_burst(void **state) {
    (void)state;
    rate_t rate = {0};
    sgp_address_t one = address(0, 1), other = address(0, 2);
    int count = answered(&rate, &one, 5 * SECOND, 10);
    assert_in_range(count, RATE_BURST + 10 * RATE_OF_ADDRESS - 1,
                    RATE_BURST + 10 * RATE_OF_ADDRESS);
    assert_true(rate_take(&rate, &other, 15 * SECOND));                /* which has not asked */
    assert_true(answered(&rate, &one, 115 * SECOND, 1) >= RATE_BURST); /* after a pause */
}

/* From ever new addresses no more than the rate of all. */
static void test_all_addresses_together_have_a_rate(void **state) {
    (void)state;
    rate_t rate = {0};
    int count = 0;
    for (int i = 0; i < 10000; i++) {
        sgp_address_t from = address(i / 250, i % 250);
        count += rate_take(&rate, &from, 5 * SECOND + (uint64_t)i * SECOND / 1000);
    }
    assert_in_range(count, RATE_BURST_OF_ALL, RATE_BURST_OF_ALL + 10 * RATE_OF_ALL + 1);
    assert_true(rate.addresses <= RATE_ADDRESSES);
}

/* A thread that always has work and rests as it is told gets its share. */
static void test_pace(void **state) {
    (void)state;
    rate_bucket_t pace = {0};
    uint64_t now = 5 * SECOND, used = 0, begin = now;
    while (now - begin < 100 * SECOND) {
        uint64_t work = SECOND / 500;
        used += work;
        now += work;
        now += pace_rest(&pace, work, now);
    }
    double share = (double)used / (double)(now - begin);
    assert_true(share < PACE_SHARE + PACE_BURST / 100 + 0.001);
    assert_true(share > PACE_SHARE);
    assert_int_equal(pace_rest(&pace, 1000, now + 100 * SECOND), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_address_has_a_rate_and_a_burst),
        cmocka_unit_test(test_all_addresses_together_have_a_rate),
        cmocka_unit_test(test_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
