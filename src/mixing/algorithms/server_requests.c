/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithms/server_requests.h"

#include "mixing/kernels.h"
#include "mixing/push.h"
#include "optimizer/optimizer_internal.h"

sgp_header_t sgp_server_header(const sgp_mixer_t *mixer, sgp_kind_t kind, sgp_encoding_t encoding,
                               uint64_t number) {
    sgp_header_t header = sgp_push_header(mixer, number);
    header.kind = kind;
    header.encoding = encoding;
    return header;
}

sgp_status_t sgp_server_check(const sgp_mixer_t *mixer, const sgp_header_t *header) {
    bool plain = header->encoding == SGP_ENCODING_FLOAT32 && header->count == mixer->length;
    return plain ? SGP_OK : sgp_push_check(mixer, header);
}

bool sgp_server_write(const sgp_mixer_t *mixer, const sgp_send_t *send, void *place,
                      const float *values) {
    size_t count = send->header.elements;
    if (send->header.encoding == SGP_ENCODING_FLOAT32)
        return sgp_copy_out(count, place, values, send->non_temporal);
    return sgp_push_write(mixer, send, count, place, values);
}

void sgp_server_sent(sgp_mixer_t *mixer, sgp_encoding_t encoding, int messages) {
    uint64_t bytes = sgp_encoding_message(encoding, mixer->transport->chunk_bytes, mixer->length);
    sgp_transport_lock(mixer->transport);
    mixer->statistics.sent += (uint64_t)messages;
    mixer->statistics.bytes_sent += (uint64_t)messages * bytes;
    sgp_transport_unlock(mixer->transport);
}

/* The chunk at that offset of the next request, of either kind. NULL: it has not arrived. */
static sgp_chunk_t *find_request(const sgp_mixer_t *mixer, int src, size_t offset) {
    const sgp_server_t *server = mixer->extra;
    uint64_t number = server->clients[src].next;
    sgp_chunk_t *chunk = sgp_push_find(mixer, SGP_SERVER_GRADIENT, src, number, offset);
    return chunk ? chunk : sgp_push_find(mixer, SGP_SERVER_CHANGE, src, number, offset);
}

/* SGP_ERR_AGAIN: gradients wait for the server's first step that brings an optimizer. Lock held. */
static sgp_status_t check_request(const sgp_mixer_t *mixer, const sgp_chunk_t *chunk) {
    const sgp_server_t *server = mixer->extra;
    sgp_status_t status = sgp_server_check(mixer, &chunk->header);
    if (status != SGP_OK || chunk->header.kind != SGP_SERVER_GRADIENT || server->optimizer)
        return status;
    return SGP_ERR_AGAIN;
}

/* SGP_ERR_AGAIN: no room now, and the next room is this node's. */
static sgp_status_t begin_answer(sgp_mixer_t *mixer, int src, sgp_encoding_t encoding) {
    sgp_server_t *server = mixer->extra;
    sgp_client_t *client = &server->clients[src];
    sgp_header_t header = sgp_server_header(mixer, SGP_KIND_ANSWER, encoding, client->next);
    client->to = (sgp_destination_t){.dst = src, .weight = 1};
    sgp_status_t status =
        sgp_inbox_send_try(mixer->inbox, &header, &client->to, 1, &client->answer);
    client->answering = status == SGP_OK;
    server->full = status == SGP_ERR_AGAIN;
    server->turn = server->full ? src : src % (mixer->size - 1) + 1;
    return status;
}

/* The numbers of a chunk, decoded if they were rounded to travel. */
static const float *numbers_of(const sgp_mixer_t *mixer, const sgp_chunk_t *chunk) {
    const sgp_server_t *server = mixer->extra;
    if (!sgp_encoding_is_lossy(chunk->header.encoding)) return chunk->payload;
    sgp_decode(chunk->header.encoding, chunk->header.elements, server->decoded, chunk->payload);
    return server->decoded;
}

/* The update of live by one chunk of a request. Lock held. The weight of a gradient is its learning rate. */
static void apply(sgp_mixer_t *mixer, const sgp_chunk_t *chunk) {
    sgp_server_t *server = mixer->extra;
    const float *numbers = numbers_of(mixer, chunk);
    size_t offset = chunk->header.offset, count = chunk->header.elements, moved = 0;
    float *live = server->live + offset;
    if (chunk->header.kind == SGP_SERVER_GRADIENT && offset < mixer->count) {
        moved = mixer->count - offset < count ? mixer->count - offset : count;
        if (offset == 0) sgp_optimizer_begin(server->optimizer);
        sgp_optimizer_apply(server->optimizer, mixer->first + offset, moved, live, numbers,
                            sgp_server_rate(mixer, chunk->header.weight), NULL, false);
        sgp_ledger_enter(&server->books, server->live, offset, moved, mixer->size);
    }
    sgp_add(count - moved, live + moved, live + moved, numbers + moved);
    sgp_ledger_close_range(&server->books, server->live, offset, count);
}

/* One chunk of a request: applied, and answered with what it has made of the parameters. */
static sgp_status_t answer_chunk(sgp_mixer_t *mixer, int src, const sgp_chunk_t *chunk) {
    sgp_server_t *server = mixer->extra;
    sgp_send_t *answer = &server->clients[src].answer;
    void *place = sgp_inbox_send_next(mixer->inbox, answer);
    sgp_transport_lock(mixer->transport);
    apply(mixer, chunk);
    bool finite = sgp_server_write(mixer, answer, place, server->live + chunk->header.offset);
    server->broken |= !sgp_mixer_accepts(mixer, finite);
    finite &= !server->broken;
    sgp_transport_unlock(mixer->transport);
    return sgp_push_commit(mixer, answer, finite);
}

/* Its last chunk is answered. */
static void end_request(sgp_mixer_t *mixer, int src) {
    sgp_server_t *server = mixer->extra;
    sgp_client_t *client = &server->clients[src];
    sgp_inbox_send_next(mixer->inbox, &client->answer); /* NULL: the message is whole */
    client->answering = false;
    client->next++;
    sgp_transport_lock(mixer->transport);
    uint64_t staleness = server->applied - client->since;
    client->since = ++server->applied;
    mixer->statistics.staleness += staleness;
    sgp_transport_unlock(mixer->transport);
    sgp_push_received(mixer, 1, staleness > 0);
    sgp_server_sent(mixer, client->answer.header.encoding, 1);
}

/* Answers the chunks that have arrived of one node's request, in order. */
static sgp_status_t answer(sgp_mixer_t *mixer, int src) {
    sgp_server_t *server = mixer->extra;
    sgp_client_t *client = &server->clients[src];
    for (;;) {
        size_t offset = 0;
        if (client->answering)
            offset = client->answer.header.offset + client->answer.header.elements;
        sgp_chunk_t *chunk = find_request(mixer, src, offset);
        if (!chunk) return SGP_OK;
        sgp_transport_lock(mixer->transport);
        sgp_status_t status = check_request(mixer, chunk);
        sgp_transport_unlock(mixer->transport);
        if (status == SGP_OK && !client->answering)
            status =
                server->full ? SGP_ERR_AGAIN : begin_answer(mixer, src, chunk->header.encoding);
        if (status == SGP_ERR_AGAIN) return SGP_OK;
        if (status == SGP_OK) status = answer_chunk(mixer, src, chunk);
        if (status != SGP_OK) return status;
        bool last = chunk->header.offset + chunk->header.elements == mixer->length;
        sgp_inbox_release(mixer->inbox, chunk);
        if (last) end_request(mixer, src);
    }
}

static void note_rest(sgp_mixer_t *mixer, int src) {
    sgp_server_t *server = mixer->extra;
    sgp_client_t *client = &server->clients[src];
    if (client->rests || !sgp_push_find(mixer, SGP_KIND_REST, src, server->settles, 0)) return;
    client->rests = true;
    sgp_transport_lock(mixer->transport);
    server->resting++;
    sgp_transport_signal(mixer->transport);
    sgp_transport_unlock(mixer->transport);
}

/* A wait for that node, now or later, cannot succeed, unless the node has announced its end before. */
static sgp_status_t note_left(sgp_mixer_t *mixer, int src) {
    sgp_server_t *server = mixer->extra;
    sgp_status_t status = sgp_inbox_look(mixer->inbox, true);
    if (status != SGP_OK) return status;
    sgp_transport_lock(mixer->transport);
    if (server->left < 0) {
        server->left = src;
        sgp_transport_signal(mixer->transport);
    }
    sgp_transport_unlock(mixer->transport);
    return SGP_OK;
}

sgp_status_t sgp_server_serve(sgp_mixer_t *mixer) {
    sgp_server_t *server = mixer->extra;
    int others = mixer->size - 1, first = server->turn;
    sgp_inbox_collect(mixer->inbox);
    server->full = false;
    for (int i = 0; i < others; i++) {
        int src = (first - 1 + i) % others + 1;
        bool last = sgp_transport_has_ended(mixer->transport, src);
        sgp_status_t status = answer(mixer, src);
        if (status != SGP_OK) return status;
        note_rest(mixer, src);
        if (last && !server->clients[src].rests) status = note_left(mixer, src);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}
