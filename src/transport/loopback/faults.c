/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/faults.h"

#include "base/logging.h"

#include <stdlib.h>
#include <string.h>

static uint64_t plus(uint64_t time, uint64_t length) {
    return length < SGP_NEVER - time ? time + length : SGP_NEVER;
}

static sgp_status_t check(const sgp_loopback_options_t *options) {
    if (options->fault_count && !options->virtual_time)
        return sgp_fail(SGP_ERR_INVALID, "loopback: faults need virtual time");
    for (int i = 0; i < options->fault_count; i++) {
        const sgp_loopback_fault_t *fault = &options->faults[i];
        int seats = options->seats ? options->seats : options->size;
        bool cut = fault->kind == SGP_FAULT_CUT || fault->kind == SGP_FAULT_CUT_BOTH;
        if (fault->seat < 0 || fault->seat >= seats)
            return sgp_fail(SGP_ERR_INVALID, "loopback: a fault of rank %d, of %d", fault->seat,
                            seats);
        if (cut && (fault->other < 0 || fault->other >= seats))
            return sgp_fail(SGP_ERR_INVALID, "loopback: a cut to rank %d, of %d", fault->other,
                            seats);
    }
    return SGP_OK;
}

sgp_status_t sgp_faults_init(sgp_faults_t *faults, const sgp_loopback_options_t *options) {
    sgp_status_t status = check(options);
    if (status != SGP_OK || options->fault_count <= 0) return status;
    size_t count = (size_t)options->fault_count;
    faults->of = malloc(count * sizeof *faults->of);
    faults->done = calloc(count, sizeof *faults->done);
    if (!faults->of || !faults->done)
        return sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for %zu faults", count);
    memcpy(faults->of, options->faults, count * sizeof *faults->of);
    faults->count = options->fault_count;
    return SGP_OK;
}

void sgp_faults_fini(sgp_faults_t *faults) {
    free(faults->of);
    free(faults->done);
}

/* ---- kills ---- */

static bool is_due(const sgp_faults_t *faults, int i, uint64_t now) {
    return faults->of[i].kind == SGP_FAULT_KILL && !faults->done[i] && faults->of[i].from_ns <= now;
}

uint64_t sgp_faults_next_kill(const sgp_faults_t *faults) {
    uint64_t next = SGP_NEVER;
    for (int i = 0; i < faults->count; i++)
        if (is_due(faults, i, next)) next = faults->of[i].from_ns;
    return next;
}

int sgp_faults_take_kill(sgp_faults_t *faults, uint64_t now) {
    for (int i = 0; i < faults->count; i++) {
        if (!is_due(faults, i, now)) continue;
        faults->done[i] = true;
        return faults->of[i].seat;
    }
    return -1;
}

bool sgp_faults_kill_at_call(const sgp_faults_t *faults, int seat, uint64_t call) {
    for (int i = 0; i < faults->count; i++) {
        const sgp_loopback_fault_t *fault = &faults->of[i];
        if (fault->kind == SGP_FAULT_KILL_AT_CALL && fault->seat == seat && fault->call == call)
            return true;
    }
    return false;
}

/* ---- stalls and cuts ---- */

uint64_t sgp_faults_runs_at(const sgp_faults_t *faults, int seat, uint64_t time) {
    for (bool moved = true; moved;) { /* one may begin before another has ended */
        moved = false;
        for (int i = 0; i < faults->count; i++) {
            const sgp_loopback_fault_t *fault = &faults->of[i];
            uint64_t end = plus(fault->from_ns, fault->length_ns);
            if (fault->kind != SGP_FAULT_STALL || fault->seat != seat) continue;
            if (time < fault->from_ns || time >= end) continue;
            time = end;
            moved = true;
        }
    }
    return time;
}

static bool concerns(const sgp_loopback_fault_t *fault, int src, int dst) {
    bool there = fault->seat == src && fault->other == dst;
    bool back = fault->seat == dst && fault->other == src;
    return (fault->kind == SGP_FAULT_CUT && there) ||
           (fault->kind == SGP_FAULT_CUT_BOTH && (there || back));
}

uint64_t sgp_faults_arrival(const sgp_faults_t *faults, int src, int dst, uint64_t sent,
                            uint64_t delay) {
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < faults->count; i++) {
            const sgp_loopback_fault_t *fault = &faults->of[i];
            uint64_t end = plus(fault->from_ns, fault->length_ns);
            bool meets = plus(sent, delay) >= fault->from_ns && sent < end;
            if (!concerns(fault, src, dst) || !meets) continue;
            sent = end;
            moved = true;
        }
    }
    return plus(sent, delay);
}

/* ---- silence ---- */

static uint64_t end_of(const sgp_loopback_fault_t *fault) {
    return plus(fault->from_ns, fault->length_ns);
}

bool sgp_faults_is_cut(const sgp_faults_t *faults, int src, int dst, uint64_t time) {
    for (int i = 0; i < faults->count; i++) {
        const sgp_loopback_fault_t *fault = &faults->of[i];
        if (concerns(fault, src, dst) && fault->from_ns <= time && time < end_of(fault))
            return true;
    }
    return false;
}

static bool silences(const sgp_loopback_fault_t *fault, int src, int dst) {
    if (fault->kind == SGP_FAULT_STALL) return fault->seat == src;
    return src != dst && concerns(fault, src, dst);
}

uint64_t sgp_faults_mute_since(const sgp_faults_t *faults, int src, int dst, uint64_t time) {
    uint64_t since = SGP_NEVER;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < faults->count; i++) {
            const sgp_loopback_fault_t *fault = &faults->of[i];
            if (!silences(fault, src, dst)) continue;
            uint64_t from = fault->from_ns, end = end_of(fault);
            bool covers =
                since == SGP_NEVER ? from <= time && time < end : from < since && since <= end;
            if (!covers) continue;
            since = from;
            moved = true;
        }
    }
    return since;
}

uint64_t sgp_faults_resumed(const sgp_faults_t *faults, int seat, uint64_t time) {
    uint64_t latest = 0;
    for (int i = 0; i < faults->count; i++) {
        uint64_t end = end_of(&faults->of[i]);
        bool resumes = faults->of[i].kind == SGP_FAULT_STALL && faults->of[i].seat == seat;
        if (resumes && end <= time && end > latest) latest = end;
    }
    return latest;
}

static uint64_t earlier_of(uint64_t next, uint64_t candidate, uint64_t after) {
    return candidate > after && candidate < next ? candidate : next;
}

uint64_t sgp_faults_next_edge(const sgp_faults_t *faults, uint64_t length, uint64_t time) {
    uint64_t next = SGP_NEVER;
    for (int i = 0; i < faults->count; i++) {
        const sgp_loopback_fault_t *fault = &faults->of[i];
        if (fault->kind == SGP_FAULT_KILL || fault->kind == SGP_FAULT_KILL_AT_CALL) continue;
        uint64_t end = end_of(fault);
        next = earlier_of(next, plus(fault->from_ns, length), time);
        next = earlier_of(next, end, time);
        next = earlier_of(next, plus(end, length), time); /* of a listener that stood still */
    }
    return next;
}
