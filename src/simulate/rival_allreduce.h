/* SPDX-License-Identifier: Apache-2.0 */
/* The all-reduces that others use, as methods of a simulated node. */
#ifndef SGP_SIMULATE_RIVAL_ALLREDUCE_H
#define SGP_SIMULATE_RIVAL_ALLREDUCE_H

#include "simulate/simulated_node.h"

extern const simulation_method_t simulation_method_buckets, simulation_method_ring,
    simulation_method_halving, simulation_method_tree;

#endif
