/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithms/recovery.h"

#include "base/logging.h"
#include "mixing/holes.h"
#include "mixing/round_graph.h"
#include "optimizer/optimizer_internal.h"

#include <stdlib.h>
#include <string.h>

/* The weight of a node that is a step behind: the mean is that of the others, to the last bit. */
#define BEHIND 1e-30

/* z and at most two moments; an attempt uses so many numbers of exact averages, also if it fails. Few, as reduce.c drops the
 * chunks of the last numbers alone. */
enum { VECTORS = 3 };

/* Each node tells the others where it is. */
typedef struct report {
    uint64_t round;
    uint32_t channel; /* of the mixer */
    bool begun, applied, settling;
    bool failed; /* it has lost another node in the middle of an attempt */
} report_t;

/* What follows from all reports; the same on all nodes. */
typedef struct verdict {
    uint64_t highest; /* round that a node is in */
    bool behind;      /* some node is in the one before */
    bool begun;       /* all are in the highest, and have begun it */
    bool applied;     /* and some have changed their vectors */
    bool settling;    /* all are */
} verdict_t;

/* The highest step counts as made. */
static bool is_made(const verdict_t *verdict) {
    return verdict->begun && verdict->applied;
}

typedef struct recovery {
    sgp_mixer_t *mixer;
    report_t mine;
    report_t *all; /* (size) */
    bool *there;   /* (size) */
    verdict_t verdict;
} recovery_t;

/* verdict.begun: also that none is behind, since that one has not begun it. */
static sgp_status_t judge(recovery_t *recovery) {
    const sgp_mixer_t *mixer = recovery->mixer;
    verdict_t verdict = {.begun = true, .settling = true};
    for (int r = 0; r < mixer->size; r++)
        if (recovery->there[r] && recovery->all[r].round > verdict.highest)
            verdict.highest = recovery->all[r].round;
    for (int r = 0; r < mixer->size; r++) {
        const report_t *report = &recovery->all[r];
        if (!recovery->there[r]) continue;
        if (report->channel != mixer->channel || report->round + 1 < verdict.highest)
            return sgp_fail(SGP_ERR_MISMATCH, "all-reduce: the nodes are not in the same step");
        verdict.behind |= report->round < verdict.highest;
        verdict.begun &= report->begun && report->round == verdict.highest;
        verdict.applied |= report->applied;
        verdict.settling &= report->settling;
    }
    recovery->verdict = verdict;
    return SGP_OK;
}

static sgp_status_t gather(recovery_t *recovery, bool *there) {
    sgp_group_t *group = recovery->mixer->group;
    sgp_status_t status =
        sgp_group_gather_met(group, &recovery->mine, sizeof recovery->mine, recovery->all);
    for (int r = 0; r < recovery->mixer->size; r++) there[r] = sgp_group_took_part(group, r);
    return status;
}

/* ---- the same values everywhere ---- */

/* A vector that takes its mean: z, or a part of the optimizer's state. */
typedef struct vector {
    float *values; /* (count) */
    size_t count;
} vector_t;

static const float *part(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch) {
    const vector_t *vector = reduce->context;
    size_t here = vector->count > offset ? vector->count - offset : 0;
    if (here >= count) return vector->values + offset;
    if (here > 0) memcpy(scratch, vector->values + offset, here * sizeof *scratch);
    memset(scratch + here, 0, (count - here) * sizeof *scratch);
    return scratch;
}

static void result(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean) {
    const vector_t *vector = reduce->context;
    size_t here = vector->count > offset ? vector->count - offset : 0;
    if (here > count) here = count;
    if (here > 0) memcpy(vector->values + offset, mean, here * sizeof *mean);
}

static sgp_status_t take_mean(const recovery_t *recovery, vector_t vector, uint64_t number,
                              uint64_t deadline) {
    sgp_mixer_t *mixer = recovery->mixer;
    bool behind = recovery->mine.round < recovery->verdict.highest;
    sgp_reduce_t reduce = {.reducer = &mixer->reducer,
                           .trace = mixer->trace,
                           .channel = mixer->average_channel,
                           .step = number,
                           .deadline = deadline,
                           .weight = behind ? BEHIND : 1,
                           .unchecked = mixer->options.allow_not_finite,
                           .exact = true,
                           .part = part,
                           .result = result,
                           .context = &vector};
    return sgp_reduce_run(&reduce);
}

/* All nodes have optimizers of the same kind. */
static sgp_status_t take_means(const recovery_t *recovery, uint64_t deadline) {
    sgp_mixer_t *mixer = recovery->mixer;
    uint64_t number = mixer->averages, end = number + VECTORS;
    sgp_state_t state = {0};
    mixer->averages = end;
    if (mixer->optimizer) sgp_optimizer_state(mixer->optimizer, &state);
    sgp_ledger_enter(&mixer->ledger, mixer->z, 0, mixer->length, mixer->w);
    sgp_status_t status =
        take_mean(recovery, (vector_t){mixer->z, mixer->length}, number++, deadline);
    for (size_t i = 0; i < state.count && number < end && status == SGP_OK; i++) {
        if (state.items[i].kind != SGP_STATE_FLOAT32) continue;
        float *values = (float *)state.items[i].data + mixer->first;
        status = take_mean(recovery, (vector_t){values, mixer->count}, number++, deadline);
    }
    return status;
}

/* ---- the recovery ---- */

/* One attempt. *over: no node has lost another one in it. */
static sgp_status_t attempt(recovery_t *recovery, uint64_t deadline, bool *over) {
    sgp_mixer_t *mixer = recovery->mixer;
    bool still[mixer->size];
    sgp_status_t status = gather(recovery, recovery->there);
    if (status == SGP_OK) status = judge(recovery);
    if (status != SGP_OK) return status;
    sgp_reducer_take_part(&mixer->reducer, recovery->there);
    *over = !recovery->verdict.behind && !is_made(&recovery->verdict);
    if (*over) return SGP_OK; /* all have the same values as they are */
    status = take_means(recovery, deadline);
    recovery->mine.failed = status == SGP_ERR_PEER_LOST;
    if (status != SGP_OK && !recovery->mine.failed) return status;
    status = gather(recovery, still);
    *over = status == SGP_OK;
    for (int r = 0; r < mixer->size; r++) *over &= !(still[r] && recovery->all[r].failed);
    recovery->mine.failed = false;
    return status;
}

/* The graph of the survivors; weights are 1. */
static void go_on(const recovery_t *recovery) {
    sgp_mixer_t *mixer = recovery->mixer;
    sgp_holes_look(mixer);
    if (mixer->reducer.takes_part == mixer->graphs->nodes) return;
    mixer->recoveries++;
    sgp_ledger_restart(&mixer->ledger, mixer->z, mixer->w);
    sgp_holes_reform(mixer, recovery->there);
}

static sgp_status_t recover(recovery_t *recovery, sgp_recovered_t *result) {
    sgp_mixer_t *mixer = recovery->mixer;
    uint64_t deadline = sgp_transport_now(mixer->transport) + sgp_group_timeout(mixer->group);
    const report_t *mine = &recovery->mine;
    /* A settling node meets the others at most once in each of their steps, and once for each that is lost. */
    for (int tries = 0; tries < 4 * mixer->size + 4; tries++) {
        bool over = false;
        sgp_status_t status = attempt(recovery, deadline, &over);
        if (status != SGP_OK) return status;
        if (!over) continue;
        go_on(recovery);
        if (mine->settling && !recovery->verdict.settling) continue;
        bool made = mine->round < recovery->verdict.highest || is_made(&recovery->verdict);
        *result = made ? SGP_RECOVERED_MADE : SGP_RECOVERED_AGAIN;
        return SGP_OK;
    }
    return sgp_fail(SGP_ERR_PEER_LOST, "all-reduce: the nodes do not come together again");
}

sgp_status_t sgp_recover(sgp_mixer_t *mixer, const sgp_recovery_place_t *place,
                         sgp_recovered_t *result) {
    size_t size = (size_t)mixer->size;
    recovery_t recovery = {.mixer = mixer,
                           .mine = {.round = mixer->round,
                                    .channel = mixer->channel,
                                    .begun = place->begun,
                                    .applied = place->applied,
                                    .settling = place->settling},
                           .all = calloc(size, sizeof *recovery.all),
                           .there = calloc(size, sizeof *recovery.there)};
    sgp_status_t status = SGP_OK;
    if (!recovery.all || !recovery.there)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to recover with %zu nodes", size);
    else status = recover(&recovery, result);
    free(recovery.all);
    free(recovery.there);
    return status;
}
