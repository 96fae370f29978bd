/* SPDX-License-Identifier: Apache-2.0 */
/* The table of algorithms: names, capabilities, and the file that implements each. Names in help texts, the default graph
 * and the options that may be combined all come from it. Read only; any thread. */
#ifndef SGP_MIXING_ALGORITHM_TABLE_H
#define SGP_MIXING_ALGORITHM_TABLE_H

#include <sgp/mixer.h>

typedef enum sgp_graph_need {
    SGP_NEEDS_ANY_GRAPH = 0,
    SGP_NEEDS_SYMMETRIC_GRAPH, /* doubly stochastic: every sender receives from its receiver */
    SGP_NEEDS_BIPARTITE_GRAPH, /* active and passive nodes */
    SGP_NEEDS_NO_GRAPH,
} sgp_graph_need_t;

typedef struct sgp_algorithm_info {
    const char *name;
    bool pushes;  /* by PushSum: it has a weight that `biased` can ignore */
    bool rounds;  /* without an overlap it can make several exchanges per step */
    bool pairs;   /* nodes average in pairs: bipartite-exponential is the default graph */
    bool unpaced; /* nodes can be any number of steps apart, and messages do not carry their step */
    sgp_graph_need_t graph;
    const char *no_overlap; /* why it cannot overlap; NULL: it can */

    /* Implementations: in lock step, with an overlap, with an unbounded one, and by the transport's library. NULL: there
     * is none. */
    const struct sgp_algorithm_ops *ops, *overlap_ops, *async_ops, *library_ops;
} sgp_algorithm_info_t;

/* NULL: no such algorithm. Static. */
const sgp_algorithm_info_t *sgp_algorithm_info(sgp_algorithm_t algorithm);

/* "sgp, osgp, dpsgd, adpsgd, allreduce, server": for help and error messages. Static. */
const char *sgp_algorithm_names(void);

/* The graph of a mixer whose options name none: exponential, or bipartite-exponential for pairs. */
sgp_graph_kind_t sgp_algorithm_default_graph(sgp_algorithm_t algorithm);

/* The same for --help. */
#define SGP_DEFAULT_GRAPH_TEXT "exponential; bipartite-exponential for dpsgd and adpsgd"

#endif
