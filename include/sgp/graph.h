/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends to whom in a step, and with what weight: pure functions of (graph, rank, step).
 *
 * A graph describes, for each step k, a mixing matrix P with P[i][j] the share of its mass that
 * node j gives to node i. Its columns sum to one: node j keeps 1 - (sum of its out-weights). That
 * alone keeps the average (PushSum; Assran et al. 2019, section 3). Thread-safe: nothing is stored.
 */
#ifndef SGP_GRAPH_H
#define SGP_GRAPH_H

#include <sgp/status.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sgp_graph_kind {
    SGP_GRAPH_EXPONENTIAL = 0, /* hops j (p+1)^i, j = 1..p, i = step mod ceil(log_{p+1} n) */
    SGP_GRAPH_RING,            /* peers 1: to rank + 1; peers 2: to both neighbours */
    SGP_GRAPH_COMPLETE,        /* to everybody; `peers` has no meaning */
} sgp_graph_kind_t;

/* A plain value: copy it freely. All zero but `size` is the one-peer exponential graph. */
typedef struct sgp_graph {
    sgp_graph_kind_t kind; /* SGP_GRAPH_EXPONENTIAL */
    int size;              /* nodes, n >= 1; required */
    int peers;             /* out-peers per step, p < n; 0: one */
} sgp_graph_t;

typedef struct sgp_edge {
    int peer;
    double weight; /* share of the sender's mass, in (0, 1) */
} sgp_edge_t;

/* SGP_ERR_INVALID if size < 1, peers < 0, peers >= size (unless size is 1), or peers > 2 on a ring;
 * logs which. */
SGP_API sgp_status_t sgp_graph_check(const sgp_graph_t *graph);

/* The largest number of edges that sgp_graph_out or sgp_graph_in can write for any rank and step.
 */
SGP_API int sgp_graph_max_degree(const sgp_graph_t *graph);

/* Steps after which the sequence of mixing matrices repeats; >= 1. */
SGP_API int sgp_graph_period(const sgp_graph_t *graph);

/* Writes the out-edges of `rank` at `step` (edge.peer: the receiver), in ascending order of peer,
 * each peer once, never `rank` itself; returns how many (0 when alone). The share kept is 1 - the
 * sum of the weights. Where two hops of a step meet in one peer, or in the sender itself (n no
 * power of p + 1), the peer is taken once and the weights stay uniform: 1 / (distinct peers + 1).
 * edges: (sgp_graph_max_degree). */
SGP_API int sgp_graph_out(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges);

/* The in-edges of `rank` at `step` (edge.peer: the sender; edge.weight: the share of the sender's
 * mass), ascending; returns how many. edges: (sgp_graph_max_degree). */
SGP_API int sgp_graph_in(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges);

/* "exponential", "ring", "complete"; never NULL, static. */
SGP_API const char *sgp_graph_name(sgp_graph_kind_t kind);

/* The kind of that name. SGP_ERR_NOT_FOUND leaves *kind as it was. */
SGP_API sgp_status_t sgp_graph_parse(const char *name, sgp_graph_kind_t *kind);

#ifdef __cplusplus
}
#endif
#endif
