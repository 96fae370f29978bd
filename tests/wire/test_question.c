/* SPDX-License-Identifier: Apache-2.0 */
/* The messages WAIT and PASSED: what is written is read, and bytes that are none are refused. */
#include "cmocka_all.h"

#include "wire/question.h"

#include <string.h>

static void test_wait(void **state) {
    (void)state;
    unsigned char bytes[SGP_WAIT_BYTES];
    uint64_t round = 0;
    sgp_wait_encode(UINT64_C(0x0123456789abcdef), bytes);
    assert_int_equal(bytes[0], 0xef); /* little-endian */
    assert_true(sgp_wait_decode(bytes, sizeof bytes, &round));
    assert_true(round == UINT64_C(0x0123456789abcdef));
    assert_false(sgp_wait_decode(bytes, sizeof bytes - 1, &round));
    assert_false(sgp_wait_decode(bytes, 0, &round));
}

static void test_passed(void **state) {
    (void)state;
    unsigned char bytes[SGP_PASSED_BYTES + 1] = {0};
    for (sgp_answer_t answer = SGP_ANSWER_SENT; answer <= SGP_ANSWER_LAST; answer++) {
        sgp_passed_t given = {.round = 5, .answer = answer, .next = UINT64_MAX}, read = {0};
        sgp_passed_encode(&given, bytes);
        assert_true(sgp_passed_decode(bytes, SGP_PASSED_BYTES, &read));
        assert_true(read.round == 5 && read.answer == answer && read.next == UINT64_MAX);
    }
}

static void test_refused(void **state) {
    (void)state;
    unsigned char good[SGP_PASSED_BYTES], bytes[SGP_PASSED_BYTES + 1] = {0};
    sgp_passed_t read = {.round = 77};
    sgp_passed_encode(&(sgp_passed_t){1, SGP_ANSWER_SENT, 2}, good);
    memcpy(bytes, good, sizeof good);
    assert_false(sgp_passed_decode(bytes, sizeof bytes, &read));
    assert_false(sgp_passed_decode(bytes, sizeof good - 1, &read));
    for (int value = 0; value < 256; value++) {
        memcpy(bytes, good, sizeof good);
        bytes[8] = (unsigned char)value;
        bool known = value >= SGP_ANSWER_SENT && value <= SGP_ANSWER_LAST;
        assert_int_equal(sgp_passed_decode(bytes, sizeof good, &read), known);
    }
    read.round = 77;
    for (size_t at = 9; at < 16; at++) { /* the answer's upper bytes, and those that are 0 */
        memcpy(bytes, good, sizeof good);
        bytes[at] = 1;
        assert_false(sgp_passed_decode(bytes, sizeof good, &read));
    }
    assert_int_equal(read.round, 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait),
        cmocka_unit_test(test_passed),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
