/* SPDX-License-Identifier: Apache-2.0 */
/* One run of a scenario: the real code of group, mixing and loopback, in virtual time. Checks what must hold after each
 * step and call, and at the end. Used inside tests/simulation. */
#ifndef SGP_TESTS_SIMULATION_SIMULATION_RUN_H
#define SGP_TESTS_SIMULATION_SIMULATION_RUN_H

#include "scenario.h"

typedef struct outcome {
    char failure[320];  /* the first thing that does not hold; "": all is well */
    uint64_t hash;      /* of all results of the nodes that came to the end */
    int lost;           /* nodes that did not */
    int joined;         /* newcomers that have come in */
    int torn, returned; /* messages */
    int steps, calls;   /* that were made and checked, of all nodes */
} outcome_t;

/* trace: NULL, or where steps, messages and calls are told. */
void simulation_run_scenario(const scenario_t *scenario, FILE *trace, outcome_t *outcome);

/* Whether a group that is elastic can use the algorithm. */
bool simulation_can_use(sgp_algorithm_t algorithm);

#endif
