/* SPDX-License-Identifier: Apache-2.0 */
/* A node of a simulation, and the methods by which it makes a step. Used inside src/simulate; a node waits only in its
 * transport's calls. */
#ifndef SGP_SIMULATE_SIMULATED_NODE_H
#define SGP_SIMULATE_SIMULATED_NODE_H

#include "base/random.h"
#include "group/group_internal.h"
#include "mixing/reduce.h"
#include "simulate/simulated_algorithms.h"

typedef struct simulation_node simulation_node_t;

typedef struct simulation_method {
    /* Errors of the calls they make. destroy is called even if create failed. */
    sgp_status_t (*create)(simulation_node_t *node);
    void (*destroy)(simulation_node_t *node);

    /* One step: the gradient, which takes `compute` ns, and the exchange. */
    sgp_status_t (*step)(simulation_node_t *node, uint64_t step, uint64_t compute);

    uint64_t (*waited)(const simulation_node_t *node); /* nanoseconds asleep for messages */
} simulation_method_t;

/* One run: a row of the table. */
typedef struct simulation_work {
    const simulation_settings_t *settings;
    const simulation_algorithm_t *algorithm;
    const simulation_method_t *method;
    int nodes;
    size_t length;          /* of the vector */
    uint64_t update;        /* the optimizer's pass, nanoseconds */
    simulation_node_t *all; /* (nodes) */
    double *sums;           /* (length) sum of z over the nodes that have made their steps */
    double distance; /* sum over nodes and coordinates of the squared distance to their mean */
    float *then;     /* (nodes, length) z at settings->distance_at_s; NULL: not wanted */
    uint64_t *
        fails_at; /* (nodes) when each fails, nanoseconds; UINT64_MAX: never, 0: in another run of these settings */
    bool elastic; /* the others go on */
    int failed;   /* nodes */
    int present;  /* nodes that have made their steps */
    void (*on_step)(int step, void *user);
    void *user;
} simulation_work_t;

struct simulation_node {
    simulation_work_t *work;
    int rank;
    sgp_transport_t *transport;
    sgp_group_t *group;
    sgp_random_t time, noise;
    float *gradient; /* (length) */
    float *z;        /* (length) the node's parameters */

    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    sgp_reducer_t reducer;
    float *sum;        /* (length) partial sums of gradients */
    float *rounding;   /* (length) rounding errors of an encoding, kept for the next step */
    size_t bucket;     /* first element of the current bucket */
    uint64_t messages; /* rounds so far, which number the next one's messages; equal on all nodes */

    sgp_status_t status;
    int steps;             /* made */
    int steps_then;        /* of them, at settings->distance_at_s; 0: before that */
    uint64_t computed;     /* nanoseconds of gradients */
    uint64_t longest;      /* step after the warm-up, nanoseconds */
    uint64_t marked, last; /* the end of the warm-up, and of the last step made */
    /* At the mark: the values so far; in the end: the differences since then. */
    uint64_t measured; /* of computed */
    uint64_t waited;
    double sent; /* simulated bytes */
};

uint64_t simulation_now(const simulation_node_t *node);

/* The node computes for so long; its agent goes on. */
void simulation_compute(simulation_node_t *node, uint64_t nanoseconds);

/* The body of each node's actor; context: a simulation_work_t. */
void simulation_node_main(sgp_transport_t *transport, void *context);

/* The library's own algorithms. */
extern const simulation_method_t simulation_method_mixer;

#endif
