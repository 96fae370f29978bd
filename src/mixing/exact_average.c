/* SPDX-License-Identifier: Apache-2.0 */
/* The exact mean over the nodes, and their distance from it. */
#include "mixing/exact_average.h"

#include "base/logging.h"
#include "mixing/algorithm.h"
#include "mixing/holes.h"
#include "group/group_status.h"
#include "mixing/kernels.h"
#include "mixing/mixer_internal.h"
#include "mixing/progress_thread.h"
#include "mixing/round_graph.h"
#include "mixing/status_feed.h"
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
    bool failed;   /* elastic: this node has lost another one in the middle */
    bool changed;  /* since the last average a node was lost, as far as this one knows */
    uint64_t view; /* digest of its view of the members (group/membership.h) */
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

/* What the nodes tell each other, and which of them have: absent ones are zeros. */
typedef struct exchange {
    report_t mine;
    bool *there;    /* (size) */
    bool parted;    /* elastic: a node was there when the attempt began, and is not any more */
    report_t all[]; /* (size) */
} exchange_t;

/* In order of rank: the same bits on every node. The norm is that of the first node: the mean is the same everywhere, but
 * each node adds up its chunks in the order of their arrival. */
static void add_reports(const exchange_t *exchange, const sgp_mixer_t *mixer, double *sums) {
    int first = 0;
    while (!exchange->there[first]) first++;
    for (int r = 0; r < mixer->size; r++) {
        sums[DISTANCE] += exchange->all[r].distance;
        sums[WEIGHT] += exchange->all[r].w;
    }
    sums[NORM] = exchange->all[first].norm;
    add_samples(exchange->all, mixer->size, mixer->ledger.samples, sums);
}

/* Each worker has its own weights, which add up to the number of nodes. */
static void summarise(const double *sums, const sgp_mixer_t *mixer,
                      sgp_mixer_consensus_t *consensus) {
    int workers = mixer->workers.group ? sgp_group_size(mixer->workers.group) : 1;
    double norm = sqrt(sums[NORM]), distance = sqrt(sums[DISTANCE] / mixer->reducer.takes_part);
    double missing = sums[MISSING], present = sums[PRESENT];
    *consensus = (sgp_mixer_consensus_t){
        .w_total = sums[WEIGHT] / workers,
        .drift = present > 0 ? sqrt(missing / present) : sqrt(missing),
        .distance = norm > 0 ? distance / norm : distance,
    };
}

static sgp_status_t gather(sgp_mixer_t *mixer, exchange_t *exchange) {
    sgp_status_t status =
        sgp_group_gather(mixer->group, &exchange->mine, sizeof exchange->mine, exchange->all);
    for (int r = 0; r < mixer->size && status == SGP_OK; r++)
        exchange->there[r] = sgp_group_took_part(mixer->group, r);
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
    average->distance = average->norm = 0;
    return sgp_reduce_run(&reduce);
}

/* The mean over the nodes that are there now. SGP_ERR_PEER_LOST, elastic: one of them was lost meanwhile. */
static sgp_status_t reduce_present(sgp_mixer_t *mixer, average_t *average, exchange_t *exchange,
                                   uint64_t deadline) {
    if (mixer->holes.elastic) {
        sgp_status_t status = gather(mixer, exchange);
        if (status != SGP_OK) return status;
        sgp_holes_look(mixer);
        sgp_reducer_take_part(&mixer->reducer, exchange->there);
    }
    return average ? reduce_z(mixer, average, deadline) : SGP_OK;
}

static int count_there(const exchange_t *exchange, int size) {
    int count = 0;
    for (int r = 0; r < size; r++) count += exchange->there[r];
    return count;
}

static bool some(const exchange_t *exchange, int size, bool failed) {
    for (int r = 0; r < size; r++) {
        const report_t *report = &exchange->all[r];
        if (exchange->there[r] && (failed ? report->failed : report->changed)) return true;
    }
    return false;
}

/* What stands for the views of all nodes, and for who is there: the same on all of them, and 0 for the founders alone. A newcomer
 * that has come for one that was lost leaves their number as it was, and the views may not have that loss yet. */
static uint64_t views_of(const exchange_t *exchange, const sgp_mixer_t *mixer) {
    uint64_t views = 0, first = 0, others = 0;
    for (int r = mixer->size - 1; r >= 0; r--)
        if (exchange->there[r]) first = exchange->all[r].view;
    for (int r = 0; r < mixer->size; r++) {
        bool founder = r < mixer->transport->size;
        if (exchange->there[r]) views = views * 31 + (exchange->all[r].view ^ first);
        if (exchange->there[r] != founder) others ^= ((uint64_t)r + 1) * 0x9e3779b97f4a7c15u;
    }
    return views ^ first ^ others;
}

/* After a change of the members the weights of the nodes that are left do not add up to their number any more: they are scaled, at constant
 * z, and the ledger begins anew. */
static void renew_weights(sgp_mixer_t *mixer, const exchange_t *exchange, double *sums) {
    int nodes = count_there(exchange, mixer->size);
    if (!mixer->holes.elastic) return;
    uint64_t views = views_of(exchange, mixer), before = mixer->graphs->agreed;
    mixer->graphs->agreed = views;
    if (nodes == mixer->graphs->nodes && views == before && !exchange->parted &&
        !some(exchange, mixer->size, false))
        return;
    if (!mixer->options.biased) mixer->w *= nodes / sums[WEIGHT];
    sums[WEIGHT] = nodes;
    sums[MISSING] = 0;
    sgp_ledger_restart(&mixer->ledger, mixer->z, mixer->w);
    sgp_holes_reform(mixer, exchange->there);
    sgp_holes_release_ahead(mixer);
    mixer->holes.averaged = mixer->holes.events;
}

static uint64_t elastic_view(const sgp_mixer_t *mixer) {
    return mixer->holes.elastic ? sgp_membership_digest(sgp_group_membership(mixer->group)) : 0;
}

/* A newcomer is in the graph, and has not come yet: what was sent to it is mass that nobody has here. */
static bool has_sent_ahead(const sgp_mixer_t *mixer, const bool *there) {
    for (int r = 0; mixer->arrival && r < mixer->size; r++)
        if (!there[r] && mixer->holes.sent[r] > 0 &&
            sgp_fates_of(mixer->transport->fates, r).state == SGP_FATE_PRESENT)
            return true;
    return false;
}

/* One attempt: the mean, if there is an `average`, and what the nodes tell each other after it. *again: some node has lost another in
 * the middle. */
static sgp_status_t attempt(sgp_mixer_t *mixer, average_t *average, exchange_t *exchange,
                            uint64_t deadline, bool *again) {
    average_t none = {.mixer = mixer};
    sgp_status_t status = reduce_present(mixer, average, exchange, deadline);
    bool lost = status == SGP_ERR_PEER_LOST && mixer->holes.elastic;
    if (status != SGP_OK && !lost) return status;
    if (!average) average = &none;
    report_t *mine = &exchange->mine;
    *mine = (report_t){.w = mixer->w,
                       .distance = average->distance,
                       .norm = average->norm,
                       .failed = lost,
                       .changed = mixer->holes.events != mixer->holes.averaged ||
                                  has_sent_ahead(mixer, exchange->there),
                       .view = elastic_view(mixer)};
    sgp_ledger_balance(&mixer->ledger, mixer->z, mixer->w, mine->missing, mine->present);
    int before = count_there(exchange, mixer->size);
    status = gather(mixer, exchange);
    exchange->parted = count_there(exchange, mixer->size) < before;
    *again = status == SGP_OK && some(exchange, mixer->size, true);
    return status;
}

/* Each attempt that is made again has lost a node. sums: (SUMS) of this segment. */
static sgp_status_t average_settled(sgp_mixer_t *mixer, average_t *average, double *sums) {
    uint64_t deadline = sgp_transport_now(mixer->transport) + sgp_group_timeout(mixer->group);
    size_t size = (size_t)mixer->transport->capacity;
    exchange_t *exchange = calloc(1, sizeof *exchange + size * sizeof *exchange->all);
    bool *there = calloc(size, sizeof *there), again = true;
    sgp_status_t status = SGP_OK;
    if (!exchange || !there)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to average over %d nodes", mixer->size);
    else exchange->there = there;
    for (int tries = 0; status == SGP_OK && again && tries <= mixer->size; tries++)
        status = attempt(mixer, average, exchange, deadline, &again);
    if (status == SGP_OK) {
        add_reports(exchange, mixer, sums);
        renew_weights(mixer, exchange, sums);
    }
    free(exchange);
    free(there);
    return status;
}

static sgp_status_t average_segment(sgp_mixer_t *mixer, float *mean, double *sums) {
    bool taken;
    sgp_membership_t *membership = sgp_group_membership(mixer->group);
    sgp_status_t status = sgp_group_take(mixer->group, sgp_progress_owner(mixer), &taken);
    sgp_membership_in_collective(membership, true);
    if (status == SGP_OK) status = sgp_algorithm_settle(mixer);
    average_t found = {.mixer = mixer, .mean = mean};
    if (status == SGP_OK) status = average_settled(mixer, &found, sums);
    sgp_membership_in_collective(membership, false);
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
    if (status != SGP_OK) return status;
    sgp_mixer_consensus_t found;
    summarise(sums, mixer, &found);
    if (consensus) *consensus = found;
    sgp_status_feed_end(mixer, true);
    sgp_status_note_distance(sgp_group_status(mixer->group), found.distance, mixer->step);
    return SGP_OK;
}

sgp_status_t sgp_mixer_balance(sgp_mixer_t *mixer, sgp_mixer_consensus_t *balance) {
    double sums[SUMS] = {0};
    sgp_status_t status = average_settled(mixer, NULL, sums);
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

static sgp_status_t agree(sgp_mixer_t *mixer, average_t *found, uint64_t deadline) {
    if (!mixer->holes.elastic) {
        sgp_status_t status = reduce_z(mixer, found, deadline);
        return status == SGP_OK ? agree_weight(mixer) : status;
    }
    double sums[SUMS] = {0};
    sgp_status_t status = average_settled(mixer, found, sums);
    if (status == SGP_OK) mixer->w = sums[WEIGHT] / mixer->reducer.takes_part;
    return status;
}

sgp_status_t sgp_mixer_agree(sgp_mixer_t *mixer, uint64_t deadline) {
    /* The caller's own changes since the last mixing are entered first. */
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    average_t found = {.mixer = mixer, .mean = mixer->z};
    sgp_status_t status = agree(mixer, &found, deadline);
    sgp_ledger_close(&mixer->ledger, mixer->z);
    return status;
}
