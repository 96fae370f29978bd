/* SPDX-License-Identifier: Apache-2.0 */
#include "group/agree_call.h"

#include "base/constants.h"
#include "base/logging.h"
#include "group/membership.h"
#include "group/seats.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGES = 4 /* under way at a time, as promised to the transport */ };

/* What this rank has seen of another's fate. */
typedef enum sight {
    PRESENT,
    LEAVING, /* it has left; its last messages may still arrive */
    ENDED,   /* all of its messages that will be heard can be taken in */
    GONE,    /* the machine knows */
} sight_t;

struct sgp_agree_call {
    sgp_group_t *group;
    sgp_agree_t *agree;
    int size;           /* seats: the capacity */
    uint64_t *next_in;  /* (capacity) the number of the next message from a rank; 0: it is gone */
    uint64_t *next_out; /* (capacity) the number of the next message to it */
    sight_t *sights;    /* (capacity) */
    uint32_t *incarnations; /* (capacity) of the members that these are of */
    uint32_t changes;       /* of the fates: so many have been seen */
    uint32_t events;        /* of the fates: so many have been looked at */
    int pending;            /* ranks that are LEAVING or ENDED */
    bool running;           /* within sgp_group_agree */
    bool waits_to_enter;    /* a newcomer, which takes nothing in */
    unsigned char *live;    /* ranks that are not GONE, as seats */
    unsigned char *awaited; /* of a newcomer: seats of the calls before it that are not open here */
    int *chosen;            /* (capacity) ranks that get a message */
    sgp_destination_t *to;  /* (capacity) the same */
    unsigned char *message; /* (room) one that came in several chunks */
    size_t room;
    uint64_t refused;
};

static sgp_transport_t *transport_of(const sgp_agree_call_t *call) {
    return sgp_group_transport(call->group);
}

static sgp_inbox_t *inbox_of(const sgp_agree_call_t *call) {
    return sgp_group_inbox(call->group);
}

/* ---- receiving ---- */

static sgp_inbox_key_t key_of(int src, uint64_t number, uint64_t offset) {
    return (sgp_inbox_key_t){.kind = SGP_KIND_AGREE, .src = src, .step = number, .offset = offset};
}

/* Releases all chunks of a message. false: there was none. */
static bool drop_message(sgp_agree_call_t *call, int src, uint64_t number) {
    sgp_inbox_t *inbox = inbox_of(call);
    sgp_inbox_key_t key = key_of(src, number, 0);
    bool found = false;
    for (sgp_chunk_t *chunk = sgp_inbox_next(inbox, &key, NULL), *after; chunk; chunk = after) {
        after = sgp_inbox_next(inbox, &key, chunk);
        if (chunk->header.src != src) continue;
        sgp_inbox_release(inbox, chunk);
        found = true;
    }
    return found;
}

/* Logs the first, the second, the fourth, ...: a flood of messages must not become a flood of log lines. */
static void refuse(sgp_agree_call_t *call, int src, const char *reason) {
    sgp_transport_t *transport = transport_of(call);
    sgp_rank_name_t name;
    uint64_t count = ++call->refused;
    transport->counters.refused++;
    if ((count & (count - 1)) == 0)
        sgp_log(SGP_LOG_WARNING, "refused a message of a collective call from %s: %s",
                sgp_transport_name(transport, src, &name), reason);
}

static void hear(sgp_agree_call_t *call, int src, const void *bytes, size_t count) {
    const char *reason = NULL;
    if (sgp_agree_heard(call->agree, src, bytes, count, &reason) != SGP_OK)
        refuse(call, src, reason);
}

typedef enum arrival { PARTLY, WHOLE, BROKEN } arrival_t;

/* Copies the chunks that are here, in order. */
static arrival_t assemble(sgp_agree_call_t *call, int src, uint64_t count) {
    uint64_t done = 0;
    if (count > call->room) return BROKEN;
    while (done < count) {
        sgp_inbox_key_t key = key_of(src, call->next_in[src], done);
        const sgp_chunk_t *chunk = sgp_inbox_find(inbox_of(call), &key);
        if (!chunk) return PARTLY;
        const sgp_header_t *header = &chunk->header;
        if (header->count != count || !header->elements || header->encoding != SGP_ENCODING_BYTES)
            return BROKEN;
        memcpy(call->message + done, chunk->payload, header->elements);
        done += header->elements;
    }
    return WHOLE;
}

/* first: the chunk at its beginning. false: others are missing, and nothing happened. */
static bool take_message(sgp_agree_call_t *call, int src, sgp_chunk_t *first) {
    const sgp_header_t header = first->header;
    if (header.elements == header.count && header.encoding == SGP_ENCODING_BYTES && header.count) {
        call->next_in[src]++;
        hear(call, src, first->payload, header.elements);
        sgp_inbox_release(inbox_of(call), first);
        return true;
    }
    arrival_t arrival = assemble(call, src, header.count);
    if (arrival == PARTLY) return false;
    drop_message(call, src, call->next_in[src]++);
    if (arrival == WHOLE) hear(call, src, call->message, (size_t)header.count);
    else refuse(call, src, "its chunks are not those of such a message");
    return true;
}

/* The messages of that number, of all ranks from which it is the next. */
static void take_numbered(sgp_agree_call_t *call, uint64_t number) {
    sgp_inbox_t *inbox = inbox_of(call);
    sgp_inbox_key_t key = key_of(0, number, 0);
    sgp_chunk_t *chunk = sgp_inbox_next(inbox, &key, NULL);
    while (chunk) {
        int src = chunk->header.src;
        bool is_first = chunk->header.offset == 0 && call->next_in[src] == number;
        bool taken = is_first && take_message(call, src, chunk); /* then the chunk is released */
        chunk = sgp_inbox_next(inbox, &key, taken ? NULL : chunk);
    }
}

/* The lowest number above `number` that is the next of a rank; 0: none. Mostly they are all the same. */
static uint64_t number_above(const sgp_agree_call_t *call, uint64_t number) {
    uint64_t lowest = 0;
    for (int r = 0; r < call->size; r++)
        if (call->next_in[r] > number && (!lowest || call->next_in[r] < lowest))
            lowest = call->next_in[r];
    return lowest;
}

static void take_in(sgp_agree_call_t *call) {
    sgp_inbox_collect(inbox_of(call));
    for (uint64_t n = number_above(call, 0); n; n = number_above(call, n)) take_numbered(call, n);
}

/* ---- losses ---- */

static void strike(sgp_agree_call_t *call, int rank) {
    call->pending -= call->sights[rank] != PRESENT;
    call->sights[rank] = GONE;
    sgp_agree_lost(call->agree, rank);
    sgp_seats_remove(call->live, rank);
}

/* A seat has been opened for the next member, perhaps before this call has seen the end of the last one. Messages that are here
 * are the next one's (sgp_inbox_forget). */
static void look_at_seats(sgp_agree_call_t *call) {
    sgp_fates_t *fates = transport_of(call)->fates;
    uint32_t events = sgp_fates_events(fates);
    if (events == call->events) return;
    call->events = events;
    for (int r = 0; r < call->size; r++) {
        if (call->sights[r] == GONE || call->incarnations[r] == sgp_fates_incarnation(fates, r))
            continue;
        strike(call, r);
        call->next_in[r] = 0;
    }
}

/* Before messages are taken in: those of a rank that is ENDED now can be taken in now. */
static void look_at_fates(sgp_agree_call_t *call) {
    sgp_transport_t *transport = transport_of(call);
    sgp_fates_t *fates = transport->fates;
    for (; call->changes < sgp_fates_changes(fates); call->changes++) {
        int rank = sgp_fates_changed(fates, call->changes);
        if (rank < 0 || call->sights[rank] == GONE) continue;
        bool left = sgp_fates_of(fates, rank).state == SGP_FATE_LEFT;
        call->sights[rank] = left ? LEAVING : ENDED;
        call->pending++;
    }
    for (int r = 0; call->pending && r < call->size; r++) {
        bool ended = !transport->ops->has_ended || sgp_transport_has_ended(transport, r);
        if (call->sights[r] == LEAVING && ended) call->sights[r] = ENDED;
    }
    look_at_seats(call);
}

/* After they are taken in. */
static void strike_off(sgp_agree_call_t *call) {
    for (int r = 0; call->pending && r < call->size; r++) {
        if (call->sights[r] != ENDED) continue;
        strike(call, r);
        for (uint64_t n = call->next_in[r]; drop_message(call, r, n); n++) {
        }
        call->next_in[r] = 0;
    }
}

/* ---- sending ---- */

/* To those of its receivers for which it is the message of the same number. */
static sgp_status_t send_one(sgp_agree_call_t *call, const sgp_agree_due_t *due) {
    sgp_transport_t *transport = transport_of(call);
    int count = 0;
    uint64_t number = call->next_out[due->to[0]];
    for (int i = 0; i < due->receivers; i++) {
        if (call->next_out[due->to[i]] != number) continue;
        call->to[count] = (sgp_destination_t){.dst = due->to[i], .weight = 1};
        call->chosen[count++] = due->to[i];
    }
    sgp_header_t header = {.kind = SGP_KIND_AGREE,
                           .encoding = SGP_ENCODING_BYTES,
                           .step = number,
                           .count = due->count};
    sgp_send_t send;
    sgp_status_t status = sgp_transport_send_begin(transport, &header, call->to, count, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_transport_send_next(transport, &send));) {
        memcpy(place, due->bytes + send.header.offset, send.header.elements);
        sgp_transport_send_commit(transport, &send);
    }
    sgp_flight_detail(transport->flight, SGP_FLIGHT_SENT, SGP_KIND_AGREE,
                      count == 1 ? call->to[0].dst : -1, number, send.header.id);
    for (int i = 0; i < count; i++) call->next_out[call->chosen[i]]++;
    sgp_agree_sent(call->agree, call->chosen, count);
    return SGP_OK;
}

/* SGP_OK: all that is due; SGP_ERR_AGAIN: there is no room for the rest; SGP_ERR_PEER_LOST: a receiver is. */
static sgp_status_t send_due(sgp_agree_call_t *call) {
    sgp_agree_due_t due;
    sgp_status_t status = SGP_OK;
    while (status == SGP_OK && sgp_agree_next_message(call->agree, &due))
        status = send_one(call, &due);
    return status;
}

/* Of a member that is gone: nobody takes it, and the next member of the seat counts from 1 again. */
static void drop_outdated(sgp_agree_call_t *call, int rank) {
    sgp_fates_t *fates = transport_of(call)->fates;
    sgp_inbox_key_t first = key_of(rank, 1, 0);
    const sgp_chunk_t *chunk = sgp_inbox_peek(inbox_of(call), &first);
    if (!chunk || sgp_fates_of(fates, rank).state == SGP_FATE_ABSENT) return;
    if (chunk->header.incarnation == sgp_fates_incarnation(fates, rank))
        drop_message(call, rank, 1);
}

/* A newcomer that another member has in its set, or that speaks itself. true: there was one. */
static bool look_for_newcomers(sgp_agree_call_t *call) {
    sgp_transport_t *transport = transport_of(call);
    bool found = false;
    if (transport->capacity == transport->size && sgp_fates_changes(transport->fates) == 0)
        return false;
    for (int r = 0; r < call->size; r++) {
        if (call->sights[r] != GONE || r == transport->rank) continue;
        if (sgp_fates_of(transport->fates, r).state != SGP_FATE_PRESENT) {
            drop_outdated(call, r);
            continue;
        }
        sgp_inbox_key_t first = key_of(r, 1, 0);
        if (!sgp_agree_wants(call->agree, r, !call->running) && !sgp_seats_has(call->awaited, r) &&
            !sgp_inbox_find(inbox_of(call), &first))
            continue;
        sgp_agree_call_admit(call, r);
        found |= call->sights[r] == PRESENT;
    }
    return found;
}

/* Takes in what is here, and sends what is due. A message can tell of a newcomer whose own is here already. */
static sgp_status_t work(sgp_agree_call_t *call) {
    look_at_fates(call);
    do take_in(call);
    while (look_for_newcomers(call));
    strike_off(call);
    return send_due(call);
}

/* Of the inbox. Errors show again in the next call. */
static bool serve(void *context) {
    sgp_agree_call_t *call = context;
    return !call->running && !call->waits_to_enter && work(call) == SGP_ERR_AGAIN;
}

/* ---- the call ---- */

/* A transport whose losses end its waits (transport.h) does not sleep any more after one. */
static sgp_status_t nap(sgp_transport_t *transport) {
    sgp_transport_lock(transport);
    sgp_status_t status =
        sgp_transport_pause(transport, sgp_transport_now(transport) + SGP_MILLISECOND);
    sgp_transport_unlock(transport);
    return status;
}

static sgp_status_t give_up(const sgp_agree_call_t *call) {
    sgp_rank_name_t name;
    int missing = sgp_agree_missing(call->agree);
    if (missing < 0)
        return sgp_fail(SGP_ERR_TIMEOUT, "gave up waiting for room to send in a collective call");
    return sgp_fail(SGP_ERR_TIMEOUT, "gave up waiting for the message of a collective call from %s",
                    sgp_transport_name(transport_of(call), missing, &name));
}

/* For the flight recorder. */
static void tell_missing(const sgp_agree_call_t *call) {
    int first = sgp_agree_missing(call->agree);
    for (int r = 0; r < call->size; r++)
        sgp_flight_miss(transport_of(call)->flight, r, sgp_agree_misses(call->agree, r));
    sgp_inbox_want(inbox_of(call), SGP_FLIGHT_FOR_AGREEMENT, first, sgp_agree_calls(call->agree));
}

/* Sleeps until something has happened since `since` chunks were taken in. */
static sgp_status_t wait_for_more(sgp_agree_call_t *call, uint64_t since, uint64_t deadline) {
    sgp_transport_t *transport = transport_of(call);
    sgp_inbox_t *inbox = inbox_of(call);
    sgp_status_t status = sgp_inbox_look(inbox, false);
    if (status == SGP_OK) status = sgp_inbox_retry(inbox, since);
    if (status != SGP_OK || sgp_inbox_taken_in(inbox) != since) return status;
    if (sgp_transport_now(transport) >= deadline) return give_up(call);
    if (sgp_fates_changes(transport->fates) != call->changes) return SGP_OK;
    uint64_t now = sgp_transport_now(transport);
    tell_missing(call);
    status = sgp_inbox_sleep(inbox, -1, deadline, UINT64_MAX, &now);
    if (status == SGP_OK) return SGP_OK;
    if (status != SGP_ERR_PEER_LOST) return status;
    return sgp_fates_changes(transport->fates) == call->changes ? nap(transport) : SGP_OK;
}

/* Whether this rank can still come to a result. */
static sgp_status_t check_standing(const sgp_agree_call_t *call) {
    sgp_transport_t *transport = transport_of(call);
    sgp_rank_name_t name, here;
    int other = sgp_agree_excluded_by(call->agree);
    if (call->sights[transport->rank] != PRESENT)
        return sgp_transport_fail_lost(transport, "in a collective call");
    if (other < 0) return sgp_inbox_ended(inbox_of(call)); /* or it would come to one alone */
    return sgp_fail(SGP_ERR_PEER_LOST, "%s goes on without %s, which it takes for lost",
                    sgp_transport_name(transport, other, &name),
                    sgp_transport_name(transport, transport->rank, &here));
}

/* Until the present call is decided and all that is due is sent. */
static sgp_status_t run(sgp_agree_call_t *call, uint64_t deadline) {
    sgp_agree_result_t result;
    for (;;) {
        uint64_t since = sgp_inbox_taken_in(inbox_of(call));
        sgp_group_serve(call->group);
        sgp_status_t status = work(call), standing = check_standing(call);
        if (standing != SGP_OK) return standing;
        if (status == SGP_OK && sgp_agree_result(call->agree, &result)) return SGP_OK;
        if (status == SGP_ERR_PEER_LOST) {
            if (sgp_fates_changes(transport_of(call)->fates) == call->changes)
                return sgp_transport_fail_lost(transport_of(call), "in a collective call");
            continue;
        }
        if (status == SGP_OK || status == SGP_ERR_AGAIN)
            status = wait_for_more(call, since, deadline);
        if (status != SGP_OK) return status;
    }
}

static sgp_status_t begin_and_run(sgp_agree_call_t *call, const void *payload, size_t bytes) {
    uint64_t now = sgp_transport_now(transport_of(call));
    call->waits_to_enter = false;
    look_for_newcomers(call); /* that the next call is said to have */
    sgp_status_t status = sgp_agree_begin(call->agree, call->live, payload, bytes);
    if (status != SGP_OK) return status;
    sgp_membership_t *membership = sgp_group_membership(call->group);
    call->running = true;
    sgp_membership_in_collective(membership, true);
    status = run(call, now + sgp_group_timeout(call->group));
    sgp_membership_in_collective(membership, false);
    call->running = false;
    return status;
}

typedef struct agree_arguments {
    sgp_group_t *group;
    const void *payload;
    size_t bytes;
    sgp_agree_result_t *result;
} agree_arguments_t;

static sgp_status_t do_agree(void *argument) {
    const agree_arguments_t *with = argument;
    sgp_agree_call_t *call = sgp_group_agreement(with->group);
    bool taken;
    if (!call) return sgp_fail(SGP_ERR_INVALID, "agree: the group is not elastic");
    sgp_status_t status = sgp_group_take(with->group, NULL, &taken);
    sgp_transport_rest(transport_of(call)); /* what follows a collective call is no step either */
    if (status == SGP_OK) status = begin_and_run(call, with->payload, with->bytes);
    if (taken) sgp_group_give(with->group);
    if (status == SGP_OK) sgp_agree_result(call->agree, with->result);
    return status;
}

sgp_status_t sgp_group_agree(sgp_group_t *group, const void *payload, size_t bytes,
                             sgp_agree_result_t *result) {
    agree_arguments_t with = {group, payload, bytes, result};
    return sgp_group_run(group, "sgp_group_agree", do_agree, &with, sizeof with);
}

/* ---- making and leaving ---- */

/* The others may not know the last result yet, and this rank will not answer any more. Best effort: a rank that is not
 * told counts this one as lost. */
static void leave(sgp_agree_call_t *call) {
    uint64_t deadline = sgp_transport_now(transport_of(call)) + sgp_group_timeout(call->group);
    call->running = true;
    if (call->waits_to_enter) return;
    sgp_agree_farewell(call->agree);
    for (;;) {
        uint64_t since = sgp_inbox_taken_in(inbox_of(call));
        sgp_status_t status = work(call);
        bool again = status == SGP_ERR_AGAIN ||
                     (status == SGP_ERR_PEER_LOST &&
                      sgp_fates_changes(transport_of(call)->fates) != call->changes);
        if (!again || wait_for_more(call, since, deadline) != SGP_OK) return;
    }
}

static void destroy(sgp_agree_call_t *call) {
    if (!call) return;
    sgp_agree_destroy(call->agree);
    free(call->next_in);
    free(call->next_out);
    free(call->sights);
    free(call->incarnations);
    free(call->live);
    free(call->awaited);
    free(call->chosen);
    free(call->to);
    free(call->message);
    free(call);
}

static sgp_status_t allocate(sgp_agree_call_t *call) {
    size_t size = (size_t)call->size;
    call->next_in = calloc(size, sizeof *call->next_in);
    call->next_out = calloc(size, sizeof *call->next_out);
    call->sights = calloc(size, sizeof *call->sights);
    call->incarnations = calloc(size, sizeof *call->incarnations);
    call->chosen = calloc(size, sizeof *call->chosen);
    call->to = calloc(size, sizeof *call->to);
    call->live = calloc(sgp_seats_bytes(call->size), 1);
    call->awaited = calloc(sgp_seats_bytes(call->size), 1);
    call->message = malloc(call->room);
    bool all = call->next_in && call->next_out && call->sights && call->incarnations &&
               call->chosen && call->to && call->live && call->awaited && call->message;
    return all ? SGP_OK
               : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an elastic group of %d", call->size);
}

/* The seat's member takes part in the next call. Messages in both directions count from 1 again. */
static void seat(sgp_agree_call_t *call, int rank) {
    call->sights[rank] = PRESENT;
    call->incarnations[rank] = sgp_fates_incarnation(transport_of(call)->fates, rank);
    call->next_in[rank] = rank == sgp_group_rank(call->group) ? 0 : 1;
    call->next_out[rank] = 1;
    sgp_seats_add(call->live, rank);
    sgp_seats_remove(call->awaited, rank);
}

/* It is there, or was when the transport was made and its end will be seen. */
static bool is_member(sgp_transport_t *transport, int rank) {
    sgp_fates_t *fates = transport->fates;
    if (sgp_fates_of(fates, rank).state == SGP_FATE_PRESENT) return true;
    for (uint32_t n = 0; n < sgp_fates_changes(fates); n++)
        if (sgp_fates_changed(fates, n) == rank) return true;
    return false;
}

void sgp_agree_call_admit(sgp_agree_call_t *call, int rank) {
    look_at_fates(call);
    strike_off(call);
    if (call->sights[rank] != GONE) return;
    seat(call, rank);
    sgp_agree_admit(call->agree, rank);
}

const void *sgp_agree_call_early(const sgp_agree_call_t *call, int rank, size_t *bytes) {
    return sgp_agree_early(call->agree, rank, bytes);
}

uint64_t sgp_agree_call_calls(const sgp_agree_call_t *call) {
    return sgp_agree_calls(call->agree);
}

const unsigned char *sgp_agree_call_seats(const sgp_agree_call_t *call) {
    return call->live;
}

void sgp_agree_call_wait_to_enter(sgp_agree_call_t *call) {
    call->waits_to_enter = true;
}

sgp_status_t sgp_agree_call_enter(sgp_agree_call_t *call, uint64_t calls,
                                  const unsigned char *seats) {
    int own = sgp_group_rank(call->group);
    look_at_fates(call);
    for (int r = 0; r < call->size; r++) {
        if (call->sights[r] == GONE && sgp_seats_has(seats, r)) sgp_seats_add(call->awaited, r);
        if (r == own || call->sights[r] == GONE || sgp_seats_has(seats, r)) continue;
        call->pending -= call->sights[r] != PRESENT;
        call->sights[r] = GONE;
        call->next_in[r] = 0;
        sgp_seats_remove(call->live, r);
    }
    return sgp_agree_call_start_at(call, calls);
}

sgp_status_t sgp_agree_call_start_at(sgp_agree_call_t *call, uint64_t calls) {
    sgp_agree_options_t options = {
        .seat = sgp_group_rank(call->group),
        .limits = {.capacity = call->size, .payload_bytes = SGP_GATHER_BYTES},
        .calls = calls};
    sgp_agree_t *made;
    sgp_status_t status = sgp_agree_create(&options, &made);
    if (status != SGP_OK) return status;
    sgp_agree_destroy(call->agree);
    call->agree = made;
    return SGP_OK;
}

static sgp_status_t create(sgp_group_t *group, sgp_agree_call_t *call) {
    sgp_agree_options_t options = {.seat = sgp_group_rank(group),
                                   .limits = {.capacity = sgp_group_transport(group)->capacity,
                                              .payload_bytes = SGP_GATHER_BYTES}};
    call->group = group;
    call->size = options.limits.capacity;
    call->room = sgp_agree_message_room(&options.limits);
    sgp_status_t status = allocate(call);
    if (status == SGP_OK) status = sgp_agree_create(&options, &call->agree);
    if (status == SGP_OK) status = sgp_transport_prepare(transport_of(call), call->room, MESSAGES);
    return status;
}

sgp_status_t sgp_group_become_elastic(sgp_group_t *group) {
    sgp_agree_call_t *call = calloc(1, sizeof *call);
    if (!call) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for an elastic group");
    sgp_membership_t *membership = NULL;
    sgp_status_t status = create(group, call);
    if (status == SGP_OK) status = sgp_membership_create(group, &membership);
    if (status != SGP_OK) {
        destroy(call);
        return status;
    }
    for (int r = 0; r < call->size; r++)
        if (is_member(sgp_group_transport(group), r)) seat(call, r);
        else call->sights[r] = GONE;
    sgp_group_transport(group)->elastic = true;
    sgp_inbox_set_service(sgp_group_inbox(group), SGP_KIND_AGREE, serve, call);
    sgp_group_set_agreement(group, &(sgp_agreement_t){call, leave, destroy});
    sgp_group_set_membership(group, membership, &sgp_membership_ops);
    return SGP_OK;
}

sgp_status_t sgp_group_found(sgp_transport_t *transport, int timeout_ms, sgp_group_t **group) {
    sgp_group_t *made;
    sgp_status_t status = sgp_group_create(transport, timeout_ms, &made);
    if (status == SGP_OK && transport->elastic) {
        status = sgp_group_become_elastic(made);
        if (status != SGP_OK) sgp_group_undo(made);
    }
    if (status == SGP_OK) *group = made;
    return status;
}
