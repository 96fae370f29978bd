/* SPDX-License-Identifier: Apache-2.0 */
#include "mixing/algorithm.h"

#include "base/logging.h"
#include "base/memory.h"
#include "mixing/algorithm_table.h"
#include "mixing/arrival.h"
#include "mixing/algorithms/algorithm_ops.h"
#include "mixing/holes.h"
#include "mixing/round_graph.h"
#include "mixing/mixer_options.h"
#include "mixing/outer.h"
#include "mixing/ranges.h"
#include "mixing/verdicts.h"
#include "mixing/progress_thread.h"
#include "mixing/questions.h"

#include <stdlib.h>
#include <string.h>

/* A single node exchanges nothing, so it needs no overlap. */
static const sgp_algorithm_ops_t *ops_of(const sgp_mixer_options_t *options, int size) {
    const sgp_algorithm_info_t *info = sgp_algorithm_info(options->algorithm);
    if (options->library_allreduce && info->library_ops) return info->library_ops;
    if (size == 1 && info->graph != SGP_NEEDS_NO_GRAPH) return &sgp_algorithm_lockstep;
    if (options->overlap == SGP_OVERLAP_ASYNC) return info->async_ops;
    return options->overlap > 0 ? info->overlap_ops : info->ops;
}

/* The group's size; the algorithm's default kind where the options leave everything open. An algorithm that needs no
 * graph ignores the one of the options. */
static sgp_graph_t graph_of(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    const sgp_algorithm_info_t *info = sgp_algorithm_info(options->algorithm);
    sgp_graph_t graph = options->graph;
    if (info && info->graph == SGP_NEEDS_NO_GRAPH) graph = (sgp_graph_t){0};
    if (options->graph.size == 0 && graph.kind == SGP_GRAPH_EXPONENTIAL)
        graph.kind = sgp_algorithm_default_graph(options->algorithm);
    graph.size = mixer->founders;
    return graph;
}

/* Of an encoding that knows the receiver. Each node waits for what its receivers could decode, and a late message finds no z near
 * it; a block travels as a whole. */
static sgp_status_t check_modulo(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    size_t chunk = mixer->transport->chunk_bytes, block = SGP_BLOCK * sizeof(float);
    const char *name = sgp_encoding_name(options->encoding);
    if (!sgp_encoding_modulo_bits(options->encoding)) return SGP_OK;
    if (mixer->transport->elastic)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "mixer: encoding %s cannot go on without a node: the group must not be "
                        "elastic; int8 can",
                        name);
    if (block <= chunk) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID, "encoding %s in chunks of %zu bytes: it needs %zu", name,
                    chunk, block);
}

sgp_status_t sgp_algorithm_check(const sgp_mixer_t *mixer, const sgp_mixer_options_t *options,
                                 sgp_mixer_options_t *full) {
    sgp_mixer_options_t made = *options;
    if (options->graph.size != 0 && options->graph.size != mixer->founders)
        return sgp_fail(SGP_ERR_INVALID, "mixer: a graph of %d nodes for a group of %d",
                        options->graph.size, mixer->founders);
    made.graph = graph_of(mixer, options);
    if (made.local_steps == 0) made.local_steps = 1;
    if (made.encoding == SGP_ENCODING_DEFAULT) made.encoding = SGP_ENCODING_FLOAT32;
    made.count = mixer->all_count;
    made.buffers = mixer->all_length - mixer->all_count;
    made.workers = mixer->workers.group;
    if (mixer->all) made.vector = mixer->own ? NULL : mixer->all; /* a switch keeps it */
    sgp_status_t status = sgp_mixer_check(&made);
    if (status == SGP_OK) status = sgp_holes_check(mixer, &made);
    if (status != SGP_OK) return status;
    made.rounds = sgp_mixer_rounds(&made);
    made.encoding = sgp_mixer_encoding(&made);
    status = check_modulo(mixer, &made);
    if (status != SGP_OK) return status;
    if (mixer->size == 1) made.encoding = SGP_ENCODING_FLOAT32; /* nothing travels */
    *full = made;
    return SGP_OK;
}

/* ---- room ---- */

static void unreserve(sgp_mixer_t *mixer, const sgp_room_t *room) {
    if (room->messages) sgp_transport_unprepare(mixer->transport, room->bytes, room->messages);
}

static void give_room_back(sgp_mixer_t *mixer, const sgp_room_t *rooms) {
    for (int i = 0; i < SGP_ROOMS; i++) unreserve(mixer, &rooms[i]);
}

/* All of them or none. */
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

/* Of a message. Chunks of whole blocks may not use all of their room. */
static size_t room_of(const sgp_mixer_t *mixer) {
    sgp_encoding_t encoding = mixer->options.encoding;
    size_t bytes = mixer->length * sgp_encoding_room(encoding);
    if (!sgp_encoding_has_blocks(encoding)) return bytes;
    size_t chunk = sgp_mixer_chunk(mixer), chunks = (mixer->length + chunk - 1) / chunk;
    size_t full = mixer->transport->chunk_bytes;
    return bytes > (chunks - 1) * full ? bytes : (chunks - 1) * full + 1;
}

/* Averages travel as float32 in every encoding. */
static sgp_status_t reserve_rooms(sgp_mixer_t *mixer) {
    const sgp_algorithm_ops_t *ops = mixer->ops;
    sgp_room_t rooms[SGP_ROOMS] = {
        {.bytes = room_of(mixer), .messages = ops->messages(mixer)},
        {.bytes = mixer->length * sizeof(float), .messages = sgp_mixer_is_lossy(mixer) ? 2 : 0},
        {.bytes = sizeof(uint64_t), .messages = ops->notices ? ops->notices(mixer) : 0},
        {.bytes = mixer->length * sizeof(float), .messages = sgp_arrival_messages(mixer)},
        {.bytes = mixer->transport->chunk_bytes, .messages = sgp_verdicts_messages(mixer)},
    };
    sgp_status_t status = reserve(mixer, rooms);
    if (status == SGP_OK) memcpy(mixer->rooms, rooms, sizeof rooms);
    return status;
}

/* ---- memory ---- */

/* A switch can begin outer updates. */
static sgp_status_t make_outer(sgp_mixer_t *mixer) {
    if (mixer->outer_kind == SGP_OUTER_NONE || mixer->outer_momentum) return SGP_OK;
    mixer->outer_momentum = sgp_memory_alloc(mixer->count * sizeof *mixer->outer_momentum);
    mixer->outer_anchor = sgp_memory_alloc(mixer->count * sizeof *mixer->outer_anchor);
    if (!mixer->outer_momentum || !mixer->outer_anchor)
        return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for the outer momentum of %zu numbers",
                        mixer->count);
    return SGP_OK;
}

static void free_outer(sgp_mixer_t *mixer) {
    sgp_memory_free(mixer->outer_momentum);
    sgp_memory_free(mixer->outer_anchor);
    mixer->outer_momentum = mixer->outer_anchor = NULL;
    mixer->outer_owner = SGP_OUTER_NONE;
}

void sgp_algorithm_forget_outer(sgp_mixer_t *mixer) {
    if (mixer->outer_kind == SGP_OUTER_NONE) free_outer(mixer);
}

static bool has_progress(const sgp_mixer_t *mixer) {
    const sgp_algorithm_ops_t *ops = mixer->ops;
    return ops->has_progress ? ops->has_progress(mixer) : ops->work != NULL;
}

static sgp_status_t make_all(sgp_mixer_t *mixer) {
    size_t degree = sgp_holes_degree(mixer);
    mixer->edges = calloc(degree + 1, sizeof *mixer->edges);
    if (!mixer->edges) return sgp_fail(SGP_ERR_NO_MEMORY, "mixer: no memory for %zu edges", degree);
    sgp_status_t status = make_outer(mixer);
    if (status == SGP_OK) status = sgp_ranges_make(mixer);
    if (status == SGP_OK) status = reserve_rooms(mixer);
    if (status == SGP_OK && mixer->ops->create) status = mixer->ops->create(mixer);
    if (status == SGP_OK && has_progress(mixer))
        status = sgp_progress_start(mixer, mixer->ops->alone);
    return status;
}

sgp_status_t sgp_algorithm_make(sgp_mixer_t *mixer, const sgp_mixer_options_t *options) {
    bool outer = mixer->outer_momentum != NULL;
    mixer->options = *options;
    mixer->outer_kind = sgp_outer_kind_of(options);
    mixer->graph = options->graph;
    sgp_holes_shrink_graph(mixer);
    mixer->ops = ops_of(options, mixer->size);
    sgp_status_t status = make_all(mixer);
    if (status == SGP_OK) return status;
    if (!outer) free_outer(mixer);
    sgp_algorithm_end(mixer);
    return status;
}

void sgp_algorithm_number_rounds(sgp_mixer_t *mixer) {
    uint64_t rounds = (uint64_t)mixer->options.rounds;
    mixer->round = (mixer->round + rounds - 1) / rounds * rounds;
}

void sgp_algorithm_begin_outer(sgp_mixer_t *mixer) {
    if (mixer->outer_kind == SGP_OUTER_NONE || mixer->outer_kind == mixer->outer_owner) return;
    sgp_outer_restart(mixer);
    mixer->outer_owner = mixer->outer_kind;
}

void sgp_algorithm_start(sgp_mixer_t *mixer) {
    sgp_algorithm_number_rounds(mixer);
    sgp_questions_restart(mixer);
    const sgp_algorithm_ops_t *ops = mixer->ops;
    if (has_progress(mixer)) sgp_progress_assign(mixer, ops->work, ops->serve, ops->alone);
    else sgp_progress_stop(mixer);
}

void sgp_algorithm_end(sgp_mixer_t *mixer) {
    if (mixer->ops && mixer->ops->destroy) mixer->ops->destroy(mixer);
    give_room_back(mixer, mixer->rooms);
    memset(mixer->rooms, 0, sizeof mixer->rooms);
    free(mixer->edges);
    mixer->edges = NULL;
    mixer->extra = NULL;
    sgp_ranges_destroy(mixer->ranges);
    mixer->ranges = NULL;
    mixer->ops = NULL;
}

/* ---- two algorithms, during a switch ---- */

#define EXCHANGE(type, a, b)                                                                       \
    do {                                                                                           \
        type first_ = (a);                                                                         \
        (a) = (b);                                                                                 \
        (b) = first_;                                                                              \
    } while (0)

static void exchange(sgp_mixer_t *mixer, sgp_algorithm_saved_t *saved) {
    EXCHANGE(sgp_mixer_options_t, mixer->options, saved->options);
    EXCHANGE(const sgp_algorithm_ops_t *, mixer->ops, saved->ops);
    EXCHANGE(void *, mixer->extra, saved->extra);
    EXCHANGE(sgp_outer_kind_t, mixer->outer_kind, saved->outer_kind);
    EXCHANGE(sgp_ranges_t *, mixer->ranges, saved->ranges);
    EXCHANGE(sgp_graph_t, mixer->graph, saved->graph);
    EXCHANGE(sgp_edge_t *, mixer->edges, saved->edges);
    for (int i = 0; i < SGP_ROOMS; i++) EXCHANGE(sgp_room_t, mixer->rooms[i], saved->rooms[i]);
}

void sgp_algorithm_save(sgp_mixer_t *mixer, sgp_algorithm_saved_t *saved) {
    *saved = (sgp_algorithm_saved_t){.progress = mixer->progress != NULL,
                                     .outer = mixer->outer_momentum != NULL};
    exchange(mixer, saved);
    give_room_back(mixer, saved->rooms);
    if (mixer->progress) sgp_progress_assign(mixer, NULL, NULL, false);
}

void sgp_algorithm_restore(sgp_mixer_t *mixer, sgp_algorithm_saved_t *saved) {
    sgp_algorithm_end(mixer);
    if (!saved->progress) sgp_progress_stop(mixer);
    if (!saved->outer) free_outer(mixer);
    exchange(mixer, saved);
    reserve(
        mixer,
        mixer->rooms); /* cannot fail: returned a moment ago, and nothing else has been reserved */
    sgp_algorithm_start(mixer);
}

void sgp_algorithm_discard(sgp_mixer_t *mixer, sgp_algorithm_saved_t *saved) {
    memset(saved->rooms, 0, sizeof saved->rooms); /* returned by sgp_algorithm_save */
    exchange(mixer, saved);
    sgp_algorithm_end(mixer);
    exchange(mixer, saved);
}

/* ---- between steps ---- */

sgp_status_t sgp_algorithm_settle(sgp_mixer_t *mixer) {
    if (!mixer->ops->settle) return SGP_OK;
    /* An algorithm that waits for no node in a step waits for the slowest one here. */
    uint64_t timeout = sgp_group_timeout(mixer->group);
    if (timeout < mixer->timeout) timeout = mixer->timeout;
    return mixer->ops->settle(mixer, sgp_transport_now(mixer->transport) + timeout);
}

sgp_status_t sgp_algorithm_hold(sgp_mixer_t *mixer, uint64_t deadline) {
    return mixer->ops->hold ? mixer->ops->hold(mixer, deadline) : SGP_OK;
}

sgp_status_t sgp_algorithm_resume(sgp_mixer_t *mixer) {
    sgp_status_t status = mixer->ops->resume ? mixer->ops->resume(mixer) : SGP_OK;
    if (mixer->progress) sgp_group_give(mixer->group); /* the work of other mixers goes on */
    return status;
}
