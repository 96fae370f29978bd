/* SPDX-License-Identifier: Apache-2.0 */
#include "group/post.h"

#include "base/logging.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGES = 4 /* under way at a time, as promised to the transport */ };

sgp_status_t sgp_post_init(sgp_post_t *post, sgp_group_t *group, sgp_kind_t kind, size_t room) {
    size_t size = (size_t)sgp_group_transport(group)->capacity;
    *post = (sgp_post_t){.group = group, .kind = kind, .room = room};
    post->next_in = calloc(2 * size, sizeof *post->next_in);
    post->message = malloc(room);
    sgp_status_t status =
        post->next_in && post->message
            ? sgp_transport_prepare(sgp_group_transport(group), room, MESSAGES)
            : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for messages of %zu ranks", size);
    if (status != SGP_OK) {
        sgp_post_fini(post);
        return status;
    }
    post->next_out = post->next_in + size;
    return SGP_OK;
}

void sgp_post_fini(sgp_post_t *post) {
    free(post->next_in);
    free(post->message);
    *post = (sgp_post_t){.group = NULL};
}

sgp_status_t sgp_post_send(sgp_post_t *post, int dst, const unsigned char *bytes, size_t count) {
    sgp_transport_t *transport = sgp_group_transport(post->group);
    sgp_header_t header = {.kind = post->kind,
                           .encoding = SGP_ENCODING_BYTES,
                           .step = post->next_out[dst],
                           .count = count};
    sgp_destination_t to = {.dst = dst, .weight = 1};
    sgp_send_t send;
    sgp_status_t status = sgp_transport_send_begin(transport, &header, &to, 1, &send);
    if (status != SGP_OK)
        return SGP_ERR_AGAIN; /* that this rank itself was ended shows elsewhere */
    for (void *place; (place = sgp_transport_send_next(transport, &send));) {
        memcpy(place, bytes + send.header.offset, send.header.elements);
        sgp_transport_send_commit(transport, &send);
    }
    post->next_out[dst]++;
    return SGP_OK;
}

void sgp_post_refuse(sgp_post_t *post, int src, const char *reason) {
    sgp_transport_t *transport = sgp_group_transport(post->group);
    sgp_rank_name_t name;
    uint64_t count = ++post->refused;
    transport->counters.refused++;
    if ((count & (count - 1)) == 0)
        sgp_log(SGP_LOG_WARNING, "refused a message about members from %s: %s",
                sgp_transport_name(transport, src, &name), reason);
}

void sgp_post_restart(sgp_post_t *post, int rank) {
    post->next_in[rank] = post->next_out[rank] = 0;
}

/* ---- receiving ---- */

static sgp_chunk_t *chunk_of(sgp_post_t *post, int src, uint64_t offset) {
    sgp_inbox_key_t key = {
        .kind = post->kind, .src = src, .step = post->next_in[src], .offset = offset};
    return sgp_inbox_peek(sgp_group_inbox(post->group), &key);
}

/* Releases what is here of the message. */
static void drop(sgp_post_t *post, int src) {
    sgp_inbox_t *inbox = sgp_group_inbox(post->group);
    sgp_inbox_key_t key = {.kind = post->kind, .src = src, .step = post->next_in[src]};
    sgp_chunk_t *next, *at = sgp_inbox_next(inbox, &key, NULL);
    for (; at; at = next) {
        next = sgp_inbox_next(inbox, &key, at);
        if (at->header.src == src) sgp_inbox_release(inbox, at);
    }
}

typedef enum arrival { PARTLY, WHOLE, BROKEN } arrival_t;

static arrival_t assemble(sgp_post_t *post, int src, uint64_t count) {
    if (count > post->room) return BROKEN;
    for (uint64_t done = 0; done < count;) {
        const sgp_chunk_t *chunk = chunk_of(post, src, done);
        if (!chunk) return PARTLY;
        const sgp_header_t *header = &chunk->header;
        if (header->count != count || !header->elements || header->encoding != SGP_ENCODING_BYTES)
            return BROKEN;
        memcpy(post->message + done, chunk->payload, header->elements);
        done += header->elements;
    }
    return WHOLE;
}

/* One that comes before its sender's seat is opened stays: the numbers begin anew with that. */
static bool is_open(const sgp_post_t *post, const sgp_header_t *header) {
    sgp_fates_t *fates = sgp_group_transport(post->group)->fates;
    return sgp_fates_of(fates, header->src).state != SGP_FATE_ABSENT &&
           sgp_fates_incarnation(fates, header->src) >= header->incarnation;
}

/* false: the next message of this rank is not here. */
static bool take_from(sgp_post_t *post, int src, size_t *count) {
    for (;;) {
        const sgp_chunk_t *first = chunk_of(post, src, 0);
        if (!first || !is_open(post, &first->header)) return false;
        *count = (size_t)first->header.count;
        arrival_t arrival = assemble(post, src, first->header.count);
        if (arrival == PARTLY) return false;
        drop(post, src);
        post->next_in[src]++;
        if (arrival == WHOLE) return true;
        sgp_post_refuse(post, src, "its chunks are not those of such a message");
    }
}

bool sgp_post_take(sgp_post_t *post, int *src, const unsigned char **bytes, size_t *count) {
    *bytes = post->message;
    for (; *src < sgp_group_transport(post->group)->capacity; (*src)++)
        if (take_from(post, *src, count)) return true;
    return false;
}
