/* SPDX-License-Identifier: Apache-2.0 */
/* The exchange of AD-PSGD: the active side, which asks, and the passive side, which answers, on the progress thread or on
 * the node's own during a collective call. Called by pairs.c, which has the step and the settling.
 *
 * In an elastic group (docs/membership.md, "Pairs") an exchange whose partner is gone is torn: each number is the mean, or
 * what it was, so nothing is repaired. The active node asks the next one. A node that is asked but is not passive, or does
 * not take the asker for an active one, answers REFUSED at once, also while it is asking; the asker goes on without it. */
#ifndef SGP_MIXING_ALGORITHMS_PAIRS_EXCHANGE_H
#define SGP_MIXING_ALGORITHMS_PAIRS_EXCHANGE_H

#include "mixing/mixer_core.h"

/* A node's record of one that asks it. */
typedef struct sgp_asker {
    uint64_t next; /* number of its next question to this node */
    bool answering;
    sgp_send_t answer; /* under way */
    sgp_destination_t to;
    bool rests;
    bool is_active;   /* as this node sees the graph */
    bool refused;     /* the answer to the next question was REFUSED */
    uint64_t dropped; /* elements of that question that have arrived */
    bool ended;       /* it is gone, and all that it has sent was taken */
} sgp_asker_t;

typedef enum sgp_pairs_phase {
    SGP_PAIRS_IDLE,
    SGP_PAIRS_WANTED,
    SGP_PAIRS_ASKED
} sgp_pairs_phase_t;

typedef struct sgp_pairs {
    bool active;
    int nodes, place; /* of the graph, and of this one in it */
    int *seats;       /* (nodes) the rank of each node of the graph, ascending */
    float *live;      /* (P + S); under the transport's lock */
    float *seen; /* (P + S) z as the caller got it: the difference is the caller's own change */
    uint64_t settles;
    bool broken; /* live is not finite, and is not sent any more; under the lock */
    int left;    /* a node that is waited for and has left; -1: none; under the lock */
    bool held;   /* from settle or hold to resume: z is the vector, and nothing is averaged */
    /* Of an active node; phase: under the lock. */
    sgp_pairs_phase_t phase;
    uint64_t exchanges;
    uint64_t *asked; /* (size) questions to each node */
    int partner;
    size_t added; /* elements of the answer */
    /* Of a passive node; in an elastic group of every node. */
    sgp_asker_t *askers; /* (size) */
    int resting;         /* nodes that rest; under the lock */
} sgp_pairs_t;

/* What can be done now: asks if that is wanted, adds what has been answered, answers. */
sgp_status_t sgp_pairs_serve(sgp_mixer_t *mixer);

/* The rank that this node asks in its next exchange; -1: there is none. */
int sgp_pairs_next_partner(const sgp_mixer_t *mixer);

/* After a settle: releases what is here of exchanges with nodes that are gone. */
void sgp_pairs_sweep(sgp_mixer_t *mixer);

#endif
