/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs in one process: the nodes are threads over the loopback transport. */
#ifndef SGP_TESTS_RUN_NODES_H
#define SGP_TESTS_RUN_NODES_H

#include "data/support.h"

#include "base/logging.h"
#include "group/agree_call.h"
#include "group/group_internal.h"
#include "run/train.h"
#include "transport/loopback/loopback.h"

#define MAX_NODES 8

typedef struct node {
    train_options_t options;
    train_callbacks_t callbacks;
    int rank;
    sgp_loopback_t *hub;
    uint64_t resent; /* in the counters of the node's transport from the start */
    pthread_t thread;
    sgp_status_t status;
    train_summary_t summary;
} node_t;

static inline void *node_main(void *argument) {
    node_t *node = argument;
    sgp_group_t *group;
    sgp_log_set_rank(node->rank);
    node->status = sgp_group_create(sgp_loopback_transport(node->hub, node->rank), 0, &group);
    if (node->status) return NULL;
    sgp_group_transport(group)->counters.resent = node->resent;
    train_groups_t groups = {.all = group};
    node->status = train_run(&node->options, &groups, &node->callbacks, &node->summary);
    sgp_group_leave(group);
    return NULL;
}

/* The same where the others go on without lost nodes; transport: of node->hub. */
static inline void run_elastic(node_t *node, sgp_transport_t *transport) {
    sgp_group_t *group;
    sgp_log_set_rank(node->rank);
    transport->elastic = true;
    node->status = sgp_group_found(transport, 60000, &group);
    if (node->status) return;
    train_groups_t groups = {.all = group};
    node->status = train_run(&node->options, &groups, &node->callbacks, &node->summary);
    if (node->status) sgp_group_abort(group);
    else sgp_group_leave(group);
}

/* nodes: (count) with options and callbacks; fills status and summary. */
static inline void run_nodes(node_t *nodes, int count) {
    sgp_loopback_t *hub;
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = count}, &hub), SGP_OK);
    for (int rank = 0; rank < count; rank++) {
        nodes[rank].rank = rank;
        nodes[rank].hub = hub;
        assert_int_equal(pthread_create(&nodes[rank].thread, NULL, node_main, &nodes[rank]), 0);
    }
    for (int rank = 0; rank < count; rank++) pthread_join(nodes[rank].thread, NULL);
    sgp_loopback_destroy(hub);
}

static inline void assert_all_ended(const node_t *nodes, int count, sgp_status_t status) {
    for (int rank = 0; rank < count; rank++)
        if (nodes[rank].status != status)
            fail_msg("node %d: %s instead of %s (%s)", rank, sgp_status_name(nodes[rank].status),
                     sgp_status_name(status), captured.last);
}

/* The same options for all. nodes: (options->nodes), written here. */
static inline void run_alike(node_t *nodes, const train_options_t *options) {
    for (int rank = 0; rank < options->nodes; rank++) nodes[rank] = (node_t){.options = *options};
    run_nodes(nodes, options->nodes);
}

#endif
