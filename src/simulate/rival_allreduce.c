/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/rival_allreduce.h"

#include "base/memory.h"
#include "codec/codec.h"
#include "transport/simulated/simulated.h"

#include <limits.h>
#include <string.h>

enum { CHANNEL = 1000, ROOM = 4 /* vectors under way */ };

static sgp_encoding_t encoding_of(const simulation_node_t *node) {
    return node->work->settings->encoding;
}

static uint64_t inbox_waited(const simulation_node_t *node) {
    return sgp_inbox_waited(sgp_group_inbox(node->group));
}

static sgp_status_t create(simulation_node_t *node) {
    size_t bytes = node->work->length * sizeof(float);
    node->z = sgp_memory_alloc(bytes);
    node->sum = sgp_memory_alloc(bytes);
    node->rounding = sgp_memory_alloc(bytes);
    if (!node->z || !node->sum || !node->rounding) return SGP_ERR_NO_MEMORY;
    return sgp_transport_prepare(node->transport, bytes, ROOM);
}

static void destroy(simulation_node_t *node) {
    sgp_reducer_fini(&node->reducer);
    sgp_memory_free(node->z);
    sgp_memory_free(node->sum);
    sgp_memory_free(node->rounding);
}

/* z <- z - scale mean: the same local step on all nodes. */
static void update(float *z, const float *mean, size_t count, float scale) {
    for (size_t i = 0; i < count; i++) z[i] -= scale * mean[i];
}

/* ---- in buckets ---- */

static const float *bucket_part(sgp_reduce_t *reduce, size_t offset, size_t count, float *scratch) {
    const simulation_node_t *node = reduce->context;
    (void)count, (void)scratch;
    return node->gradient + node->bucket + offset;
}

static void bucket_result(sgp_reduce_t *reduce, size_t offset, size_t count, const float *mean) {
    simulation_node_t *node = reduce->context;
    memcpy(node->sum + node->bucket + offset, mean, count * sizeof *mean);
}

static sgp_status_t reduce_bucket(simulation_node_t *node) {
    sgp_reduce_t reduce = {.reducer = &node->reducer,
                           .channel = CHANNEL,
                           .step = node->messages++,
                           .deadline = UINT64_MAX,
                           .weight = 1,
                           .encoding = encoding_of(node),
                           .rounding = node->rounding + node->bucket,
                           .part = bucket_part,
                           .result = bucket_result,
                           .context = node};
    return sgp_reduce_run(&reduce);
}

static int buckets_of(const simulation_node_t *node) {
    return simulation_buckets(node->work->settings->parameters * sizeof(float));
}

static sgp_status_t buckets_create(simulation_node_t *node) {
    size_t length = node->work->length / (size_t)buckets_of(node);
    sgp_status_t status = create(node);
    return status == SGP_OK ? sgp_reducer_init(&node->reducer, node->group, length) : status;
}

/* An accelerator computes, so the node is free to reduce each bucket as soon as its gradients are complete. */
static sgp_status_t buckets_step(simulation_node_t *node, uint64_t step, uint64_t compute) {
    (void)step;
    uint64_t start = simulation_now(node);
    int buckets = buckets_of(node);
    for (int b = 0; b < buckets; b++) {
        double part = SIMULATION_FORWARD + (1 - SIMULATION_FORWARD) * (b + 1) / buckets;
        node->bucket = (size_t)b * node->reducer.length;
        sgp_simulated_sleep(node->transport, start + (uint64_t)((double)compute * part));
        sgp_status_t status = reduce_bucket(node);
        if (status != SGP_OK) return status;
    }
    simulation_compute(node, node->work->update);
    update(node->z, node->sum, node->work->length, 1);
    return SGP_OK;
}

const simulation_method_t simulation_method_buckets = {
    .create = buckets_create,
    .destroy = destroy,
    .step = buckets_step,
    .waited = inbox_waited,
};

/* ---- messages ---- */

/* Sends count numbers of node->sum from offset on. */
static sgp_status_t send_part(simulation_node_t *node, int dst, uint64_t number, size_t offset,
                              size_t count) {
    sgp_header_t header = {.kind = SGP_KIND_REDUCE,
                           .encoding = encoding_of(node),
                           .channel = CHANNEL,
                           .step = number,
                           .count = count};
    sgp_destination_t to = {.dst = dst, .weight = 1};
    sgp_send_t message;
    sgp_status_t status =
        sgp_inbox_send_begin(sgp_group_inbox(node->group), &header, &to, 1, UINT64_MAX, &message);
    if (status != SGP_OK) return status;
    void *place = sgp_transport_send_next(node->transport, &message);
    if (sgp_encoding_is_lossy(header.encoding))
        sgp_encode(header.encoding, count, place, node->sum + offset);
    else memcpy(place, node->sum + offset, count * sizeof(float));
    sgp_transport_send_commit(node->transport, &message);
    return SGP_OK;
}

/* Adds the received numbers to node->sum, or puts them in its place. */
static sgp_status_t receive_part(simulation_node_t *node, int src, uint64_t number, size_t offset,
                                 bool adds) {
    sgp_inbox_t *inbox = sgp_group_inbox(node->group);
    sgp_inbox_key_t key = {.channel = CHANNEL, .kind = SGP_KIND_REDUCE, .src = src, .step = number};
    for (;;) {
        uint64_t since = sgp_inbox_taken_in(inbox);
        sgp_chunk_t *chunk = sgp_inbox_find(inbox, &key);
        if (!chunk) {
            sgp_status_t status = sgp_inbox_wait(inbox, since, UINT64_MAX, "an all-reduce");
            if (status != SGP_OK) return status;
            continue;
        }
        size_t count = chunk->header.elements;
        float *sum = node->sum + offset;
        if (!adds) memset(sum, 0, count * sizeof *sum);
        if (sgp_encoding_is_lossy(chunk->header.encoding))
            sgp_decode_add(chunk->header.encoding, count, sum, chunk->payload, 1);
        else
            for (size_t i = 0; i < count; i++) sum[i] += ((const float *)chunk->payload)[i];
        sgp_inbox_release(inbox, chunk);
        return SGP_OK;
    }
}

/* Computes the gradient and puts it into node->sum, rotated: element `first` is at the start. */
static void begin(simulation_node_t *node, uint64_t compute, size_t first) {
    size_t rest = node->work->length - first;
    simulation_compute(node, compute + node->work->update);
    memcpy(node->sum, node->gradient + first, rest * sizeof *node->sum);
    memcpy(node->sum + rest, node->gradient, first * sizeof *node->sum);
}

/* ---- around a ring ---- */

/* In each round a node sends a segment to the next node and receives one from the previous: n - 1 rounds add, and n - 1
 * pass the sums on. */
static sgp_status_t ring_step(simulation_node_t *node, uint64_t step, uint64_t compute) {
    (void)step;
    int n = node->work->nodes, rank = node->rank;
    size_t segment = node->work->length / (size_t)n;
    begin(node, compute, 0);
    for (int round = 0; round < 2 * (n - 1); round++) {
        int leaves = (rank - round + 2 * n) % n, comes = (leaves + n - 1) % n;
        uint64_t number = node->messages++;
        sgp_status_t status =
            send_part(node, (rank + 1) % n, number, (size_t)leaves * segment, segment);
        if (status == SGP_OK)
            status = receive_part(node, (rank + n - 1) % n, number, (size_t)comes * segment,
                                  round < n - 1);
        if (status != SGP_OK) return status;
    }
    update(node->z, node->sum, node->work->length, 1 / (float)n);
    return SGP_OK;
}

const simulation_method_t simulation_method_ring = {
    .create = create,
    .destroy = destroy,
    .step = ring_step,
    .waited = inbox_waited,
};

/* ---- recursive halving ---- */

/* Recursive halving and doubling for any number of nodes (J. L. Traeff, Optimal, Non-pipelined Reduce-scatter and
 * Allreduce Algorithms, 2024): the partner of the first round is half of the nodes further on, rounded up, then half of
 * that, down to 1. A node numbers the segments from its own, so that segment d + i of a node is segment i of the node d
 * further on. In each round it sends the upper half of the remaining segments, and adds the received half to the lower.
 * Then the sums go the same way back: 2 (n - 1) segments in 2 log2 n messages, rounded up. */

enum { MOST_ROUNDS = 32 };

/* distances[0] is the number of nodes, and distances[i] the distance of the partner of round i. */
static int distances_of(int nodes, int distances[MOST_ROUNDS]) {
    int rounds = 0;
    for (distances[0] = nodes; distances[rounds] > 1; rounds++)
        distances[rounds + 1] = (distances[rounds] + 1) / 2;
    return rounds;
}

/* Sends segments [near, far), which are the partner's first ones. */
static sgp_status_t scatter_half(simulation_node_t *node, int near, int far) {
    int n = node->work->nodes, rank = node->rank;
    size_t segment = node->work->length / (size_t)n, count = (size_t)(far - near) * segment;
    uint64_t number = node->messages++;
    sgp_status_t status = send_part(node, (rank + near) % n, number, (size_t)near * segment, count);
    if (status != SGP_OK) return status;
    return receive_part(node, (rank + n - near) % n, number, 0, true);
}

static sgp_status_t gather_half(simulation_node_t *node, int near, int far) {
    int n = node->work->nodes, rank = node->rank;
    size_t segment = node->work->length / (size_t)n, count = (size_t)(far - near) * segment;
    uint64_t number = node->messages++;
    sgp_status_t status = send_part(node, (rank + n - near) % n, number, 0, count);
    if (status != SGP_OK) return status;
    return receive_part(node, (rank + near) % n, number, (size_t)near * segment, false);
}

static sgp_status_t halving_step(simulation_node_t *node, uint64_t step, uint64_t compute) {
    (void)step;
    int distances[MOST_ROUNDS], rounds = distances_of(node->work->nodes, distances);
    size_t length = node->work->length;
    size_t before = length / (size_t)node->work->nodes * (size_t)node->rank;
    float scale = 1 / (float)node->work->nodes;
    sgp_status_t status = SGP_OK;
    begin(node, compute, before);
    for (int i = 0; i < rounds && status == SGP_OK; i++)
        status = scatter_half(node, distances[i + 1], distances[i]);
    for (int i = rounds - 1; i >= 0 && status == SGP_OK; i--)
        status = gather_half(node, distances[i + 1], distances[i]);
    if (status != SGP_OK) return status;
    update(node->z + before, node->sum, length - before, scale);
    update(node->z, node->sum + (length - before), before, scale);
    return SGP_OK;
}

const simulation_method_t simulation_method_halving = {
    .create = create,
    .destroy = destroy,
    .step = halving_step,
    .waited = inbox_waited,
};

/* ---- up and down a tree ---- */

/* Up: in round i the nodes whose lowest set bit is i send their sum to the node without that bit. Down: in reverse. */
static sgp_status_t tree_step(simulation_node_t *node, uint64_t step, uint64_t compute) {
    int n = node->work->nodes, rank = node->rank, bit = 1;
    size_t length = node->work->length;
    uint64_t up = 2 * step, down = up + 1;
    sgp_status_t status = SGP_OK;
    begin(node, compute, 0);
    for (; bit < n && !(rank & bit) && status == SGP_OK; bit <<= 1)
        if (rank + bit < n) status = receive_part(node, rank + bit, up, 0, true);
    if (rank > 0 && status == SGP_OK) status = send_part(node, rank - bit, up, 0, length);
    if (rank > 0 && status == SGP_OK) status = receive_part(node, rank - bit, down, 0, false);
    for (bit >>= 1; bit > 0 && status == SGP_OK; bit >>= 1)
        if (rank + bit < n) status = send_part(node, rank + bit, down, 0, length);
    if (status == SGP_OK) update(node->z, node->sum, length, 1 / (float)n);
    return status;
}

const simulation_method_t simulation_method_tree = {
    .create = create,
    .destroy = destroy,
    .step = tree_step,
    .waited = inbox_waited,
};
