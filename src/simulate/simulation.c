/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulation.h"

#include "base/constants.h"
#include "base/logging.h"
#include "mixing/algorithm_table.h"
#include "mixing/mixer_options.h"
#include "simulate/rival_allreduce.h"
#include "simulate/simulated_node.h"
#include "transport/simulated/simulated.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

enum { STREAM_FAILURES = 3 << 20 }; /* of random numbers; simulated_node.c has the others */

static void summarise_then(const simulation_work_t *work, simulation_row_t *row) {
    double squares = 0, steps = 0;
    row->distance_at = row->steps_at = NAN;
    for (int r = 0; r < work->nodes; r++) {
        if (work->all[r].status == SGP_ERR_INTERRUPTED) return;
        if (!work->then || work->all[r].steps_then == 0) return;
        steps += work->all[r].steps_then;
    }
    for (size_t i = 0; i < work->length; i++) {
        double sum = 0, square = 0;
        for (int r = 0; r < work->nodes; r++) {
            double z = work->then[(size_t)r * work->length + i];
            sum += z;
            square += z * z;
        }
        squares += square - sum * sum / work->nodes;
    }
    row->steps_at = steps / work->nodes;
    row->distance_at = sqrt(fmax(squares, 0) / work->nodes / (double)work->length);
}

/* Adds a node's own figures. */
static void add_node(const simulation_node_t *node, int steps, simulation_row_t *row) {
    double step = (double)(node->last - node->marked) * 1e-6 / steps;
    row->node_ms += step;
    row->longest_ms = fmax(row->longest_ms, (double)node->longest * 1e-6);
    row->fastest_ms = fmin(row->fastest_ms, step);
    row->slowest_ms = fmax(row->slowest_ms, step);
    row->gradient_ms += (double)node->measured * 1e-6 / steps;
    row->wait_ms += (double)node->waited * 1e-6 / steps;
    row->bytes_per_step += node->sent / steps;
}

/* Nodes that fail in no run of these settings. */
static double others_seconds(const simulation_work_t *work) {
    double sum = 0;
    int others = 0;
    for (int r = 0; r < work->nodes; r++) {
        if (work->fails_at[r] != UINT64_MAX) continue;
        sum += (double)(work->all[r].last - work->all[r].marked) * 1e-9;
        others++;
    }
    return others ? sum / others : NAN;
}

/* Of the nodes that have not failed. */
static void summarise(const simulation_work_t *work, simulation_row_t *row) {
    int batch = work->settings->batch_size * work->settings->workers, measured = 0, least = INT_MAX;
    uint64_t begin = 0, end = 0; /* of the last node's warm-up, and of its steps */
    *row = (simulation_row_t){.fastest_ms = INFINITY,
                              .steps = INT_MAX,
                              .failed = work->failed,
                              .others_s = others_seconds(work),
                              .held_up_s = NAN};
    for (int r = 0; r < work->nodes; r++) {
        const simulation_node_t *node = &work->all[r];
        int steps = node->steps - work->settings->warmup;
        if (node->status == SGP_ERR_INTERRUPTED) continue;
        row->seconds = fmax(row->seconds, (double)node->last * 1e-9);
        if (node->steps < row->steps) row->steps = node->steps;
        if (steps <= 0) continue;
        if (node->marked > begin) begin = node->marked;
        if (node->last > end) end = node->last;
        if (steps < least) least = steps;
        measured++;
        add_node(node, steps, row);
    }
    if (measured == 0) row->fastest_ms = NAN;
    row->step_ms = measured == 0 ? NAN : (double)(end - begin) * 1e-6 / least;
    row->warm_up_s = (double)begin * 1e-9;
    row->node_ms /= measured;
    row->gradient_ms /= measured;
    row->wait_ms /= measured;
    row->bytes_per_step /= measured;
    row->samples_per_second = (double)work->nodes * batch / (row->step_ms * 1e-3);
    row->distance = sqrt(work->distance / work->present / (double)work->length);
    if (row->steps < work->settings->steps) row->distance = NAN;
    summarise_then(work, row);
}

static const simulation_method_t *method_of(simulation_kind_t kind) {
    switch (kind) {
    case SIMULATION_BUCKETS:
        return &simulation_method_buckets;
    case SIMULATION_RING:
        return &simulation_method_ring;
    case SIMULATION_HALVING:
        return &simulation_method_halving;
    case SIMULATION_TREE:
        return &simulation_method_tree;
    default:
        return &simulation_method_mixer;
    }
}

/* Whether messages leave at the sender's line rate, each independent of the others, instead of on shared links.
 *  - In a ring both are the same: a single node sends into each link.
 *  - In recursive halving a program receives round by round; on shared links a message of a later round would delay an earlier one,
 *    which MPI's rendezvous prevents.
 *  - In this project's all-reduce every node sends a part to every other. A part is one message here, and would compete
 *    with the means behind it, where real parts are cut into chunks. One by one they end no later than on shared links.
 * A platform file can have links that several nodes use: these are shared. */
static bool has_line_rate(const simulation_work_t *work) {
    simulation_kind_t kind = work->algorithm->kind;
    return work->algorithm->algorithm == SGP_ALGORITHM_ALLREDUCE && kind != SIMULATION_TREE &&
           !work->settings->network.platform;
}

/* The rival all-reduces send one message after the other. */
static bool one_by_one(const simulation_work_t *work) {
    simulation_kind_t kind = work->algorithm->kind;
    return (kind != SIMULATION_MIXER && kind != SIMULATION_BUCKETS) || has_line_rate(work);
}

/* One chunk per message, for speed. But rounds overlap by chunks, and a passive node of AD-PSGD or a parameter server
 * answers each chunk of a request when it arrives, so that
 * its answer is under way while the rest of the request still arrives. */
static size_t chunk_bytes(const simulation_work_t *work) {
    enum { PIECES = 16 };
    bool blocks = sgp_encoding_has_blocks(work->settings->encoding);
    size_t line = blocks && work->length > SGP_BLOCK ? SGP_BLOCK * sizeof(float) : 64;
    size_t bytes = (work->length * sizeof(float) + line - 1) / line * line;
    sgp_mixer_options_t mixer =
        simulation_mixer_options(work->settings, work->algorithm, work->nodes);
    bool in_pieces = sgp_algorithm_info(mixer.algorithm)->unpaced || sgp_mixer_rounds(&mixer) > 1;
    return in_pieces ? bytes / PIECES : bytes;
}

static sgp_simulated_options_t cluster_options(const simulation_work_t *work,
                                               const char *platform) {
    const simulation_settings_t *settings = work->settings;
    double bytes =
        settings->parameters * sizeof(float); /* of the vector whose passes were measured */
    bool progress_thread =
        work->algorithm->algorithm == SGP_ALGORITHM_OSGP && bytes >= (double)SGP_PROGRESS_BYTES;
    return (sgp_simulated_options_t){
        .platform = platform,
        .size = work->nodes,
        .chunk_bytes = chunk_bytes(work),
        .vector = work->length,
        .scale = simulation_scale(settings, work->algorithm, work->nodes, chunk_bytes(work)),
        .room_chunk = (double)SGP_CHUNK_BYTES,
        .latency_seconds = settings->network.latency_ms * 1e-3,
        .one_by_one = one_by_one(work),
        .line_rate = has_line_rate(work) ? settings->network.bytes_per_second : 0,
        .copy_seconds = progress_thread ? 0 : settings->local.copy_ms * 1e-3 / bytes,
        .absorb_seconds = settings->local.absorb_ms * 1e-3 / bytes,
        .notice_seconds = SIMULATION_SILENCE,
    };
}

/* Which nodes fail, and when: evenly over the span of the settings, and at random within each part of it. */
static void draw_failures(simulation_work_t *work) {
    const simulation_settings_t *settings = work->settings;
    double from = settings->failing.from_s, span = settings->failing.to_s - from;
    int count = settings->failures_s > 0 ? simulation_failing(work->nodes) : 0;
    sgp_random_t random;
    sgp_random_init(&random, settings->seed, STREAM_FAILURES);
    for (int r = 0; r < work->nodes; r++) work->fails_at[r] = UINT64_MAX;
    for (int i = 0; i < count;) {
        uint64_t *at = &work->fails_at[sgp_random_below(&random, (uint64_t)work->nodes)];
        if (*at != UINT64_MAX) continue;
        double part = (i++ + sgp_random_double(&random)) / count;
        double seconds = fmin(from + span * part, 1e10); /* in nanoseconds, less than UINT64_MAX */
        *at = span > 0 ? (uint64_t)(seconds * 1e9) : 0;
    }
}

static bool allocate(simulation_work_t *work) {
    bool then = work->settings->distance_at_s > 0;
    size_t nodes = (size_t)work->nodes;
    work->all = calloc(nodes, sizeof *work->all);
    work->sums = calloc(work->length, sizeof *work->sums);
    work->fails_at = calloc(nodes, sizeof *work->fails_at);
    if (then) work->then = calloc(nodes * work->length, sizeof *work->then);
    return work->all && work->sums && work->fails_at && (work->then || !then);
}

/* The first error of a node, but not of one that failed on purpose. */
static sgp_status_t run_nodes(simulation_work_t *work, sgp_simulated_t *cluster) {
    sgp_status_t status = SGP_OK;
    if (!allocate(work)) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", work->nodes);
    draw_failures(work);
    for (int r = 0; r < work->nodes; r++)
        sgp_simulated_actor(cluster, r, simulation_node_main, work);
    sgp_simulated_run(cluster);
    for (int r = 0; r < work->nodes && status == SGP_OK; r++)
        if (work->all[r].status != SGP_ERR_INTERRUPTED) status = work->all[r].status;
    return status;
}

sgp_status_t simulation_run(const simulation_settings_t *settings,
                            const simulation_algorithm_t *algorithm, int nodes,
                            const char *platform, void (*on_step)(int step, void *user), void *user,
                            simulation_row_t *row) {
    simulation_work_t work = {.settings = settings,
                              .algorithm = algorithm,
                              .method = method_of(algorithm->kind),
                              .nodes = nodes,
                              .length = simulation_length(settings, algorithm, nodes),
                              .update = (uint64_t)llround(settings->local.update_ms * 1e6),
                              .elastic = settings->failing.to_s > 0,
                              .on_step = on_step,
                              .user = user};
    sgp_simulated_options_t options = cluster_options(&work, platform);
    sgp_simulated_t *cluster = NULL;
    sgp_status_t status = sgp_simulated_create(&options, &cluster);
    if (status != SGP_OK) return status;
    status = run_nodes(&work, cluster);
    if (status == SGP_OK) summarise(&work, row);
    sgp_simulated_destroy(cluster);
    free(work.then);
    free(work.fails_at);
    free(work.sums);
    free(work.all);
    return status;
}

sgp_status_t simulation_probe(const char *platform, int nodes) {
    sgp_simulated_t *cluster;
    sgp_status_t status = sgp_simulated_create(
        &(sgp_simulated_options_t){.platform = platform, .size = nodes}, &cluster);
    for (int r = 1; r < nodes && status == SGP_OK; r++) {
        double latency, bandwidth;
        sgp_simulated_route(cluster, r - 1, r, &latency, &bandwidth);
        if (bandwidth > 0 && latency >= 0) continue;
        status =
            sgp_fail(SGP_ERR_INVALID,
                     "from host %d to host %d: %g bytes a second, %g s; rates must be above 0, "
                     "and latencies not below",
                     r - 1, r, bandwidth, latency);
    }
    return status;
}
