/* SPDX-License-Identifier: Apache-2.0 */
/* sgp_mixer_switch: a refused one changes nothing, on any node; a mixer beside another one that works while
 * the nodes compute can be switched; and the room for messages is that of the present algorithm. */
#include "trial.h"

#include <limits.h>

enum { SIZE = 4, COUNT = 40 };

static const sgp_mixer_options_t algorithms[] = {
    {.count = COUNT},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_OSGP, .overlap = 1},
    {.count = COUNT, .overlap = SGP_OVERLAP_ASYNC},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_DPSGD},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_ADPSGD},
    {.count = COUNT, .algorithm = SGP_ALGORITHM_ALLREDUCE},
    {.count = COUNT, .encoding = SGP_ENCODING_BFLOAT16},
};

#define ALGORITHMS (sizeof algorithms / sizeof *algorithms)

/* Refused at once by the transport, which would need room for so many messages, and by the algorithm: no transport of
 * these tests has a library. */
static const sgp_mixer_options_t invalid = {.algorithm = SGP_ALGORITHM_ALLREDUCE, .overlap = 1};
static const sgp_mixer_options_t too_much = {.overlap = INT_MAX, .slow_every = 2};
static const sgp_mixer_options_t unsupported = {
    .algorithm = SGP_ALGORITHM_ALLREDUCE, .library_allreduce = true, .slow_every = 2};

static float start_of(int rank) {
    return (float)(rank + 1);
}

static sgp_mixer_t *create(sgp_group_t *group, const sgp_mixer_options_t *options) {
    float *initial = calloc(options->count, sizeof *initial);
    for (size_t i = 0; i < options->count; i++) initial[i] = start_of(sgp_group_rank(group));
    sgp_mixer_t *mixer = NULL;
    CHECK(sgp_mixer_create(group, options, initial, &mixer) == SGP_OK);
    free(initial);
    return mixer;
}

/* All of the mass is there. */
static void check_mass(sgp_mixer_t *mixer, size_t count) {
    float *average = calloc(count, sizeof *average);
    sgp_mixer_consensus_t consensus;
    CHECK(sgp_mixer_average(mixer, average, &consensus) == SGP_OK);
    CHECK(fabs(consensus.w_total - mixer->size) < 1e-9);
    CHECK(fabs((double)average[0] - (mixer->size + 1) / 2.0) < 1e-5);
    CHECK(average[count - 1] == average[0]);
    free(average);
}

static void step(sgp_mixer_t *mixer, int steps) {
    for (int i = 0; i < steps; i++) CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
}

/* ---- refusals ---- */

typedef struct refusal {
    const sgp_mixer_options_t *to;
    bool one_node; /* the others ask for a possible switch */
    sgp_status_t status;
    const sgp_mixer_options_t *from;
} refusal_t;

static const refusal_t refusals[] = {
    {&invalid, false, SGP_ERR_INVALID, NULL},
    {&too_much, false, SGP_ERR_NO_MEMORY, NULL},
    {&too_much, true, SGP_ERR_NO_MEMORY, NULL},
    {&unsupported, false, SGP_ERR_UNSUPPORTED, NULL},
    {&unsupported, true, SGP_ERR_UNSUPPORTED, NULL},
};

/* The mixer continues as if it had only settled; and another switch works. */
static void refused(sgp_group_t *group, void *context) {
    const refusal_t *test = context;
    const sgp_mixer_options_t *wanted = test->to;
    if (test->one_node && sgp_group_rank(group) != 1) wanted = &algorithms[0];
    sgp_mixer_t *mixer = create(group, test->from);
    step(mixer, 3);
    uint64_t promised = mixer->transport->promised;
    CHECK(sgp_mixer_switch(mixer, wanted) == test->status);
    CHECK(mixer->options.algorithm == test->from->algorithm && !mixer->outer_momentum);
    CHECK(mixer->transport->promised == promised);
    step(mixer, 3);
    check_mass(mixer, COUNT);
    CHECK(sgp_mixer_switch(mixer, &algorithms[3]) == SGP_OK);
    step(mixer, 3);
    check_mass(mixer, COUNT);
    sgp_mixer_destroy(mixer);
}

static void test_a_refused_switch_changes_nothing(void **state) {
    (void)state;
    for (size_t a = 0; a < ALGORITHMS; a++)
        for (size_t r = 0; r < sizeof refusals / sizeof *refusals; r++) {
            refusal_t test = refusals[r];
            test.from = &algorithms[a];
            ranks_setup_t setup = delays(SIZE, 5, MILLISECOND);
            run_groups(&setup, refused, &test);
        }
}

/* ---- beside another mixer ---- */

/* A length that a progress thread copies: with an overlap the second mixer would need one as well. */
#define LARGE ((size_t)1 << 18)

static void both_step(sgp_mixer_t *async, sgp_mixer_t *plain) {
    for (int i = 0; i < 3; i++) {
        step(async, 1);
        step(plain, 1);
    }
}

static void beside_async(sgp_group_t *group, void *context) {
    (void)context;
    const sgp_mixer_options_t other = {.count = 1000, .overlap = SGP_OVERLAP_ASYNC};
    sgp_mixer_options_t first = {.count = LARGE};
    sgp_mixer_t *async = create(group, &other), *plain = create(group, &first);
    const struct {
        sgp_mixer_options_t options;
        sgp_status_t status;
    } switches[] = {
        {{.overlap = -2}, SGP_ERR_INVALID},
        {{.overlap = 1}, SGP_OK}, /* the progress thread serves both */
        {{.algorithm = SGP_ALGORITHM_ADPSGD}, SGP_ERR_UNSUPPORTED},
        {unsupported, SGP_ERR_UNSUPPORTED},
        {{.algorithm = SGP_ALGORITHM_ALLREDUCE}, SGP_OK},
        {{.algorithm = SGP_ALGORITHM_DPSGD}, SGP_OK},
        {{.slow_every = 2}, SGP_OK},
    };
    for (size_t s = 0; s < sizeof switches / sizeof *switches; s++) {
        both_step(async, plain);
        CHECK(sgp_mixer_switch(plain, &switches[s].options) == switches[s].status);
    }
    CHECK(sgp_mixer_switch(async, &other) == SGP_OK);
    both_step(async, plain);
    CHECK(sgp_mixer_settle(plain) == SGP_OK);
    CHECK(sgp_mixer_resume(plain) == SGP_OK);
    both_step(async, plain);
    check_mass(async, other.count);
    check_mass(plain, LARGE);
    sgp_mixer_destroy(plain);
    sgp_mixer_destroy(async);
}

static void test_beside_a_mixer_that_waits_for_nothing(void **state) {
    (void)state;
    ranks_setup_t setups[] = {threads(SIZE, false), threads(SIZE, true), threads(SIZE, false)};
    setups[2].tcp = true;
    for (int i = 0; i < 3; i++) {
        setups[i].loopback.chunk_bytes = (size_t)64 << 10;
        run_groups(&setups[i], beside_async, NULL);
    }
}

/* ---- room ---- */

static void many_switches(sgp_group_t *group, void *context) {
    (void)context;
    const sgp_transport_t *transport = sgp_group_transport(group);
    uint64_t before = transport->promised, promised[ALGORITHMS] = {0};
    CHECK(before > 0);
    sgp_mixer_t *mixer = create(group, &algorithms[0]);
    for (int s = 1; s <= 100; s++) {
        size_t a = (size_t)s % ALGORITHMS;
        CHECK(sgp_mixer_switch(mixer, &algorithms[a]) == SGP_OK);
        CHECK(transport->promised > before);
        if (!promised[a]) promised[a] = transport->promised;
        CHECK(transport->promised == promised[a]);
        step(mixer, 1);
    }
    check_mass(mixer, COUNT);
    sgp_mixer_destroy(mixer);
    CHECK(transport->promised == before);
}

static void test_room_is_that_of_the_present_algorithm(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++) {
        ranks_setup_t setup = threads(SIZE, shm);
        setup.loopback.chunk_bytes = 64;
        run_groups(&setup, many_switches, NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_refused_switch_changes_nothing),
        cmocka_unit_test(test_beside_a_mixer_that_waits_for_nothing),
        cmocka_unit_test(test_room_is_that_of_the_present_algorithm),
    };
    return cmocka_run_group_tests_name("switch", tests, NULL, NULL);
}
