/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "wire/key.h"

#include <string.h>

static void test_short_keys(void **state) {
    (void)state;
    sgp_key_t key;
    assert_int_equal(sgp_key_make("fifteen bytes..", 15, &key), SGP_ERR_INVALID);
    assert_int_equal(sgp_key_make("sixteen bytes...", 16, &key), SGP_OK);
}

/* Newlines at the end are the editor's; those inside belong to the secret. */
static void test_newlines(void **state) {
    (void)state;
    sgp_key_t key, right;
    assert_int_equal(sgp_key_make("a secret of\n23 bytes...", 23, &right), SGP_OK);
    assert_int_equal(sgp_key_of_text("a secret of\n23 bytes...\r\n\n", 26, &key), SGP_OK);
    assert_memory_equal(&key, &right, sizeof key);
    assert_int_equal(sgp_key_of_text("fifteen bytes..\n\n", 17, &key), SGP_ERR_INVALID);
}

/* Another secret is another key, however it differs. */
static void test_other_secrets(void **state) {
    (void)state;
    sgp_key_t one, other;
    assert_int_equal(sgp_key_make("a secret of 23 bytes...", 23, &one), SGP_OK);
    assert_int_equal(sgp_key_make("a secret of 23 bytes..!", 23, &other), SGP_OK);
    assert_memory_not_equal(&one, &other, sizeof one);
    assert_int_equal(sgp_key_make("a secret of 23 bytes...", 22, &other), SGP_OK);
    assert_memory_not_equal(&one, &other, sizeof one);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_short_keys),
                                       cmocka_unit_test(test_newlines),
                                       cmocka_unit_test(test_other_secrets)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
