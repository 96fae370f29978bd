/* SPDX-License-Identifier: Apache-2.0 */
/* The graph of an algorithm that is given none: the one place that decides it. Pure; any room above mixing may ask. */
#ifndef SGP_MIXING_DEFAULT_GRAPH_H
#define SGP_MIXING_DEFAULT_GRAPH_H

#include <sgp/mixer.h>
#include <stdbool.h>

/* Exponential; bipartite exponential for the algorithms that average in pairs. */
static inline sgp_graph_kind_t sgp_algorithm_default_graph(sgp_algorithm_t algorithm) {
    bool pairs = algorithm == SGP_ALGORITHM_DPSGD || algorithm == SGP_ALGORITHM_ADPSGD;
    return pairs ? SGP_GRAPH_BIPARTITE_EXPONENTIAL : SGP_GRAPH_EXPONENTIAL;
}

/* The same for --help. */
#define SGP_DEFAULT_GRAPH_TEXT "exponential; bipartite-exponential for dpsgd and adpsgd"

#endif
