/* SPDX-License-Identifier: Apache-2.0 */
/* The training objects of one node: data, model, optimizer and mixer, and the memory of a step. All
 * of it is allocated before the first step; a step allocates nothing. */
#ifndef SGP_RUN_REPLICA_H
#define SGP_RUN_REPLICA_H

#include "data/feed.h"
#include "files/model_file.h"
#include "model/model.h"
#include "run/epochs.h"
#include "run/schedule.h"

typedef struct replica {
    feed_t *feed;
    model_t *model;
    sgp_optimizer_t *optimizer;
    sgp_mixer_t *mixer;       /* NULL before replica_join */
    schedule_t schedule;      /* in steps of these nodes, as if there had never been others */
    epochs_t epochs;          /* of the run */
    uint64_t steps_per_epoch; /* of an epoch that these nodes make alone */
    size_t parameters;        /* P */
    size_t buffers;           /* S */

    float *gradient; /* (P) */
    float *average;  /* (P + S) over the nodes, after an epoch */

    char initial_hash[CONTENT_HASH_TEXT]; /* of the values of a file, in average; "": of none */
} replica_t;

/* Opens the data and builds the model; nodes differ only in their part of the data. options:
 * checked, borrowed for the call. The errors of feed_create and model_create; then there is
 * nothing to finish. */
sgp_status_t replica_init(replica_t *replica, const train_options_t *options, int rank);

/* Steps, epochs and learning rate of a new run on the feed's data: replica_init calls it, and whoever changes the feed's length
 * before the run begins. */
void replica_plan(replica_t *replica, const train_options_t *options);

/* Creates the mixer with the options of that epoch, from 0, and the initial values that initial_load
 * read, else the model's for options->seed. All nodes call it. workers: of this node, or NULL. The errors of
 * sgp_mixer_create. */
sgp_status_t replica_join(replica_t *replica, const train_options_t *options, uint64_t epoch,
                          sgp_group_t *nodes, sgp_group_t *workers);

void replica_fini(replica_t *replica);

/* Of the model that these options ask for, on such data. */
model_options_t replica_model_options(const train_options_t *options, const feed_shape_t *shape);

/* Threads that decode pictures. */
int replica_data_threads(const train_options_t *options);

/* The epochs of a run on such data whose nodes are `nodes` from the beginning. */
epochs_t replica_epochs(const train_options_t *options, int nodes, const feed_t *feed);

/* The learning rate of the run's step k, from 0. */
double replica_rate(const replica_t *replica, uint64_t k);

/* Epochs that the run has come to after `step` steps, with a fraction. */
double replica_epochs_done(const replica_t *replica, uint64_t step);

/* Of the data set's images; borrows from the replica. Writers of files only read it. */
model_file_normalisation_t replica_normalisation(const replica_t *replica);

#endif
