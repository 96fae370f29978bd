/* SPDX-License-Identifier: Apache-2.0 */
/* What one node of a run owns: its data, model, optimizer and mixer, and the memory of a step. All
 * of it is allocated before the first step; a step allocates nothing. */
#ifndef SGP_RUN_REPLICA_H
#define SGP_RUN_REPLICA_H

#include "data/loader.h"
#include "data/sampler.h"
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
} replica_t;

/* Loads the data and builds the model, the same on every node but for the rank's part. options:
 * borrowed for the call, checked. The errors of dataset_load and model_create. On an error there is
 * nothing to finish. */
sgp_status_t replica_init(replica_t *replica, const train_options_t *options, int rank);

/* Creates the mixer as that epoch (from 0) has it, with the model's initial values for
 * options->seed. All nodes call it. workers: of this node, or NULL. The errors of
 * sgp_mixer_create. */
sgp_status_t replica_join(replica_t *replica, const train_options_t *options, uint64_t epoch,
                          sgp_group_t *nodes, sgp_group_t *workers);

void replica_fini(replica_t *replica);

#endif
