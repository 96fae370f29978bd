/* SPDX-License-Identifier: Apache-2.0 */
#include "group/group_internal.h"

#include "base/constants.h"
#include "base/logging.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 600000

struct sgp_group {
    sgp_transport_t *transport;
    sgp_inbox_t *inbox;
    sgp_destination_t *everybody; /* (size - 1) all ranks but ours */
    uint64_t timeout;             /* nanoseconds */
    uint64_t sequence;            /* of collective calls: the step of their messages */
    uint32_t channels;            /* given out */
    sgp_lease_t lease;            /* owner NULL: there is none */
    sgp_group_origin_t origin;
    sgp_call_t *call;     /* the public call that runs, or was left in the middle */
    bool owns_call;       /* a group that was split off shares that of the whole */
    sgp_log_sink_t *sink; /* options.log; NULL: none. Owned where the call is */
};

sgp_status_t sgp_group_create(sgp_transport_t *transport, int timeout_ms, sgp_group_t **group) {
    sgp_group_t *made = calloc(1, sizeof *made);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group");
    made->transport = transport;
    made->timeout = (uint64_t)(timeout_ms > 0 ? timeout_ms : DEFAULT_TIMEOUT_MS) * SGP_MILLISECOND;
    made->everybody = calloc((size_t)transport->size, sizeof *made->everybody);
    sgp_status_t status =
        made->everybody
            ? sgp_inbox_create(transport, &made->inbox)
            : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a group of %d", transport->size);
    /* Two collective calls can overlap: a fast node is in the next one while a slow one is in this.
     */
    if (status == SGP_OK) status = sgp_transport_prepare(transport, SGP_GATHER_BYTES, 4);
    made->call = status == SGP_OK ? sgp_call_create() : NULL;
    made->owns_call = true;
    if (status == SGP_OK && !made->call)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory for the stack of a group's calls");
    if (status != SGP_OK) {
        sgp_inbox_destroy(made->inbox);
        free(made->everybody);
        free(made);
        return status;
    }
    for (int r = 0, i = 0; r < transport->size; r++)
        if (r != transport->rank) made->everybody[i++] = (sgp_destination_t){.dst = r, .weight = 1};
    *group = made;
    return SGP_OK;
}

sgp_group_origin_t *sgp_group_origin(sgp_group_t *group) {
    return &group->origin;
}
sgp_transport_t *sgp_group_transport(sgp_group_t *group) {
    return group->transport;
}
sgp_inbox_t *sgp_group_inbox(sgp_group_t *group) {
    return group->inbox;
}
uint32_t sgp_group_new_channel(sgp_group_t *group) {
    sgp_inbox_open_channel(group->inbox, ++group->channels);
    return group->channels;
}
uint64_t sgp_group_timeout(const sgp_group_t *group) {
    return group->timeout;
}
void sgp_group_set_lease(sgp_group_t *group, const sgp_lease_t *lease) {
    group->lease = lease ? *lease : (sgp_lease_t){.owner = NULL};
}
bool sgp_group_has_lease(const sgp_group_t *group) {
    return group->lease.owner != NULL;
}
sgp_status_t sgp_group_take(sgp_group_t *group, const void *owner, bool *taken) {
    *taken = false;
    if (!group->lease.owner || group->lease.owner == owner) return SGP_OK;
    return group->lease.take(group->lease.owner, taken);
}
void sgp_group_give(sgp_group_t *group) {
    group->lease.give(group->lease.owner);
}
void sgp_group_set_sink(sgp_group_t *group, sgp_log_sink_t *sink) {
    group->sink = sink;
}

void sgp_group_share_call(sgp_group_t *part, sgp_group_t *whole) {
    sgp_call_destroy(part->call);
    part->call = whole->call;
    part->sink = whole->sink;
    part->owns_call = false;
}

sgp_status_t sgp_group_run(sgp_group_t *group, const char *name, sgp_call_body_fn body,
                           const void *argument, size_t size) {
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    sgp_status_t status = sgp_call_run(group->call, name, body, argument, size);
    sgp_api_end(before);
    return status;
}

void sgp_group_cancel(sgp_group_t *group) {
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    sgp_call_cancel(group->call);
    sgp_api_end(before);
}

void sgp_group_set_slice(sgp_group_t *group, int milliseconds) {
    sgp_call_set_slice(group->call,
                       milliseconds > 0 ? (uint64_t)milliseconds * SGP_MILLISECOND : 0);
}

void sgp_group_interrupt(sgp_group_t *group) {
    sgp_call_interrupt(group->call);
}

int sgp_group_rank(const sgp_group_t *group) {
    return group->transport->rank;
}
int sgp_group_size(const sgp_group_t *group) {
    return group->transport->size;
}
int sgp_group_lost_peer(const sgp_group_t *group) {
    return sgp_transport_lost_peer(group->transport);
}

static int process_of(const sgp_transport_t *transport, int rank) {
    const sgp_ranks_t *ranks = &transport->ranks;
    return ranks->workers > 1 ? ranks->first + rank * ranks->stride : rank;
}

/* Best effort: without the record the launcher judges by exit statuses alone. */
static void tell_loss(void *context, int rank) {
    const sgp_group_t *group = context;
    uint32_t word = (uint32_t)process_of(group->transport, rank) + 1;
    int own = process_of(group->transport, group->transport->rank);
    int file = open(group->origin.losses, O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    (void)!pwrite(file, &word, sizeof word, (off_t)own * (off_t)sizeof word);
    close(file);
}

void sgp_group_tell_losses(sgp_group_t *group, const char *file) {
    group->origin.losses = file ? strdup(file) : NULL;
    if (group->origin.losses) sgp_fates_on_loss(group->transport->fates, tell_loss, group);
}

static sgp_status_t send_to_all(sgp_group_t *group, const unsigned char *bytes, size_t count,
                                uint64_t deadline) {
    sgp_header_t header = {.kind = SGP_KIND_CONTROL,
                           .encoding = SGP_ENCODING_BYTES,
                           .step = group->sequence,
                           .count = count};
    sgp_send_t send;
    sgp_status_t status = sgp_inbox_send_begin(group->inbox, &header, group->everybody,
                                               group->transport->size - 1, deadline, &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_transport_send_next(group->transport, &send));) {
        memcpy(place, bytes + send.header.offset, send.header.elements);
        sgp_transport_send_commit(group->transport, &send);
    }
    return SGP_OK;
}

static sgp_status_t receive_from(sgp_group_t *group, int src, unsigned char *bytes, size_t count,
                                 uint64_t deadline) {
    char what[80];
    sgp_rank_name_t name, here;
    snprintf(what, sizeof what, "%s in a collective call",
             sgp_transport_name(group->transport, src, &name));
    for (size_t done = 0; done < count;) {
        sgp_inbox_key_t key = {
            .kind = SGP_KIND_CONTROL, .src = src, .step = group->sequence, .offset = done};
        uint64_t since = sgp_inbox_taken_in(group->inbox);
        if (group->lease.owner && group->lease.serve) group->lease.serve(group->lease.owner);
        sgp_chunk_t *chunk = sgp_inbox_find(group->inbox, &key);
        if (!chunk) {
            sgp_status_t status = sgp_inbox_wait(group->inbox, since, deadline, what);
            if (status != SGP_OK) return status;
            continue;
        }
        if (chunk->header.count != count)
            return sgp_fail(SGP_ERR_MISMATCH, "%s gathers %llu bytes where %s gathers %zu",
                            name.text, (unsigned long long)chunk->header.count,
                            sgp_transport_name(group->transport, group->transport->rank, &here),
                            count);
        memcpy(bytes + done, chunk->payload, chunk->header.elements);
        done += chunk->header.elements;
        sgp_inbox_release(group->inbox, chunk);
    }
    return SGP_OK;
}

static sgp_status_t gather(sgp_group_t *group, const void *mine, size_t bytes, void *all) {
    uint64_t deadline = sgp_transport_now(group->transport) + group->timeout;
    group->sequence++;
    sgp_status_t status = send_to_all(group, mine, bytes, deadline);
    for (int r = 0; r < group->transport->size && status == SGP_OK; r++) {
        unsigned char *place = (unsigned char *)all + (size_t)r * bytes;
        if (r == group->transport->rank) memmove(place, mine, bytes);
        else status = receive_from(group, r, place, bytes, deadline);
    }
    return status;
}

static sgp_status_t do_gather(sgp_group_t *group, const void *mine, size_t bytes, void *all) {
    if (bytes == 0 || bytes > SGP_GATHER_BYTES)
        return sgp_fail(SGP_ERR_INVALID, "gather: %zu bytes, must be 1 to %zu", bytes,
                        SGP_GATHER_BYTES);
    bool taken;
    sgp_status_t status = sgp_group_take(group, NULL, &taken);
    if (status == SGP_OK) status = gather(group, mine, bytes, all);
    if (taken) sgp_group_give(group);
    return status;
}

typedef struct gather {
    sgp_group_t *group;
    const void *mine;
    size_t bytes;
    void *all;
} gather_t;

static sgp_status_t gather_body(void *argument) {
    const gather_t *gather = argument;
    return do_gather(gather->group, gather->mine, gather->bytes, gather->all);
}

sgp_status_t sgp_group_gather(sgp_group_t *group, const void *mine, size_t bytes, void *all) {
    gather_t argument = {group, mine, bytes, all};
    return sgp_group_run(group, "sgp_group_gather", gather_body, &argument, sizeof argument);
}

/* Everybody hears from everybody. For the few nodes of one machine that is as good as any cleverer
 * pattern, and it happens between epochs only. */
static sgp_status_t barrier_body(void *argument) {
    sgp_group_t *group = *(sgp_group_t **)argument;
    unsigned char token = 1;
    size_t size = (size_t)group->transport->size;
    unsigned char all[size];
    return do_gather(group, &token, 1, all);
}

sgp_status_t sgp_group_barrier(sgp_group_t *group) {
    return sgp_group_run(group, "sgp_group_barrier", barrier_body, &group, sizeof group);
}

void sgp_group_leave(sgp_group_t *group) {
    if (!group) return;
    sgp_group_cancel(group);
    const sgp_log_sink_t *before = sgp_api_begin(group->sink);
    uint64_t now = sgp_transport_now(group->transport);
    sgp_inbox_destroy(group->inbox);
    sgp_transport_leave(group->transport, now + group->timeout);
    sgp_transport_destroy(group->transport);
    sgp_api_end(before);
    if (group->owns_call) {
        sgp_call_destroy(group->call);
        free(group->sink);
    }
    free(group->origin.rendezvous);
    free(group->origin.interface);
    free(group->origin.ports);
    free(group->origin.losses);
    free(group->everybody);
    free(group);
}
