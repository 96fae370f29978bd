/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a simulation, and the figures derived from it. Pure functions. */
#ifndef SGP_SIMULATE_SIMULATION_ROW_H
#define SGP_SIMULATE_SIMULATION_ROW_H

#include "simulate/simulation_settings.h"

/* ImageNet's training images, and the passes over them. */
#define SIMULATION_SAMPLES 1281167.0
#define SIMULATION_EPOCHS  90

/* Figures of the steps after the warm-up. All nodes make the same number of steps, as in `sgp train`: step_ms is the time
 * until the last node has made them, divided by their number. Nodes that do not wait make theirs sooner; the other
 * milliseconds are means over the nodes' own steps. */
typedef struct simulation_row {
    double step_ms;
    double node_ms;                /* mean over the nodes of each one's mean step */
    double fastest_ms, slowest_ms; /* the mean step of the fastest and of the slowest node */
    double gradient_ms;            /* as drawn: the slowest worker of a node */
    double wait_ms;                /* asleep for messages */
    double samples_per_second;     /* of all nodes, by step_ms */
    double bytes_per_step;         /* simulated bytes that a node sends */
    /* Root mean square over nodes and coordinates of z - mean z, over the standard deviation of one local
     * step's addition; NAN: not all steps were made. */
    double distance;
    /* The same at settings.distance_at_s, where each node ends the first step then or later; and the nodes' mean number
     * of steps until then. NAN: a node did not get so far. */
    double distance_at, steps_at;
    double seconds;   /* simulated, to the end of the last step */
    double warm_up_s; /* until the last node has ended its warm-up */
    int steps;        /* that every node has made which did not fail */
    int failed;       /* nodes */
    /* Mean over the nodes that fail in no run of these settings: seconds from the end of the warm-up to that of the last
     * step. */
    double others_s;
    double longest_ms; /* step of a node that did not fail */
    /* Compared with a run with failures; NAN: there was none. For each failure, the seconds that the others lose on average
     * (they also gain: nobody waits for a node that is not there); and the longest step of that run. */
    double held_up_s, longest_with_failures_ms;
} simulation_row_t;

/* The nodes that fail where failures are simulated: one of 16, at least one and at most eight, but not all. */
int simulation_failing(int nodes);

/* Takes the figures about failures of a row without failures from the same simulation with them. */
void simulation_compare(simulation_row_t *row, const simulation_row_t *with_failures);

/* Gradient and update over the step: samples per second relative to nodes that are equally fast and never wait. */
double simulation_efficiency(const simulation_settings_t *settings, const simulation_row_t *row);

/* Hours for 90 epochs of ImageNet, without evaluation. */
double simulation_hours(const simulation_row_t *row);

/* The same where nodes fail and the others go on; INFINITY: with so few nodes, or so many failures, never. With `repair_s`
 * as many nodes are at work as fail and come back at the same rate; without, ever fewer. A node that comes back costs the
 * others nothing. */
double simulation_hours_with_losses(const simulation_settings_t *settings, int nodes,
                                    const simulation_row_t *row);

/* The same where all nodes begin again after each failure, from checkpoints that are made as often as is best. Another
 * node is in the place of the failed one by then. */
double simulation_hours_with_checkpoints(const simulation_settings_t *settings, int nodes,
                                         const simulation_row_t *row);

/* The same with failures, after each of which all nodes restart from the last epoch's checkpoint. */
double simulation_hours_with_restarts(const simulation_settings_t *settings, int nodes,
                                      const simulation_row_t *row);

#endif
