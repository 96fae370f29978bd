/* SPDX-License-Identifier: Apache-2.0 */
/* The nodes of a run as threads of one process. */
#include "node.h"

#include "command.h"
#include "interrupt.h"
#include "message.h"
#include "progress.h"
#include "summary.h"

#include "base/log.h"
#include "group/group.h"
#include "transport/loopback/loopback.h"
#include "transport/transport.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct thread_node {
    const settings_t *settings;
    sgp_loopback_t *hub;
    progress_t *progress; /* of node 0 */
    int rank;
    pthread_t thread;
    sgp_status_t status;
    train_summary_t summary;
} thread_node_t;

static sgp_status_t train_node(thread_node_t *node) {
    sgp_group_t *group;
    sgp_transport_t *transport = sgp_loopback_transport(node->hub, node->rank);
    sgp_status_t status = sgp_group_create(transport, 0, &group);
    if (status == SGP_OK) {
        train_callbacks_t callbacks = {.stop = &interrupt_signal};
        if (node->rank == 0) callbacks.progress = progress_show;
        callbacks.user = node->progress;
        status = train_run(&node->settings->run, group, &callbacks, &node->summary);
    }
    if (status == SGP_OK) sgp_group_leave(group);
    else sgp_transport_destroy(transport); /* without having left: the others see it as lost */
    return status;
}

static void *node_main(void *argument) {
    thread_node_t *node = argument;
    sgp_log_set_rank(node->rank);
    node->status = train_node(node);
    return NULL;
}

/* Signals are for the main thread. A thread that cannot be started ends the process: the others would wait for it. */
static void start_all(thread_node_t *nodes, int count) {
    sigset_t before;
    interrupt_block(&before);
    for (int rank = 0; rank < count; rank++) {
        int error = pthread_create(&nodes[rank].thread, NULL, node_main, &nodes[rank]);
        if (error == 0) continue;
        message_error("node %d: its thread cannot be started: %s", rank, strerror(error));
        exit(EXIT_FAILED);
    }
    interrupt_unblock(&before);
}

/* The cause among what the nodes returned: a lost peer is only what others saw of it. */
static sgp_status_t join_all(thread_node_t *nodes, int count) {
    sgp_status_t worst = SGP_OK;
    for (int rank = 0; rank < count; rank++) {
        pthread_join(nodes[rank].thread, NULL);
        if (worst == SGP_OK || worst == SGP_ERR_PEER_LOST) {
            if (nodes[rank].status != SGP_OK) worst = nodes[rank].status;
        }
    }
    return worst;
}

static sgp_status_t run_all(const settings_t *settings, sgp_loopback_t *hub, thread_node_t *nodes) {
    int count = settings->run.nodes;
    progress_t progress;
    progress_begin(&progress, settings->quiet);
    for (int rank = 0; rank < count; rank++)
        nodes[rank] =
            (thread_node_t){.settings = settings, .hub = hub, .progress = &progress, .rank = rank};
    start_all(nodes, count);
    sgp_status_t status = join_all(nodes, count);
    progress_end(&progress);
    return status;
}

int threads_run(const settings_t *settings) {
    sgp_loopback_t *hub = NULL;
    sgp_status_t status = SGP_ERR_NO_MEMORY;
    int result = EXIT_FAILED;
    thread_node_t *nodes = calloc((size_t)settings->run.nodes, sizeof *nodes);
    if (nodes)
        status = sgp_loopback_create(&(sgp_loopback_options_t){.size = settings->run.nodes}, &hub);
    if (status == SGP_ERR_NO_MEMORY)
        message_error("out of memory for %d nodes", settings->run.nodes);
    if (status == SGP_OK) {
        interrupt_catch();
        status = run_all(settings, hub, nodes);
    }
    if (status == SGP_OK) result = summary_print(settings, &nodes[0].summary);
    else result = command_exit_status(status);
    if (interrupt_signal && status != SGP_OK) {
        message_error("stopped (%s)", strsignal(interrupt_signal));
        result = 128 + interrupt_signal;
    }
    if (status == SGP_OK) sgp_loopback_destroy(hub);
    free(nodes);
    return result;
}
