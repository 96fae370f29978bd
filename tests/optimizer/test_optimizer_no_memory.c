/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the folder's calls fails once. */
#include "cmocka_all.h"
#include "failing_alloc.h"

#include <sgp/optimizer.h>

static void create(const sgp_optimizer_options_t *options) {
    failing_t failing = {0};
    while (failing_round(&failing)) {
        sgp_optimizer_t *optimizer = NULL;
        sgp_status_t status = FAILING(&failing, sgp_optimizer_create(options, &optimizer));
        assert_true((status == SGP_OK) == (optimizer != NULL));
        sgp_optimizer_destroy(optimizer);
    }
}

static void test_create(void **state) {
    (void)state;
    sgp_range_t no_decay = {2, 3};
    sgp_optimizer_options_t options = {
        .count = 100, .momentum = 0.9f, .no_decay = &no_decay, .no_decay_count = 1};
    create(&options);
    options.kind = SGP_OPTIMIZER_ADAM;
    options.count = 1 << 20;
    create(&options);
}

static void test_a_step_allocates_nothing(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    static float z[COUNT], gradient[COUNT];
    for (int kind = SGP_OPTIMIZER_SGD; kind <= SGP_OPTIMIZER_ADAMW; kind++) {
        sgp_optimizer_options_t options = {
            .count = COUNT, .kind = (sgp_optimizer_kind_t)kind, .momentum = 0.9f};
        sgp_optimizer_t *optimizer;
        assert_int_equal(sgp_optimizer_create(&options, &optimizer), SGP_OK);
        size_t before = failing_allocations();
        for (int step = 0; step < 3; step++) sgp_optimizer_step(optimizer, z, gradient, 0.1f);
        assert_int_equal(failing_allocations(), before);
        sgp_optimizer_destroy(optimizer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create),
        cmocka_unit_test(test_a_step_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
