/* SPDX-License-Identifier: Apache-2.0 */
/* The exact mean over the nodes, and how far they are from it. Between epochs, not in the step
 * path. */
#include "mixing/kernels.h"
#include "mixing/mixer.h"
#include "mixing/reduce.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct average {
    float *mean;     /* (P + S) the caller's, or NULL */
    double distance; /* sum of (z - mean)^2 over the P parameters */
    double norm;     /* sum of mean^2 */
} average_t;

static const float *part(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch) {
    (void)count, (void)scratch;
    return reduce->mixer->z + offset;
}

static void result(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean) {
    average_t *average = reduce->context;
    const sgp_mixer_t *mixer = reduce->mixer;
    if (average->mean) memcpy(average->mean + offset, mean, count * sizeof *mean);
    if (offset >= mixer->count) return;
    if (count > mixer->count - offset) count = mixer->count - offset;
    double distance, norm;
    sgp_distance(count, mixer->z + offset, mean, &distance, &norm);
    average->distance += distance;
    average->norm += norm;
}

/* What each node tells the others: its weight, its distance, and the balance of its ledger. */
typedef struct report {
    double w, distance, norm;
    double missing[SGP_LEDGER_SAMPLES], present[SGP_LEDGER_SAMPLES];
} report_t;

static double drift_of(const report_t *reports, int nodes, size_t samples) {
    double missing = 0, present = 0;
    for (size_t s = 0; s < samples; s++) {
        double m = 0, p = 0;
        for (int r = 0; r < nodes; r++) m += reports[r].missing[s], p += reports[r].present[s];
        missing += m * m;
        present += p * p;
    }
    return present > 0 ? sqrt(missing / present) : sqrt(missing);
}

/* In order of rank, so that every node comes to the same bits. The norm is node 0's: the mean is
 * the same everywhere, but chunks are added in the order of their arrival. */
static void summarise(const report_t *reports, const sgp_mixer_t *mixer,
                      sgp_mixer_consensus_t *consensus) {
    double squares = 0, weights = 0;
    for (int r = 0; r < mixer->size; r++) {
        squares += reports[r].distance;
        weights += reports[r].w;
    }
    double norm = sqrt(reports[0].norm), distance = sqrt(squares / mixer->size);
    *consensus = (sgp_mixer_consensus_t){
        .w_total = weights,
        .drift = drift_of(reports, mixer->size, mixer->ledger.samples),
        .distance = norm > 0 ? distance / norm : distance,
    };
}

static sgp_status_t exchange(sgp_mixer_t *mixer, const average_t *average,
                             sgp_mixer_consensus_t *consensus) {
    report_t *mine = calloc(1, sizeof *mine), *all = calloc((size_t)mixer->size, sizeof *all);
    sgp_status_t status = mine && all ? SGP_OK : SGP_ERR_NO_MEMORY;
    if (status == SGP_OK) {
        mine->w = mixer->w;
        mine->distance = average->distance;
        mine->norm = average->norm;
        sgp_ledger_balance(&mixer->ledger, mixer->z, mixer->w, mine->missing, mine->present);
        status = sgp_group_gather(mixer->group, mine, sizeof *mine, all);
    }
    if (status == SGP_OK) summarise(all, mixer, consensus);
    free(mine);
    free(all);
    return status;
}

sgp_status_t sgp_mixer_average(sgp_mixer_t *mixer, float *average,
                               sgp_mixer_consensus_t *consensus) {
    uint64_t deadline = sgp_transport_now(mixer->transport) + mixer->timeout;
    sgp_status_t status = mixer->ops->settle ? mixer->ops->settle(mixer, deadline) : SGP_OK;
    if (status != SGP_OK) return status;
    average_t found = {.mean = average};
    sgp_reduce_t reduce = {.mixer = mixer,
                           .channel = mixer->average_channel,
                           .step = mixer->averages++,
                           .deadline = deadline,
                           .weight = mixer->w,
                           .exact = true,
                           .part = part,
                           .result = result,
                           .context = &found};
    status = sgp_reduce_run(&reduce);
    sgp_mixer_consensus_t ignored;
    if (status == SGP_OK) status = exchange(mixer, &found, consensus ? consensus : &ignored);
    return status;
}
