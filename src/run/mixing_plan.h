/* SPDX-License-Identifier: Apache-2.0 */
/* The mixer that a run's options ask for in each epoch. Pure functions. */
#ifndef SGP_RUN_MIXING_PLAN_H
#define SGP_RUN_MIXING_PLAN_H

#include "run/train_options.h"

/* The mixer's options in an epoch. count and buffers stay 0. */
sgp_mixer_options_t train_mixer_options(const train_options_t *options, uint64_t epoch);

/* Exchanges per step in the last epoch, of options that are checked. */
int64_t train_rounds(const train_options_t *options);

/* Whether they differ from those of the epoch before; false for epoch 0. */
bool train_mixer_changes(const train_options_t *options, uint64_t epoch);

/* Why the nodes of such a run cannot go on without a lost one, a clause that follows a colon; NULL: they can. It depends
 * on no number of nodes, which may not be known before they join. */
const char *train_stops_because(const train_options_t *options);

/* Whether they go on: if they can, unless on_loss is "stop". */
bool train_goes_on(const train_options_t *options);

/* Why no node can join the running run, a clause as above; NULL: nodes can. */
const char *train_closed_because(const train_options_t *options);

/* Nodes there can be at a time, of a run of options->nodes. met: they have met by --join. */
int train_most_nodes(const train_options_t *options, bool met);

#endif
