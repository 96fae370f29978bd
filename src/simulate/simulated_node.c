/* SPDX-License-Identifier: Apache-2.0 */
/* One row: all nodes of a cluster as actors of one simulation. */
#include "simulate/simulated_node.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"
#include "mixing/default_graph.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH ((size_t)256) /* numbers in a vector that is not cut into segments */
#define LINE   ((size_t)16)  /* numbers in the least segment of the library's all-reduce */

/* Streams of random numbers of a seed: a node's rank with one of these. */
enum { STREAM_TIME = 1 << 20, STREAM_NOISE = 2 << 20, STREAM_LIFE = 3 << 20 };

static const simulate_algorithm_t algorithms[] = {
    {"sgp", SIMULATE_MIXER, SGP_ALGORITHM_SGP, false, "SGP in lock step"},
    {"osgp", SIMULATE_MIXER, SGP_ALGORITHM_OSGP, false, "SGP with overlap"},
    {"osgp-async", SIMULATE_MIXER, SGP_ALGORITHM_OSGP, true, "SGP that waits for nothing"},
    {"dpsgd", SIMULATE_MIXER, SGP_ALGORITHM_DPSGD, false, "D-PSGD"},
    {"adpsgd", SIMULATE_MIXER, SGP_ALGORITHM_ADPSGD, false, "AD-PSGD"},
    {"allreduce", SIMULATE_MIXER, SGP_ALGORITHM_ALLREDUCE, false,
     "this project's, after the gradient; each byte is sent once"},
    {"allreduce-buckets", SIMULATE_BUCKETS, SGP_ALGORITHM_ALLREDUCE, false,
     "this project's, in buckets of 25 MiB beside the rest of the gradient, as PyTorch's DDP"},
    {"allreduce-ring", SIMULATE_RING, SGP_ALGORITHM_ALLREDUCE, false,
     "segments around a ring, after the gradient"},
    {"allreduce-halving", SIMULATE_HALVING, SGP_ALGORITHM_ALLREDUCE, false,
     "recursive halving and doubling, after the gradient; 2 log2 n messages"},
    {"allreduce-tree", SIMULATE_TREE, SGP_ALGORITHM_ALLREDUCE, false,
     "whole vectors up and down a binomial tree, after the gradient"},
};

enum { ALGORITHMS = sizeof algorithms / sizeof algorithms[0] };

const simulate_algorithm_t *simulate_algorithm(const char *name) {
    for (int i = 0; i < ALGORITHMS; i++)
        if (!strcmp(algorithms[i].name, name)) return &algorithms[i];
    return NULL;
}

const char *simulate_algorithm_names(void) {
    static char list[160];
    list[0] = '\0';
    for (int i = 0; i < ALGORITHMS; i++) {
        if (i) strcat(list, ", ");
        strcat(list, algorithms[i].name);
    }
    return list;
}

/* ---- sizes ---- */

double simulate_bytes(const simulate_settings_t *settings) {
    return settings->parameters * (settings->encoding == SGP_ENCODING_FLOAT32 ? 4 : 2);
}

int simulate_buckets(double bytes) {
    return (int)ceil(bytes / SIMULATE_BUCKET_BYTES);
}

/* Segments and buckets are to be equal, as those of a large vector nearly are. */
size_t simulate_length(const simulate_settings_t *settings, const simulate_algorithm_t *algorithm,
                       int nodes) {
    if (algorithm->algorithm != SGP_ALGORITHM_ALLREDUCE || algorithm->kind == SIMULATE_TREE)
        return LENGTH;
    bool own = algorithm->kind == SIMULATE_MIXER || algorithm->kind == SIMULATE_BUCKETS;
    size_t least = (own ? LINE : 1) * (size_t)nodes;
    if (algorithm->kind == SIMULATE_BUCKETS)
        return least * (size_t)simulate_buckets(settings->parameters * sizeof(float));
    return (LENGTH + least - 1) / least * least;
}

sgp_mixer_options_t simulate_mixer_options(const simulate_settings_t *settings,
                                           const simulate_algorithm_t *algorithm, int nodes) {
    sgp_mixer_options_t options = {
        .count = simulate_length(settings, algorithm, nodes),
        .algorithm = algorithm->algorithm,
        .graph = {.size = nodes, .peers = settings->peers, .seed = settings->seed},
        .encoding = settings->encoding,
        .local_steps = 1,
        .timeout_ms = INT_MAX};
    options.graph.kind = sgp_algorithm_default_graph(algorithm->algorithm);
    if (settings->graph) sgp_graph_parse(settings->graph, &options.graph.kind);
    if (algorithm->algorithm == SGP_ALGORITHM_OSGP)
        options.overlap = algorithm->async ? SGP_OVERLAP_ASYNC : settings->overlap;
    return options;
}

/* ---- a node's own ---- */

uint64_t simulate_now(const simulate_node_t *node) {
    return sgp_transport_now(node->transport);
}

void simulate_compute(simulate_node_t *node, uint64_t nanoseconds) {
    sgp_simulated_sleep(node->transport, simulate_now(node) + nanoseconds);
}

/* A worker's gradient, in milliseconds. */
static double draw_worker(simulate_node_t *node) {
    const simulate_compute_t *compute = &node->work->settings->compute;
    double variance = log1p(compute->spread * compute->spread), factor = 1;
    if (variance > 0) factor = exp(sqrt(variance) * sgp_random_normal(&node->time) - variance / 2);
    if (compute->tail > 0 && sgp_random_double(&node->time) < compute->tail)
        factor *= SIMULATE_TAIL_FACTOR;
    return compute->mean_ms * factor;
}

/* The node's: of its slowest worker. Nanoseconds; the same for every algorithm. */
static uint64_t draw_compute(simulate_node_t *node) {
    const simulate_settings_t *settings = node->work->settings;
    double longest = 0;
    for (int worker = 0; worker < settings->workers; worker++)
        longest = fmax(longest, draw_worker(node));
    if (settings->slow.rank == node->rank) longest *= settings->slow.factor;
    return (uint64_t)llround(longest * 1e6);
}

/* +1 or -1 for each number: noise of variance one. */
static void draw_gradient(simulate_node_t *node) {
    uint64_t bits = 0;
    for (size_t i = 0; i < node->work->length; i++, bits >>= 1) {
        if (i % 64 == 0) bits = sgp_random_u64(&node->noise);
        node->gradient[i] = bits & 1 ? 1 : -1;
    }
}

static uint64_t draw_life(const simulate_work_t *work, int rank) {
    sgp_random_t random;
    double mean = work->settings->failures_s;
    if (mean == 0) return UINT64_MAX;
    sgp_random_init(&random, work->settings->seed, STREAM_LIFE + (uint64_t)rank);
    double seconds = -mean * log1p(-sgp_random_double(&random));
    return seconds < 1e9 ? (uint64_t)(seconds * 1e9) : UINT64_MAX;
}

/* ---- the library's own algorithms ---- */

static sgp_status_t mixer_create(simulate_node_t *node) {
    const simulate_work_t *work = node->work;
    sgp_mixer_options_t options =
        simulate_mixer_options(work->settings, work->algorithm, work->nodes);
    sgp_status_t status = sgp_mixer_create(node->group, &options, NULL, &node->mixer);
    if (status == SGP_OK)
        status = sgp_optimizer_create(&(sgp_optimizer_options_t){.count = work->length},
                                      &node->optimizer);
    if (status == SGP_OK) node->z = sgp_mixer_parameters(node->mixer);
    return status;
}

static void mixer_destroy(simulate_node_t *node) {
    sgp_mixer_destroy(node->mixer);
    sgp_optimizer_destroy(node->optimizer);
}

static sgp_status_t mixer_step(simulate_node_t *node, uint64_t step, uint64_t compute) {
    (void)step;
    simulate_compute(node, compute + node->work->update);
    return sgp_mixer_step(node->mixer, node->optimizer, node->gradient, 1);
}

static uint64_t mixer_waited(const simulate_node_t *node) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(node->mixer, &statistics);
    return statistics.wait_ns;
}

static const simulate_method_t method_mixer = {
    .create = mixer_create,
    .destroy = mixer_destroy,
    .step = mixer_step,
    .waited = mixer_waited,
};

/* ---- the run of a node ---- */

static void mark(simulate_node_t *node) {
    node->marked = node->last = simulate_now(node);
    node->waited = node->work->method->waited(node);
    node->sent = sgp_simulated_sent(node->transport);
    node->measured = node->computed;
}

/* It ends in the middle of its gradient, without a word to the others. */
static void fail(simulate_node_t *node) {
    simulate_work_t *work = node->work;
    uint64_t now = simulate_now(node);
    if (node->fails_at > now) simulate_compute(node, node->fails_at - now);
    if (work->failed < 0) {
        work->failed = node->rank;
        work->failed_at = simulate_now(node);
    }
    node->status = SGP_ERR_INTERRUPTED;
}

/* What is measured is what came after the mark. */
static void end_measuring(simulate_node_t *node) {
    node->waited = node->work->method->waited(node) - node->waited;
    node->sent = sgp_simulated_sent(node->transport) - node->sent;
    node->measured = node->computed - node->measured;
}

/* What it has at the moment that --distance-at asks for. */
static void look(simulate_node_t *node) {
    const simulate_work_t *work = node->work;
    if (!work->then || node->steps_then > 0) return;
    if ((double)node->last * 1e-9 < work->settings->distance_at_s) return;
    node->steps_then = node->steps;
    memcpy(work->then + (size_t)node->rank * work->length, node->z, work->length * sizeof *node->z);
}

static void make_steps(simulate_node_t *node) {
    const simulate_work_t *work = node->work;
    while (node->status == SGP_OK && node->steps < work->settings->steps) {
        if (node->steps == work->settings->warmup) mark(node);
        uint64_t compute = draw_compute(node);
        if (node->fails_at <= simulate_now(node) + compute) {
            fail(node);
            return;
        }
        draw_gradient(node);
        node->computed += compute;
        node->status = work->method->step(node, (uint64_t)node->steps, compute);
        if (node->status != SGP_OK) return;
        node->last = simulate_now(node);
        node->steps++;
        look(node);
        if (node->rank == 0 && work->told) work->told(node->steps, work->user);
    }
}

/* All have made their steps and are still there: what each holds is compared with the mean of all. */
static void compare(simulate_node_t *node) {
    simulate_work_t *work = node->work;
    for (size_t i = 0; i < work->length; i++) work->sums[i] += node->z[i];
    sgp_simulated_meet(node->transport);
    for (size_t i = 0; i < work->length; i++) {
        double distance = node->z[i] - work->sums[i] / work->nodes;
        work->distance += distance * distance;
    }
}

static sgp_status_t set_up(simulate_node_t *node) {
    const simulate_work_t *work = node->work;
    sgp_random_init(&node->time, work->settings->seed, STREAM_TIME + (uint64_t)node->rank);
    sgp_random_init(&node->noise, work->settings->seed, STREAM_NOISE + (uint64_t)node->rank);
    node->fails_at = draw_life(work, node->rank);
    sgp_status_t status = sgp_group_create(node->transport, INT_MAX, &node->group);
    if (status != SGP_OK) return status;
    node->gradient = sgp_memory_alloc(work->length * sizeof *node->gradient);
    if (!node->gradient) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for node %d", node->rank);
    return work->method->create(node);
}

static void node_main(sgp_transport_t *transport, void *context) {
    simulate_work_t *work = context;
    simulate_node_t *node = &work->all[transport->rank];
    *node = (simulate_node_t){.work = work, .rank = transport->rank, .transport = transport};
    node->status = set_up(node);
    if (node->status == SGP_OK) {
        make_steps(node);
        end_measuring(node);
    }
    if (node->status == SGP_OK) compare(node);
    work->method->destroy(node);
    sgp_memory_free(node->gradient);
    /* A node that failed leaves its group as it is, as a process does that dies. */
    if (node->status == SGP_ERR_INTERRUPTED) sgp_transport_destroy(transport);
    else sgp_group_leave(node->group);
}

/* ---- the row ---- */

static void summarise_then(const simulate_work_t *work, simulate_row_t *row) {
    double squares = 0, steps = 0;
    row->distance_at = row->steps_at = NAN;
    for (int r = 0; r < work->nodes; r++) {
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

/* What a node has measured in its own time. */
static void add_node(const simulate_node_t *node, int steps, simulate_row_t *row) {
    double step = (double)(node->last - node->marked) * 1e-6 / steps;
    row->node_ms += step;
    row->fastest_ms = fmin(row->fastest_ms, step);
    row->slowest_ms = fmax(row->slowest_ms, step);
    row->gradient_ms += (double)node->measured * 1e-6 / steps;
    row->wait_ms += (double)node->waited * 1e-6 / steps;
    row->bytes_per_step += node->sent / steps;
}

static void summarise(const simulate_work_t *work, simulate_row_t *row) {
    int batch = work->settings->batch_size * work->settings->workers, measured = 0, least = INT_MAX;
    uint64_t begin = 0, end = 0; /* when the last node had made its warm-up, and its steps */
    *row = (simulate_row_t){.fastest_ms = INFINITY,
                            .steps = INT_MAX,
                            .failed_node = work->failed,
                            .failed_seconds = (double)work->failed_at * 1e-9};
    for (int r = 0; r < work->nodes; r++) {
        const simulate_node_t *node = &work->all[r];
        int steps = node->steps - work->settings->warmup;
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
    /* Nodes of a run that was cut short have not made the same number. */
    if (measured > 0 && work->failed >= 0) row->step_ms = row->slowest_ms;
    row->node_ms /= measured;
    row->gradient_ms /= measured;
    row->wait_ms /= measured;
    row->bytes_per_step /= measured;
    row->samples_per_second = (double)work->nodes * batch / (row->step_ms * 1e-3);
    row->distance = sqrt(work->distance / work->nodes / (double)work->length);
    if (row->steps < work->settings->steps) row->distance = NAN;
    summarise_then(work, row);
}

static const simulate_method_t *method_of(simulate_kind_t kind) {
    switch (kind) {
    case SIMULATE_BUCKETS:
        return &simulate_method_buckets;
    case SIMULATE_RING:
        return &simulate_method_ring;
    case SIMULATE_HALVING:
        return &simulate_method_halving;
    case SIMULATE_TREE:
        return &simulate_method_tree;
    default:
        return &method_mixer;
    }
}

/* Whether messages are simulated at the rate of their sender's line, each at its own time, instead of on links that
 * they share. Around a ring that is the same: one node alone sends into a link. In halves a program takes what comes
 * round by round, one message at a time; on shared links one of a later round would keep it waiting, which MPI's
 * rendezvous prevents. In this project's all-reduce all send to all, a part at a time. Each part as a whole would
 * compete with the means that travel behind it, where real ones are cut into chunks; so a node's leave one after the
 * other, which ends no later than when links into nodes are shared. A platform of one's own can have links that more
 * than a node uses: there they share them. */
static bool has_line_rate(const simulate_work_t *work) {
    simulate_kind_t kind = work->algorithm->kind;
    return work->algorithm->algorithm == SGP_ALGORITHM_ALLREDUCE && kind != SIMULATE_TREE &&
           !work->settings->network.platform;
}

/* Programs with one of the other all-reduces send one message after the other. */
static bool one_by_one(const simulate_work_t *work) {
    simulate_kind_t kind = work->algorithm->kind;
    return (kind != SIMULATE_MIXER && kind != SIMULATE_BUCKETS) || has_line_rate(work);
}

/* A message in one piece, for speed; but a passive node of AD-PSGD answers each piece of a question when it is there, so that
 * answers are on their way while the rest is still being asked. */
static size_t chunk_bytes(const simulate_work_t *work) {
    enum { PIECES = 16 };
    size_t bytes = (work->length * sizeof(float) + 63) / 64 * 64;
    return work->algorithm->algorithm == SGP_ALGORITHM_ADPSGD ? bytes / PIECES : bytes;
}

static sgp_simulated_options_t cluster_options(const simulate_work_t *work, const char *platform) {
    const simulate_settings_t *settings = work->settings;
    double bytes =
        settings->parameters * sizeof(float); /* that a pass over the vector was measured with */
    bool courier =
        work->algorithm->algorithm == SGP_ALGORITHM_OSGP && bytes >= (double)SGP_PROGRESS_BYTES;
    return (sgp_simulated_options_t){
        .platform = platform,
        .size = work->nodes,
        .chunk_bytes = chunk_bytes(work),
        .vector = work->length,
        .scale = settings->parameters / (double)work->length,
        .room_chunk = (double)SGP_CHUNK_BYTES,
        .latency_seconds = settings->network.latency_ms * 1e-3,
        .one_by_one = one_by_one(work),
        .line_rate = has_line_rate(work) ? settings->network.bytes_per_second : 0,
        .copy_seconds = courier ? 0 : settings->local.copy_ms * 1e-3 / bytes,
        .absorb_seconds = settings->local.absorb_ms * 1e-3 / bytes,
        .notice_seconds = SIMULATE_NOTICE,
    };
}

sgp_status_t simulate_nodes(const simulate_settings_t *settings,
                            const simulate_algorithm_t *algorithm, int nodes, const char *platform,
                            void (*told)(int step, void *user), void *user, simulate_row_t *row) {
    simulate_work_t work = {.settings = settings,
                            .algorithm = algorithm,
                            .method = method_of(algorithm->kind),
                            .nodes = nodes,
                            .length = simulate_length(settings, algorithm, nodes),
                            .update = (uint64_t)llround(settings->local.update_ms * 1e6),
                            .failed = -1,
                            .told = told,
                            .user = user};
    sgp_simulated_options_t options = cluster_options(&work, platform);
    sgp_simulated_t *cluster = NULL;
    sgp_status_t status = sgp_simulated_create(&options, &cluster);
    if (status != SGP_OK) return status;
    work.all = calloc((size_t)nodes, sizeof *work.all);
    work.sums = calloc(work.length, sizeof *work.sums);
    bool then = settings->distance_at_s > 0;
    if (then) work.then = calloc((size_t)nodes * work.length, sizeof *work.then);
    if (!work.all || !work.sums || (then && !work.then))
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", nodes);
    for (int r = 0; r < nodes; r++) sgp_simulated_actor(cluster, r, node_main, &work);
    sgp_simulated_run(cluster);
    for (int r = 0; r < nodes && status == SGP_OK; r++)
        if (work.all[r].status != SGP_ERR_INTERRUPTED && work.failed < 0)
            status = work.all[r].status;
    if (status == SGP_OK) summarise(&work, row);
    sgp_simulated_destroy(cluster);
    free(work.then);
    free(work.sums);
    free(work.all);
    return status;
}
