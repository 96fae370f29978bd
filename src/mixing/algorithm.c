/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithm.h"

#include "base/logging.h"
#include "base/memory.h"
#include "mixing/default_graph.h"
#include "mixing/progress_thread.h"

#include <stdlib.h>
#include <string.h>

static const sgp_algorithm_ops_t *ops_of(const sgp_mixer_options_t *options) {
    if (options->algorithm == SGP_ALGORITHM_ALLREDUCE)
        return options->library_allreduce ? &sgp_algorithm_library_allreduce
                                          : &sgp_algorithm_allreduce;
    if (options->graph.size == 1) return &sgp_algorithm_lockstep; /* nobody to wait for */
    if (options->algorithm == SGP_ALGORITHM_ADPSGD) return &sgp_algorithm_pairs;
    if (options->overlap == SGP_OVERLAP_ASYNC) return &sgp_algorithm_async;
    return options->overlap ? &sgp_algorithm_overlap : &sgp_algorithm_lockstep;
}

sgp_status_t sgp_algorithm_check(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                                 sgp_mixer_options_t *wanted) {
    sgp_mixer_options_t full = *options;
    if (full.graph.size != 0 && full.graph.size != mixer->size)
        return sgp_fail(SGP_ERR_INVALID, "mixer: a graph of %d nodes for a group of %d",
                        full.graph.size, mixer->size);
    full.graph.size = mixer->size;
    if (full.graph.kind == SGP_GRAPH_EXPONENTIAL && options->graph.size == 0)
        full.graph.kind = sgp_algorithm_default_graph(full.algorithm);
    if (full.local_steps == 0) full.local_steps = 1;
    if (full.encoding == SGP_ENCODING_DEFAULT) full.encoding = SGP_ENCODING_FLOAT32;
    full.count = mixer->all_count;
    full.buffers = mixer->all_length - mixer->all_count;
    full.workers = mixer->workers.group;
    sgp_status_t status = sgp_mixer_check(&full);
    if (status != SGP_OK) return status;
    if (mixer->size == 1) full.encoding = SGP_ENCODING_FLOAT32; /* nothing travels */
    *wanted = full;
    return SGP_OK;
}

/* ---- room ---- */

static void unreserve(sgp_mixer_t *mixer, const sgp_room_t *room) {
    if (room->messages) sgp_transport_unprepare(mixer->transport, room->bytes, room->messages);
}

static void give_room_back(sgp_mixer_t *mixer, const sgp_room_t *rooms) {
    for (int i = 0; i < SGP_ROOMS; i++) unreserve(mixer, &rooms[i]);
}

/* All of it or nothing. */
static sgp_status_t reserve(sgp_mixer_t *mixer, const sgp_room_t *rooms) {
    for (int i = 0; i < SGP_ROOMS; i++) {
        if (!rooms[i].messages) continue;
        sgp_status_t status =
            sgp_transport_prepare(mixer->transport, rooms[i].bytes, rooms[i].messages);
        if (status == SGP_OK) continue;
        while (--i >= 0) unreserve(mixer, &rooms[i]);
        return status;
    }
    return SGP_OK;
}

/* Averages travel as float32 whatever the algorithm's messages do. */
static sgp_status_t reserve_rooms(sgp_mixer_t *mixer) {
    const sgp_algorithm_ops_t *ops = mixer->ops;
    sgp_room_t rooms[SGP_ROOMS] = {
        {.bytes = mixer->length * sgp_mixer_element(mixer), .messages = ops->messages(mixer)},
        {.bytes = mixer->length * sizeof(float), .messages = sgp_mixer_rounds(mixer) ? 2 : 0},
        {.bytes = sizeof(uint64_t), .messages = ops->notices ? ops->notices(mixer) : 0},
    };
    sgp_status_t status = reserve(mixer, rooms);
    if (status == SGP_OK) memcpy(mixer->rooms, rooms, sizeof rooms);
    return status;
}

/* ---- memory ---- */

/* Slow momentum can be switched on later, too. */
static sgp_status_t make_slow(sgp_mixer_t *mixer) {
    if (mixer->options.slow_every == 0 || mixer->slow) return SGP_OK;
    mixer->slow = sgp_memory_alloc(mixer->count * sizeof *mixer->slow);
    mixer->anchor = sgp_memory_alloc(mixer->count * sizeof *mixer->anchor);
    if (!mixer->slow || !mixer->anchor)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for the slow momentum of %zu numbers",
                        mixer->count);
    memcpy(mixer->anchor, mixer->z, mixer->count * sizeof *mixer->anchor);
    return SGP_OK;
}

static void free_slow(sgp_mixer_t *mixer) {
    sgp_memory_free(mixer->slow);
    sgp_memory_free(mixer->anchor);
    mixer->slow = mixer->anchor = NULL;
}

static bool has_courier(const sgp_mixer_t *mixer) {
    const sgp_algorithm_ops_t *ops = mixer->ops;
    return ops->has_courier ? ops->has_courier(mixer) : ops->work != NULL;
}

static sgp_status_t make_all(sgp_mixer_t *mixer) {
    size_t degree = (size_t)sgp_graph_max_degree(&mixer->graph);
    mixer->edges = calloc(degree + 1, sizeof *mixer->edges);
    if (!mixer->edges) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu edges", degree);
    sgp_status_t status = make_slow(mixer);
    if (status == SGP_OK) status = reserve_rooms(mixer);
    if (status == SGP_OK && mixer->ops->create) status = mixer->ops->create(mixer);
    if (status == SGP_OK && has_courier(mixer)) status = sgp_courier_start(mixer);
    return status;
}

sgp_status_t sgp_algorithm_make(sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    bool slow = mixer->slow != NULL;
    mixer->options = *options;
    mixer->graph = options->graph;
    mixer->ops = ops_of(options);
    sgp_status_t status = make_all(mixer);
    if (status == SGP_OK) return status;
    if (!slow) free_slow(mixer);
    sgp_algorithm_end(mixer);
    return status;
}

void sgp_algorithm_start(sgp_mixer_t *mixer) {
    if (has_courier(mixer)) sgp_courier_employ(mixer, mixer->ops->work, mixer->ops->serve);
    else sgp_courier_stop(mixer);
}

void sgp_algorithm_end(sgp_mixer_t *mixer) {
    if (mixer->ops && mixer->ops->destroy) mixer->ops->destroy(mixer);
    give_room_back(mixer, mixer->rooms);
    memset(mixer->rooms, 0, sizeof mixer->rooms);
    free(mixer->edges);
    mixer->edges = NULL;
    mixer->extra = NULL;
    mixer->ops = NULL;
}

/* ---- one beside another ---- */

#define EXCHANGE(type, a, b)                                                                       \
    do {                                                                                           \
        type first_ = (a);                                                                         \
        (a) = (b);                                                                                 \
        (b) = first_;                                                                              \
    } while (0)

static void exchange(sgp_mixer_t *mixer, sgp_algorithm_aside_t *aside) {
    EXCHANGE(sgp_mixer_options_t, mixer->options, aside->options);
    EXCHANGE(const sgp_algorithm_ops_t *, mixer->ops, aside->ops);
    EXCHANGE(void *, mixer->extra, aside->extra);
    EXCHANGE(sgp_graph_t, mixer->graph, aside->graph);
    EXCHANGE(sgp_edge_t *, mixer->edges, aside->edges);
    for (int i = 0; i < SGP_ROOMS; i++) EXCHANGE(sgp_room_t, mixer->rooms[i], aside->rooms[i]);
}

void sgp_algorithm_lay_aside(sgp_mixer_t *mixer, sgp_algorithm_aside_t *aside) {
    *aside =
        (sgp_algorithm_aside_t){.courier = mixer->courier != NULL, .slow = mixer->slow != NULL};
    exchange(mixer, aside);
    give_room_back(mixer, aside->rooms);
    if (mixer->courier) sgp_courier_employ(mixer, NULL, NULL);
}

void sgp_algorithm_put_back(sgp_mixer_t *mixer, sgp_algorithm_aside_t *aside) {
    sgp_algorithm_end(mixer);
    if (!aside->courier) sgp_courier_stop(mixer);
    if (!aside->slow) free_slow(mixer);
    exchange(mixer, aside);
    reserve(mixer, mixer->rooms); /* it was there before, and nobody else has asked since */
    sgp_algorithm_start(mixer);
}

void sgp_algorithm_end_aside(sgp_mixer_t *mixer, sgp_algorithm_aside_t *aside) {
    memset(aside->rooms, 0, sizeof aside->rooms); /* given back already */
    exchange(mixer, aside);
    sgp_algorithm_end(mixer);
    exchange(mixer, aside);
}
