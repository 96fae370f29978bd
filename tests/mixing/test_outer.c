/* SPDX-License-Identifier: Apache-2.0 */
/* Outer steps: they are those of plain arithmetic, in float64; over many of them no mass is lost in any encoding; what they
 * cannot be combined with is refused. */
#include "trial.h"

#include "mixing/outer.h"

enum { NODES = 3, H = 4, COUNT = 600 };

#define RATE     0.7f
#define MOMENTUM 0.8f

/* ---- the arithmetic ---- */

/* All nodes start alike; each makes H steps toward its own target, and then all make the step of the mean. */
static void check_by_mean(sgp_encoding_t encoding, int steps, double tolerance) {
    sgp_mixer_options_t options = {.count = 40,
                                   .algorithm = SGP_ALGORITHM_ALLREDUCE,
                                   .encoding = encoding,
                                   .local_steps = H,
                                   .outer_lr = RATE,
                                   .outer_momentum = MOMENTUM};
    ranks_setup_t setup = delays(NODES, 7, MILLISECOND);
    trial_t *trial = trial_of(options, steps);
    double z[NODES], anchor = 3, momentum = 0, mean = 0;
    for (int r = 0; r < NODES; r++) trial->z0[r] = 3, z[r] = 3;
    trial->decay = 0;
    run_groups(&setup, try_body, trial);
    for (int k = 1; k <= steps; k++) {
        double moved = 0;
        for (int r = 0; r < NODES; r++) {
            z[r] -= (double)LR * (z[r] - (double)target_of(r));
            moved += (anchor - z[r]) / NODES;
        }
        if (k % H) continue;
        momentum = (double)MOMENTUM * momentum + moved;
        anchor -= (double)RATE * (moved + (double)MOMENTUM * momentum);
        for (int r = 0; r < NODES; r++) z[r] = anchor;
    }
    for (int r = 0; r < NODES; r++) mean += z[r] / NODES;
    for (int r = 0; r < NODES; r++) {
        if (fabs(trial->mean[r] - mean) > tolerance)
            fail_msg("%s: %.9g, not %.9g", sgp_encoding_name(encoding), trial->mean[r], mean);
        assert_true(fabs(trial->consensus[r].w_total - NODES) < 1e-9);
        assert_true(trial->consensus[r].drift < 1e-5);
    }
}

/* A rounding error is sent with the next step: what is missing of the sum at a time is a part of one step, here below 0.5, and
 * a lossy encoding changes the momentum by as little. */
static void test_by_mean(void **state) {
    (void)state;
    for (int steps = 13; steps <= 41; steps += 14) {
        check_by_mean(SGP_ENCODING_FLOAT32, steps, 1e-5);
        check_by_mean(SGP_ENCODING_BFLOAT16, steps, 0.5 / 256);
        check_by_mean(SGP_ENCODING_INT8, steps, 0.5 / 127);
        check_by_mean(SGP_ENCODING_INT4, steps, 0.5 / 7);
    }
}

/* Two nodes have their mean after each exchange, and the weight 1. */
static void test_by_push(void **state) {
    (void)state;
    enum { STEPS = 30 };
    sgp_mixer_options_t options = {
        .count = 40, .local_steps = H, .outer_lr = RATE, .outer_momentum = MOMENTUM};
    ranks_setup_t setup = delays(2, 7, MILLISECOND);
    trial_t *trial = trial_of(options, STEPS);
    double z[2] = {1, 4}, anchor[2] = {1, 4}, momentum[2] = {0, 0};
    trial->z0[0] = 1, trial->z0[1] = 4;
    trial->decay = 0;
    run_groups(&setup, try_body, trial);
    for (int k = 1; k <= STEPS; k++) {
        for (int r = 0; r < 2; r++) z[r] -= (double)LR * (z[r] - (double)target_of(r));
        if (k % H) continue;
        for (int r = 0; r < 2; r++) {
            double moved = anchor[r] - z[r];
            momentum[r] = (double)MOMENTUM * momentum[r] + moved;
            z[r] = anchor[r] - (double)RATE * (moved + (double)MOMENTUM * momentum[r]);
        }
        z[0] = z[1] = anchor[0] = anchor[1] = (z[0] + z[1]) / 2;
    }
    for (int r = 0; r < 2; r++) assert_true(fabs(trial->mean[r] - (z[0] + z[1]) / 2) < 1e-5);
}

/* At the rate 1 and without momentum an outer step leaves the mean where the local steps have brought it, whatever the encoding
 * and the weights. */
static const sgp_mixer_options_t neutral[] = {
    {.algorithm = SGP_ALGORITHM_ALLREDUCE},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_FLOAT16},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_INT8},
    {.algorithm = SGP_ALGORITHM_ALLREDUCE, .encoding = SGP_ENCODING_INT4},
    {.algorithm = SGP_ALGORITHM_SGP},
    {.algorithm = SGP_ALGORITHM_SGP, .graph.kind = SGP_GRAPH_RANDOM_UNEVEN},
    {.algorithm = SGP_ALGORITHM_SGP, .encoding = SGP_ENCODING_INT8, .rounds = 2},
    {.algorithm = SGP_ALGORITHM_DPSGD, .encoding = SGP_ENCODING_BFLOAT16},
};
enum { NEUTRAL = sizeof neutral / sizeof *neutral };

static void test_mean_is_kept(void **state) {
    (void)state;
    for (int n = 0; n < NEUTRAL; n++)
        for (int every = 0; every <= 7; every += 7) {
            ranks_setup_t setup = delays(5, 6, MILLISECOND);
            sgp_mixer_options_t options = neutral[n];
            options.count = 40;
            options.buffers = 5;
            options.local_steps = H;
            options.outer_lr = 1;
            trial_t *trial = trial_of(options, 58); /* ends between two exchanges */
            trial->average_every = every;
            if (options.algorithm == SGP_ALGORITHM_ALLREDUCE) trial->added[1] = 0.25f; /* w is 1 */
            run_groups(&setup, try_body, trial);
            check_mean(trial, 5, 5e-5);
        }
}

/* From one kind of outer steps to another, and to none, in the middle: the new ones begin at z. */
static void test_switches(void **state) {
    (void)state;
    for (int from = 0; from < NEUTRAL; from++)
        for (int to = 0; to < NEUTRAL; to++) {
            ranks_setup_t setup = delays(4, 6, MILLISECOND);
            sgp_mixer_options_t options = neutral[from], then = neutral[to];
            options.count = then.count = 40;
            options.local_steps = H;
            then.local_steps = 3;
            if (from != to) options.outer_lr = 1;
            then.outer_lr = from % 4 == 3 ? 0 : 1;
            trial_t *trial = trial_of(options, 40);
            trial->then = then;
            trial->switch_at = 18;
            run_groups(&setup, try_body, trial);
            check_mean(trial, 4, 5e-5);
        }
}

/* ---- bytes ---- */

/* By hand, for segments of 224, 208 and 168 of 600 numbers with chunks of one block: each node sends its parts of the others'
 * segments, and its own to both, in every H-th step. */
static void bytes_body(sgp_group_t *group, void *context) {
    sgp_mixer_t *mixer = NULL;
    sgp_mixer_statistics_t statistics;
    const sgp_mixer_options_t options = {.count = COUNT,
                                         .algorithm = SGP_ALGORITHM_ALLREDUCE,
                                         .encoding = SGP_ENCODING_INT4,
                                         .local_steps = H,
                                         .outer_lr = RATE};
    (void)context;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    for (int k = 0; k < 3 * H + 1; k++) CHECK(sgp_mixer_step(mixer, NULL, NULL, 0) == SGP_OK);
    uint64_t all = 0, mine = 0;
    for (int r = 0; r < NODES; r++) {
        sgp_segment_t segment = sgp_segment_of(COUNT, r, NODES);
        uint64_t bytes = 4 + (segment.end - segment.begin + 1) / 2;
        all += bytes;
        if (r == sgp_group_rank(group)) mine = bytes;
    }
    sgp_mixer_statistics(mixer, &statistics);
    CHECK(statistics.bytes_sent == 3 * (all - mine + 2 * mine));
    sgp_mixer_destroy(mixer);
}

static void test_bytes(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = NODES, .chunk_bytes = 1024}};
    run_groups(&setup, bytes_body, NULL);
}

/* ---- late messages ---- */

/* D = w (A - z) is as before, for any change of (z, w). */
static void late_body(sgp_group_t *group, void *context) {
    sgp_mixer_t *mixer = NULL;
    const sgp_mixer_options_t options = {.count = COUNT, .local_steps = H, .outer_lr = RATE};
    (void)context;
    CHECK(sgp_mixer_create(group, &options, NULL, &mixer) == SGP_OK);
    float before[COUNT];
    for (int i = 0; i < COUNT; i++) {
        mixer->outer_anchor[i] = (float)(i % 7);
        mixer->z[i] = (float)(i % 5) - 1;
        before[i] = 0.75f * (mixer->outer_anchor[i] - mixer->z[i]);
    }
    mixer->w = 0.75;
    sgp_outer_set_aside(mixer);
    mixer->w = 1.25;
    for (int i = 0; i < COUNT; i++) mixer->z[i] += (float)(i % 3);
    sgp_outer_take_up(mixer);
    for (int i = 0; i < COUNT; i++)
        CHECK(fabsf(1.25f * (mixer->outer_anchor[i] - mixer->z[i]) - before[i]) < 1e-5f);
    sgp_mixer_destroy(mixer);
}

static void test_late_messages_are_no_step(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 1, .chunk_bytes = 1024}};
    run_groups(&setup, late_body, NULL);
}

/* ---- refusals ---- */

static void refused(sgp_mixer_options_t options, const char *says) {
    options.count = 10;
    options.graph.size = 4;
    assert_int_equal(sgp_mixer_check(&options), SGP_ERR_INVALID);
    if (!strstr(sgp_last_error(), says)) fail_msg("%s, not %s", sgp_last_error(), says);
}

#define OUTER .outer_lr = RATE, .local_steps = H

static void test_refusals(void **state) {
    (void)state;
    refused((sgp_mixer_options_t){.outer_lr = -1}, "outer lr is -1");
    refused((sgp_mixer_options_t){.outer_lr = 11}, "10 at most");
    refused((sgp_mixer_options_t){.outer_lr = NAN}, "outer lr is");
    refused((sgp_mixer_options_t){OUTER, .outer_momentum = 1}, "below 1");
    refused((sgp_mixer_options_t){OUTER, .outer_momentum = NAN}, "below 1");
    refused((sgp_mixer_options_t){.outer_momentum = 0.5f}, "set outer_lr");
    refused((sgp_mixer_options_t){OUTER, .slow_every = 4}, "one of the two");
    refused((sgp_mixer_options_t){OUTER, .overlap = 1}, "overlap 0");
    refused((sgp_mixer_options_t){OUTER, .overlap = SGP_OVERLAP_ASYNC}, "overlap 0");
    refused((sgp_mixer_options_t){OUTER, .biased = true}, "without biased");
    refused((sgp_mixer_options_t){OUTER, .algorithm = SGP_ALGORITHM_ADPSGD,
                                  .graph.kind = SGP_GRAPH_BIPARTITE_EXPONENTIAL},
            "dpsgd and allreduce");
    refused((sgp_mixer_options_t){OUTER, .algorithm = SGP_ALGORITHM_ALLREDUCE,
                                  .library_allreduce = true},
            "our own");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_mean),      cmocka_unit_test(test_by_push),
        cmocka_unit_test(test_mean_is_kept), cmocka_unit_test(test_switches),
        cmocka_unit_test(test_bytes),        cmocka_unit_test(test_late_messages_are_no_step),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
