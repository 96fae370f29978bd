/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of several workers as threads of a test: over loopback hubs, or over shared memory, joined
 * and split as processes do it. CHECK as in ranks.h. */
#ifndef SGP_TESTS_WORKER_RANKS_H
#define SGP_TESTS_WORKER_RANKS_H

#include "ranks.h"

#include <sgp/group.h>

typedef struct workers_setup {
    bool shm;
    int nodes, workers; /* workers of each node */
    size_t chunk_bytes; /* loopback; 0: the default */
} workers_setup_t;

/* The place of one process. */
typedef struct workers_place {
    sgp_group_t *all;     /* of all processes */
    sgp_group_t *nodes;   /* this worker and its counterparts */
    sgp_group_t *workers; /* of this node */
    int rank, node, worker;
} workers_place_t;

typedef struct workers_hubs {
    sgp_loopback_t *all;
    sgp_loopback_t *nodes[16];   /* (workers) */
    sgp_loopback_t *workers[16]; /* (nodes) */
} workers_hubs_t;

typedef struct workers_thread {
    const workers_setup_t *setup;
    const workers_hubs_t *hubs;
    const char *directory;
    void (*body)(const workers_place_t *place, void *context);
    void *context;
    int rank;
    pthread_t thread;
} workers_thread_t;

static inline sgp_loopback_t *workers_hub(const workers_setup_t *setup, int size) {
    sgp_loopback_t *hub = NULL;
    sgp_loopback_options_t options = {.size = size, .chunk_bytes = setup->chunk_bytes};
    assert_int_equal(sgp_loopback_create(&options, &hub), SGP_OK);
    return hub;
}

static inline sgp_group_t *workers_group(sgp_loopback_t *hub, int rank, sgp_ranks_t ranks) {
    sgp_group_t *group = NULL;
    sgp_transport_t *transport = sgp_loopback_transport(hub, rank);
    transport->ranks = ranks;
    CHECK(sgp_group_create(transport, 60000, &group) == SGP_OK);
    return group;
}

static inline void workers_enter(const workers_thread_t *thread, workers_place_t *place) {
    int workers = thread->setup->workers, size = thread->setup->nodes * workers;
    *place = (workers_place_t){
        .rank = thread->rank, .node = thread->rank / workers, .worker = thread->rank % workers};
    if (thread->setup->shm) {
        sgp_group_options_t options = {.rank = thread->rank,
                                       .size = size,
                                       .rendezvous = thread->directory,
                                       .join_timeout_ms = 60000};
        CHECK(sgp_group_join(&options, &place->all) == SGP_OK);
        CHECK(sgp_group_split(place->all, workers, &place->nodes, &place->workers) == SGP_OK);
        return;
    }
    const workers_hubs_t *hubs = thread->hubs;
    place->all = workers_group(hubs->all, place->rank, (sgp_ranks_t){0, 1, workers});
    place->nodes = workers_group(hubs->nodes[place->worker], place->node,
                                 (sgp_ranks_t){place->worker, workers, workers});
    place->workers = workers_group(hubs->workers[place->node], place->worker,
                                   (sgp_ranks_t){place->node * workers, 1, workers});
}

static inline void *workers_main(void *argument) {
    workers_thread_t *thread = argument;
    workers_place_t place;
    sgp_log_set_rank(thread->rank);
    workers_enter(thread, &place);
    thread->body(&place, thread->context);
    sgp_group_leave(place.nodes);
    sgp_group_leave(place.workers);
    sgp_group_leave(place.all);
    return NULL;
}

/* Runs body in every process at once. */
static inline void run_workers(const workers_setup_t *setup,
                               void (*body)(const workers_place_t *place, void *context),
                               void *context) {
    enum { MOST_PROCESSES = 32 };
    workers_thread_t threads[MOST_PROCESSES];
    workers_hubs_t hubs = {0};
    char directory[] = "/tmp/sgp-test-XXXXXX";
    int size = setup->nodes * setup->workers;
    assert_in_range(size, 1, MOST_PROCESSES);
    assert_non_null(mkdtemp(directory));
    atomic_store(&ranks_failures, 0);
    hubs.all = workers_hub(setup, size);
    for (int m = 0; m < setup->workers; m++) hubs.nodes[m] = workers_hub(setup, setup->nodes);
    for (int i = 0; i < setup->nodes; i++) hubs.workers[i] = workers_hub(setup, setup->workers);
    for (int r = 0; r < size; r++) {
        threads[r] = (workers_thread_t){setup, &hubs, directory, body, context, r, 0};
        assert_int_equal(pthread_create(&threads[r].thread, NULL, workers_main, &threads[r]), 0);
    }
    for (int r = 0; r < size; r++) pthread_join(threads[r].thread, NULL);
    sgp_loopback_destroy(hubs.all);
    for (int m = 0; m < setup->workers; m++) sgp_loopback_destroy(hubs.nodes[m]);
    for (int i = 0; i < setup->nodes; i++) sgp_loopback_destroy(hubs.workers[i]);
    assert_int_equal(rmdir(directory), 0); /* nothing is left in it */
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

#endif
