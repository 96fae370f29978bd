/* SPDX-License-Identifier: Apache-2.0 */
/* The collective calls of a group: gather, barrier, broadcast. They happen between epochs and at
 * the ends of a run. */
#include "base/constants.h"
#include "base/logging.h"
#include "group/agree_call.h"
#include "group/group_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One message of a collective call. */
typedef struct part {
    sgp_group_t *group;
    uint64_t sequence;
    size_t count;
    uint64_t deadline;
    bool chain; /* from the rank before alone */
} part_t;

static sgp_status_t send_part(const part_t *part, const unsigned char *bytes,
                              const sgp_destination_t *to, int destinations) {
    sgp_inbox_t *inbox = sgp_group_inbox(part->group);
    sgp_header_t header = {.kind = SGP_KIND_CONTROL,
                           .encoding = SGP_ENCODING_BYTES,
                           .step = part->sequence,
                           .count = part->count};
    sgp_send_t send;
    sgp_status_t status =
        sgp_inbox_send_begin(inbox, &header, to, destinations, part->deadline, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_inbox_send_next(inbox, &send));) {
        memcpy(place, bytes + send.header.offset, send.header.elements);
        sgp_inbox_send_commit(inbox, &send);
    }
    return SGP_OK;
}

/* The chunk of the part that begins at `offset`, asleep until it is there. */
static sgp_status_t wait_for_chunk(const part_t *part, int src, size_t offset,
                                   sgp_chunk_t **chunk) {
    sgp_inbox_t *inbox = sgp_group_inbox(part->group);
    sgp_inbox_key_t key = {
        .kind = SGP_KIND_CONTROL, .src = src, .step = part->sequence, .offset = offset};
    for (;;) {
        uint64_t since = sgp_inbox_taken_in(inbox);
        sgp_group_serve(part->group);
        *chunk = sgp_inbox_find(inbox, &key);
        if (*chunk) return SGP_OK;
        sgp_inbox_want(inbox, part->chain ? SGP_FLIGHT_FOR_CHAIN : SGP_FLIGHT_FOR_COLLECTIVE, src,
                       part->sequence);
        sgp_status_t status =
            sgp_inbox_wait_for(inbox, src, since, part->deadline, "message of a collective call");
        if (status != SGP_OK) return status;
    }
}

static sgp_status_t receive_part(const part_t *part, int src, unsigned char *bytes) {
    const sgp_transport_t *transport = sgp_group_transport(part->group);
    sgp_rank_name_t name, here;
    for (size_t done = 0; done < part->count;) {
        sgp_chunk_t *chunk;
        sgp_status_t status = wait_for_chunk(part, src, done, &chunk);
        if (status != SGP_OK) return status;
        if (chunk->header.count != part->count)
            return sgp_fail(SGP_ERR_MISMATCH,
                            "in a collective call %s sends %" PRIu64 " bytes and %s %zu",
                            sgp_transport_name(transport, src, &name), chunk->header.count,
                            sgp_transport_name(transport, transport->rank, &here), part->count);
        memcpy(bytes + done, chunk->payload, chunk->header.elements);
        done += chunk->header.elements;
        sgp_inbox_release(sgp_group_inbox(part->group), chunk);
    }
    return SGP_OK;
}

static part_t first_part(sgp_group_t *group, size_t count) {
    uint64_t now = sgp_transport_now(sgp_group_transport(group));
    return (part_t){.group = group,
                    .sequence = sgp_group_next_sequence(group),
                    .count = count,
                    .deadline = now + sgp_group_timeout(group)};
}

/* ---- gather ---- */

static sgp_status_t gather(sgp_group_t *group, const void *mine, size_t bytes, void *all) {
    part_t part = first_part(group, bytes);
    int rank = sgp_group_rank(group), size = sgp_group_size(group);
    sgp_status_t status = send_part(&part, mine, sgp_group_others(group), size - 1);
    for (int r = 0; r < size && status == SGP_OK; r++) {
        unsigned char *place = (unsigned char *)all + (size_t)r * bytes;
        if (r == rank) memmove(place, mine, bytes);
        else status = receive_part(&part, r, place);
    }
    return status;
}

/* In an elastic group: the payloads of one agree. */
static sgp_status_t gather_agreed(sgp_group_t *group, const void *mine, size_t bytes, void *all) {
    const sgp_transport_t *transport = sgp_group_transport(group);
    sgp_agree_result_t result;
    sgp_rank_name_t name, here;
    sgp_status_t status = sgp_group_agree(group, mine, bytes, &result);
    for (int r = 0; r < transport->capacity && status == SGP_OK; r++) {
        unsigned char *place = (unsigned char *)all + (size_t)r * bytes;
        size_t found = bytes;
        const void *payload = sgp_agree_payload(&result, r, &found);
        sgp_group_participants(group)[r] = payload != NULL;
        if (found != bytes)
            return sgp_fail(SGP_ERR_MISMATCH, "in a collective call %s sends %zu bytes and %s %zu",
                            sgp_transport_name(transport, r, &name), found,
                            sgp_transport_name(transport, transport->rank, &here), bytes);
        if (payload) memmove(place, payload, bytes);
        else memset(place, 0, bytes);
    }
    return status;
}

typedef struct gather_call {
    sgp_group_t *group;
    const void *mine;
    size_t bytes;
    void *all;
    bool met;
} gather_call_t;

static sgp_status_t gather_whole(const gather_call_t *call) {
    bool taken;
    sgp_status_t status = sgp_group_take(call->group, NULL, &taken);
    if (status == SGP_OK) status = gather(call->group, call->mine, call->bytes, call->all);
    if (taken) sgp_group_give(call->group);
    return status;
}

static sgp_status_t do_gather(void *argument) {
    const gather_call_t *call = argument;
    if (call->bytes == 0 || call->bytes > SGP_GATHER_BYTES)
        return sgp_fail(SGP_ERR_INVALID, "gather: %zu bytes, must be 1 to %zu", call->bytes,
                        SGP_GATHER_BYTES);
    if (!sgp_group_agreement(call->group)) return gather_whole(call);
    sgp_status_t status = call->met ? SGP_OK : sgp_group_meet(call->group);
    return status == SGP_OK ? gather_agreed(call->group, call->mine, call->bytes, call->all)
                            : status;
}

sgp_status_t sgp_group_gather(sgp_group_t *group, const void *mine, size_t bytes, void *all) {
    gather_call_t call = {group, mine, bytes, all, false};
    return sgp_group_run(group, "sgp_group_gather", do_gather, &call, sizeof call);
}

sgp_status_t sgp_group_gather_met(sgp_group_t *group, const void *mine, size_t bytes, void *all) {
    gather_call_t call = {group, mine, bytes, all, true};
    return sgp_group_run(group, "sgp_group_gather", do_gather, &call, sizeof call);
}

/* Every rank hears from every other: among the few nodes of one machine no pattern is much better,
 * and it happens between epochs only. */
static sgp_status_t do_barrier(void *argument) {
    sgp_group_t *group = *(sgp_group_t **)argument;
    unsigned char token = 1;
    size_t size = (size_t)sgp_group_transport(group)->capacity;
    unsigned char all[size];
    return do_gather(&(gather_call_t){group, &token, 1, all, false});
}

sgp_status_t sgp_group_barrier(sgp_group_t *group) {
    return sgp_group_run(group, "sgp_group_barrier", do_barrier, &group, sizeof group);
}

/* ---- broadcast ---- */

/* Chunks under way from one rank to the next. */
enum { WINDOW = 32 };

/* The terms of a broadcast, equal on all ranks. */
typedef struct terms {
    uint64_t count;
    int32_t root;
    uint32_t prepared; /* 0: it has no room for the messages */
} terms_t;

static sgp_status_t compare(sgp_group_t *group, const terms_t *mine, int other,
                            const terms_t *theirs) {
    const sgp_transport_t *transport = sgp_group_transport(group);
    sgp_rank_name_t name, here;
    sgp_transport_name(transport, other, &name);
    if (theirs->count != mine->count || theirs->root != mine->root)
        return sgp_fail(
            SGP_ERR_MISMATCH,
            "%s broadcasts %" PRIu64 " bytes of rank %d where %s broadcasts %" PRIu64 " of rank %d",
            name.text, theirs->count, (int)theirs->root,
            sgp_transport_name(transport, transport->rank, &here), mine->count, (int)mine->root);
    if (!theirs->prepared)
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s has no memory for a broadcast", name.text);
    return SGP_OK;
}

/* Every rank hears the terms of every other, and all of them come to the same end. */
static sgp_status_t agree(sgp_group_t *group, const terms_t *mine) {
    part_t part = first_part(group, sizeof *mine);
    int size = sgp_group_size(group);
    sgp_status_t result = mine->prepared ? SGP_OK : SGP_ERR_NO_MEMORY; /* logged by prepare */
    sgp_status_t status =
        send_part(&part, (const unsigned char *)mine, sgp_group_others(group), size - 1);
    for (int r = 0; r < size && status == SGP_OK; r++) {
        terms_t theirs;
        if (r == sgp_group_rank(group)) continue;
        status = receive_part(&part, r, (unsigned char *)&theirs);
        if (status == SGP_OK && result == SGP_OK) result = compare(group, mine, r, &theirs);
    }
    return status == SGP_OK ? result : status;
}

/* Along the chain root, root + 1, ..., chunk by chunk: each rank passes a chunk on while the next
 * one arrives. */
static sgp_status_t pass_along(sgp_group_t *group, unsigned char *bytes, const terms_t *terms) {
    int rank = sgp_group_rank(group), size = sgp_group_size(group), root = terms->root;
    size_t chunk = sgp_group_transport(group)->chunk_bytes, count = (size_t)terms->count;
    sgp_destination_t next = {.dst = (rank + 1) % size, .weight = 1};
    int previous = (rank + size - 1) % size;
    sgp_status_t status = SGP_OK;
    for (size_t done = 0; done < count && status == SGP_OK;) {
        part_t part = first_part(group, count - done < chunk ? count - done : chunk);
        part.chain = true;
        if (rank != root) status = receive_part(&part, previous, bytes + done);
        if (status == SGP_OK && next.dst != root) status = send_part(&part, bytes + done, &next, 1);
        done += part.count;
    }
    return status;
}

static sgp_status_t broadcast(sgp_group_t *group, void *bytes, terms_t *terms) {
    sgp_transport_t *transport = sgp_group_transport(group);
    terms->prepared = sgp_transport_prepare(transport, transport->chunk_bytes, WINDOW) == SGP_OK;
    sgp_status_t status = agree(group, terms);
    if (status == SGP_OK) status = pass_along(group, bytes, terms);
    if (terms->prepared) sgp_transport_unprepare(transport, transport->chunk_bytes, WINDOW);
    return status;
}

typedef struct broadcast_call {
    sgp_group_t *group;
    void *bytes;
    terms_t terms;
} broadcast_call_t;

static sgp_status_t do_broadcast(void *argument) {
    broadcast_call_t *call = argument;
    int root = call->terms.root, size = sgp_group_size(call->group);
    bool taken;
    if (root < 0 || root >= size)
        return sgp_fail(SGP_ERR_INVALID, "broadcast: root is rank %d of %d, must be 0 to %d", root,
                        size, size - 1);
    if (size == 1) return SGP_OK;
    sgp_status_t status = sgp_group_take(call->group, NULL, &taken);
    if (status == SGP_OK) status = broadcast(call->group, call->bytes, &call->terms);
    if (taken) sgp_group_give(call->group);
    return status;
}

sgp_status_t sgp_group_broadcast(sgp_group_t *group, void *bytes, size_t count, int root) {
    broadcast_call_t call = {group, bytes, {.count = count, .root = root}};
    return sgp_group_run(group, "sgp_group_broadcast", do_broadcast, &call, sizeof call);
}
