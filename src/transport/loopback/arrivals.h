/* SPDX-License-Identifier: Apache-2.0 */
/* The chunks of loopback that are under way in virtual time, by arrival. Called by the files of transport/loopback alone,
 * with the hub's lock held; knows neither ranks nor the clock. */
#ifndef SGP_TRANSPORT_LOOPBACK_ARRIVALS_H
#define SGP_TRANSPORT_LOOPBACK_ARRIVALS_H

#include "wire/header.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One chunk's payload, shared by its destinations. */
typedef struct buffer {
    struct buffer *next;      /* in the hub's free list */
    struct buffer *next_made; /* in the list of all buffers */
    int references;
    int pins; /* killed ranks that hold it: their threads may still read it */
    int src;
    uint32_t incarnation; /* of src */
    void *payload;        /* (chunk_bytes) */
} buffer_t;

/* One chunk on its way to one rank. */
typedef struct delivery {
    uint64_t time; /* of arrival, virtual */
    int src, dst;
    uint64_t id, offset;
    unsigned char header[SGP_HEADER_BYTES];
    buffer_t *buffer;
    struct delivery *next;            /* in the receiver's queue, or the free list */
    struct delivery *after, **before; /* received, not released: in the receiver's `held`, or */
    bool given_up;                    /* in the hub's, since its receiver is gone */
    uint32_t record;                  /* of the sender's (outstanding.h) */
} delivery_t;

/* A binary heap. Zeros are an empty one. */
typedef struct arrivals {
    delivery_t **heap; /* (count) */
    size_t count, room;
} arrivals_t;

/* Memory for `room` deliveries at a time. false: there is none, and nothing changed. */
bool sgp_arrivals_reserve(arrivals_t *arrivals, size_t room);

/* Room has been reserved. */
void sgp_arrivals_put(arrivals_t *arrivals, delivery_t *delivery);

/* The earliest delivery, or NULL; take removes it. */
delivery_t *sgp_arrivals_first(const arrivals_t *arrivals);
delivery_t *sgp_arrivals_take(arrivals_t *arrivals);

/* Takes out and hands to dropped(context, delivery) those for which wanted(context, delivery) is true. */
void sgp_arrivals_remove(arrivals_t *arrivals,
                         bool (*wanted)(void *context, const delivery_t *delivery),
                         void (*dropped)(void *context, delivery_t *delivery), void *context);

/* Whether a delivery of src to dst is under way that will arrive: not over a link that is cut for good. */
bool sgp_arrivals_any(const arrivals_t *arrivals, int src, int dst);

void sgp_arrivals_fini(arrivals_t *arrivals);

#endif
