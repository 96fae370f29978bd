/* SPDX-License-Identifier: Apache-2.0 */
/* Stochastic Gradient Push in lock step (Assran et al. 2019, algorithm 1): update, push, absorb
 * this step's messages.
 *
 * The vector moves in chunks, and an arrived chunk is absorbed right after its own place was
 * updated and pushed, while both are in the cache. What belongs to a step is absorbed chunk by
 * chunk in order of sender, so the bits do not depend on the order of arrival. */
#include "mixing/kernels.h"
#include "mixing/mixer.h"

#include "base/log.h"
#include "optimizer/optimizer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* How far the absorbing of a step has come: everything before chunk `chunk`, and of that chunk the
 * first `sender` senders. */
typedef struct absorption {
    const sgp_edge_t *senders; /* (senders_count) ascending */
    int senders_count;
    size_t offset; /* first element not absorbed from all */
    int sender;
    double w; /* the weight after the first `sender` senders; the same for every chunk */
} absorption_t;

static unsigned sgp_messages(const sgp_mixer_t *mixer) {
    /* A receiver can be behind by as many steps as a message needs to reach everybody: then its
     * sender waits for it anyway. On a long ring that is too much memory for a rare case, and
     * waiting for room is safe. */
    int behind =
        mixer->graph.kind == SGP_GRAPH_RING ? mixer->size : sgp_graph_period(&mixer->graph);
    return (unsigned)(behind < 8 ? behind : 8) + 1;
}

static sgp_status_t push_begin(sgp_mixer_t *mixer, uint64_t deadline, sgp_send_t *send) {
    int count = sgp_graph_out(&mixer->graph, mixer->rank, mixer->step, mixer->edges);
    for (int i = 0; i < count; i++)
        mixer->to[i] = (sgp_destination_t){.dst = mixer->edges[i].peer,
                                           .weight = mixer->edges[i].weight * mixer->w};
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = mixer->channel,
                           .step = mixer->step,
                           .count = mixer->length};
    return sgp_inbox_send_begin(mixer->inbox, &header, mixer->to, count, deadline, send);
}

static sgp_status_t check_length(const sgp_mixer_t *mixer, const sgp_header_t *header) {
    if (header->count == mixer->length) return SGP_OK;
    return sgp_fail(SGP_ERR_MISMATCH,
                    "node %d averages %" PRIu64 " numbers and node %d averages %zu: not one model",
                    header->src, header->count, mixer->rank, mixer->length);
}

/* Absorbs in order what has arrived of elements before `limit`; stops at the first chunk that has
 * not. */
static sgp_status_t absorb_ready(sgp_mixer_t *mixer, absorption_t *absorption, double kept,
                                 size_t limit) {
    if (absorption->senders_count == 0) { /* nobody sends to us in this step */
        absorption->offset = limit;
        absorption->w = kept;
    }
    while (absorption->offset < limit) {
        if (absorption->sender == 0) absorption->w = kept;
        size_t chunk_end = absorption->offset;
        for (; absorption->sender < absorption->senders_count; absorption->sender++) {
            sgp_inbox_key_t key = {.channel = mixer->channel,
                                   .kind = SGP_KIND_PUSH,
                                   .src = absorption->senders[absorption->sender].peer,
                                   .step = mixer->step,
                                   .offset = absorption->offset};
            sgp_chunk_t *chunk = sgp_inbox_find(mixer->inbox, &key);
            if (!chunk) return SGP_OK;
            sgp_status_t status = check_length(mixer, &chunk->header);
            if (status != SGP_OK) return status;
            double weight = chunk->header.weight;
            sgp_absorb(chunk->header.elements, mixer->z + absorption->offset, chunk->payload,
                       (float)(weight / (absorption->w + weight)));
            absorption->w += weight;
            chunk_end = absorption->offset + chunk->header.elements;
            sgp_inbox_release(mixer->inbox, chunk);
        }
        absorption->offset = chunk_end;
        absorption->sender = 0;
    }
    return SGP_OK;
}

static sgp_status_t wait_for(sgp_mixer_t *mixer, const absorption_t *absorption,
                             uint64_t deadline) {
    char what[96];
    snprintf(what, sizeof what, "the message of step %" PRIu64 " from node %d", mixer->step,
             absorption->senders[absorption->sender].peer);
    return sgp_inbox_wait(mixer->inbox, deadline, what);
}

static sgp_status_t absorb_rest(sgp_mixer_t *mixer, absorption_t *absorption, double kept,
                                uint64_t deadline) {
    for (;;) {
        sgp_status_t status = absorb_ready(mixer, absorption, kept, mixer->length);
        if (status != SGP_OK || absorption->offset == mixer->length) return status;
        status = wait_for(mixer, absorption, deadline);
        if (status != SGP_OK) return status;
    }
}

static sgp_status_t sgp_step(sgp_mixer_t *mixer, sgp_optimizer_t *optimizer, const float *gradient,
                             float learning_rate, uint64_t deadline) {
    sgp_send_t send;
    sgp_status_t status = push_begin(mixer, deadline, &send);
    if (status != SGP_OK) return status;
    absorption_t absorption = {.senders = mixer->edges};
    absorption.senders_count = sgp_graph_in(&mixer->graph, mixer->rank, mixer->step, mixer->edges);
    double kept = mixer->w;
    for (int i = 0; i < send.destinations; i++) kept -= send.to[i].weight;
    if (optimizer) sgp_optimizer_begin(optimizer);
    float rate = (float)(learning_rate / mixer->w); /* the numerator moves by lr d, z by lr d / w */
    for (void *place; (place = sgp_transport_send_next(mixer->transport, &send));) {
        size_t offset = send.header.offset, count = send.header.elements;
        sgp_mixer_update(mixer, optimizer, gradient, rate, offset, count, place);
        sgp_transport_send_commit(mixer->transport, &send);
        status = absorb_ready(mixer, &absorption, kept, offset + count);
        while (status == SGP_OK && sgp_transport_keep_close(mixer->transport, &send)) {
            sgp_inbox_collect(mixer->inbox);
            status = absorb_ready(mixer, &absorption, kept, offset + count);
        }
        if (status != SGP_OK) return status;
    }
    mixer->statistics.sent += (uint64_t)send.destinations;
    mixer->statistics.bytes_sent += (uint64_t)send.destinations * mixer->length * sizeof(float);
    status = absorb_rest(mixer, &absorption, kept, deadline);
    if (status != SGP_OK) return status;
    mixer->statistics.received += (uint64_t)absorption.senders_count;
    mixer->w = absorption.w;
    return SGP_OK;
}

const sgp_algorithm_ops_t sgp_algorithm_sgp = {
    .name = "sgp",
    .messages = sgp_messages,
    .step = sgp_step,
};
