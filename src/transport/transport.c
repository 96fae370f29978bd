/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/transport.h"

#include "base/call.h"
#include "base/logging.h"
#include "transport/outstanding.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

const char *sgp_transport_name(const sgp_transport_t *transport, int rank, sgp_rank_name_t *name) {
    const sgp_ranks_t *ranks = &transport->ranks;
    int process = ranks->first + rank * ranks->stride;
    if (ranks->workers <= 1) snprintf(name->text, sizeof name->text, "node %d", rank);
    else
        snprintf(name->text, sizeof name->text, "worker %d of node %d", process % ranks->workers,
                 process / ranks->workers);
    return name->text;
}

sgp_status_t sgp_transport_fail_lost(sgp_transport_t *transport, const char *doing) {
    char why[256], text[512];
    sgp_rank_name_t name;
    int rank = sgp_transport_lost_peer(transport);
    if (sgp_fates_of(transport->fates, transport->rank).state == SGP_FATE_LOST)
        snprintf(text, sizeof text,
                 "the others take this node (seat %d) for dead, and go on without it",
                 transport->rank);
    else
        snprintf(text, sizeof text, "%s is lost (%s)%s%s",
                 sgp_transport_name(transport, rank, &name),
                 sgp_fates_why(transport->fates, rank, why, sizeof why), doing ? ", while " : "",
                 doing ? doing : "");
    if (!atomic_exchange(&transport->failed, true)) return sgp_fail(SGP_ERR_PEER_LOST, "%s", text);
    sgp_set_last_error(text);
    return SGP_ERR_PEER_LOST;
}

bool sgp_transport_has_left(sgp_transport_t *transport, int rank) {
    return sgp_fates_of(transport->fates, rank).state == SGP_FATE_LEFT;
}

bool sgp_transport_note(sgp_transport_t *transport, int rank, sgp_fate_t fate, const char *why) {
    sgp_rank_name_t name;
    if (transport->elastic && fate.cause == SGP_CAUSE_FOLLOWED) {
        fate = sgp_fate_lost(SGP_CAUSE_ENDED); /* here no rank ends because of another */
        why = NULL;
    }
    if (!sgp_fates_set(transport->fates, rank, fate, why)) return false;
    if (fate.state == SGP_FATE_LOST)
        sgp_log(SGP_LOG_INFO, "%s: %s is lost: %s", transport->ops->name,
                sgp_transport_name(transport, rank, &name), why ? why : sgp_cause_text(fate.cause));
    return true;
}

sgp_status_t sgp_transport_check_open(sgp_transport_t *transport, int seat, uint32_t incarnation) {
    const char *name = transport->ops->name;
    if (seat < 0 || seat >= transport->capacity || seat == transport->rank)
        return sgp_fail(SGP_ERR_INVALID, "%s: seat %d of %d cannot be opened by rank %d", name,
                        seat, transport->capacity, transport->rank);
    sgp_fate_state_t state = sgp_fates_of(transport->fates, seat).state;
    uint32_t last = sgp_fates_incarnation(transport->fates, seat);
    bool later = incarnation > last || (state == SGP_FATE_ABSENT && incarnation == last);
    if (!transport->elastic)
        return sgp_fail(SGP_ERR_UNSUPPORTED, "%s: newcomers need an elastic group", name);
    if (state == SGP_FATE_PRESENT || !later)
        return sgp_fail(SGP_ERR_INVALID,
                        "%s: seat %d cannot be opened for incarnation %" PRIu32
                        ": incarnation %" PRIu32 " %s",
                        name, seat, incarnation, last,
                        state == SGP_FATE_PRESENT ? "is there" : "was there before");
    return sgp_outstanding_is_unfinished(transport, seat) ? SGP_ERR_AGAIN : SGP_OK;
}

sgp_status_t sgp_transport_open(sgp_transport_t *transport, int seat, uint32_t incarnation,
                                const struct sgp_address *address) {
    if (transport->ops->open) return transport->ops->open(transport, seat, incarnation, address);
    return sgp_fail(SGP_ERR_UNSUPPORTED, "%s: no newcomers can join", transport->ops->name);
}

bool sgp_transport_any_lost(const sgp_transport_t *transport, const sgp_destination_t *to,
                            int destinations) {
    if (transport->elastic || sgp_transport_lost_peer(transport) < 0) return false;
    for (int i = 0; i < destinations; i++)
        if (sgp_fates_of(transport->fates, to[i].dst).state == SGP_FATE_LOST) return true;
    return false;
}

void sgp_send_init(sgp_transport_t *transport, const sgp_header_t *header,
                   const sgp_destination_t *to, int destinations, sgp_send_t *send) {
    *send = (sgp_send_t){.header = *header, .to = to, .destinations = destinations};
    send->header.src = transport->rank;
    send->header.incarnation = transport->incarnation;
    send->header.run = transport->run;
    send->header.view = atomic_load_explicit(&transport->digest, memory_order_relaxed);
    send->header.id = ++transport->next_id;
    send->header.weight = 1; /* each destination has its own */
    send->header.offset = 0;
    send->header.elements = 0;
    send->left = sgp_chunks_of(transport, header->encoding, header->count);
}

static uint64_t elements_per_chunk(const sgp_transport_t *transport, sgp_encoding_t encoding) {
    return sgp_encoding_fit(encoding, transport->chunk_bytes);
}

bool sgp_send_advance(const sgp_transport_t *transport, sgp_send_t *send) {
    sgp_header_t *header = &send->header;
    header->offset += header->elements;
    uint64_t left = header->count - header->offset;
    uint64_t most = elements_per_chunk(transport, header->encoding);
    header->elements = (uint32_t)(left < most ? left : most);
    return send->open = left > 0;
}

void sgp_send_select(const sgp_transport_t *transport, sgp_send_t *send, uint64_t index) {
    send->header.elements = 0;
    send->header.offset = index * elements_per_chunk(transport, send->header.encoding);
    sgp_send_advance(transport, send);
}

uint64_t sgp_chunks_of_room(const sgp_transport_t *transport, size_t bytes, unsigned messages) {
    uint64_t each = bytes / transport->chunk_bytes + (bytes % transport->chunk_bytes != 0), all;
    /* The parts of an all-reduce may each end in a chunk that is not full. */
    uint64_t ends = 2 * (uint64_t)transport->capacity;
    bool over = __builtin_mul_overflow(each, (uint64_t)messages, &all);
    return over || all > UINT64_MAX / 2 - ends ? UINT64_MAX / 2 : all + ends;
}

/* All of it can be under way at once, and then it is in memory. */
sgp_status_t sgp_transport_check_room(const sgp_transport_t *transport, uint64_t chunks) {
    double wanted = (double)chunks * (double)transport->chunk_bytes;
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE);
    if (wanted <= machine) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY,
                    "%s: messages under way need %.1f GiB: this machine has %.1f",
                    transport->ops->name, wanted / (double)(1 << 30), machine / (double)(1 << 30));
}

size_t sgp_chunks_of(const sgp_transport_t *transport, sgp_encoding_t encoding, uint64_t count) {
    uint64_t most = elements_per_chunk(transport, encoding);
    return (size_t)((count + most - 1) / most);
}

sgp_status_t sgp_transport_accept(sgp_transport_t *transport, const unsigned char *bytes,
                                  sgp_header_t *header) {
    const char *reason = NULL;
    sgp_status_t status = sgp_header_decode(bytes, header, &reason);
    if (status == SGP_OK) {
        if (header->run != transport->run) reason = "it belongs to another run";
        else if (header->src < 0 || header->src >= transport->capacity) reason = "no such rank";
        else if (header->incarnation < sgp_fates_incarnation(transport->fates, header->src))
            reason = "its sender's seat has gone to another";
        else if (header->elements > elements_per_chunk(transport, header->encoding))
            reason = "chunk larger than a chunk can be";
    }
    if (!reason) return SGP_OK;
    transport->counters.refused++;
    sgp_log(SGP_LOG_WARNING, "%s: node %d refused a message (from node %d): %s",
            transport->ops->name, transport->rank, status == SGP_OK ? header->src : -1, reason);
    return SGP_ERR_REFUSED;
}

/* The last error of a call that is left in the middle is its own: the calls in between have theirs. */
static sgp_status_t leave_call(uint64_t now) {
    char text[SGP_LOG_LINE];
    snprintf(text, sizeof text, "%s", sgp_last_error());
    sgp_status_t status = sgp_call_yield(now);
    sgp_set_last_error(text);
    return status;
}

static sgp_status_t wait_in_slices(sgp_transport_t *transport, uint64_t deadline) {
    for (;;) {
        uint64_t now = transport->ops->now(transport);
        sgp_status_t status;
        if (sgp_call_due(now)) { /* then a new slice begins */
            status = leave_call(now);
            if (status != SGP_OK) return status;
            continue;
        }
        uint64_t limit = sgp_call_limit(now, deadline, !transport->virtual_time);
        status = transport->ops->wait(transport, limit);
        if (status != SGP_ERR_TIMEOUT || limit >= deadline) return status;
    }
}

sgp_status_t sgp_transport_wait(sgp_transport_t *transport, uint64_t deadline) {
    if (!transport->elastic) return wait_in_slices(transport, deadline);
    sgp_pace_begin_wait(&transport->pace);
    sgp_status_t status = wait_in_slices(transport, deadline);
    sgp_pace_end_wait(&transport->pace, transport->ops->now(transport));
    return status;
}

static sgp_status_t pause_once(sgp_transport_t *transport, uint64_t deadline) {
    uint64_t now = transport->ops->now(transport);
    if (sgp_call_due(now)) {
        transport->ops->unlock(transport);
        sgp_status_t status = leave_call(now);
        transport->ops->lock(transport);
        return status; /* the caller looks again at what it waits for */
    }
    transport->ops->pause(transport, sgp_call_limit(now, deadline, !transport->virtual_time));
    return SGP_OK;
}

sgp_status_t sgp_transport_pause(sgp_transport_t *transport, uint64_t deadline) {
    if (!transport->elastic) return pause_once(transport, deadline);
    sgp_pace_begin_wait(&transport->pace);
    sgp_status_t status = pause_once(transport, deadline);
    sgp_pace_end_wait(&transport->pace, transport->ops->now(transport));
    return status;
}
