/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms of a simulation: names, vector lengths, mixer options. Pure functions. */
#ifndef SGP_SIMULATE_SIMULATED_ALGORITHMS_H
#define SGP_SIMULATE_SIMULATED_ALGORITHMS_H

#include "simulate/simulation_settings.h"

#include <stdbool.h>
#include <stddef.h>

/* How nodes average. The first two run the library's own code, as in a real run. */
typedef enum simulation_kind {
    SIMULATION_MIXER,   /* sgp_mixer_step, with the algorithm below */
    SIMULATION_BUCKETS, /* the library's all-reduce, of one bucket while the next is computed */
    SIMULATION_RING, /* the all-reduce around a ring: 2 (n - 1) messages of 1/n of the vector, one
                         after the other */
    SIMULATION_HALVING, /* halves, quarters, ... of the vector to nodes half, a quarter, ... of the way around,
                         and back */
    SIMULATION_TREE /* the whole vector up and down a binomial tree */
} simulation_kind_t;

typedef struct simulation_algorithm {
    const char *name;
    simulation_kind_t kind;
    sgp_algorithm_t algorithm;
    bool async;   /* overlap without bound, whatever --overlap says */
    bool goes_on; /* when a node is lost */
    const char *about;
} simulation_algorithm_t;

/* Whether the others go on without a node that has failed, with the settings' graph. */
bool simulation_goes_on(const simulation_settings_t *settings,
                        const simulation_algorithm_t *algorithm);

/* NULL: no algorithm has that name. */
const simulation_algorithm_t *simulation_algorithm_find(const char *name);

/* "sgp, osgp, ..." */
const char *simulation_algorithm_names(void);

/* A small vector stands for the model's: its numbers, and the simulated bytes of the model's. */
size_t simulation_length(const simulation_settings_t *settings,
                         const simulation_algorithm_t *algorithm, int nodes);
double simulation_bytes(const simulation_settings_t *settings);

/* Simulated bytes for each byte of a message. The short blocks of a small vector have more scales for their numbers than
 * those of the model's have. */
double simulation_scale(const simulation_settings_t *settings,
                        const simulation_algorithm_t *algorithm, int nodes, size_t chunk_bytes);

/* For SIMULATION_MIXER. */
sgp_mixer_options_t simulation_mixer_options(const simulation_settings_t *settings,
                                             const simulation_algorithm_t *algorithm, int nodes);

/* Buckets of a vector of so many simulated bytes. */
int simulation_buckets(double bytes);

#endif
