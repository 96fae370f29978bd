/* SPDX-License-Identifier: Apache-2.0 */
/* An infinity or a NaN on one node: with every algorithm it stays there, and the step that made it reports it. The other
 * nodes get a notice, and their waits end. */
#include "ranks.h"

#include "group/agree_call.h"
#include "group/notice.h"
#include "mixing/kernels.h"
#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"

#include <math.h>
#include <string.h>

enum { NODES = 6, PARAMETERS = 700, BUFFERS = 20, LENGTH = PARAMETERS + BUFFERS };
enum { BROKEN = 2, STEP = 5, MOST = 100000000, NOTICE = 7 };

typedef enum where { IN_GRADIENT, IN_UPDATE, IN_PARAMETERS, IN_BUFFERS } where_t;

typedef struct trial {
    sgp_mixer_options_t options;
    where_t where;
    float value;
    sgp_status_t status[NODES];
    int made[NODES]; /* steps */
    bool finite[NODES];
} trial_t;

/* Whether the broken node has sent its notice. */
static sgp_status_t look(void *context, bool agent) {
    unsigned char bytes[SGP_NOTICE_BYTES];
    (void)agent;
    return sgp_notice_find(context, NOTICE, BROKEN, bytes) ? SGP_ERR_ENDED : SGP_OK;
}

/* The changes of the caller before a step. */
static void change(const trial_t *trial, int rank, float *z, float *gradient) {
    bool now = rank == BROKEN && trial->made[rank] == STEP;
    for (int i = 0; i < PARAMETERS; i++) gradient[i] = z[i] - (float)rank;
    if (!now) return;
    if (trial->where == IN_GRADIENT) gradient[PARAMETERS - 1] = trial->value;
    if (trial->where == IN_UPDATE) gradient[300] = 3e38f; /* times a rate of 100: not finite */
    if (trial->where == IN_PARAMETERS) z[650] = trial->value;
    if (trial->where == IN_BUFFERS) z[LENGTH - 1] = trial->value;
}

static void steps(sgp_group_t *group, sgp_mixer_t *mixer, trial_t *trial) {
    int rank = sgp_group_rank(group);
    bool own = trial->where == IN_PARAMETERS;
    float gradient[PARAMETERS], *z = sgp_mixer_parameters(mixer);
    sgp_optimizer_t *optimizer = NULL;
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = PARAMETERS, .momentum = 0.9f},
                               &optimizer) == SGP_OK);
    while (trial->status[rank] == SGP_OK && trial->made[rank] < MOST) {
        change(trial, rank, z, gradient);
        bool jumps = rank == BROKEN && trial->made[rank] == STEP && trial->where == IN_UPDATE;
        trial->status[rank] =
            sgp_mixer_step(mixer, own ? NULL : optimizer, gradient, jumps ? 100 : 1e-3f);
        trial->made[rank]++;
    }
    trial->finite[rank] = sgp_is_finite(LENGTH, z);
    sgp_optimizer_destroy(optimizer);
}

static void body(sgp_group_t *group, void *context) {
    trial_t *trial = context;
    sgp_mixer_t *mixer = NULL;
    sgp_inbox_set_watch(sgp_group_inbox(group), look, group);
    CHECK(sgp_mixer_create(group, &trial->options, NULL, &mixer) == SGP_OK);
    steps(group, mixer, trial);
    sgp_mixer_destroy(mixer);
    sgp_inbox_set_watch(sgp_group_inbox(group), NULL, NULL);
    sgp_notice_t notice = {.number = NOTICE};
    while (sgp_group_rank(group) == BROKEN && !sgp_notice_tell(group, &notice)) {
        uint64_t now = sgp_transport_now(sgp_group_transport(group));
        sgp_transport_wait(sgp_group_transport(group), now + 1000000);
    }
    CHECK(sgp_group_barrier(group) ==
          SGP_OK); /* a node that left early would end the others' waits */
}

static const sgp_mixer_options_t algorithms[] = {
    {.algorithm = SGP_ALGORITHM_SGP},
    {.algorithm = SGP_ALGORITHM_SGP, .encoding = SGP_ENCODING_BFLOAT16},
    {.algorithm = SGP_ALGORITHM_SGP, .biased = true},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 2},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 1, .encoding = SGP_ENCODING_FLOAT16},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = SGP_OVERLAP_ASYNC},
    {.algorithm = SGP_ALGORITHM_DPSGD},
    {.algorithm = SGP_ALGORITHM_ADPSGD},
    {.algorithm = SGP_ALGORITHM_ADPSGD, .encoding = SGP_ENCODING_FLOAT16},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_BFLOAT16},
    {.algorithm = SGP_ALGORITHM_SGP, .encoding = SGP_ENCODING_INT8},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = 1, .encoding = SGP_ENCODING_INT8},
    {.algorithm = SGP_ALGORITHM_OSGP, .overlap = SGP_OVERLAP_ASYNC, .encoding = SGP_ENCODING_INT8},
    {.algorithm = SGP_ALGORITHM_ADPSGD, .encoding = SGP_ENCODING_INT8},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_INT4},
};

enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms, CAN_BE_ALLOWED = ALGORITHMS - 5 };

static void try(sgp_mixer_options_t options, where_t where, float value, bool shm) {
    ranks_setup_t setup = {.shm = shm, .loopback = {.size = NODES, .chunk_bytes = 256}};
    trial_t trial = {.options = options, .where = where, .value = value};
    trial.options.count = PARAMETERS;
    trial.options.buffers = BUFFERS;
    run_groups(&setup, body, &trial);
    if (trial.status[BROKEN] != SGP_ERR_NOT_FINITE)
        print_error("%s, overlap %d, %s\n", sgp_algorithm_name(options.algorithm), options.overlap,
                    sgp_encoding_name(options.encoding));
    assert_int_equal(trial.status[BROKEN], SGP_ERR_NOT_FINITE);
    /* The push checks a vector that the caller has changed, and an asynchronous node does not push in each step. */
    assert_true(trial.made[BROKEN] == STEP + 1 ||
                (where == IN_PARAMETERS && options.overlap == SGP_OVERLAP_ASYNC));
    for (int r = 0; r < NODES; r++) {
        if (r == BROKEN) continue;
        assert_true(trial.finite[r]);
        assert_int_equal(trial.status[r], SGP_ERR_ENDED);
    }
}

/* With an optimizer in the mixer: the gradient, the update of a finite one, and buffers, which the caller writes. */
static void test_stays_on_its_node(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++) {
        try(algorithms[a], IN_GRADIENT, NAN, false);
        try(algorithms[a], IN_UPDATE, 0, true);
        try(algorithms[a], IN_BUFFERS, -INFINITY, false);
    }
}

/* The caller's own optimizer writes the vector itself. */
static void test_of_the_callers_optimizer(void **state) {
    (void)state;
    for (int a = 0; a < ALGORITHMS; a++) try(algorithms[a], IN_PARAMETERS, INFINITY, a % 2);
}

static void let_it_pass(sgp_group_t *group, void *context) {
    sgp_mixer_t *mixer = NULL;
    float average[8];
    sgp_mixer_options_t options = *(const sgp_mixer_options_t *)context;
    options.count = 8;
    options.allow_not_finite = true;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    if (sgp_group_rank(group) == BROKEN) sgp_mixer_parameters(mixer)[3] = NAN;
    for (int step = 0; step < 8; step++) CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    CHECK(sgp_mixer_average(mixer, average, NULL) == SGP_OK);
    CHECK(isnan(average[3]) && average[2] == 0);
    sgp_mixer_destroy(mixer);
}

static void test_that_it_can_be_allowed(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = NODES}};
    for (int a = 0; a < CAN_BE_ALLOWED; a++)
        run_groups(&setup, let_it_pass, (void *)&algorithms[a]);
}

/* ---- a node that was struck off meanwhile ---- */

typedef struct struck {
    sgp_mixer_options_t options;
    bool is; /* else it is still a member */
} struck_t;

/* The fate was in memory that this node had not looked at. */
static void notice(sgp_transport_t *transport) {
    sgp_fates_set(transport->fates, transport->rank, sgp_fate_lost(SGP_CAUSE_STRUCK_OFF), NULL);
}

static void step_once(sgp_transport_t *transport, void *context) {
    struck_t *struck = context;
    const sgp_transport_ops_t *real = transport->ops;
    sgp_transport_ops_t ops = *real;
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    float gradient[PARAMETERS] = {NAN};
    transport->elastic = true;
    ops.look_at_self = notice;
    if (struck->is) transport->ops = &ops; /* before there is a progress thread */
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = PARAMETERS}, &optimizer) ==
          SGP_OK);
    CHECK(sgp_mixer_create(group, &struck->options, NULL, &mixer) == SGP_OK);
    CHECK(sgp_mixer_step(mixer, optimizer, gradient, 0.1f) ==
          (struck->is ? SGP_ERR_PEER_LOST : SGP_ERR_NOT_FINITE));
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    sgp_group_abort(group);
    transport->ops = real;
}

/* Its numbers may be those of chunks that others have overwritten since: it is lost, and not broken. */
static void test_of_a_node_that_is_struck_off(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 2}};
    for (int a = 0; a < 2 * ALGORITHMS; a++) {
        struck_t struck = {.options = algorithms[a / 2], .is = a % 2};
        struck.options.count = PARAMETERS;
        run_transports(&setup, step_once, &struck);
    }
}

/* Each element of a vector of any length is checked, for each kind of number that is not finite. */
static void test_kernels(void **state) {
    (void)state;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY}, good[] = {3.4028235e38f, -1e-45f, 0};
    float x[67], copy[67];
    for (size_t count = 1; count <= 67; count++)
        for (size_t at = 0; at < count; at++) {
            for (size_t i = 0; i < count; i++) x[i] = good[i % 3];
            assert_true(sgp_is_finite(count, x) && sgp_copy_finite(count, copy, x));
            assert_memory_equal(copy, x, count * sizeof *x);
            x[at] = bad[(at + count) % 4];
            assert_false(sgp_is_finite(count, x));
            assert_false(sgp_copy_finite(count, copy, x));
            assert_memory_equal(copy, x, count * sizeof *x);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_stays_on_its_node),
        cmocka_unit_test(test_of_the_callers_optimizer),
        cmocka_unit_test(test_that_it_can_be_allowed),
        cmocka_unit_test(test_of_a_node_that_is_struck_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
