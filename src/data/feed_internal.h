/* SPDX-License-Identifier: Apache-2.0 */
/* The feed's state, for feed.c and feed_order.c alone. */
#ifndef SGP_DATA_FEED_INTERNAL_H
#define SGP_DATA_FEED_INTERNAL_H

#include "data/division.h"
#include "data/feed.h"
#include "data/loader.h"
#include "data/pipeline.h"

/* The batches that feed_next gives next. */
typedef struct course {
    bool test, begun;   /* begun: the pipeline knows of it */
    uint64_t epoch, at; /* at: the step, or of a test the sample */
    uint64_t end;       /* of a test */
} course_t;

struct feed {
    feed_options_t options;
    feed_shape_t shape;
    sampler_t sampler;
    uint64_t steps;      /* of an epoch, where each node has a part or data of its own */
    int seat;            /* of the augmentation */
    uint64_t order_seed; /* of the order, and of the augmentation of pictures */
    course_t course;

    division_t division;    /* with options.split; else zeros */
    uint64_t division_hash; /* of the first one */
    uint64_t *own;          /* the node's samples in it; NULL: none */
    uint64_t *places;       /* (batch) of pixels, where nodes have samples of their own */

    dataset_t *dataset; /* pixels; NULL: pictures */
    loader_t loader;
    uint64_t *indices; /* (batch) */
    float *images;     /* (batch, sample) */
    int32_t *labels;   /* (batch) */

    source_t *source; /* pictures */
    picture_options_t picture;
    pipeline_t *pipeline;
    pipeline_order_t order;
    uint64_t *chosen; /* (shape.train_count) NULL: all */
};

/* Of pictures: chooses as many as options.limit says. SGP_ERR_NO_MEMORY, logged. */
sgp_status_t feed_choose(feed_t *feed);

/* Makes the sampler, and the node's samples where it has some of its own. SGP_ERR_INVALID: the data do not fit
 * shard_per_node or the split; the errors of sampler_init and division_init. Logged. */
sgp_status_t feed_make_order(feed_t *feed);

/* Whether the steps of an epoch do not depend on who is there: each node has a part of the samples, or data, of its own. */
static inline bool feed_keeps_parts(const feed_t *feed) {
    return feed->options.shard_per_node || feed->options.private_data;
}

#endif
