/* SPDX-License-Identifier: Apache-2.0 */
/* Messages whose every number tells its sender, step and place: for the conformance suite. */
#ifndef SGP_TESTS_TRANSPORT_VECTORS_H
#define SGP_TESTS_TRANSPORT_VECTORS_H

#include "ranks.h"

#include <string.h>

#define CHUNK    256            /* bytes: small, so that small vectors have many chunks */
#define ELEMENTS ((size_t)1000) /* 15 full chunks and a short one */
#define FAR      ((uint64_t)60 * 1000000000u)

static inline float value_of(int src, uint64_t step, size_t at) {
    return (float)(src * 100000) + (float)(step * 1000) + (float)at;
}

static inline bool send_vector(sgp_transport_t *transport, const sgp_destination_t *to,
                               int destinations, uint64_t step, size_t elements) {
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = 7,
                           .step = step,
                           .count = elements};
    sgp_send_t send;
    while (true) {
        sgp_status_t status = sgp_transport_send_begin(transport, &header, to, destinations, &send);
        if (status == SGP_OK) break;
        if (status != SGP_ERR_AGAIN) return false;
        status = sgp_transport_wait(transport, sgp_transport_now(transport) + FAR);
        if (status != SGP_OK) return false;
    }
    size_t sent = 0;
    for (float *place; (place = sgp_transport_send_next(transport, &send));) {
        CHECK(send.header.offset == sent);
        CHECK((uintptr_t)place % 64 == 0);
        for (size_t i = 0; i < send.header.elements; i++)
            place[i] = value_of(transport->rank, step, sent + i);
        sent += send.header.elements;
        sgp_transport_send_commit(transport, &send);
    }
    CHECK(sent == elements);
    return true;
}

/* The next chunk, however long it takes. */
static inline bool receive_chunk(sgp_transport_t *transport, sgp_chunk_t *chunk) {
    while (sgp_transport_receive(transport, chunk) == SGP_ERR_AGAIN) {
        sgp_status_t status = sgp_transport_wait(transport, sgp_transport_now(transport) + FAR);
        CHECK(status == SGP_OK);
        if (status != SGP_OK) return false;
    }
    return true;
}

static inline void check_payload(const sgp_chunk_t *chunk) {
    const float *values = chunk->payload;
    CHECK((uintptr_t)values % 64 == 0);
    for (size_t i = 0; i < chunk->header.elements; i++)
        CHECK(values[i] ==
              value_of(chunk->header.src, chunk->header.step, (size_t)chunk->header.offset + i));
}

static inline void finish(sgp_transport_t *transport) {
    sgp_transport_leave(transport, sgp_transport_now(transport) + FAR);
    sgp_transport_destroy(transport);
}

#endif
