/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs in one process: the nodes are threads over the loopback transport. */
#ifndef SGP_TESTS_RUN_NODES_H
#define SGP_TESTS_RUN_NODES_H

#include "data/support.h"

#include "base/logging.h"
#include "group/group_internal.h"
#include "run/train.h"
#include "transport/loopback/loopback.h"

#define MAX_NODES 8

typedef struct node {
    train_options_t options;
    train_callbacks_t callbacks;
    int rank;
    sgp_loopback_t *hub;
    uint64_t resent; /* what the node's transport has counted */
    pthread_t thread;
    sgp_status_t status;
    train_summary_t summary;
} node_t;

/* oneDNN gives the same bits every time with one OpenMP thread, which OpenMP only reads when a
 * program starts. */
static inline void hold_openmp_to_one_thread(char **argv) {
    if (getenv("OMP_NUM_THREADS")) return;
    setenv("OMP_NUM_THREADS", "1", 1);
    execv("/proc/self/exe", argv);
    abort();
}

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

/* The same options for all. nodes: (options->nodes), written here. */
static inline void run_alike(node_t *nodes, const train_options_t *options) {
    for (int rank = 0; rank < options->nodes; rank++) nodes[rank] = (node_t){.options = *options};
    run_nodes(nodes, options->nodes);
}

#endif
