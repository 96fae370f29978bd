/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a simulation, and the figures that follow from it. Pure functions. */
#ifndef SGP_SIMULATE_SIMULATION_ROW_H
#define SGP_SIMULATE_SIMULATION_ROW_H

#include "simulate/simulation_settings.h"

/* ImageNet's training images, and how often they are seen. */
#define SIMULATION_SAMPLES 1281167.0
#define SIMULATION_EPOCHS  90

/* One line of the table, of the steps after the warm-up. All nodes make the same number of steps, as in `sgp train`:
 * a step takes what passes until the last node has made them, over their number. Nodes that do not wait make
 * theirs sooner, each in its own time; the other milliseconds are means over the nodes' own steps. */
typedef struct simulation_row {
    double step_ms;
    double node_ms;                /* mean over the nodes of each one's mean step */
    double fastest_ms, slowest_ms; /* the mean step of the fastest and of the slowest node */
    double gradient_ms;            /* as drawn: the slowest worker of a node */
    double wait_ms;                /* asleep for messages */
    double samples_per_second;     /* of all, in a step */
    double bytes_per_step;         /* simulated bytes that a node sends */
    /* Root mean square over nodes and coordinates of z - mean z, over the standard deviation of what one
     * local step adds; NAN: not all steps were made. */
    double distance;
    /* The same after settings.distance_at_s, each node with the first step that it ends then or later; mean over the
     * nodes of the steps until then. NAN: some did not get so far. */
    double distance_at, steps_at;
    double seconds;  /* simulated, to the end of the last step */
    int steps;       /* that every node has made */
    int failed_node; /* -1: none */
    double failed_seconds;
} simulation_row_t;

/* The mean gradient with its update over the step: samples per second over those of as many nodes that compute,
 * are equally fast, and never wait. */
double simulation_efficiency(const simulation_settings_t *settings, const simulation_row_t *row);

/* Hours for 90 epochs of ImageNet, 1,281,167 images, without evaluation. */
double simulation_hours(const simulation_row_t *row);

/* The same where a node fails now and then and all go back to the last epoch's checkpoint. */
double simulation_hours_with_restarts(const simulation_settings_t *settings, int nodes,
                                      const simulation_row_t *row);

#endif
