/* SPDX-License-Identifier: Apache-2.0 */
/* A run of one mixer per node in which every node follows its own gradient, mostly in virtual time, and the mean that it
 * must reach, computed in double. */
#ifndef SGP_TESTS_MIXING_TRIAL_H
#define SGP_TESTS_MIXING_TRIAL_H

#include "ranks.h"

#include "mixing/mixer_core.h"
#include "mixing/mixer_internal.h"

#include <math.h>
#include <string.h>

#define MOST        16
#define MILLISECOND 1000000u

/* Each node follows the gradient z - target with its own target, plus weight decay, so the sum of its steps depends on
 * where it takes them; the test keeps that sum. */
typedef struct trial {
    sgp_mixer_options_t options;
    int steps;
    double decay;         /* lambda */
    uint64_t compute[16]; /* nanoseconds of virtual time per gradient; all 0: none */
    bool own_optimizer;   /* the caller changes z, the mixer has no optimizer */
    uint64_t until;       /* stop at this virtual time instead of after `steps`; 0: never */
    int switch_at;        /* after so many steps: to `then`; 0: never */
    sgp_mixer_options_t then;
    int average_every; /* steps between exact averages; 0: at the end only */
    float z0[MOST];    /* where they start */
    /* Results. */
    double moved[MOST]; /* lr times the sum of what this node's steps did, first coordinate */
    float average[MOST][64];
    double mean[MOST];    /* of the average, first coordinate */
    double buffers[MOST]; /* of the average, last buffer; only mixed, but for: */
    float added[MOST];    /* to each buffer in each step */
    int made[MOST];       /* steps */
    sgp_mixer_consensus_t consensus[MOST];
    sgp_mixer_statistics_t statistics[MOST]; /* after the steps */
    sgp_mixer_statistics_t at_end[MOST];     /* after the average at the end */
} trial_t;

#define LR 0.05f

static float target_of(int rank) {
    return (float)(rank * rank % 7) - 2.5f;
}

static void compute(sgp_transport_t *transport, uint64_t ns) {
    uint64_t until = sgp_transport_now(transport) + ns;
    if (!ns) return;
    sgp_transport_lock(transport);
    while (sgp_transport_now(transport) < until) sgp_transport_pause(transport, until);
    sgp_transport_unlock(transport);
}

static void one_step(trial_t *trial, sgp_mixer_t *mixer, sgp_optimizer_t *optimizer,
                     float *gradient, int rank) {
    size_t count = trial->options.count;
    float *z = sgp_mixer_parameters(mixer);
    for (size_t i = 0; i < count; i++) gradient[i] = z[i] - target_of(rank);
    trial->moved[rank] += (double)LR * ((double)gradient[0] + trial->decay * (double)z[0]);
    compute(mixer->transport, trial->compute[rank]);
    for (size_t i = 0; i < trial->options.buffers; i++) z[count + i] += trial->added[rank];
    if (trial->own_optimizer) {
        double w = mixer->w;
        for (size_t i = 0; i < count; i++)
            z[i] -= (float)(LR / w) * (gradient[i] + (float)trial->decay * z[i]);
    }
    CHECK(sgp_mixer_step(mixer, trial->own_optimizer ? NULL : optimizer, gradient, LR) == SGP_OK);
    trial->made[rank]++;
}

static bool goes_on(const trial_t *trial, const sgp_mixer_t *mixer, int rank) {
    if (trial->until) return sgp_transport_now(mixer->transport) < trial->until;
    return trial->made[rank] < trial->steps;
}

/* Whether all coordinates move alike: not if chunks are averaged or updated at different moments, or if the owner of a segment uses
 * its own part unrounded. */
static inline bool all_alike(const sgp_mixer_options_t *options) {
    if (options->algorithm == SGP_ALGORITHM_ADPSGD || options->algorithm == SGP_ALGORITHM_SERVER)
        return false;
    return options->algorithm != SGP_ALGORITHM_ALLREDUCE ||
           !sgp_encoding_is_lossy(options->encoding);
}

static inline void try_body(sgp_group_t *group, void *context) {
    trial_t *trial = context;
    int rank = sgp_group_rank(group);
    size_t length = trial->options.count + trial->options.buffers;
    sgp_mixer_t *mixer = NULL;
    sgp_optimizer_t *optimizer = NULL;
    sgp_optimizer_options_t plain = {.count = trial->options.count,
                                     .weight_decay = (float)trial->decay};
    float *initial = calloc(length, sizeof *initial), *gradient = calloc(length, sizeof *gradient);
    float *average = calloc(length, sizeof *average);
    for (size_t i = 0; i < length; i++) initial[i] = trial->z0[rank];
    CHECK(sgp_optimizer_create(&plain, &optimizer) == SGP_OK);
    CHECK(sgp_mixer_create(group, &trial->options, initial, &mixer) == SGP_OK);
    while (mixer && goes_on(trial, mixer, rank)) {
        one_step(trial, mixer, optimizer, gradient, rank);
        if (trial->average_every && trial->made[rank] % trial->average_every == 0)
            CHECK(sgp_mixer_average(mixer, average, NULL) == SGP_OK);
        if (trial->switch_at && trial->made[rank] == trial->switch_at)
            CHECK(sgp_mixer_switch(mixer, &trial->then) == SGP_OK);
    }
    sgp_mixer_statistics(mixer, &trial->statistics[rank]);
    CHECK(sgp_mixer_average(mixer, average, &trial->consensus[rank]) == SGP_OK);
    sgp_mixer_statistics(mixer, &trial->at_end[rank]);
    CHECK(trial->at_end[rank].refused == 0); /* however far a node was ahead */
    for (size_t i = 1; i < trial->options.count && all_alike(&trial->options); i++)
        CHECK(average[i] == average[0] || !all_alike(&trial->then));
    trial->mean[rank] = average[0];
    trial->buffers[rank] = average[length - 1];
    memcpy(trial->average[rank], average, (length < 64 ? length : 64) * sizeof *average);
    sgp_mixer_destroy(mixer);
    sgp_optimizer_destroy(optimizer);
    free(initial);
    free(gradient);
    free(average);
}

static inline ranks_setup_t delays(int size, uint64_t seed, uint64_t most) {
    return (ranks_setup_t){.loopback = {.size = size,
                                        .chunk_bytes = 64,
                                        .virtual_time = true,
                                        .seed = seed,
                                        .delay_min_ns = 1000,
                                        .delay_max_ns = most}};
}

static inline ranks_setup_t threads(int size, bool shm) {
    return (ranks_setup_t){.shm = shm, .loopback = {.size = size, .chunk_bytes = 4096}};
}

/* The mean over the nodes moved by exactly lr times the mean of all their steps. */
static inline void check_mean(const trial_t *trial, int size, double tolerance) {
    double expected = 0, buffers = 0;
    for (int r = 0; r < size; r++) {
        expected += ((double)trial->z0[r] - trial->moved[r]) / size;
        buffers += (double)trial->z0[r] / size;
        buffers += trial->made[r] * (double)trial->added[r] / size;
    }
    for (int r = 0; r < size; r++) {
        if (trial->options.buffers) assert_true(fabs(trial->buffers[r] - buffers) < tolerance);
        if (fabs(trial->mean[r] - expected) > tolerance)
            fail_msg("node %d: mean %.9g, expected %.9g", r, trial->mean[r], expected);
        assert_true(fabs(trial->consensus[r].w_total - size) < 1e-9);
        assert_true(trial->consensus[r].drift < 1e-5);
    }
}

static inline trial_t *trial_of(sgp_mixer_options_t options, int steps) {
    static trial_t trial;
    trial = (trial_t){.options = options, .steps = steps, .decay = 0.3};
    /* Asynchronous pairs decay parameters that have changed since the gradient was taken: no test knows them. */
    if (options.algorithm == SGP_ALGORITHM_ADPSGD) trial.decay = 0;
    for (int r = 0; r < MOST; r++) trial.z0[r] = (float)r;
    return &trial;
}

#endif
