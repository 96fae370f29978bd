/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/loopback/hearing.h"

#include "base/logging.h"

#include <stdio.h>
#include <stdlib.h>

sgp_status_t sgp_hearing_init(sgp_hearing_t *hearing, const sgp_loopback_options_t *options) {
    if (options->fault_count <= 0) return SGP_OK;
    size_t size = (size_t)options->seats;
    hearing->untold = calloc(size * size, sizeof *hearing->untold);
    hearing->absent = calloc(size, sizeof *hearing->absent);
    if (hearing->untold && hearing->absent) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "loopback: no memory for %zu ranks", size);
}

void sgp_hearing_fini(sgp_hearing_t *hearing) {
    free(hearing->untold);
    free(hearing->absent);
}

void sgp_hearing_seat(sgp_loopback_t *hub, int seat) {
    sgp_hearing_t *hearing = &hub->hearing;
    size_t size = (size_t)hub->options.seats;
    if (!hearing->untold) return;
    hearing->absent[seat] = 0;
    for (size_t r = 0; r < size; r++)
        hearing->untold[(size_t)seat * size + r] = hearing->untold[r * size + (size_t)seat] = false;
}

void sgp_hearing_opened(sgp_loopback_t *hub) {
    hub->hearing.next = hub->clock;
}

/* The next time after hub->clock at which something may change. */
static uint64_t next_change(const sgp_loopback_t *hub) {
    const sgp_loopback_options_t *options = &hub->options;
    uint64_t next = sgp_faults_next_edge(&hub->faults, options->suspect_ns, hub->clock);
    uint64_t end = SGP_NEVER;
    if (options->dead_ns) end = sgp_faults_next_edge(&hub->faults, options->dead_ns, hub->clock);
    return next < end ? next : end;
}

uint64_t sgp_hearing_next(const sgp_loopback_t *hub) {
    return hub->hearing.untold ? hub->hearing.next : SGP_NEVER;
}

static bool works(const sgp_loopback_t *hub, int rank) {
    return hub->ranks[rank].state == RANK_WORKS;
}

static bool stalls(const sgp_loopback_t *hub, int rank) {
    return sgp_faults_runs_at(&hub->faults, rank, hub->clock) > hub->clock;
}

uint64_t sgp_hearing_silence(const sgp_loopback_t *hub, int rank, int other) {
    uint64_t since = sgp_faults_mute_since(&hub->faults, other, rank, hub->clock);
    return since == SGP_NEVER ? 0 : hub->clock - since;
}

static void set_silent(rank_t *rank, int other, sgp_silence_t reason, bool holds) {
    if (sgp_fates_set_silent(rank->transport.fates, other, reason, holds))
        sgp_contexts_poke_all(&rank->contexts);
}

static bool is_unheard(const sgp_loopback_t *hub, int rank, int other) {
    return sgp_fates_silence(hub->ranks[rank].transport.fates, other) & SGP_SILENCE_UNHEARD;
}

/* A rank that stood still has not listened: it begins to count when it runs again. */
static uint64_t counted_silence(const sgp_loopback_t *hub, int rank, int other) {
    uint64_t silence = sgp_hearing_silence(hub, rank, other);
    uint64_t runs = hub->clock - sgp_faults_resumed(&hub->faults, rank, hub->clock);
    return silence < runs ? silence : runs;
}

static void give_up(rank_t *rank, int other, uint64_t silence) {
    char why[64];
    snprintf(why, sizeof why, "it has been silent for %.1f s", (double)silence / 1e9);
    sgp_hub_give_up(rank, other, sgp_fate_lost(SGP_CAUSE_SILENT), why);
}

/* Of a rank that runs, about another. */
static void listen_to(sgp_loopback_t *hub, int rank, int other) {
    rank_t *listener = &hub->ranks[rank];
    uint64_t silence = sgp_hearing_silence(hub, rank, other);
    uint64_t counted = counted_silence(hub, rank, other);
    bool was = is_unheard(hub, rank, other);
    bool unheard = silence && (was || counted >= hub->options.suspect_ns);
    set_silent(listener, other, SGP_SILENCE_UNHEARD, unheard);
    if (unheard && !was) hub->hearing.untold[other * hub->options.seats + rank] = true;
    if (unheard && hub->options.dead_ns && !listener->transport.confirms &&
        counted >= hub->options.dead_ns)
        give_up(listener, other, silence);
}

static void note_absence(rank_t *rank, uint64_t length) {
    sgp_fates_note_absence(rank->transport.fates, length);
    sgp_contexts_poke_all(&rank->contexts);
}

/* The other's heartbeat says whether it hears this rank. */
static void hear_verdict(sgp_loopback_t *hub, int rank, int other) {
    bool *untold = &hub->hearing.untold[rank * hub->options.seats + other];
    if (sgp_hearing_silence(hub, rank, other)) return;
    set_silent(&hub->ranks[rank], other, SGP_SILENCE_TOLD, is_unheard(hub, other, rank));
    if (*untold) note_absence(&hub->ranks[rank], 0);
    *untold = false;
}

/* By its own timer. */
static void notice_stall(sgp_loopback_t *hub, int rank) {
    uint64_t *absent = &hub->hearing.absent[rank];
    if (stalls(hub, rank)) {
        uint64_t since = sgp_faults_mute_since(&hub->faults, rank, rank, hub->clock);
        if (!*absent && hub->clock - since >= hub->options.suspect_ns) *absent = since + 1;
    } else if (*absent) {
        note_absence(&hub->ranks[rank], hub->clock - (*absent - 1));
        *absent = 0;
    }
}

/* The end of a rank is seen once its link is not cut any more. */
static void tell_ends(sgp_loopback_t *hub) {
    for (int rank = 0; rank < hub->options.seats; rank++)
        for (int other = 0; other < hub->options.seats; other++)
            if (works(hub, rank) && other != rank && hub->ranks[other].state != RANK_ABSENT &&
                !works(hub, other))
                sgp_hub_tell_end(&hub->ranks[rank], &hub->ranks[other]);
}

/* Also one that is gone, as long as that is not known. */
static bool is_there(const sgp_loopback_t *hub, int rank, int other) {
    if (other == rank || hub->ranks[other].state == RANK_ABSENT) return false;
    return works(hub, other) || !sgp_hub_is_told(&hub->ranks[rank], &hub->ranks[other]);
}

static void for_all_pairs(sgp_loopback_t *hub,
                          void (*visit)(sgp_loopback_t *hub, int rank, int other)) {
    for (int rank = 0; rank < hub->options.seats; rank++) {
        if (!works(hub, rank) || stalls(hub, rank)) continue;
        for (int other = 0; other < hub->options.seats; other++)
            if (is_there(hub, rank, other)) visit(hub, rank, other);
    }
}

void sgp_hearing_look(sgp_loopback_t *hub) {
    if (!hub->hearing.untold || hub->clock < hub->hearing.next) return;
    for (int rank = 0; rank < hub->options.seats; rank++)
        if (works(hub, rank)) notice_stall(hub, rank);
    tell_ends(hub);
    for_all_pairs(hub, listen_to);
    for_all_pairs(hub, hear_verdict);
    hub->hearing.next = next_change(hub);
}
