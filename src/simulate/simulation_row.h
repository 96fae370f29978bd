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
    double seconds;  /* simulated, to the end of the last step */
    int steps;       /* that every node has made */
    int failed_node; /* -1: none */
    double failed_seconds;
} simulation_row_t;

/* Gradient and update over the step: samples per second relative to nodes that are equally fast and never wait. */
double simulation_efficiency(const simulation_settings_t *settings, const simulation_row_t *row);

/* Hours for 90 epochs of ImageNet, without evaluation. */
double simulation_hours(const simulation_row_t *row);

/* The same with failures, after each of which all nodes restart from the last epoch's checkpoint. */
double simulation_hours_with_restarts(const simulation_settings_t *settings, int nodes,
                                      const simulation_row_t *row);

#endif
