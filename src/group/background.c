/* SPDX-License-Identifier: Apache-2.0 */
#include "group/background.h"

#include "base/constants.h"
#include "group/seats.h"

#include <stdlib.h>
#include <string.h>

/* There, or gone by a loss that is counted (below). */
static bool is_seated(sgp_fates_t *fates, int rank) {
    return sgp_fates_of(fates, rank).state != SGP_FATE_ABSENT;
}

static void seat(sgp_background_t *background, int rank, bool takes_part) {
    background->members[rank] = takes_part;
    background->incarnations[rank] =
        sgp_fates_incarnation(sgp_group_transport(background->group)->fates, rank);
}

sgp_status_t sgp_background_init(sgp_background_t *background, sgp_group_t *group,
                                 size_t payload_bytes, sgp_background_asked_fn asked, void *owner) {
    sgp_agree_options_t options = {.limits = {.capacity = sgp_group_transport(group)->capacity,
                                              .payload_bytes = payload_bytes},
                                   .seat = sgp_group_rank(group)};
    size_t size = (size_t)options.limits.capacity, room = sgp_agree_message_room(&options.limits);
    *background = (sgp_background_t){.group = group,
                                     .payload_bytes = payload_bytes,
                                     .ask = asked,
                                     .owner = owner,
                                     .channel = sgp_group_new_channel(group)};
    if (room > sgp_group_transport(group)->chunk_bytes)
        return sgp_fail(SGP_ERR_INVALID, "a notice of %zu bytes, must be at most %zu", room,
                        sgp_group_transport(group)->chunk_bytes);
    background->sent = calloc(2 * size, sizeof *background->sent);
    background->incarnations = calloc(size, sizeof *background->incarnations);
    background->live = calloc(1, sgp_seats_bytes((int)size));
    background->members = calloc(size, sizeof *background->members);
    sgp_status_t status =
        background->sent && background->incarnations && background->live && background->members
            ? sgp_agree_create(&options, &background->agree)
            : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %zu nodes", size);
    if (status != SGP_OK) {
        sgp_background_fini(background);
        return status;
    }
    background->taken = background->sent + size;
    for (int r = 0; r < (int)size; r++)
        seat(background, r, is_seated(sgp_group_transport(group)->fates, r));
    return SGP_OK;
}

sgp_status_t sgp_background_enter(sgp_background_t *background, uint64_t calls,
                                  const bool *members) {
    sgp_agree_options_t options = {
        .limits = {.capacity = sgp_group_transport(background->group)->capacity,
                   .payload_bytes = background->payload_bytes},
        .seat = sgp_group_rank(background->group),
        .calls = calls};
    sgp_agree_t *made;
    sgp_status_t status = sgp_agree_create(&options, &made);
    if (status != SGP_OK) {
        sgp_background_fini(background);
        return status;
    }
    sgp_agree_destroy(background->agree);
    background->agree = made;
    background->begun = background->asked = calls;
    for (int r = 0; r < options.limits.capacity; r++) seat(background, r, members[r]);
    return SGP_OK;
}

void sgp_background_admit(sgp_background_t *background, int rank) {
    seat(background, rank, true);
    sgp_agree_lost(background->agree, rank); /* an earlier node of the place */
    sgp_agree_admit(background->agree, rank);
    background->sent[rank] = background->taken[rank] = 0;
}

uint64_t sgp_background_count(const sgp_background_t *background) {
    return background->begun;
}

void sgp_background_fini(sgp_background_t *background) {
    if (background->agree)
        sgp_inbox_drop_channel(sgp_group_inbox(background->group), background->channel);
    sgp_agree_destroy(background->agree);
    free(background->sent);
    free(background->incarnations);
    free(background->live);
    free(background->members);
    *background = (sgp_background_t){.group = NULL};
}

/* ---- receiving ---- */

static void hear(sgp_background_t *background, const sgp_chunk_t *chunk) {
    sgp_agree_limits_t limits = {
        .capacity = sgp_group_transport(background->group)->capacity,
        .payload_bytes = SGP_GATHER_BYTES}; /* only the call is read; heard checks the rest */
    sgp_agree_message_t message;
    const char *reason;
    const unsigned char *bytes = chunk->payload;
    sgp_status_t status = sgp_agree_heard(background->agree, chunk->header.src, bytes,
                                          chunk->header.elements, &reason);
    if (status != SGP_OK) return;
    if (sgp_agree_message_decode(&limits, bytes, chunk->header.elements, &message, &reason) ==
            SGP_OK &&
        message.call > background->asked)
        background->asked = message.call;
    if (sgp_background_is_asked(background)) background->ask(background->owner);
}

/* Those of a rank in the order in which it has sent them. */
static void take_from(sgp_background_t *background, int src) {
    sgp_inbox_t *inbox = sgp_group_inbox(background->group);
    sgp_inbox_key_t key = {.channel = background->channel, .kind = SGP_KIND_NOTICE, .src = src};
    for (;;) {
        key.step = background->taken[src] + 1;
        sgp_chunk_t *chunk = sgp_inbox_find(inbox, &key);
        if (!chunk) return;
        hear(background, chunk);
        sgp_inbox_release(inbox, chunk);
        background->taken[src]++;
    }
}

static void lose(sgp_background_t *background, int rank) {
    background->members[rank] = false;
    sgp_agree_lost(background->agree, rank);
}

/* A seat was opened for the next node: the member that it had is gone, perhaps before this node has seen its end. */
static void look_at_seats(sgp_background_t *background) {
    sgp_fates_t *fates = sgp_group_transport(background->group)->fates;
    uint32_t events = sgp_fates_events(fates);
    if (events == background->events) return;
    background->events = events;
    for (int r = 0; r < sgp_group_transport(background->group)->capacity; r++)
        if (background->members[r] &&
            background->incarnations[r] != sgp_fates_incarnation(fates, r))
            lose(background, r);
}

/* What a rank has sent before it ended was taken first. */
static void take_losses(sgp_background_t *background, uint32_t changes) {
    sgp_transport_t *transport = sgp_group_transport(background->group);
    if (!transport->elastic) return;
    look_at_seats(background);
    for (; background->changes < changes; background->changes++) {
        int rank = sgp_fates_changed(transport->fates, background->changes);
        if (rank < 0 || !background->members[rank]) continue;
        bool left = sgp_fates_of(transport->fates, rank).state == SGP_FATE_LEFT;
        if (left && !sgp_transport_has_ended(transport, rank)) return;
        take_from(background, rank);
        lose(background, rank);
    }
}

/* ---- sending ---- */

/* false: there is no room. */
static bool send_one(sgp_background_t *background, const sgp_agree_due_t *due, int dst) {
    sgp_transport_t *transport = sgp_group_transport(background->group);
    sgp_header_t header = {.kind = SGP_KIND_NOTICE,
                           .encoding = SGP_ENCODING_BYTES,
                           .channel = background->channel,
                           .step = background->sent[dst] + 1,
                           .count = due->count};
    sgp_destination_t to = {.dst = dst, .weight = 1};
    sgp_send_t send;
    sgp_status_t status = sgp_transport_send_begin(transport, &header, &to, 1, &send);
    if (status != SGP_OK) return status == SGP_ERR_PEER_LOST;
    memcpy(sgp_transport_send_next(transport, &send), due->bytes, due->count);
    sgp_transport_send_commit(transport, &send);
    sgp_transport_send_next(transport, &send); /* NULL: the message is whole */
    background->sent[dst]++;
    return true;
}

static void send_due(sgp_background_t *background) {
    sgp_agree_due_t due;
    background->unsent = false;
    while (!background->unsent && sgp_agree_next_message(background->agree, &due)) {
        int sent = 0;
        while (sent < due.receivers && send_one(background, &due, due.to[sent])) sent++;
        background->unsent = sent < due.receivers;
        sgp_agree_sent(background->agree, due.to, sent);
    }
}

/* ---- calls ---- */

bool sgp_background_is_due(const sgp_background_t *background) {
    const sgp_transport_t *transport = sgp_group_transport(background->group);
    return background->unsent ||
           (transport->elastic && (sgp_fates_changes(transport->fates) != background->changes ||
                                   sgp_fates_events(transport->fates) != background->events));
}

void sgp_background_move(sgp_background_t *background) {
    sgp_transport_t *transport = sgp_group_transport(background->group);
    uint32_t changes = sgp_fates_changes(transport->fates);
    for (int src = 0; src < transport->capacity; src++)
        if (src != transport->rank) take_from(background, src);
    take_losses(background, changes);
    send_due(background);
}

bool sgp_background_is_asked(const sgp_background_t *background) {
    return background->asked > background->begun;
}

void sgp_background_begin(sgp_background_t *background, const void *payload, size_t bytes) {
    sgp_transport_t *transport = sgp_group_transport(background->group);
    memset(background->live, 0, sgp_seats_bytes(transport->capacity));
    if (transport->elastic) look_at_seats(background);
    for (int r = 0; r < transport->capacity; r++)
        if (background->members[r]) sgp_seats_add(background->live, r);
    for (uint32_t n = 0; n < background->changes; n++) {
        int rank = sgp_fates_changed(transport->fates, n);
        if (rank >= 0 && sgp_fates_of(transport->fates, rank).state != SGP_FATE_PRESENT)
            sgp_seats_remove(background->live, rank);
    }
    background->begun++;
    sgp_agree_begin(background->agree, background->live, payload, bytes);
}

bool sgp_background_result(const sgp_background_t *background, sgp_agree_result_t *result) {
    return background->begun > 0 && sgp_agree_result(background->agree, result);
}

void sgp_background_farewell(sgp_background_t *background) {
    if (!sgp_group_transport(background->group)->elastic) return;
    sgp_agree_farewell(background->agree);
    send_due(background);
}
