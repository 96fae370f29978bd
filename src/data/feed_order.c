/* SPDX-License-Identifier: Apache-2.0 */
#include "data/feed_order.h"

#include "base/logging.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Random streams that no epoch has: of the choice of pictures, and of the seeds of nodes that have orders of their
 * own. */
#define CHOICE_STREAM ((uint64_t)5 << 61)
#define NODE_STREAM   ((uint64_t)7 << 61)

sgp_status_t feed_order_choose(uint64_t seed, uint64_t count, uint64_t limit, uint64_t **chosen) {
    uint64_t *list = malloc(limit * sizeof *list);
    if (!list)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a choice of %" PRIu64 " samples", limit);
    sgp_random_t random;
    sgp_random_init(&random, seed, CHOICE_STREAM);
    uint64_t taken = 0; /* each sample with the chance wanted / left (Knuth, algorithm S) */
    for (uint64_t i = 0; taken < limit; i++)
        if (sgp_random_below(&random, count - i) < limit - taken) list[taken++] = i;
    *chosen = list;
    return SGP_OK;
}

static uint64_t seed_of_node(uint64_t seed, int node) {
    sgp_random_t random;
    sgp_random_init(&random, seed, NODE_STREAM + (uint64_t)node);
    return sgp_random_u64(&random);
}

/* Of the workers of a node that goes through `count` samples by itself, in an order of its own. */
static sampler_options_t of_node_alone(const feed_order_t *order, uint64_t count) {
    const feed_order_options_t *options = &order->options;
    return (sampler_options_t){.count = count,
                               .rank = options->rank % options->workers,
                               .size = options->workers,
                               .workers = options->workers,
                               .batch = options->batch,
                               .seed = order->seed};
}

/* ---- parts of the shards ---- */

static sgp_status_t check_shards(const feed_order_options_t *options, int nodes) {
    if (strcmp(options->format, "shards") != 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "shard-per-node: data %s are no shards (%s): sgp data pack makes them",
                        options->data, options->format);
    if (options->count < (uint64_t)nodes)
        return sgp_fail(SGP_ERR_INVALID, "shard-per-node: %" PRIu64 " samples for %d nodes",
                        options->count, nodes);
    return SGP_OK;
}

/* Parts of the samples in the order of the source, which differ by one at most: a node reads a run of whole shards,
 * and may share the first and the last of them with its neighbours. */
static sgp_status_t make_part(feed_order_t *order) {
    const feed_order_options_t *options = &order->options;
    int nodes = options->size / options->workers;
    sgp_status_t status = check_shards(options, nodes);
    if (status) return status;
    uint64_t share = options->count / (uint64_t)nodes, more = options->count % (uint64_t)nodes;
    uint64_t index = (uint64_t)(options->rank / options->workers);
    order->first = index * share + (index < more ? index : more);
    order->seed = seed_of_node(options->seed, (int)index);
    sampler_options_t part = of_node_alone(order, share + (index < more));
    /* The steps of the largest part. */
    cursor_t whole = {.count = options->count, .size = options->size, .batch = options->batch};
    order->steps = cursor_end(&whole);
    return sampler_init(&order->sampler, &part);
}

/* ---- data of each node ---- */

sgp_status_t feed_order_set_length(feed_order_t *order, uint64_t length) {
    sampler_t sampler;
    sampler_options_t options = of_node_alone(order, length);
    options.own = true;
    sgp_status_t status = sampler_init(&sampler, &options);
    if (status) return status;
    sampler_set_own(&sampler, &(sampler_own_t){NULL, order->options.count, order->seed});
    sampler_fini(&order->sampler);
    order->sampler = sampler;
    order->steps = sampler_steps(&sampler);
    return SGP_OK;
}

static sgp_status_t make_private(feed_order_t *order) {
    const feed_order_options_t *options = &order->options;
    order->seed = seed_of_node(options->seed, options->rank / options->workers);
    return feed_order_set_length(order, options->count);
}

/* ---- all nodes together ---- */

static division_options_t division_options(const feed_order_t *order, int nodes) {
    const feed_order_options_t *options = &order->options;
    return (division_options_t){.rule = options->split,
                                .nodes = nodes,
                                .classes = options->classes,
                                .count = options->count,
                                .seed = options->seed,
                                .label = options->label,
                                .context = options->label_context};
}

/* Sets *own, to be freed, and *count. */
static sgp_status_t list_own(const division_t *division, const division_options_t *options,
                             int node, uint64_t **own, uint64_t *count) {
    *count = division_total(division, node);
    *own = malloc(*count * sizeof **own);
    sgp_status_t status =
        *own ? division_list(division, options, node, *own)
             : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a list of %" PRIu64 " samples", *count);
    if (status) free(*own);
    return status;
}

sgp_status_t feed_order_set_share(feed_order_t *order, int node, int nodes) {
    if (order->options.split.kind == DIVISION_IID) return SGP_OK;
    division_options_t options = division_options(order, nodes);
    division_t division;
    uint64_t *own = NULL, count = 0;
    sgp_status_t status = division_init(&division, &options);
    if (status) return status;
    status = list_own(&division, &options, node % nodes, &own, &count);
    if (status) {
        division_fini(&division);
        return status;
    }
    division_fini(&order->division);
    free(order->own);
    order->division = division;
    order->own = own;
    order->seed = seed_of_node(order->options.seed, node);
    sampler_set_own(&order->sampler, &(sampler_own_t){own, count, order->seed});
    return SGP_OK;
}

static sgp_status_t make_common(feed_order_t *order) {
    const feed_order_options_t *options = &order->options;
    bool split = options->split.kind != DIVISION_IID;
    sampler_options_t sampler = {.count = options->count,
                                 .rank = options->rank,
                                 .size = options->size,
                                 .workers = options->workers,
                                 .batch = options->batch,
                                 .seed = options->seed,
                                 .own = split};
    sgp_status_t status = sampler_init(&order->sampler, &sampler);
    if (status || !split) return status;
    status = feed_order_set_share(order, options->rank / options->workers,
                                  options->size / options->workers);
    if (!status) order->division_hash = division_hash(&order->division);
    return status;
}

/* ---- any of them ---- */

sgp_status_t feed_order_init(feed_order_t *order, const feed_order_options_t *options) {
    feed_order_t made = {.options = *options, .seed = options->seed};
    sgp_status_t status = options->private_data     ? make_private(&made)
                          : options->shard_per_node ? make_part(&made)
                                                    : make_common(&made);
    made.options.data = made.options.format = NULL;
    if (status) feed_order_fini(&made);
    else *order = made;
    return status;
}

void feed_order_fini(feed_order_t *order) {
    sampler_fini(&order->sampler);
    division_fini(&order->division);
    free(order->own);
    *order = (feed_order_t){.steps = 0};
}

uint64_t feed_order_samples(const feed_order_t *order, int nodes) {
    if (!order->options.private_data) return order->options.count;
    return order->sampler.options.count * (uint64_t)nodes;
}

/* Nodes that have orders of their own all make the steps of the largest part. */
uint64_t feed_order_steps(const feed_order_t *order) {
    return feed_order_keeps_parts(order) ? order->steps : sampler_steps(&order->sampler);
}
