/* SPDX-License-Identifier: Apache-2.0 */
/* The training objects of one node: data, model, optimizer and mixer, and the memory of a step. All
 * of it is allocated before the first step; a step allocates nothing. */
#ifndef SGP_RUN_REPLICA_H
#define SGP_RUN_REPLICA_H

#include "data/loader.h"
#include "data/sampler.h"
#include "files/model_file.h"
#include "model/model.h"
#include "run/schedule.h"

typedef struct replica {
    dataset_t *dataset;
    model_t *model;
    sgp_optimizer_t *optimizer;
    sgp_mixer_t *mixer; /* NULL before replica_join */
    sampler_t sampler;
    loader_t loader;
    schedule_t schedule;
    uint64_t steps_per_epoch;
    size_t parameters; /* P */
    size_t buffers;    /* S */

    uint32_t *indices; /* (batch) */
    float *images;     /* (batch, height, width, channels) */
    int32_t *labels;   /* (batch) */
    float *gradient;   /* (P) */
    float *average;    /* (P + S) over the nodes, after an epoch */

    char initial_hash[CONTENT_HASH_TEXT]; /* of the values of a file, in average; "": of none */
} replica_t;

/* Loads the data and builds the model; nodes differ only in their part of the data. options:
 * checked, borrowed for the call. The errors of dataset_load and model_create; then there is
 * nothing to finish. */
sgp_status_t replica_init(replica_t *replica, const train_options_t *options, int rank);

/* Creates the mixer with the options of that epoch, from 0, and the initial values that initial_load
 * read, else the model's for options->seed. All nodes call it. workers: of this node, or NULL. The errors of
 * sgp_mixer_create. */
sgp_status_t replica_join(replica_t *replica, const train_options_t *options, uint64_t epoch,
                          sgp_group_t *nodes, sgp_group_t *workers);

void replica_fini(replica_t *replica);

/* Of the data set's images; borrows from the replica. */
model_file_normalisation_t replica_normalisation(const replica_t *replica);

#endif
