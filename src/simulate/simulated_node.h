/* SPDX-License-Identifier: Apache-2.0 */
/* A node of a simulation, and the ways in which it makes a step. */
#ifndef SGP_SIMULATE_SIMULATED_NODE_H
#define SGP_SIMULATE_SIMULATED_NODE_H

#include "base/random.h"
#include "group/group_internal.h"
#include "mixing/reduce.h"
#include "simulate/simulated_algorithms.h"

typedef struct simulation_node simulation_node_t;

typedef struct simulation_method {
    /* The errors of what they call. destroy is called in every case. */
    sgp_status_t (*create)(simulation_node_t *node);
    void (*destroy)(simulation_node_t *node);

    /* From the beginning of the gradient to the end of the exchange. compute: of the gradient, ns. */
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
    double *sums;           /* (length) of z over the nodes that have made their steps */
    double distance; /* sum over nodes and coordinates of the squared distance to their mean */
    float *then;     /* (nodes, length) z at settings->distance_at_s; NULL: not asked for */
    int failed;      /* the first node that failed, or -1 */
    uint64_t failed_at;
    void (*told)(int step, void *user);
    void *user;
} simulation_work_t;

struct simulation_node {
    simulation_work_t *work;
    int rank;
    sgp_transport_t *transport;
    sgp_group_t *group;
    sgp_random_t time, noise;
    uint64_t fails_at;
    float *gradient; /* (length) */
    float *z;        /* (length) what the node has */

    sgp_mixer_t *mixer;
    sgp_optimizer_t *optimizer;
    sgp_reducer_t reducer;
    float *sum;        /* (length) the sum of the gradients, on its way */
    float *rounding;   /* (length) */
    size_t bucket;     /* first element of the bucket that is being reduced */
    uint64_t messages; /* rounds of messages so far, the step of the next; alike on all nodes */

    sgp_status_t status;
    int steps;             /* made */
    int steps_then;        /* of them, at settings->distance_at_s; 0: before that */
    uint64_t computed;     /* nanoseconds of gradients */
    uint64_t marked, last; /* the end of the warm-up, and of the last step made */
    /* Before the mark nothing, then what they were at it, and in the end what came after it. */
    uint64_t measured; /* of computed */
    uint64_t waited;
    double sent; /* simulated bytes */
};

uint64_t simulation_now(const simulation_node_t *node);

/* The gradient: this node computes, and its agent goes on. */
void simulation_compute(simulation_node_t *node, uint64_t nanoseconds);

/* The body of each node's actor; context: the work. */
void simulation_node_main(sgp_transport_t *transport, void *context);

/* The library's own algorithms. */
extern const simulation_method_t simulation_method_mixer;

#endif
