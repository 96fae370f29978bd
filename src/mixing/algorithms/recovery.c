/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithms/recovery.h"

#include "base/logging.h"
#include "group/agree_call.h"
#include "mixing/holes.h"
#include "mixing/outer.h"
#include "mixing/round_graph.h"
#include "optimizer/optimizer_internal.h"

#include <stdlib.h>
#include <string.h>

/* The weight of a node that is a step behind, or new: the mean is that of the others, to the last bit. */
#define BEHIND 1e-30

/* z and at most two moments, and those of outer steps; an attempt uses so many numbers of exact averages, also if it fails.
 * Few, as reduce.c drops the chunks of the last numbers alone. */
enum { VECTORS = 3, OUTER_VECTORS = 2 };

/* Reports are told from the payloads of other collective calls. */
#define REPORT_MARK UINT64_C(0x9d2c5680a3f1e74b)

/* Each node tells the others where it is. */
typedef struct report {
    uint64_t mark;
    uint64_t round;
    uint64_t optimizer_steps; /* before the exchange of that round */
    uint32_t channel;         /* of the mixer */
    float learning_rate;
    bool begun, applied, settling;
    bool is_new;
    bool failed; /* it has lost another node in the middle of an attempt */
    bool none[3];
} report_t;

/* What follows from all reports; the same on all nodes. */
typedef struct verdict {
    uint64_t highest; /* round that a node is in */
    bool behind;      /* some node is in the one before */
    bool begun;       /* all are in the highest, and have begun it */
    bool applied;     /* and some have changed their vectors */
    bool settling;    /* all are */
    bool started;     /* some node has begun an exchange: its messages may be anywhere */
    bool has_new;     /* a newcomer is there */
    int model;        /* a node of the highest round that is not new; -1: none */
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
    verdict_t verdict = {.begun = true, .settling = true, .model = -1};
    for (int r = 0; r < mixer->size; r++)
        if (recovery->there[r] && recovery->all[r].round > verdict.highest)
            verdict.highest = recovery->all[r].round;
    for (int r = 0; r < mixer->size; r++) {
        const report_t *report = &recovery->all[r];
        if (!recovery->there[r]) continue;
        if (report->mark != REPORT_MARK || report->channel != mixer->channel ||
            report->round + 1 < verdict.highest)
            return sgp_fail(SGP_ERR_MISMATCH, "all-reduce: the nodes are not in the same step");
        verdict.behind |= report->round < verdict.highest;
        verdict.begun &= report->begun && report->round == verdict.highest;
        verdict.applied |= report->applied;
        verdict.settling &= report->settling;
        verdict.started |= report->begun;
        verdict.has_new |= report->is_new;
        if (verdict.model < 0 && !report->is_new && report->round == verdict.highest)
            verdict.model = r;
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
    const verdict_t *verdict = &recovery->verdict;
    bool behind =
        recovery->mine.round < verdict->highest || (recovery->mine.is_new && verdict->model >= 0);
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

/* Adam's corrections depend on the number of steps. */
static void take_steps(const recovery_t *recovery, uint64_t *steps) {
    const verdict_t *verdict = &recovery->verdict;
    if (recovery->mine.is_new && verdict->model >= 0)
        *steps = recovery->all[verdict->model].optimizer_steps;
}

/* A broken outer step can have changed them in part. */
static sgp_status_t take_outer_means(const recovery_t *recovery, uint64_t deadline) {
    sgp_mixer_t *mixer = recovery->mixer;
    if (!sgp_outer_by_mean(mixer)) return SGP_OK;
    uint64_t number = mixer->averages;
    mixer->averages += OUTER_VECTORS;
    sgp_status_t status =
        take_mean(recovery, (vector_t){mixer->outer_anchor, mixer->count}, number, deadline);
    if (status != SGP_OK) return status;
    return take_mean(recovery, (vector_t){mixer->outer_momentum, mixer->count}, number + 1,
                     deadline);
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
        if (state.items[i].kind == SGP_STATE_UINT64) take_steps(recovery, state.items[i].data);
        if (state.items[i].kind != SGP_STATE_FLOAT32) continue;
        float *values = (float *)state.items[i].data + mixer->first;
        status = take_mean(recovery, (vector_t){values, mixer->count}, number++, deadline);
    }
    return status;
}

/* ---- the recovery ---- */

/* Where gradients are averaged, all nodes must have the same z and the same optimizer, and with outer steps the same anchor;
 * where z is, a newcomer brings one that a member has had. */
static bool must_copy(const recovery_t *recovery) {
    const sgp_mixer_t *mixer = recovery->mixer;
    bool alike = mixer->options.local_steps == 1 || sgp_outer_by_mean(mixer);
    return recovery->verdict.has_new && alike;
}

/* One attempt. *over: no node has lost another one in it. */
static sgp_status_t attempt(recovery_t *recovery, uint64_t deadline, bool *over) {
    sgp_mixer_t *mixer = recovery->mixer;
    bool still[mixer->size];
    sgp_status_t status = gather(recovery, recovery->there);
    if (status == SGP_OK) status = judge(recovery);
    if (status != SGP_OK) return status;
    sgp_reducer_take_part(&mixer->reducer, recovery->there);
    *over = !recovery->verdict.behind && !is_made(&recovery->verdict) && !must_copy(recovery);
    if (*over) return SGP_OK; /* all have the values that they need */
    status = take_outer_means(recovery, deadline);
    if (status == SGP_OK) status = take_means(recovery, deadline);
    recovery->mine.failed = status == SGP_ERR_PEER_LOST;
    if (status != SGP_OK && !recovery->mine.failed) return status;
    status = gather(recovery, still);
    *over = status == SGP_OK;
    for (int r = 0; r < mixer->size; r++) *over &= !(still[r] && recovery->all[r].failed);
    recovery->mine.failed = false;
    return status;
}

/* The graph of those that are there; weights are 1. A newcomer counts like the others: it has their count. */
static void go_on(recovery_t *recovery) {
    sgp_mixer_t *mixer = recovery->mixer;
    bool others = mixer->reducer.changed || mixer->is_new;
    sgp_holes_look(mixer);
    mixer->regroups = mixer->is_new = recovery->mine.is_new = false;
    if (!others && !recovery->verdict.started) return;
    mixer->recoveries++;
    if (!others) return;
    mixer->holes.events++;
    sgp_ledger_restart(&mixer->ledger, mixer->z, mixer->w);
    sgp_holes_reform(mixer, recovery->there);
}

static sgp_status_t recover(recovery_t *recovery, sgp_recovery_place_t *place,
                            sgp_recovered_t *result) {
    sgp_mixer_t *mixer = recovery->mixer;
    uint64_t deadline = sgp_transport_now(mixer->transport) + sgp_group_timeout(mixer->group);
    const report_t *mine = &recovery->mine;
    /* A settling node meets the others at most once in each of their steps, and once for each that is lost. */
    for (int tries = 0; tries < 4 * mixer->size + 4; tries++) {
        bool over = false;
        sgp_status_t status = attempt(recovery, deadline, &over);
        if (status != SGP_OK) return status;
        if (!over) continue;
        if (mine->is_new && recovery->verdict.model >= 0)
            place->learning_rate = recovery->all[recovery->verdict.model].learning_rate;
        go_on(recovery);
        if (mine->settling && !recovery->verdict.settling) continue;
        bool made = mine->round < recovery->verdict.highest || is_made(&recovery->verdict);
        *result = made ? SGP_RECOVERED_MADE : SGP_RECOVERED_AGAIN;
        return SGP_OK;
    }
    return sgp_fail(SGP_ERR_PEER_LOST, "all-reduce: the nodes do not come together again");
}

sgp_status_t sgp_recover(sgp_mixer_t *mixer, sgp_recovery_place_t *place, sgp_recovered_t *result) {
    size_t size = (size_t)mixer->size;
    recovery_t recovery = {.mixer = mixer,
                           .mine = {.mark = REPORT_MARK,
                                    .round = mixer->round,
                                    .optimizer_steps = place->optimizer_steps,
                                    .learning_rate = place->learning_rate,
                                    .is_new = mixer->is_new,
                                    .channel = mixer->channel,
                                    .begun = place->begun,
                                    .applied = place->applied,
                                    .settling = place->settling},
                           .all = calloc(size, sizeof *recovery.all),
                           .there = calloc(size, sizeof *recovery.there)};
    sgp_status_t status = SGP_OK;
    if (!recovery.all || !recovery.there)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to recover with %zu nodes", size);
    else status = recover(&recovery, place, result);
    free(recovery.all);
    free(recovery.there);
    return status;
}

bool sgp_recovery_is_called(const sgp_mixer_t *mixer) {
    const sgp_agree_call_t *call = sgp_group_agreement(mixer->group);
    for (int r = 0; r < mixer->size; r++) {
        report_t report;
        size_t bytes;
        const void *payload = sgp_agree_call_early(call, r, &bytes);
        if (!payload || bytes != sizeof report) continue;
        memcpy(&report, payload, sizeof report);
        if (report.mark == REPORT_MARK && report.channel == mixer->channel && !report.settling &&
            report.round == mixer->round)
            return true;
    }
    return false;
}

bool sgp_recovery_is_due(const sgp_mixer_t *mixer) {
    if (sgp_reducer_is_broken(&mixer->reducer)) return true;
    return mixer->holes.elastic && (mixer->regroups || sgp_recovery_is_called(mixer));
}
