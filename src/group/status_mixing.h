/* SPDX-License-Identifier: Apache-2.0 */
/* The numbers of a mixer, as it hands them in to the status of its group (group/group_status.h). */
#ifndef SGP_GROUP_STATUS_MIXING_H
#define SGP_GROUP_STATUS_MIXING_H

#include <sgp/graph.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct sgp_status_mixing {
    const char *algorithm, *encoding; /* static */
    /* At the beginning of a step, which is in the middle until it is over: */
    bool in_step;
    bool pushes;       /* it waits for the pushes of its in-edges */
    uint64_t begun;    /* when */
    sgp_graph_t graph; /* of this step; size 0: it has none */
    uint64_t round;    /* of the exchange */
    uint64_t awaited;  /* of the pushes that the step waits for */
    uint32_t channel;  /* of them */
    int place;         /* of this node among the seats; -1: the graph is without it */
    int *seats;        /* (graph.size) of the graph's nodes, in room for all of the group */
    /* At its end: */
    uint64_t ended; /* when */
    uint64_t step;  /* of the run: steps taken, with those that were passed over */
    uint64_t steps, step_ns, wait_ns, bytes_sent;
    uint64_t sent, received, lost, late, refused, resent;
    double weight;
} sgp_status_mixing_t;

#endif
