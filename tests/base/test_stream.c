/* SPDX-License-Identifier: Apache-2.0 */
/* Copies with non-temporal stores: every byte, no other byte, and a number that is not finite is seen at any place. */
#include "cmocka_all.h"

#include "base/stream.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 96, GUARD = 16 };

/* All lengths up to several lines, from and to all places in a line. */
static void test_copies_what_it_should(void **state) {
    (void)state;
    static _Alignas(64) float from[MOST + 32], to[MOST + 32 + GUARD];
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) from[i] = (float)i + 0.5f;
    for (int kind = 0; kind < 2; kind++)
        for (size_t at = 0; at < 16; at++)
            for (size_t source = 0; source < 16; source += 5)
                for (size_t count = 0; count <= MOST; count++) {
                    memset(to, 0x5a, sizeof to);
                    if (kind) sgp_stream_copy(count * sizeof *to, to + at, from + source);
                    else assert_true(sgp_stream_finite(count, to + at, from + source));
                    sgp_stream_fence();
                    assert_memory_equal(to + at, from + source, count * sizeof *to);
                    const unsigned char *bytes = (const unsigned char *)to;
                    for (size_t i = 0; i < sizeof to; i++)
                        if (i < at * sizeof *to || i >= (at + count) * sizeof *to)
                            assert_int_equal(bytes[i], 0x5a);
                }
}

/* Of 16-bit numbers, too. */
static void test_copies_an_odd_number_of_halves(void **state) {
    (void)state;
    static _Alignas(64) uint16_t from[101], to[101];
    for (size_t i = 0; i < 101; i++) from[i] = (uint16_t)(i * 257);
    sgp_stream_copy(sizeof from, to, from);
    sgp_stream_fence();
    assert_memory_equal(to, from, sizeof from);
}

static void test_sees_what_is_not_finite(void **state) {
    (void)state;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    static _Alignas(64) float from[MOST + 1], to[MOST + 1];
    for (size_t at = 0; at < 2; at++)
        for (size_t i = 0; i < MOST; i++)
            for (int b = 0; b < 4; b++) {
                for (size_t k = 0; k < MOST; k++) from[k] = k % 2 ? 3.4e38f : -1e-45f;
                from[i] = bad[b];
                assert_false(sgp_stream_finite(MOST, to + at, from));
                sgp_stream_fence();
                assert_memory_equal(to + at, from, MOST * sizeof *from);
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_what_it_should),
        cmocka_unit_test(test_copies_an_odd_number_of_halves),
        cmocka_unit_test(test_sees_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
