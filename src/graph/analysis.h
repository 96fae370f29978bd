/* SPDX-License-Identifier: Apache-2.0 */
/* Measures how well a graph averages, from its mixing matrices. For the program and the benchmarks, not for
 * the step path: it allocates a few n x n matrices and takes O(n^3).
 *
 * With M = P_{K-1} ... P_0 and the push-sum weights w = M 1, after K steps node i holds
 * z_i = (M x)_i / w_i: R x with R = diag(w)^-1 M, whose rows sum to one. Exact averaging is
 * R = 1 1^T / n. Where rows of the P sum to one as well (all kinds but random-uneven), w = 1 and R = M. */
#ifndef SGP_GRAPH_ANALYSIS_H
#define SGP_GRAPH_ANALYSIS_H

#include <sgp/graph.h>

enum {
    SGP_ANALYSIS_NODES = 1024,         /* the most that are analyzed */
    SGP_ANALYSIS_VARIANCE_NODES = 512, /* above, the variance is left out */
    SGP_ANALYSIS_VARIANCE_STEPS = 200, /* of a random graph that the variance is the mean of */
};

typedef struct sgp_graph_analysis {
    int steps;          /* K */
    int exact;          /* steps from step 0 to the exact mean (deviation < 1e-13); -1: not within
                           two periods */
    double contraction; /* over K steps: largest singular value of R - 1 1^T / n */
    double per_step;    /* its K-th root */
    double deviation;   /* over K steps: largest |R[i][j] - 1 / n|, the rest of a unit impulse */
    double edges;       /* messages in a step, all nodes together, mean over K steps */

    /* Every node adds noise of variance 1 to x in each step, then they mix: the limit of the mean over nodes of
     * (z_i - mean z)^2, after mixing, averaged over the steps of a period. A random graph has no period: its mean over
     * SGP_ANALYSIS_VARIANCE_STEPS steps. NAN above SGP_ANALYSIS_VARIANCE_NODES. */
    double variance;
} sgp_graph_analysis_t;

/* graph: has passed sgp_graph_check. steps: K, from step 0; 0: a period. Sets *analysis only on
 * success.
 * SGP_ERR_UNSUPPORTED: more than SGP_ANALYSIS_NODES nodes. SGP_ERR_NO_MEMORY. Both are logged. */
sgp_status_t sgp_graph_analyze(const sgp_graph_t *graph, int steps, sgp_graph_analysis_t *analysis);

#endif
