/* SPDX-License-Identifier: Apache-2.0 */
/* Published values: the check value of the catalogues, and those of RFC 3720, B.4. */
#include "cmocka_all.h"

#include "files/crc32c.h"

static void the_check_value(void **state) {
    (void)state;
    assert_int_equal(crc32c("123456789", 9), 0xe3069283u);
    assert_int_equal(crc32c("", 0), 0);
}

static void the_values_of_rfc_3720(void **state) {
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    for (int i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    assert_int_equal(crc32c(zeros, 32), 0x8a9136aau);
    assert_int_equal(crc32c(ones, 32), 0x62a8ab43u);
    assert_int_equal(crc32c(up, 32), 0x46dd794eu);
    assert_int_equal(crc32c(down, 32), 0x113fdb5cu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_value),
        cmocka_unit_test(the_values_of_rfc_3720),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
