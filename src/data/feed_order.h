/* SPDX-License-Identifier: Apache-2.0 */
/* Which samples a process trains on, and in which order. The feed has one, and asks its sampler for batches. There are three
 * kinds: all nodes take the samples of an epoch together, by a split perhaps each from a share of its own; each node
 * goes through a part of the shards alone; each node goes through data that it alone has. */
#ifndef SGP_DATA_FEED_ORDER_H
#define SGP_DATA_FEED_ORDER_H

#include "data/division.h"
#include "data/sampler.h"

typedef struct feed_order_options {
    const char *data, *format; /* for messages, and "shards"; borrowed for the call */
    uint64_t count;            /* samples */
    int classes;
    int rank, size, workers, batch; /* sampler_options_t; workers > 0 */
    uint64_t seed;
    bool shard_per_node, private_data; /* not both */
    division_rule_t split;             /* not with these */
    /* The class of a sample below count, for a split. label_context must outlive the order. */
    uint32_t (*label)(const void *context, uint64_t sample);
    const void *label_context;
} feed_order_options_t;

/* Embedded. Owner: one thread. */
typedef struct feed_order {
    feed_order_options_t options;
    sampler_t sampler;
    uint64_t steps;         /* of an epoch, where each node has a part or data of its own */
    uint64_t first;         /* sample 0 of the sampler is this one of the data */
    uint64_t seed;          /* of the order, and of the augmentation of pictures */
    division_t division;    /* with a split; else zeros */
    uint64_t division_hash; /* of the first one; 0: none */
    uint64_t *own;          /* the node's samples in it; NULL: none */
} feed_order_t;

/* Sets *order only on success. SGP_ERR_INVALID, logged: the data do not fit shard_per_node; the errors of sampler_init and
 * division_init. */
sgp_status_t feed_order_init(feed_order_t *order, const feed_order_options_t *options);
void feed_order_fini(feed_order_t *order); /* zeros are fine */

/* feed_set_share, feed_set_length, feed_epoch_samples and feed_steps (data/feed.h). */
sgp_status_t feed_order_set_share(feed_order_t *order, int node, int nodes);
sgp_status_t feed_order_set_length(feed_order_t *order, uint64_t length);
uint64_t feed_order_samples(const feed_order_t *order, int nodes);
uint64_t feed_order_steps(const feed_order_t *order);

/* Whether the steps of an epoch do not depend on who is there. */
static inline bool feed_order_keeps_parts(const feed_order_t *order) {
    return order->options.shard_per_node || order->options.private_data;
}

/* As many of `count` samples as the limit says, at random, ascending: pictures lie class by class, so the first ones would
 * be of one class. *chosen: (limit), to be freed. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t feed_order_choose(uint64_t seed, uint64_t count, uint64_t limit, uint64_t **chosen);

#endif
