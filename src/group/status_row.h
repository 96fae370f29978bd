/* SPDX-License-Identifier: Apache-2.0 */
/* Rows about members as they travel between nodes (group/status_gossip.h): what a member says of itself, counted by it. Pure
 * functions over bytes, little-endian; none allocates.
 *
 *     at  bytes  field                            at  bytes  field
 *      0    4    seat                             64    4    loss
 *      4    4    incarnation                      68    4    accuracy
 *      8    4    version                          72    8    bytes sent
 *     12    4    age, ms                          80    8    bytes received
 *     16    6    step                             88    6    messages sent
 *     22    2    seat that it waits for, 0xffff   94    6    received
 *     24    4    epoch                           100    6    lost
 *     28    6    memory, KiB                     106    6    late
 *     34    1    flags: 1: it wants rows         112    6    refused
 *     35    1    times it was passed on
 *     36    4    samples per second              118    6    resent
 *     40   16    step, compute, update, wait, ms 124   50    5 in-edges: seat (2), bytes per second (4), age in ms (4)
 *     56    8    weight                          174   26    host, zeros behind it
 *
 * and a message:
 *
 *      0    2    version of the format, 1
 *      2    1    rows
 *      3    1    1: it is on the way to a node that wants rows
 *      4    4    messages of the receiver that the sender has taken, modulo 2^32
 *      8         the rows
 *
 * Numbers that are not known are NaN. */
#ifndef SGP_GROUP_STATUS_ROW_H
#define SGP_GROUP_STATUS_ROW_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SGP_STATUS_ROW_BYTES = 200,
    SGP_STATUS_HEAD_BYTES = 8,
    SGP_STATUS_ROWS_MOST = 8, /* of a message */
    SGP_STATUS_ROW_EDGES = 5,
    SGP_STATUS_ROW_HOST = 26,
    SGP_STATUS_MESSAGE_BYTES = SGP_STATUS_HEAD_BYTES + SGP_STATUS_ROWS_MOST * SGP_STATUS_ROW_BYTES,
};

#define SGP_STATUS_ROW_NONE   0xffff /* no seat */
#define SGP_STATUS_COUNT_MOST ((UINT64_C(1) << 48) - 1)

/* Vectors that have come from a member in the last seconds. */
typedef struct sgp_status_row_edge {
    int src;                /* SGP_STATUS_ROW_NONE: none, and none behind it */
    float bytes_per_second; /* payload */
    uint32_t age_ms;        /* of the last of them, when the row was written */
} sgp_status_row_edge_t;

typedef struct sgp_status_row {
    int seat;
    uint32_t incarnation;
    uint32_t version; /* counted by the member, from 1 */
    uint32_t age_ms;  /* of its numbers, when the message was sent */
    uint64_t step;
    int waits_for; /* a seat, or SGP_STATUS_ROW_NONE */
    uint32_t epoch;
    uint64_t memory; /* bytes, in KiB */
    bool wants;      /* rows of all members */
    unsigned hops;   /* nodes that have passed it on, up to 255 */
    float samples_per_second, step_ms, compute_ms, update_ms, wait_ms;
    double weight;
    float loss, accuracy;
    uint64_t bytes_sent, bytes_received;
    uint64_t sent, received, lost, late, refused, resent;
    sgp_status_row_edge_t edge[SGP_STATUS_ROW_EDGES];
    char host[SGP_STATUS_ROW_HOST];
} sgp_status_row_t;

/* A row in which nothing is known but these. */
void sgp_status_row_init(sgp_status_row_t *row, int seat, uint32_t incarnation);

/* Counts beyond 2^48 are cut off, numbers that are not finite are written as NaN. */
void sgp_status_row_encode(const sgp_status_row_t *row, unsigned char bytes[SGP_STATUS_ROW_BYTES]);

/* capacity: seats of the group. SGP_ERR_FORMAT: these bytes are no row; *reason (static) is the cause, *row is as before. Does
 * not log. */
sgp_status_t sgp_status_row_decode(const unsigned char bytes[SGP_STATUS_ROW_BYTES], int capacity,
                                   sgp_status_row_t *row, const char **reason);

typedef struct sgp_status_message {
    int rows;
    bool towards; /* a node that wants rows */
    uint32_t taken;
    sgp_status_row_t row[SGP_STATUS_ROWS_MOST];
} sgp_status_message_t;

/* Returns the bytes. */
size_t sgp_status_message_encode(const sgp_status_message_t *message,
                                 unsigned char bytes[SGP_STATUS_MESSAGE_BYTES]);

/* As sgp_status_row_decode; a message with a row that is none is none. */
sgp_status_t sgp_status_message_decode(const unsigned char *bytes, size_t size, int capacity,
                                       sgp_status_message_t *message, const char **reason);

#endif
