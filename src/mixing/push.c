/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/push.h"

#include "base/log.h"
#include "mixing/kernels.h"
#include "mixing/reduce.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

unsigned sgp_push_reach(const sgp_mixer_t *mixer) {
    enum { MOST = 8 };
    unsigned levels = 0;
    if (mixer->graph.kind == SGP_GRAPH_RING)
        return mixer->size < MOST ? (unsigned)mixer->size : MOST;
    while (levels < MOST && (1 << levels) < mixer->size) levels++;
    unsigned period = (unsigned)sgp_graph_period(&mixer->graph);
    unsigned reach = period > levels ? period : levels;
    return reach < MOST ? reach : MOST;
}

int sgp_push_shares(sgp_mixer_t *mixer, uint64_t round, double w, double *kept) {
    int count = sgp_graph_out(&mixer->graph, mixer->rank, round, mixer->edges);
    *kept = w;
    for (int i = 0; i < count; i++) {
        double share = mixer->edges[i].weight * w;
        mixer->to[i] = (sgp_destination_t){.dst = mixer->edges[i].peer, .weight = share};
        *kept -= share;
    }
    return count;
}

sgp_header_t sgp_push_header(const sgp_mixer_t *mixer, uint64_t round) {
    return (sgp_header_t){.kind = SGP_KIND_PUSH,
                          .encoding = SGP_ENCODING_FLOAT32,
                          .channel = mixer->channel,
                          .step = round,
                          .count = mixer->length};
}

sgp_chunk_t *sgp_push_find(const sgp_mixer_t *mixer, sgp_kind_t kind, int src, uint64_t number,
                           size_t offset) {
    sgp_inbox_key_t key = {
        .channel = mixer->channel, .kind = kind, .src = src, .step = number, .offset = offset};
    return sgp_inbox_find(mixer->inbox, &key);
}

void sgp_push_copy(const sgp_mixer_t *mixer, const sgp_send_t *send, const float *buffers,
                   float *place) {
    size_t count = send->header.elements;
    const float *values =
        sgp_reduce_joined(mixer->z, mixer->count, buffers, send->header.offset, count, place);
    if (values != place) memcpy(place, values, count * sizeof *place);
}

void sgp_push_sent(sgp_mixer_t *mixer, int messages) {
    sgp_transport_lock(mixer->transport);
    mixer->statistics.sent += (uint64_t)messages;
    mixer->statistics.bytes_sent += (uint64_t)messages * mixer->length * sizeof(float);
    if (messages < 0) mixer->statistics.reabsorbed += (uint64_t)-messages;
    sgp_transport_unlock(mixer->transport);
}

void sgp_push_received(sgp_mixer_t *mixer, int messages, int late) {
    sgp_transport_lock(mixer->transport);
    mixer->statistics.received += (uint64_t)messages;
    mixer->statistics.late += (uint64_t)late;
    sgp_transport_unlock(mixer->transport);
}

sgp_status_t sgp_push_check(const sgp_mixer_t *mixer, const sgp_header_t *header) {
    if (header->count == mixer->length) return SGP_OK;
    sgp_rank_name_t there, here;
    return sgp_fail(SGP_ERR_MISMATCH,
                    "%s averages %" PRIu64 " numbers and %s averages %zu: not one model",
                    sgp_transport_name(mixer->transport, header->src, &there), header->count,
                    sgp_transport_name(mixer->transport, mixer->rank, &here), mixer->length);
}

void sgp_push_absorb(const sgp_mixer_t *mixer, const sgp_chunk_t *chunk, double w) {
    double weight = chunk->header.weight;
    float *z = mixer->z + chunk->header.offset;
    if (mixer->options.biased)
        sgp_add_scaled(chunk->header.elements, z, chunk->payload, (float)weight);
    else sgp_absorb(chunk->header.elements, z, chunk->payload, (float)(weight / (w + weight)));
}

void sgp_absorption_begin(sgp_absorption_t *absorption, const sgp_mixer_t *mixer, uint64_t round,
                          double kept, sgp_edge_t *senders) {
    *absorption = (sgp_absorption_t){.round = round, .kept = kept, .senders = senders};
    absorption->senders_count = sgp_graph_in(&mixer->graph, mixer->rank, round, senders);
}

/* The chunk at absorption->offset, from all senders as far as it has arrived. *end: where it ends. */
static sgp_status_t absorb_chunk(sgp_absorption_t *absorption, sgp_mixer_t *mixer, size_t *end) {
    if (absorption->sender == 0) absorption->w = absorption->kept;
    for (; absorption->sender < absorption->senders_count; absorption->sender++) {
        sgp_chunk_t *chunk =
            sgp_push_find(mixer, SGP_KIND_PUSH, absorption->senders[absorption->sender].peer,
                          absorption->round, absorption->offset);
        if (!chunk) return SGP_ERR_AGAIN;
        sgp_status_t status = sgp_push_check(mixer, &chunk->header);
        if (status != SGP_OK) return status;
        sgp_push_absorb(mixer, chunk, absorption->w);
        if (!mixer->options.biased) absorption->w += chunk->header.weight;
        *end = absorption->offset + chunk->header.elements;
        sgp_inbox_release(mixer->inbox, chunk);
    }
    return SGP_OK;
}

sgp_status_t sgp_absorption_ready(sgp_absorption_t *absorption, sgp_mixer_t *mixer, size_t limit) {
    if (absorption->senders_count == 0) { /* nobody sends to us in this round */
        absorption->offset = limit;
        absorption->w = absorption->kept;
    }
    while (absorption->offset < limit) {
        size_t end = absorption->offset;
        sgp_status_t status = absorb_chunk(absorption, mixer, &end);
        if (status == SGP_ERR_AGAIN) return SGP_OK;
        if (status != SGP_OK) return status;
        absorption->offset = end;
        absorption->sender = 0;
    }
    return SGP_OK;
}

static sgp_status_t wait_for(sgp_mixer_t *mixer, const sgp_absorption_t *absorption, uint64_t since,
                             uint64_t deadline) {
    char what[96];
    sgp_rank_name_t name;
    int sender = absorption->senders[absorption->sender].peer;
    snprintf(what, sizeof what, "the message of step %" PRIu64 " from %s", absorption->round,
             sgp_transport_name(mixer->transport, sender, &name));
    return sgp_inbox_wait(mixer->inbox, since, deadline, what);
}

sgp_status_t sgp_absorption_finish(sgp_absorption_t *absorption, sgp_mixer_t *mixer,
                                   uint64_t deadline) {
    for (;;) {
        uint64_t mark = sgp_mixer_mark(mixer), since = sgp_inbox_taken_in(mixer->inbox);
        sgp_status_t status = sgp_absorption_ready(absorption, mixer, mixer->length);
        mark = sgp_mixer_mark_end(mixer, SGP_TRACE_ABSORB, mark);
        if (status != SGP_OK) return status;
        if (absorption->offset == mixer->length) break;
        status = wait_for(mixer, absorption, since, deadline);
        sgp_mixer_mark_end(mixer, SGP_TRACE_WAIT, mark);
        if (status != SGP_OK) return status;
    }
    bool late = absorption->round < mixer->round;
    sgp_push_received(mixer, absorption->senders_count, late ? absorption->senders_count : 0);
    if (!mixer->options.biased) mixer->w = absorption->w;
    return SGP_OK;
}
