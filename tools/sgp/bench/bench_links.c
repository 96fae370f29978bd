/* SPDX-License-Identifier: Apache-2.0 */
/* Rates and latency of messages that are sent as in a training step: copied out chunk by chunk, and
 * absorbed in place. */
#include "bench/bench.h"

#include "base/logging.h"
#include "base/memory.h"
#include "group/group_internal.h"
#include "mixing/kernels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PINGS = 101, SMALL = 16, NO_NODE = -1 };

typedef struct links {
    sgp_group_t *group;
    sgp_transport_t *transport;
    sgp_inbox_t *inbox;
    uint32_t channel;
    uint64_t step; /* of the next message; the same on all nodes */
    size_t count;
    float *z; /* (count) */
    double *times;
} links_t;

static double seconds_since(const links_t *links, uint64_t start) {
    return (double)(sgp_transport_now(links->transport) - start) * 1e-9;
}

static uint64_t deadline(const links_t *links) {
    return sgp_transport_now(links->transport) + sgp_group_timeout(links->group);
}

static sgp_chunk_t *find(const links_t *links, int src, size_t offset) {
    sgp_inbox_key_t key = {.channel = links->channel,
                           .kind = SGP_KIND_PUSH,
                           .src = src,
                           .step = links->step,
                           .offset = offset};
    return sgp_inbox_find(links->inbox, &key);
}

/* Absorbs the chunks of src's message that have arrived, from *taken on. */
static void absorb(const links_t *links, int src, size_t *taken, size_t count) {
    sgp_chunk_t *chunk;
    while (*taken < count && (chunk = find(links, src, *taken))) {
        sgp_absorb(chunk->header.elements, links->z + *taken, chunk->payload, 0.5f);
        *taken += chunk->header.elements;
        sgp_inbox_release(links->inbox, chunk);
    }
}

static sgp_status_t push(const links_t *links, int dst, int src, size_t count, size_t *taken) {
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = links->channel,
                           .step = links->step,
                           .count = count};
    sgp_destination_t to = {.dst = dst, .weight = 0.5};
    sgp_send_t send;
    sgp_status_t status =
        sgp_inbox_send_begin(links->inbox, &header, &to, 1, deadline(links), &send);
    if (status != SGP_OK) return status;
    for (void *place; (place = sgp_transport_send_next(links->transport, &send));) {
        memcpy(place, links->z + send.header.offset, send.header.elements * sizeof(float));
        sgp_transport_send_commit(links->transport, &send);
        if (src != NO_NODE) absorb(links, src, taken, count);
    }
    return SGP_OK;
}

/* Sends a message of `count` floats to dst and receives one from src; either may be NO_NODE. */
static sgp_status_t exchange(links_t *links, int dst, int src, size_t count) {
    size_t taken = 0;
    sgp_status_t status = dst != NO_NODE ? push(links, dst, src, count, &taken) : SGP_OK;
    while (status == SGP_OK && src != NO_NODE) {
        uint64_t since = sgp_inbox_taken_in(links->inbox);
        absorb(links, src, &taken, count);
        if (taken == count) break;
        status = sgp_inbox_wait(links->inbox, since, deadline(links), "a message of the benchmark");
    }
    links->step++;
    return status;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

/* All nodes push at once: one round to warm up, then the rounds that count. */
static sgp_status_t push_together(links_t *links, int rounds, double *seconds) {
    int rank = sgp_group_rank(links->group), size = sgp_group_size(links->group);
    sgp_status_t status = SGP_OK;
    for (int r = -1; r < rounds && status == SGP_OK; r++) {
        status = sgp_group_barrier(links->group);
        uint64_t start = sgp_transport_now(links->transport);
        if (status == SGP_OK)
            status = exchange(links, (rank + 1) % size, (rank + size - 1) % size, links->count);
        if (r >= 0) links->times[r] = seconds_since(links, start);
    }
    *seconds = median(links->times, rounds);
    return status;
}

/* From node 0 to node 1, while the other nodes sleep. */
static sgp_status_t push_alone(links_t *links, int rounds, double *seconds) {
    int rank = sgp_group_rank(links->group);
    sgp_status_t status = SGP_OK;
    for (int r = 0; r < rounds && status == SGP_OK; r++) {
        status = sgp_group_barrier(links->group);
        uint64_t start = sgp_transport_now(links->transport);
        if (status == SGP_OK)
            status =
                exchange(links, rank == 0 ? 1 : NO_NODE, rank == 1 ? 0 : NO_NODE, links->count);
        links->times[r] = seconds_since(links, start);
    }
    *seconds = rank == 1 ? median(links->times, rounds) : NAN;
    return status;
}

/* A round trip between nodes 0 and 1. */
static sgp_status_t ping(links_t *links, double *seconds) {
    int rank = sgp_group_rank(links->group);
    sgp_status_t status = sgp_group_barrier(links->group);
    for (int i = 0; i < PINGS && status == SGP_OK && rank < 2; i++) {
        uint64_t start = sgp_transport_now(links->transport);
        status = exchange(links, rank == 0 ? 1 : NO_NODE, rank == 1 ? 0 : NO_NODE, SMALL);
        if (status == SGP_OK)
            status = exchange(links, rank == 1 ? 0 : NO_NODE, rank == 0 ? 1 : NO_NODE, SMALL);
        links->times[i] = seconds_since(links, start) / 2;
    }
    if (rank >= 2) links->step += 2 * PINGS;
    *seconds = rank == 0 ? median(links->times, PINGS) : NAN;
    return status;
}

static sgp_status_t measure(links_t *links, const bench_work_t *work, bench_links_t *found) {
    double bytes = (double)links->count * sizeof(float), together, alone;
    sgp_status_t status = sgp_transport_prepare(links->transport, links->count * sizeof(float), 2);
    if (status == SGP_OK) status = ping(links, &found->latency);
    if (status == SGP_OK) status = push_together(links, work->rounds, &together);
    if (status == SGP_OK) status = push_alone(links, work->rounds, &alone);
    if (status != SGP_OK) return status;
    found->together = bytes / together;
    found->alone = bytes / alone;
    return SGP_OK;
}

sgp_status_t bench_links(sgp_group_t *group, const bench_work_t *work, bench_links_t *found) {
    *found = (bench_links_t){NAN, NAN, NAN};
    if (sgp_group_size(group) == 1) return SGP_OK; /* no link */
    int times = work->rounds > PINGS ? work->rounds : PINGS;
    links_t links = {.group = group,
                     .transport = sgp_group_transport(group),
                     .inbox = sgp_group_inbox(group),
                     .channel = sgp_group_new_channel(group),
                     .count = work->numbers,
                     .z = sgp_memory_alloc(work->numbers * sizeof(float)),
                     .times = calloc((size_t)times, sizeof(double))};
    sgp_status_t status = SGP_ERR_NO_MEMORY;
    if (links.z && links.times) status = measure(&links, work, found);
    else sgp_fail(status, "no memory for %zu numbers", work->numbers);
    sgp_memory_free(links.z);
    free(links.times);
    return status;
}
