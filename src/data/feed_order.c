/* SPDX-License-Identifier: Apache-2.0 */
/* Which samples a node trains on, and in which order. */
#include "data/feed_internal.h"

#include "base/logging.h"
#include "base/random.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Random streams that no epoch has: of the choice of pictures, and of the seeds of nodes that have orders of their
 * own. */
#define CHOICE_STREAM ((uint64_t)5 << 61)
#define NODE_STREAM   ((uint64_t)7 << 61)

/* As many samples as the limit says, at random, in the order of the source: pictures lie class by class, so the first
 * ones would be of one class. */
sgp_status_t feed_choose(feed_t *feed) {
    uint64_t count = feed->shape.train_count, limit = (uint64_t)feed->options.limit;
    if (limit == 0 || limit == count) return SGP_OK;
    feed->chosen = malloc(limit * sizeof *feed->chosen);
    if (!feed->chosen)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a choice of %" PRIu64 " samples", limit);
    sgp_random_t random;
    sgp_random_init(&random, feed->options.seed, CHOICE_STREAM);
    uint64_t taken = 0; /* each sample with the chance wanted / left (Knuth, algorithm S) */
    for (uint64_t i = 0; taken < limit; i++)
        if (sgp_random_below(&random, count - i) < limit - taken) feed->chosen[taken++] = i;
    feed->shape.train_count = limit;
    return SGP_OK;
}

static uint64_t seed_of_node(uint64_t seed, int node) {
    sgp_random_t random;
    sgp_random_init(&random, seed, NODE_STREAM + (uint64_t)node);
    return sgp_random_u64(&random);
}

/* Of the workers of a node that goes through all of its data by itself, in an order of its own. */
static sampler_options_t of_node_alone(feed_t *feed, int node) {
    const feed_options_t *options = &feed->options;
    feed->order_seed = seed_of_node(options->seed, node);
    return (sampler_options_t){.count = feed->shape.train_count,
                               .rank = options->rank % options->workers,
                               .size = options->workers,
                               .workers = options->workers,
                               .batch = options->batch,
                               .seed = feed->order_seed};
}

/* Parts of the samples in the order of the source, which differ by one at most: a node reads a run of whole shards,
 * and may share the first and the last of them with its neighbours. */
static sampler_options_t part_of_node(feed_t *feed, int node, int nodes) {
    uint64_t count = feed->shape.train_count, share = count / (uint64_t)nodes;
    uint64_t more = count % (uint64_t)nodes, index = (uint64_t)node;
    feed->order.first = index * share + (index < more ? index : more);
    sampler_options_t part = of_node_alone(feed, node);
    part.count = share + (index < more);
    return part;
}

static sgp_status_t check_shards(const feed_t *feed, int nodes) {
    if (strcmp(feed->shape.format, "shards") != 0)
        return sgp_fail(SGP_ERR_INVALID,
                        "shard-per-node: data %s are no shards (%s): sgp data pack makes them",
                        feed->options.data, feed->shape.format);
    if (feed->shape.train_count < (uint64_t)nodes)
        return sgp_fail(SGP_ERR_INVALID, "shard-per-node: %" PRIu64 " samples for %d nodes",
                        feed->shape.train_count, nodes);
    return SGP_OK;
}

/* ---- a division by classes ---- */

static uint32_t label_of(const void *context, uint64_t sample) {
    const feed_t *feed = context;
    if (feed->dataset) return feed->dataset->train.labels[sample];
    return source_label(feed->source, SOURCE_TRAIN, feed->chosen ? feed->chosen[sample] : sample);
}

static division_options_t division_options(const feed_t *feed, int nodes) {
    return (division_options_t){.rule = feed->options.split,
                                .nodes = nodes,
                                .classes = feed->shape.classes,
                                .count = feed->shape.train_count,
                                .seed = feed->options.seed,
                                .label = label_of,
                                .context = feed};
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

sgp_status_t feed_set_share(feed_t *feed, int node, int nodes) {
    if (feed->options.split.kind == DIVISION_IID) return SGP_OK;
    division_options_t options = division_options(feed, nodes);
    division_t division;
    uint64_t *own = NULL, count = 0;
    sgp_status_t status = division_init(&division, &options);
    if (status) return status;
    status = list_own(&division, &options, node % nodes, &own, &count);
    if (status) {
        division_fini(&division);
        return status;
    }
    division_fini(&feed->division);
    free(feed->own);
    feed->division = division;
    feed->own = own;
    feed->order_seed = seed_of_node(feed->options.seed, node);
    sampler_set_own(&feed->sampler, &(sampler_own_t){own, count, feed->order_seed});
    if (feed->pipeline) pipeline_reseed(feed->pipeline, feed->order_seed);
    return SGP_OK;
}

/* ---- data of each node ---- */

sgp_status_t feed_set_length(feed_t *feed, uint64_t length) {
    sampler_t sampler;
    sampler_options_t options = of_node_alone(feed, feed->options.rank / feed->options.workers);
    options.count = length;
    options.own = true;
    sgp_status_t status = sampler_init(&sampler, &options);
    if (status) return status;
    sampler_set_own(&sampler, &(sampler_own_t){NULL, feed->shape.train_count, options.seed});
    sampler_fini(&feed->sampler);
    feed->sampler = sampler;
    feed->steps = sampler_steps(&sampler);
    return SGP_OK;
}

uint64_t feed_epoch_samples(const feed_t *feed, int nodes) {
    if (!feed->options.private_data) return feed->shape.train_count;
    return feed->sampler.options.count * (uint64_t)nodes;
}

/* ---- the sampler ---- */

/* Of the nodes that take the samples of an epoch together. */
static sgp_status_t make_common(feed_t *feed) {
    const feed_options_t *options = &feed->options;
    sampler_options_t sampler = {.count = feed->shape.train_count,
                                 .rank = options->rank,
                                 .size = options->size,
                                 .workers = options->workers,
                                 .batch = options->batch,
                                 .seed = options->seed,
                                 .own = options->split.kind != DIVISION_IID};
    sgp_status_t status = sampler_init(&feed->sampler, &sampler);
    if (!status) status = feed_set_share(feed, feed->seat, options->size / options->workers);
    if (!status && feed_division(feed)) feed->division_hash = division_hash(&feed->division);
    return status;
}

static sgp_status_t make_part(feed_t *feed) {
    const feed_options_t *options = &feed->options;
    int nodes = options->size / options->workers;
    sgp_status_t status = check_shards(feed, nodes);
    if (status) return status;
    sampler_options_t part = part_of_node(feed, options->rank / options->workers, nodes);
    /* The steps of the largest part. */
    cursor_t whole = {
        .count = feed->shape.train_count, .size = options->size, .batch = options->batch};
    feed->steps = cursor_end(&whole);
    return sampler_init(&feed->sampler, &part);
}

sgp_status_t feed_make_order(feed_t *feed) {
    const feed_options_t *options = &feed->options;
    sgp_status_t status;
    feed->order_seed = options->seed;
    if (options->private_data) status = feed_set_length(feed, feed->shape.train_count);
    else status = options->shard_per_node ? make_part(feed) : make_common(feed);
    feed->order.sampler = &feed->sampler;
    feed->order.chosen = feed->chosen;
    return status;
}
