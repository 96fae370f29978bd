/* SPDX-License-Identifier: Apache-2.0 */
/* A run of a simulation as its seed draws it: nodes, algorithm, graph, encoding, delays, calls and faults. Pure functions:
 * the same seed and kinds of faults give the same scenario. Used inside tests/simulation. */
#ifndef SGP_TESTS_SIMULATION_SCENARIO_H
#define SGP_TESTS_SIMULATION_SCENARIO_H

#include "transport/loopback/loopback.h"

#include <sgp/mixer.h>

#include <stdio.h>

enum {
    SCENARIO_NODES = 8, /* at the start, at most */
    SCENARIO_JOINS = 2, /* at most */
    SCENARIO_SEATS = SCENARIO_NODES + SCENARIO_JOINS,
    SCENARIO_STEPS = 80, /* at most; 40 without newcomers */
    SCENARIO_LENGTH =
        200, /* numbers of the vector: three full chunks of 64 floats and a short one */
    SCENARIO_CHUNK = 256, /* bytes */
    SCENARIO_FAULTS = 24, /* at most */
    SCENARIO_NEVER = -1,
    SCENARIO_VIEWS_MEET = 4, /* barriers at the end, and the pause before each */
    SCENARIO_VIEWS_WAIT_MS = 500,
    SCENARIO_SUSPECT_MS = 500, /* after which a node is silent */
    SCENARIO_ALGORITHMS = 8    /* at most */
};

#define SCENARIO_MS            1000000u /* nanoseconds */
#define SCENARIO_LEARNING_RATE 0.05

/* Kinds of faults, as bits. */
enum {
    SCENARIO_KILL = 1,  /* at a time, or at a call of the transport */
    SCENARIO_LEAVE = 2, /* in order, after a step */
    SCENARIO_STALL = 4, /* a node stands still for a while */
    SCENARIO_CUT = 8,   /* messages of a link arrive later, in one direction or in both */
    SCENARIO_JOIN =
        16, /* no fault: newcomers, in a seat that was never used or that is free again */
};
#define SCENARIO_KINDS_MAP(X)                                                                      \
    X("kill", SCENARIO_KILL)                                                                       \
    X("leave", SCENARIO_LEAVE)                                                                     \
    X("stall", SCENARIO_STALL)                                                                     \
    X("cut", SCENARIO_CUT)                                                                         \
    X("join", SCENARIO_JOIN)

/* What all nodes call after a step. */
typedef enum scenario_call {
    SCENARIO_NOTHING,
    SCENARIO_AVERAGE,
    SCENARIO_BARRIER,
    SCENARIO_GATHER,
    SCENARIO_CALLS,
} scenario_call_t;

/* A newcomer. */
typedef struct scenario_join {
    int sponsor;   /* a founder; if it ends before, nobody comes */
    int at;        /* before that step of the sponsor, or a later one */
    bool replaces; /* it takes the seat of a member that is gone, if one is free */
} scenario_join_t;

typedef struct scenario_settings {
    unsigned kinds; /* of faults */
    sgp_algorithm_t algorithms[SCENARIO_ALGORITHMS];
    int algorithms_count;
    uint64_t
        silence_ns; /* most that a stalled or cut node costs the others; 0: as long as the fault lasts */
} scenario_settings_t;

typedef struct scenario {
    uint64_t seed;
    int nodes, steps;
    sgp_mixer_options_t options;
    bool trains; /* each node follows a gradient of its own; otherwise the learning rate is 0 */
    double compute_ns[SCENARIO_SEATS]; /* mean time between two steps */
    scenario_call_t calls[SCENARIO_STEPS];
    int leaves[SCENARIO_SEATS]; /* founders, after so many steps; SCENARIO_NEVER */
    scenario_join_t joins[SCENARIO_JOINS];
    int joins_count;
    sgp_loopback_fault_t faults[SCENARIO_FAULTS];
    int faults_count;
    sgp_loopback_options_t loopback;
    uint64_t limit_ns; /* virtual time by which all nodes have ended */
} scenario_t;

void scenario_draw(uint64_t seed, const scenario_settings_t *settings, scenario_t *scenario);

/* Nanoseconds that a node computes in a step. */
uint64_t scenario_compute(const scenario_t *scenario, int rank, int step);

/* A node's vector at the start, and where its gradient leads. */
float scenario_initial(const scenario_t *scenario, int rank, size_t i);
float scenario_target(const scenario_t *scenario, int rank, size_t i);

/* How far the encoding can move a number of a node. A rounded message differs from its node's z. Its sender keeps the
 * difference, times what it has sent over what it has left, and nothing comes in before the overlap has passed. */
float scenario_rounding(const scenario_t *scenario);

/* Where the numbers of all nodes stay. */
typedef struct scenario_hull {
    float low[SCENARIO_LENGTH], high[SCENARIO_LENGTH]; /* of all starts, and targets */
    float rounding;                                    /* scenario_rounding */
} scenario_hull_t;

void scenario_find_hull(const scenario_t *scenario, scenario_hull_t *hull);

/* Coordinates that start equal on all nodes, and that no gradient moves. Their value is exact in every encoding without
 * blocks, so they stay equal bit by bit there. */
static inline bool scenario_is_equal(size_t i) {
    return i % 8 == 3;
}

/* All-reduce sums and divides, and a block rounds to multiples of its own scale. */
static inline bool scenario_keeps_equal(const scenario_t *scenario) {
    return scenario->options.algorithm != SGP_ALGORITHM_ALLREDUCE &&
           !sgp_encoding_has_blocks(scenario->options.encoding);
}

/* Seats, of founders and of newcomers. */
int scenario_seats(const scenario_t *scenario);

/* Whether nothing can keep a newcomer away: no node ends, stands still or is cut off. */
bool scenario_is_quiet(const scenario_t *scenario);

/* Whether a fault kills the node, if it lives for so long. */
bool scenario_kills(const scenario_t *scenario, int rank);

/* Whether a node may be out of touch with others for so long that one of them is struck off, or gives way. */
bool scenario_may_strike(const scenario_t *scenario);

void scenario_print(const scenario_t *scenario, FILE *file);

#endif
