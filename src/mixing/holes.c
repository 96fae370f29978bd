/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/holes.h"

#include "base/logging.h"
#include "group/agree_call.h"
#include "group/membership.h"
#include "group/seats.h"
#include "mixing/round_graph.h"

#include <stdlib.h>

static bool allocate(sgp_holes_t *holes, size_t size) {
    holes->is = calloc(size, sizeof *holes->is);
    holes->silent = calloc(size, sizeof *holes->silent);
    holes->incarnations = calloc(size, sizeof *holes->incarnations);
    holes->lent = calloc(size, sizeof *holes->lent);
    holes->sent = calloc(size, sizeof *holes->sent);
    holes->got = calloc(size, sizeof *holes->got);
    holes->counted = calloc(size, sizeof *holes->counted);
    return holes->is && holes->silent && holes->incarnations && holes->lent && holes->sent &&
           holes->got && holes->counted;
}

uint32_t sgp_holes_member(const sgp_mixer_t *mixer, int rank) {
    return sgp_holes_absent(mixer, rank) ? SGP_NO_MEMBER
                                         : sgp_fates_incarnation(mixer->transport->fates, rank);
}

static void note_members(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    for (int r = 0; r < mixer->size; r++) {
        holes->counted[r] = holes->incarnations[r] = sgp_holes_member(mixer, r);
        holes->is[r] = sgp_fates_found_gone(mixer->transport->fates, r);
    }
}

sgp_status_t sgp_holes_init(sgp_mixer_t *mixer) {
    if (!mixer->transport->elastic) return SGP_OK;
    sgp_holes_t *holes = &mixer->holes;
    if (!allocate(holes, (size_t)mixer->size))
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %d nodes", mixer->size);
    note_members(mixer);
    sgp_status_t status = sgp_round_graphs_init(mixer);
    holes->elastic = status == SGP_OK;
    return status;
}

void sgp_holes_fini(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    for (int r = 0; holes->lent && r < mixer->size; r++)
        if (holes->lent[r]) sgp_transport_unprepare(mixer->transport, holes->lent[r], 1);
    free(holes->is);
    free(holes->silent);
    free(holes->incarnations);
    free(holes->lent);
    sgp_round_graphs_fini(mixer);
    free(holes->sent);
    free(holes->got);
    free(holes->counted);
}

/* The one graph that a single hole cuts: half of its nodes hear nothing of the other half any more. */
static bool is_cut_by_a_hole(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    return mixer->size > 2 && options->graph.kind == SGP_GRAPH_RING &&
           sgp_graph_max_degree(&options->graph) < 2;
}

sgp_status_t sgp_holes_check(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    if (!mixer->transport->elastic) return SGP_OK;
    if (options->library_allreduce)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "mixer: an all-reduce by the library cannot go on without a node: the "
                        "group must not be elastic");
    if (sgp_mixer_has_workers(mixer))
        return sgp_fail(SGP_ERR_UNSUPPORTED, "mixer: nodes of several workers cannot go on without "
                                             "a node: the group must not be elastic");
    if (options->algorithm == SGP_ALGORITHM_SERVER)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "mixer: a parameter server cannot go on without node 0, "
                        "which has the parameters: the group must not be elastic");
    if (is_cut_by_a_hole(mixer, options))
        return sgp_fail(SGP_ERR_UNSUPPORTED, "mixer: a ring with one peer is cut by the loss of a "
                                             "node: the group must not be elastic, or 2 peers");
    return SGP_OK;
}

static void take_weights_back(sgp_mixer_t *mixer) {
    sgp_returned_t returned;
    double sum = 0;
    uint64_t messages = 0;
    for (; sgp_transport_take_back(mixer->transport, mixer->channel, &returned); messages++)
        sum += returned.weight;
    if (messages)
        sgp_flight_note(mixer->transport->flight, SGP_FLIGHT_MESSAGES, SGP_FLIGHT_RETURNED, -1,
                        mixer->round, messages);
    if (sum == 0 || mixer->options.biased) return;
    mixer->holes.events++;
    mixer->w += sum;
    mixer->statistics.weight_returned += sum;
}

bool sgp_holes_are_due(const sgp_mixer_t *mixer) {
    return mixer->holes.elastic && sgp_fates_changes(mixer->transport->fates) > 0;
}

/* ---- silence ---- */

bool sgp_holes_is_silent(const sgp_mixer_t *mixer, int rank) {
    const sgp_fates_t *fates = mixer->transport->fates;
    return mixer->holes.elastic && sgp_fates_silent_ranks(fates) > 0 &&
           sgp_fates_silence(fates, rank) != 0;
}

/* A silent rank keeps the chunks that it has not released: for so long this node has room for one more message, so that
 * pushes to others do not wait for it. Without memory they may wait. */
static void lend_room(sgp_mixer_t *mixer, int rank, bool silent) {
    sgp_transport_t *transport = mixer->transport;
    const sgp_room_t *room = &mixer->rooms[0];
    size_t *lent = &mixer->holes.lent[rank];
    if (silent == (*lent > 0)) return;
    if (!silent) {
        sgp_transport_unprepare(transport, *lent, 1);
        *lent = 0;
    } else if (room->messages && sgp_transport_prepare(transport, room->bytes, 1) == SGP_OK)
        *lent = room->bytes;
}

static void look_at_silence(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    for (int r = 0; r < mixer->size; r++) {
        bool silent = sgp_holes_is_silent(mixer, r);
        mixer->statistics.silences += silent && !holes->silent[r];
        holes->silent[r] = silent;
        lend_room(mixer, r, silent);
    }
}

static void look_at_changes(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    sgp_fates_t *fates = mixer->transport->fates;
    for (; holes->known < sgp_fates_changes(fates); holes->known++, holes->events++) {
        int rank = sgp_fates_changed(fates, holes->known);
        if (rank >= 0 && rank < mixer->size) holes->is[rank] = true;
    }
}

/* Before a message of the seat's member counts, or when this node begins with it, whichever comes first. */
void sgp_holes_count_anew(sgp_mixer_t *mixer, int rank) {
    sgp_holes_t *holes = &mixer->holes;
    uint32_t now = sgp_holes_member(mixer, rank);
    if (holes->counted[rank] == now) return;
    holes->counted[rank] = now;
    holes->events++; /* it may be gone before the next average, with what it has brought */
    holes->sent[rank] = holes->got[rank] = 0;
}

/* The seat has been opened for a newcomer. */
static void begin_with(sgp_mixer_t *mixer, int rank) {
    sgp_holes_t *holes = &mixer->holes;
    holes->is[rank] = false;
    sgp_holes_count_anew(mixer, rank);
    mixer->graphs->struck[rank] = false;
    mixer->graphs->of[0].version = mixer->graphs->of[1].version = 0;
    if (holes->opened) holes->opened(mixer, rank);
}

static void look_for_newcomers(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    for (int r = 0; r < mixer->size; r++) {
        uint32_t now = sgp_holes_member(mixer, r);
        if (now == holes->incarnations[r]) continue;
        holes->incarnations[r] = now;
        begin_with(mixer, r);
    }
}

void sgp_holes_look(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    if (!holes->elastic) return;
    sgp_moment_t moment = sgp_round_moment(mixer);
    sgp_membership_begin_step(sgp_group_membership(mixer->group), &moment);
    sgp_round_graph_begin(mixer);
    sgp_fates_t *fates = mixer->transport->fates;
    uint32_t events = sgp_fates_events(fates);
    if (events != holes->events_seen) {
        holes->events_seen = events;
        holes->stirred = true;
        look_at_changes(mixer);
        look_for_newcomers(mixer);
        look_at_silence(mixer);
    }
    if (holes->known > 0) take_weights_back(mixer);
}

/* All else, such as weight that comes back, is for the next look. */
void sgp_holes_note(sgp_mixer_t *mixer) {
    sgp_holes_t *holes = &mixer->holes;
    if (!holes->elastic || sgp_fates_events(mixer->transport->fates) == holes->events_seen) return;
    holes->stirred = true;
    look_at_changes(mixer);
}

void sgp_holes_begun(sgp_mixer_t *mixer, int src) {
    sgp_agree_call_t *call = sgp_group_agreement(mixer->group);
    if (sgp_seats_has(sgp_agree_call_seats(call), src)) return;
    if (sgp_fates_of(mixer->transport->fates, src).state == SGP_FATE_PRESENT)
        sgp_agree_call_admit(call, src);
}

void sgp_holes_received(sgp_mixer_t *mixer, int src) {
    if (!mixer->holes.elastic) return;
    if (!sgp_inbox_heard(mixer->inbox, src)->pushed) return; /* of the seat's earlier member */
    if (mixer->arrival) sgp_holes_count_anew(mixer, src);
    mixer->holes.got[src]++;
    if (mixer->arrival) sgp_holes_begun(mixer, src); /* a push of it was absorbed */
}

/* ---- torn messages ---- */

bool sgp_holes_absent(const sgp_mixer_t *mixer, int rank) {
    return sgp_fates_of(mixer->transport->fates, rank).state == SGP_FATE_ABSENT;
}

bool sgp_holes_ended(const sgp_mixer_t *mixer, int rank) {
    sgp_transport_t *transport = mixer->transport;
    if (!mixer->holes.elastic) return false;
    if (sgp_transport_has_ended(transport, rank)) return true;
    if (sgp_fates_changes(transport->fates) == 0) return false;
    return sgp_fates_of(transport->fates, rank).state == SGP_FATE_LOST;
}

void sgp_holes_tear(sgp_mixer_t *mixer, int src, uint64_t number) {
    sgp_inbox_key_t key = {.channel = mixer->channel, .kind = SGP_KIND_PUSH, .step = number};
    sgp_chunk_t *next, *at = sgp_inbox_next(mixer->inbox, &key, NULL);
    for (; at; at = next) {
        next = sgp_inbox_next(mixer->inbox, &key, at);
        if (at->header.src == src) sgp_inbox_release(mixer->inbox, at);
    }
}

/* The messages of ranks that are holes, whatever their round: after a reform their weight is not counted any more. */
static void release_late(sgp_mixer_t *mixer) {
    sgp_inbox_key_t from = {.channel = mixer->channel, .kind = SGP_KIND_PUSH};
    for (sgp_chunk_t *at; (at = sgp_inbox_lowest(mixer->inbox, &from, UINT64_MAX));) {
        from.step = at->header.step;
        from.src = at->header.src;
        if (mixer->holes.is[from.src]) sgp_holes_tear(mixer, from.src, from.step);
        from.src++;
    }
}

void sgp_holes_release_ahead(sgp_mixer_t *mixer) {
    if (mixer->holes.known > 0) release_late(mixer);
}

/* The shares of a node that would keep too little. */
static double shrink(sgp_destination_t *to, int count, double w, double sent) {
    double most = w - SGP_LEAST_KEPT, factor = most > 0 ? most / sent : 0, kept = w;
    for (int i = 0; i < count; i++) {
        to[i].weight *= factor;
        if (to[i].weight < w * SGP_LEAST_SHARE) to[i].weight = w * SGP_LEAST_SHARE;
        kept -= to[i].weight;
    }
    return kept;
}

/* In the lock step w stays 1 where nodes send as much as they get. So little of it tells of an event that this node has not heard of, such as
 * a silence between two others, of which one keeps a quarter and sends next to nothing. */
static bool is_drained(const sgp_mixer_t *mixer, double w) {
    return mixer->holes.elastic && mixer->options.overlap == 0 &&
           mixer->graph.kind != SGP_GRAPH_RANDOM_UNEVEN && w < SGP_DRAINED;
}

int sgp_holes_skip(sgp_mixer_t *mixer, sgp_destination_t *to, int count, double w, double *kept) {
    mixer->holes.stirred |= is_drained(mixer, w);
    if (!mixer->holes.stirred) return count;
    int left = 0;
    *kept = w;
    for (int i = 0; i < count; i++) {
        bool absent = mixer->holes.incarnations[to[i].dst] == SGP_NO_MEMBER;
        if (mixer->holes.is[to[i].dst] || absent || sgp_holes_is_silent(mixer, to[i].dst)) continue;
        to[left] = to[i];
        *kept -= to[left++].weight;
    }
    mixer->statistics.holes += (uint64_t)(count - left);
    if (*kept < SGP_LEAST_KEPT && !mixer->options.biased) *kept = shrink(to, left, w, w - *kept);
    return left;
}
