/* SPDX-License-Identifier: Apache-2.0 */
#include "data/support.h"

#include "run/agreement.h"

static agreement_t make(double lr, const char *model) {
    agreement_t agreement;
    agreement_init(&agreement);
    agreement_add(&agreement, "epochs", "%d", 3);
    agreement_add(&agreement, "lr", "%g", lr);
    agreement_add(&agreement, "model", "%s", model);
    return agreement;
}

static void equal_lists_agree(void **state) {
    (void)state;
    agreement_t all[3] = {make(0.1, "mlp"), make(0.1, "mlp"), make(0.1, "mlp")};
    agreement_difference_t difference;
    assert_false(agreement_compare(all, 3, &difference));
    assert_false(agreement_compare(all, 1, &difference));
}

static void the_first_difference_is_named(void **state) {
    (void)state;
    agreement_t all[4] = {make(0.1, "mlp"), make(0.1, "mlp"), make(0.2, "lenet"), make(0.3, "mlp")};
    agreement_difference_t difference;
    assert_true(agreement_compare(all, 4, &difference));
    assert_int_equal(difference.node, 2);
    assert_string_equal(difference.name, "lr");
    assert_string_equal(difference.value, "0.2");
    assert_string_equal(difference.value0, "0.1");
}

static void a_missing_line_is_a_difference(void **state) {
    (void)state;
    agreement_t all[2] = {make(0.1, "mlp"), make(0.1, "mlp")};
    agreement_difference_t difference;
    agreement_add(&all[1], "momentum", "%g", 0.9);
    assert_true(agreement_compare(all, 2, &difference));
    assert_string_equal(difference.name, "momentum");
    assert_string_equal(difference.value0, "");
    agreement_add(&all[0], "momentum", "%s", "");
    agreement_add(&all[0], "seed", "%d", 1);
    assert_true(agreement_compare(all, 2, &difference));
}

/* A list that does not fit is cut and stays a string. */
static void overlong_lists_stay_inside(void **state) {
    (void)state;
    agreement_t agreement;
    agreement_init(&agreement);
    for (int i = 0; i < 1000; i++) agreement_add(&agreement, "name", "a value of some length");
    assert_int_equal(agreement.length, AGREEMENT_BYTES - 1);
    assert_int_equal(strlen(agreement.text), AGREEMENT_BYTES - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_lists_agree),
        cmocka_unit_test(the_first_difference_is_named),
        cmocka_unit_test(a_missing_line_is_a_difference),
        cmocka_unit_test(overlong_lists_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
