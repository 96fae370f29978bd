/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of our own in building a model fails once, mmap's for the activations
 * included. */
#include "cmocka_all.h"
#include "failing_alloc.h"

#include "model/model.h"

/* asprintf succeeds without its last allocation. */
static void build(const char *name) {
    model_options_t options = {
        .name = name, .batch = 4, .height = 28, .width = 28, .channels = 1, .classes = 10};
    failing_t failing = {.may_pass = true};
    while (failing_round(&failing)) {
        model_t *model = NULL;
        sgp_status_t status = FAILING(&failing, model_create(&options, &model));
        assert_true((status == SGP_OK) == (model != NULL));
        model_destroy(model);
    }
}

static void test_mlp(void **state) {
    (void)state;
    build("mlp");
}

static void test_lenet(void **state) {
    (void)state;
    build("lenet");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_lenet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
