/* SPDX-License-Identifier: Apache-2.0 */
/* A network of agree machines (src/group/agree.h) in one thread, whose every move the caller chooses: a node begins a
 * call, the first message of an edge arrives, a node dies and of each of its edges the last messages are lost, a node
 * leaves in order, a node learns that another is gone. A node sends what is due right after each of its moves. */
#ifndef SGP_TESTS_GROUP_AGREE_NETWORK_H
#define SGP_TESTS_GROUP_AGREE_NETWORK_H

#include "cmocka_all.h"

#include "group/agree.h"
#include "group/seats.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { NODES = 8, CALLS = 3, DEPTH = 96, PAYLOAD = 12, MESSAGE = 64, TRAIL = 4096 };

typedef enum fate { WORKS, LEFT, DEAD } fate_t;

typedef struct edge {
    int count;
    struct {
        int count;
        unsigned char bytes[MESSAGE];
    } messages[DEPTH];
} edge_t;

typedef struct node {
    fate_t fate;
    int begun, returned;          /* calls */
    bool knows[NODES];            /* who is gone */
    uint64_t results[CALLS];      /* a hash of set and payloads */
    unsigned char members[CALLS]; /* of the result */
} node_t;

typedef struct network {
    int nodes, calls;  /* each node begins so many */
    uint64_t seed;     /* for the report of a failure */
    bool out_of_order; /* deaths are learned while messages of the dead are under way */
    node_t node[NODES];
    edge_t edge[NODES][NODES]; /* from, to */
    sgp_agree_t *machine[NODES];
    char trail[TRAIL]; /* the moves so far, for the report of a failure */
    size_t trail_length;
} network_t;

static inline void network_fail(const network_t *net, const char *what) {
    fprintf(stderr, "seed %" PRIu64 ": %s after:%.*s\n", net->seed, what, (int)net->trail_length,
            net->trail);
    fail();
}

static inline void network_note(network_t *net, char move, int from, int to) {
    int room = TRAIL - (int)net->trail_length;
    int length = snprintf(net->trail + net->trail_length, (size_t)room, " %c%d%d", move, from, to);
    if (length < room) net->trail_length += (size_t)length;
}

static inline void network_init(network_t *net, int nodes, int calls) {
    sgp_agree_options_t options = {.limits = {.capacity = nodes, .payload_bytes = PAYLOAD}};
    memset(net, 0, sizeof *net);
    assert_true(sgp_agree_message_room(&options.limits) <= MESSAGE);
    net->nodes = nodes;
    net->calls = calls;
    for (int n = 0; n < nodes; n++) {
        options.seat = n;
        assert_int_equal(sgp_agree_create(&options, &net->machine[n]), SGP_OK);
    }
}

static inline void network_fini(network_t *net) {
    for (int n = 0; n < net->nodes; n++) sgp_agree_destroy(net->machine[n]);
}

/* Payloads have 0 to PAYLOAD bytes, so that a DECIDED has several parts. */
static inline size_t payload_of_node(int node, uint64_t call, unsigned char payload[PAYLOAD]) {
    size_t bytes = (size_t)(node * 5 + (int)call * 3) % (PAYLOAD + 1);
    for (size_t i = 0; i < bytes; i++)
        payload[i] = (unsigned char)(node * 16 + (int)call + (int)i * 37);
    return bytes;
}

/* ---- properties ---- */

/* A hash of the set and its payloads, which are those that its members have given. */
static inline uint64_t hash_of(const network_t *net, const sgp_agree_result_t *result) {
    unsigned char expected[PAYLOAD], all[NODES * (PAYLOAD + 1)];
    size_t count = 0;
    for (int n = 0; n < net->nodes; n++) {
        size_t bytes = 0;
        const void *payload = sgp_agree_payload(result, n, &bytes);
        if (!payload) continue;
        if (bytes != payload_of_node(n, result->call, expected) ||
            memcmp(payload, expected, bytes) != 0)
            network_fail(net, "another payload");
        all[count++] = (unsigned char)n;
        memcpy(all + count, payload, bytes);
        count += bytes;
    }
    return XXH3_64bits(all, count);
}

/* Whether the node has returned from its call; then its result is kept. */
static inline void network_return(network_t *net, int n) {
    sgp_agree_result_t result;
    node_t *node = &net->node[n];
    if (node->begun == node->returned || !sgp_agree_result(net->machine[n], &result)) return;
    if (result.call != (uint64_t)node->begun) network_fail(net, "the result of another call");
    node->members[node->returned] = result.set[0];
    node->results[node->returned++] = hash_of(net, &result);
}

/* At any time: what has been returned by nodes that are not dead is the same, and no node that works is left out. */
static inline void network_check(const network_t *net) {
    for (int call = 0; call < net->calls; call++) {
        const node_t *first = NULL;
        for (int n = 0; n < net->nodes; n++) {
            const node_t *node = &net->node[n];
            if (node->fate == DEAD || node->returned <= call) continue;
            if (first && node->results[call] != first->results[call])
                network_fail(net, "different results");
            first = node;
        }
        for (int n = 0; first && n < net->nodes; n++)
            if (net->node[n].fate == WORKS && !sgp_seats_has(&first->members[call], n))
                network_fail(net, "a node that works is left out");
    }
}

/* ---- moves ---- */

static inline void network_send(network_t *net, int from) {
    sgp_agree_due_t due;
    while (sgp_agree_next_message(net->machine[from], &due)) {
        int to = due.to[0];
        edge_t *edge = &net->edge[from][to];
        if (net->node[to].fate == WORKS) {
            if (edge->count == DEPTH) network_fail(net, "too many messages");
            edge->messages[edge->count].count = (int)due.count;
            memcpy(edge->messages[edge->count++].bytes, due.bytes, due.count);
        }
        sgp_agree_sent(net->machine[from], &to, 1);
    }
}

static inline void network_settle(network_t *net, int node) {
    network_send(net, node);
    network_return(net, node);
    network_check(net);
}

static inline bool can_begin(const network_t *net, int n) {
    const node_t *node = &net->node[n];
    return node->fate == WORKS && node->begun == node->returned && node->begun < net->calls;
}

static inline void network_begin(network_t *net, int n) {
    unsigned char live[1], payload[PAYLOAD];
    node_t *node = &net->node[n];
    network_note(net, 'B', n, ++node->begun);
    live[0] = (unsigned char)((1 << net->nodes) - 1);
    for (int other = 0; other < net->nodes; other++)
        if (node->knows[other]) sgp_seats_remove(live, other);
    size_t bytes = payload_of_node(n, (uint64_t)node->begun, payload);
    assert_int_equal(sgp_agree_begin(net->machine[n], live, payload, bytes), SGP_OK);
    network_settle(net, n);
}

static inline bool can_deliver(const network_t *net, int from, int to) {
    return net->node[to].fate == WORKS && net->edge[from][to].count > 0;
}

static inline void network_deliver(network_t *net, int from, int to) {
    edge_t *edge = &net->edge[from][to];
    unsigned char bytes[MESSAGE];
    int count = edge->messages[0].count;
    const char *reason = NULL;
    network_note(net, 'D', from, to);
    memcpy(bytes, edge->messages[0].bytes, (size_t)count);
    memmove(edge->messages, edge->messages + 1, (size_t)--edge->count * sizeof *edge->messages);
    sgp_status_t status = sgp_agree_heard(net->machine[to], from, bytes, (size_t)count, &reason);
    if (status != SGP_OK && !net->node[to].knows[from]) network_fail(net, reason);
    network_settle(net, to);
}

static inline bool can_learn(const network_t *net, int n, int gone) {
    const node_t *node = &net->node[n];
    fate_t fate = net->node[gone].fate;
    bool drained = net->edge[gone][n].count == 0;
    return n != gone && node->fate == WORKS && fate != WORKS && !node->knows[gone] &&
           (drained || (fate == DEAD && net->out_of_order));
}

static inline void network_learn(network_t *net, int n, int gone) {
    network_note(net, 'L', n, gone);
    net->node[n].knows[gone] = true;
    sgp_agree_lost(net->machine[n], gone);
    network_settle(net, n);
}

/* Of each edge from it so many messages arrive at most. */
static inline void network_die(network_t *net, int n, const int arrive[NODES]) {
    net->node[n].fate = DEAD;
    network_note(net, 'X', n, n);
    for (int to = 0; to < net->nodes; to++) {
        edge_t *edge = &net->edge[n][to];
        if (edge->count > arrive[to]) {
            edge->count = arrive[to];
            network_note(net, 'x', n, to);
        }
        net->edge[to][n].count = 0;
    }
}

static inline bool can_leave(const network_t *net, int n) {
    return net->node[n].fate == WORKS && net->node[n].returned == net->calls;
}

static inline void network_leave(network_t *net, int n) {
    network_note(net, 'V', n, n);
    sgp_agree_farewell(net->machine[n]);
    network_send(net, n);
    net->node[n].fate = LEFT;
    for (int from = 0; from < net->nodes; from++) net->edge[from][n].count = 0;
}

/* No move is left but a death. */
static inline void network_check_end(const network_t *net) {
    for (int n = 0; n < net->nodes; n++)
        if (net->node[n].fate == WORKS && net->node[n].returned < net->calls)
            network_fail(net, "a node waits for ever");
}

#endif
