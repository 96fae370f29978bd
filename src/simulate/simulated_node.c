/* SPDX-License-Identifier: Apache-2.0 */
#include "simulate/simulated_node.h"

#include "base/constants.h"
#include "base/logging.h"
#include "base/memory.h"
#include "group/agree_call.h"
#include "transport/simulated/simulated.h"

#include <limits.h>
#include <math.h>
#include <string.h>

/* Streams of random numbers of a seed: one of these plus a node's rank. */
enum { STREAM_TIME = 1 << 20, STREAM_NOISE = 2 << 20 };

/* ---- a node's own ---- */

uint64_t simulation_now(const simulation_node_t *node) {
    return sgp_transport_now(node->transport);
}

void simulation_compute(simulation_node_t *node, uint64_t nanoseconds) {
    sgp_simulated_sleep(node->transport, simulation_now(node) + nanoseconds);
}

/* A worker's gradient, in milliseconds. */
static double draw_worker(simulation_node_t *node) {
    const simulation_compute_t *compute = &node->work->settings->compute;
    double variance = log1p(compute->spread * compute->spread), factor = 1;
    if (variance > 0) factor = exp(sqrt(variance) * sgp_random_normal(&node->time) - variance / 2);
    if (compute->tail > 0 && sgp_random_double(&node->time) < compute->tail)
        factor *= SIMULATION_TAIL_FACTOR;
    return compute->mean_ms * factor;
}

/* A node waits for its slowest worker. Nanoseconds; the same for every algorithm. */
static uint64_t draw_compute(simulation_node_t *node) {
    const simulation_settings_t *settings = node->work->settings;
    double longest = 0;
    for (int worker = 0; worker < settings->workers; worker++)
        longest = fmax(longest, draw_worker(node));
    if (settings->slow.rank == node->rank) longest *= settings->slow.factor;
    return (uint64_t)llround(longest * 1e6);
}

/* +1 or -1 for each number: noise of variance one. */
static void draw_gradient(simulation_node_t *node) {
    uint64_t bits = 0;
    for (size_t i = 0; i < node->work->length; i++, bits >>= 1) {
        if (i % 64 == 0) bits = sgp_random_u64(&node->noise);
        node->gradient[i] = bits & 1 ? 1 : -1;
    }
}

/* ---- the library's own algorithms ---- */

static sgp_status_t mixer_create(simulation_node_t *node) {
    const simulation_work_t *work = node->work;
    sgp_mixer_options_t options =
        simulation_mixer_options(work->settings, work->algorithm, work->nodes);
    sgp_status_t status = sgp_mixer_create(node->group, &options, NULL, &node->mixer);
    if (status == SGP_OK)
        status = sgp_optimizer_create(&(sgp_optimizer_options_t){.count = work->length},
                                      &node->optimizer);
    if (status == SGP_OK) node->z = sgp_mixer_parameters(node->mixer);
    return status;
}

static void mixer_destroy(simulation_node_t *node) {
    sgp_mixer_destroy(node->mixer);
    sgp_optimizer_destroy(node->optimizer);
}

static sgp_status_t mixer_step(simulation_node_t *node, uint64_t step, uint64_t compute) {
    (void)step;
    simulation_compute(node, compute + node->work->update);
    return sgp_mixer_step(node->mixer, node->optimizer, node->gradient, 1);
}

static uint64_t mixer_waited(const simulation_node_t *node) {
    sgp_mixer_statistics_t statistics;
    sgp_mixer_statistics(node->mixer, &statistics);
    return statistics.wait_ns;
}

const simulation_method_t simulation_method_mixer = {
    .create = mixer_create,
    .destroy = mixer_destroy,
    .step = mixer_step,
    .waited = mixer_waited,
};

/* ---- the run of a node ---- */

static void mark(simulation_node_t *node) {
    node->marked = node->last = simulation_now(node);
    node->waited = node->work->method->waited(node);
    node->sent = sgp_simulated_sent(node->transport);
    node->measured = node->computed;
}

/* The node ends in the middle of its gradient and sends nothing more. */
static void fail(simulation_node_t *node) {
    simulation_work_t *work = node->work;
    uint64_t now = simulation_now(node), at = work->fails_at[node->rank];
    if (at > now) simulation_compute(node, at - now);
    work->failed++;
    node->status = SGP_ERR_INTERRUPTED;
}

static void end_measuring(simulation_node_t *node) {
    node->waited = node->work->method->waited(node) - node->waited;
    node->sent = sgp_simulated_sent(node->transport) - node->sent;
    node->measured = node->computed - node->measured;
}

/* Keeps the node's parameters at distance_at_s. */
static void keep_distance_at(simulation_node_t *node) {
    const simulation_work_t *work = node->work;
    if (!work->then || node->steps_then > 0) return;
    if ((double)node->last * 1e-9 < work->settings->distance_at_s) return;
    node->steps_then = node->steps;
    memcpy(work->then + (size_t)node->rank * work->length, node->z, work->length * sizeof *node->z);
}

static void make_steps(simulation_node_t *node) {
    const simulation_work_t *work = node->work;
    while (node->status == SGP_OK && node->steps < work->settings->steps) {
        if (node->steps == work->settings->warmup) mark(node);
        uint64_t compute = draw_compute(node);
        uint64_t fails_at = work->fails_at[node->rank];
        if (fails_at && fails_at <= simulation_now(node) + compute) {
            fail(node);
            return;
        }
        draw_gradient(node);
        node->computed += compute;
        node->status = work->method->step(node, (uint64_t)node->steps, compute);
        if (node->status != SGP_OK) return;
        uint64_t begin = node->last;
        node->last = simulation_now(node);
        if (node->steps >= work->settings->warmup && node->last - begin > node->longest)
            node->longest = node->last - begin;
        node->steps++;
        keep_distance_at(node);
        if (node->rank == 0 && work->on_step) work->on_step(node->steps, work->user);
    }
}

/* The distance of each node from the mean of all, which are still present. */
static void compare(simulation_node_t *node) {
    simulation_work_t *work = node->work;
    for (size_t i = 0; i < work->length; i++) work->sums[i] += node->z[i];
    work->present++;
    sgp_simulated_barrier(node->transport);
    for (size_t i = 0; i < work->length; i++) {
        double distance = node->z[i] - work->sums[i] / work->present;
        work->distance += distance * distance;
    }
}

static sgp_status_t set_up(simulation_node_t *node) {
    const simulation_work_t *work = node->work;
    sgp_random_init(&node->time, work->settings->seed, STREAM_TIME + (uint64_t)node->rank);
    sgp_random_init(&node->noise, work->settings->seed, STREAM_NOISE + (uint64_t)node->rank);
    node->transport->elastic = work->elastic;
    sgp_status_t status = sgp_group_found(node->transport, INT_MAX, &node->group);
    if (status != SGP_OK) return status;
    node->gradient = sgp_memory_alloc(work->length * sizeof *node->gradient);
    if (!node->gradient) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for node %d", node->rank);
    return work->method->create(node);
}

void simulation_node_main(sgp_transport_t *transport, void *context) {
    simulation_work_t *work = context;
    simulation_node_t *node = &work->all[transport->rank];
    *node = (simulation_node_t){.work = work, .rank = transport->rank, .transport = transport};
    node->status = set_up(node);
    if (node->status == SGP_OK) {
        make_steps(node);
        end_measuring(node);
    }
    if (node->status == SGP_OK) compare(node);
    work->method->destroy(node);
    sgp_memory_free(node->gradient);
    /* A failed node does not leave its group, like a process that dies. */
    if (node->status == SGP_ERR_INTERRUPTED) sgp_transport_destroy(transport);
    else sgp_group_leave(node->group);
}
