/* SPDX-License-Identifier: Apache-2.0 */
/* The all-reduces of other systems, as methods of a simulated node: rivals of the library's own, and the ones behind the
 * published figures. All of them really add. They run over the simulated transport alone. */
#ifndef SGP_SIMULATE_RIVAL_ALLREDUCE_H
#define SGP_SIMULATE_RIVAL_ALLREDUCE_H

#include "simulate/simulated_node.h"

extern const simulation_method_t simulation_method_buckets, simulation_method_ring,
    simulation_method_halving, simulation_method_tree;

#endif
