/* SPDX-License-Identifier: Apache-2.0 */
/* The exact mean over the nodes, and their distance from it. */
#include "mixing/exact_average.h"

#include "base/logging.h"
#include "mixing/algorithm.h"
#include "mixing/kernels.h"
#include "mixing/mixer_internal.h"
#include "mixing/progress_thread.h"
#include "mixing/workers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct average {
    const sgp_mixer_t *mixer;
    float *mean;     /* (length) the caller's, or z itself, or NULL */
    double distance; /* sum of (z - mean)^2 over the P parameters */
    double norm;     /* sum of mean^2 */
} average_t;

static const float *part(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch) {
    const average_t *average = reduce->context;
    (void)count, (void)scratch;
    return average->mixer->z + offset;
}

static void result(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean) {
    average_t *average = reduce->context;
    const sgp_mixer_t *mixer = average->mixer;
    if (average->mean) memcpy(average->mean + offset, mean, count * sizeof *mean);
    if (offset >= mixer->count) return;
    if (count > mixer->count - offset) count = mixer->count - offset;
    double distance, norm;
    sgp_distance(count, mixer->z + offset, mean, &distance, &norm);
    average->distance += distance;
    average->norm += norm;
}

/* Each node tells the others its weight, its distance, and the balance of its ledger. */
typedef struct report {
    double w, distance, norm;
    double missing[SGP_LEDGER_SAMPLES], present[SGP_LEDGER_SAMPLES];
} report_t;

/* Sums over the nodes, and then over the workers' segments. */
enum { WEIGHT, DISTANCE, NORM, MISSING, PRESENT, SUMS };

static void add_samples(const report_t *reports, int nodes, size_t samples, double *sums) {
    for (size_t s = 0; s < samples; s++) {
        double m = 0, p = 0;
        for (int r = 0; r < nodes; r++) m += reports[r].missing[s], p += reports[r].present[s];
        sums[MISSING] += m * m;
        sums[PRESENT] += p * p;
    }
}

/* In order of rank: the same bits on every node. The norm is node 0's: the mean is the same everywhere, but each node
 * adds up its chunks in the order of their arrival. */
static void add_reports(const report_t *reports, const sgp_mixer_t *mixer, double *sums) {
    for (int r = 0; r < mixer->size; r++) {
        sums[DISTANCE] += reports[r].distance;
        sums[WEIGHT] += reports[r].w;
    }
    sums[NORM] = reports[0].norm;
    add_samples(reports, mixer->size, mixer->ledger.samples, sums);
}

/* Each worker has its own weights, which add up to the number of nodes. */
static void summarise(const double *sums, const sgp_mixer_t *mixer,
                      sgp_mixer_consensus_t *consensus) {
    int workers = mixer->workers.group ? sgp_group_size(mixer->workers.group) : 1;
    double norm = sqrt(sums[NORM]), distance = sqrt(sums[DISTANCE] / mixer->size);
    double missing = sums[MISSING], present = sums[PRESENT];
    *consensus = (sgp_mixer_consensus_t){
        .w_total = sums[WEIGHT] / workers,
        .drift = present > 0 ? sqrt(missing / present) : sqrt(missing),
        .distance = norm > 0 ? distance / norm : distance,
    };
}

/* sums: (SUMS) of this segment. */
static sgp_status_t exchange(sgp_mixer_t *mixer, const average_t *average, double *sums) {
    report_t *mine = calloc(1, sizeof *mine), *all = calloc((size_t)mixer->size, sizeof *all);
    sgp_status_t status = mine && all ? SGP_OK
                                      : sgp_fail(SGP_ERR_NO_MEMORY,
                                                 "no memory to average over %d nodes", mixer->size);
    if (status == SGP_OK) {
        mine->w = mixer->w;
        mine->distance = average->distance;
        mine->norm = average->norm;
        sgp_ledger_balance(&mixer->ledger, mixer->z, mixer->w, mine->missing, mine->present);
        status = sgp_group_gather(mixer->group, mine, sizeof *mine, all);
    }
    if (status == SGP_OK) add_reports(all, mixer, sums);
    free(mine);
    free(all);
    return status;
}

static sgp_status_t reduce_z(sgp_mixer_t *mixer, average_t *average, uint64_t deadline) {
    sgp_reduce_t reduce = {.reducer = &mixer->reducer,
                           .trace = mixer->trace,
                           .channel = mixer->average_channel,
                           .step = mixer->averages++,
                           .deadline = deadline,
                           .weight = mixer->w,
                           .unchecked = mixer->options.allow_not_finite,
                           .exact = true,
                           .part = part,
                           .result = result,
                           .context = average};
    return sgp_reduce_run(&reduce);
}

static sgp_status_t average_settled(sgp_mixer_t *mixer, float *mean, double *sums) {
    average_t found = {.mixer = mixer, .mean = mean};
    uint64_t deadline = sgp_transport_now(mixer->transport) + sgp_group_timeout(mixer->group);
    sgp_status_t status = reduce_z(mixer, &found, deadline);
    return status == SGP_OK ? exchange(mixer, &found, sums) : status;
}

static sgp_status_t average_segment(sgp_mixer_t *mixer, float *mean, double *sums) {
    bool taken;
    sgp_status_t status = sgp_group_take(mixer->group, sgp_progress_owner(mixer), &taken);
    if (status == SGP_OK) status = sgp_algorithm_settle(mixer);
    if (status == SGP_OK) status = average_settled(mixer, mean, sums);
    if (status == SGP_OK) status = sgp_algorithm_resume(mixer);
    if (taken) sgp_group_give(mixer->group);
    return status;
}

/* Each worker has its segment of the mean and of the sums. */
static sgp_status_t average_of_workers(sgp_mixer_t *mixer, float *average, double *sums) {
    sgp_status_t status = sgp_workers_share(mixer); /* settling has changed each segment */
    if (status == SGP_OK) status = sgp_workers_share_mine(mixer, average);
    return status == SGP_OK ? sgp_workers_sum(mixer, sums, SUMS) : status;
}

sgp_status_t sgp_mixer_do_average(sgp_mixer_t *mixer, float *average,
                                  sgp_mixer_consensus_t *consensus) {
    double sums[SUMS] = {0};
    bool workers = sgp_mixer_has_workers(mixer);
    sgp_status_t status = sgp_mixer_refuse_held(mixer, "average");
    if (status != SGP_OK) return status;
    status = average_segment(mixer, workers ? mixer->workers.mine : average, sums);
    if (status == SGP_OK && workers) status = average_of_workers(mixer, average, sums);
    if (status == SGP_OK && consensus) summarise(sums, mixer, consensus);
    return status;
}

sgp_status_t sgp_mixer_balance(sgp_mixer_t *mixer, sgp_mixer_consensus_t *balance) {
    double sums[SUMS] = {0};
    sgp_status_t status = exchange(mixer, &(average_t){.mixer = mixer}, sums);
    if (status == SGP_OK && sgp_mixer_has_workers(mixer))
        status = sgp_workers_sum(mixer, sums, SUMS);
    if (status == SGP_OK) summarise(sums, mixer, balance);
    return status;
}

/* The mean weight is 1 but for rounding. */
static sgp_status_t agree_weight(sgp_mixer_t *mixer) {
    double total = 0;
    sgp_status_t status =
        sgp_group_gather(mixer->group, &mixer->w, sizeof mixer->w, mixer->weights);
    for (int r = 0; r < mixer->size; r++) total += mixer->weights[r];
    if (status == SGP_OK) mixer->w = total / mixer->size;
    return status;
}

sgp_status_t sgp_mixer_agree(sgp_mixer_t *mixer, uint64_t deadline) {
    /* The caller's own changes since the last mixing are entered first. */
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    average_t found = {.mixer = mixer, .mean = mixer->z};
    sgp_status_t status = reduce_z(mixer, &found, deadline);
    if (status == SGP_OK) status = agree_weight(mixer);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return status;
}
