/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/threads.h"

#include "cli/exit_status.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/progress.h"
#include "launch/node.h"
#include "report/run_summary.h"

#include "base/logging.h"
#include "group/group_internal.h"
#include "transport/loopback/loopback.h"
#include "transport/transport.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The loopback hubs: one of all threads, and, where a node has several workers, one of the workers
 * of each node and one of the workers of each number. */
typedef struct hubs {
    sgp_loopback_t *all;
    int nodes, workers;
    sgp_loopback_t **inside; /* (nodes) of `workers` ranks; NULL with one worker */
    sgp_loopback_t **across; /* (workers) of `nodes` ranks; the same */
} hubs_t;

typedef struct thread_node {
    const settings_t *settings;
    const hubs_t *hubs;
    progress_t *progress; /* of node 0 */
    int rank;
    pthread_t thread;
    sgp_status_t status;
    train_summary_t summary;
} thread_node_t;

static void destroy_hubs(hubs_t *hubs) {
    for (int i = 0; hubs->inside && i < hubs->nodes; i++) sgp_loopback_destroy(hubs->inside[i]);
    for (int m = 0; hubs->across && m < hubs->workers; m++) sgp_loopback_destroy(hubs->across[m]);
    sgp_loopback_destroy(hubs->all);
    free(hubs->inside);
    free(hubs->across);
}

static sgp_status_t create_hub(int size, sgp_loopback_t **hub) {
    return sgp_loopback_create(&(sgp_loopback_options_t){.size = size}, hub);
}

/* After an error *hubs holds those that were made. */
static sgp_status_t create_hubs(const train_options_t *run, hubs_t *hubs) {
    *hubs = (hubs_t){.nodes = run->nodes, .workers = run->workers};
    sgp_status_t status = create_hub(run->nodes * run->workers, &hubs->all);
    if (status != SGP_OK || run->workers == 1) return status;
    hubs->inside = calloc((size_t)run->nodes, sizeof *hubs->inside);
    hubs->across = calloc((size_t)run->workers, sizeof *hubs->across);
    if (!hubs->inside || !hubs->across) return SGP_ERR_NO_MEMORY;
    for (int i = 0; i < run->nodes && status == SGP_OK; i++)
        status = create_hub(run->workers, &hubs->inside[i]);
    for (int m = 0; m < run->workers && status == SGP_OK; m++)
        status = create_hub(run->nodes, &hubs->across[m]);
    return status;
}

/* ---- one thread ---- */

enum { GROUPS = 3 };

typedef struct membership {
    sgp_transport_t *transports[GROUPS]; /* all, nodes, workers; NULL: none */
    sgp_group_t *groups[GROUPS];
} membership_t;

static sgp_status_t join(const hubs_t *hubs, int rank, membership_t *member) {
    int workers = hubs->workers, node = rank / workers, worker = rank % workers;
    sgp_status_t status = SGP_OK;
    *member = (membership_t){.transports[0] = sgp_loopback_transport(hubs->all, rank)};
    member->transports[0]->ranks = (sgp_ranks_t){0, 1, workers};
    if (workers > 1) {
        member->transports[1] = sgp_loopback_transport(hubs->across[worker], node);
        member->transports[1]->ranks = (sgp_ranks_t){worker, workers, workers};
        member->transports[2] = sgp_loopback_transport(hubs->inside[node], worker);
        member->transports[2]->ranks = (sgp_ranks_t){rank - worker, 1, workers};
    }
    for (int g = 0; g < GROUPS && status == SGP_OK; g++)
        if (member->transports[g])
            status = sgp_group_create(member->transports[g], 0, &member->groups[g]);
    return status;
}

/* Leaves in order, or closes the transports, and the others see a loss. */
static void leave(membership_t *member, bool in_order) {
    for (int g = GROUPS - 1; g >= 0; g--)
        if (in_order) sgp_group_leave(member->groups[g]);
        else sgp_transport_destroy(member->transports[g]);
}

static sgp_status_t train_node(thread_node_t *node) {
    membership_t member;
    sgp_status_t status = join(node->hubs, node->rank, &member);
    if (status == SGP_OK) {
        train_groups_t groups = {member.groups[0], member.groups[1], member.groups[2]};
        train_callbacks_t callbacks = {.stop = &interrupt_signal};
        if (node->rank == 0) callbacks.progress = progress_show;
        if (node->rank == 0) callbacks.resized = progress_resized;
        if (node->rank == 0) callbacks.divided = progress_divided;
        callbacks.user = node->progress;
        status = train_run(&node->settings->run, &groups, &callbacks, &node->summary);
    }
    leave(&member, node_leaves(status, &node->summary));
    return status;
}

static void *node_main(void *argument) {
    thread_node_t *node = argument;
    sgp_log_set_rank(node->rank);
    node->status = train_node(node);
    return NULL;
}

/* The main thread takes the signals. A thread that cannot be started ends the process: the others
 * would wait for it. */
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

/* The status that is the cause: a lost peer is only the other nodes' view of it. */
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

/* ---- all of them ---- */

static sgp_status_t run_all(const settings_t *settings, const hubs_t *hubs, thread_node_t *nodes) {
    int count = settings->run.nodes * settings->run.workers;
    progress_t progress;
    progress_begin(&progress, settings->quiet);
    for (int rank = 0; rank < count; rank++)
        nodes[rank] = (thread_node_t){
            .settings = settings, .hubs = hubs, .progress = &progress, .rank = rank};
    start_all(nodes, count);
    sgp_status_t status = join_all(nodes, count);
    progress_end(&progress);
    return status;
}

int threads_run(const settings_t *settings) {
    hubs_t hubs = {0};
    sgp_status_t status = SGP_ERR_NO_MEMORY;
    int result = EXIT_FAILED, threads = settings->run.nodes * settings->run.workers;
    thread_node_t *nodes = calloc((size_t)threads, sizeof *nodes);
    if (nodes) status = create_hubs(&settings->run, &hubs);
    if (status == SGP_ERR_NO_MEMORY) message_error("out of memory for %d threads", threads);
    if (status == SGP_OK) {
        interrupt_catch();
        status = run_all(settings, &hubs, nodes);
    }
    if (nodes) result = node_end(settings, status, &nodes[0].summary, true);
    if (interrupt_signal && status != SGP_OK)
        message_error("stopped (%s)", strsignal(interrupt_signal));
    if (status == SGP_OK) destroy_hubs(&hubs);
    free(nodes);
    return result;
}
