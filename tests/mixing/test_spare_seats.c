/* SPDX-License-Identifier: Apache-2.0 */
/* An elastic group with seats for newcomers mixes, bit for bit, as one without, as long as nobody comes. */
#include "mixing/trial.h"

#include "group/agree_call.h"

static void elastic_body(sgp_group_t *group, void *context) {
    CHECK(sgp_group_become_elastic(group) == SGP_OK);
    try_body(group, context);
}

static void same_bits(sgp_mixer_options_t options) {
    enum { SIZE = 4, STEPS = 12 };
    float without[SIZE][64];
    options.count = 40;
    for (int seats = SIZE; seats <= 2 * SIZE + 1; seats += SIZE + 1) {
        ranks_setup_t setup = delays(SIZE, 5, 2 * MILLISECOND);
        trial_t *trial = trial_of(options, STEPS);
        trial->average_every = 5;
        setup.loopback.seats = seats;
        run_groups(&setup, elastic_body, trial);
        if (seats == SIZE) memcpy(without, trial->average, sizeof without);
        else assert_memory_equal(without, trial->average, sizeof without);
        for (int r = 0; r < SIZE; r++) assert_true(fabs(trial->consensus[r].w_total - SIZE) < 1e-9);
    }
}

static void test_push(void **state) {
    (void)state;
    same_bits((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP});
    same_bits((sgp_mixer_options_t){
        .algorithm = SGP_ALGORITHM_SGP, .encoding = SGP_ENCODING_BFLOAT16, .graph = {.peers = 2}});
    same_bits((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_DPSGD});
}

/* Not without waiting: bits depend there on when messages arrive, and with seats the nodes settle by another exchange. */
static void test_overlap(void **state) {
    (void)state;
    same_bits((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_OSGP});
    same_bits((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP, .overlap = 2});
}

static void test_without_pushes(void **state) {
    (void)state;
    same_bits((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_ADPSGD});
    same_bits((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_ALLREDUCE});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_push), cmocka_unit_test(test_overlap),
                                       cmocka_unit_test(test_without_pushes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
