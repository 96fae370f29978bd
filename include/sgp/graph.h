/* SPDX-License-Identifier: Apache-2.0 */
/* Who sends to whom in a step, and with what weight: pure functions of (graph, rank, step).
 *
 * A graph describes, for each step k, a mixing matrix P with P[i][j] the share of its mass that
 * node j gives to node i. Its columns sum to one: node j keeps 1 - (sum of its out-weights), which
 * is more than 0. That alone keeps the average (PushSum; Assran et al. 2019, section 3). Where rows
 * sum to one as well, a push-sum weight of 1 stays 1. Thread-safe: nothing is stored. */
#ifndef SGP_GRAPH_H
#define SGP_GRAPH_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum sgp_graph_kind {
    /* Hops j (p+1)^i, j = 1..p, i = step mod ceil(log_{p+1} n). Exact after a period if n is a
     * power of p + 1, or one times a number up to p; with p <= 2 for no other n. */
    SGP_GRAPH_EXPONENTIAL = 0,
    /* peers 1: to rank + 1; peers 2: to both neighbours. */
    SGP_GRAPH_RING,
    /* To everybody; `peers` has no meaning. Exact in one step. */
    SGP_GRAPH_COMPLETE,
    /* All hops 2^i < n in every step; `peers` has no meaning. */
    SGP_GRAPH_STATIC_EXPONENTIAL,
    /* Pairs of an even rank r and the odd rank r + h, h = 1, -1, 3, -3, 5, -5, 9, -9, ...
     * (+-1, +-(1 + 2^i)) in turn, modulo n. For odd n modulo n + 1, and the even rank whose partner
     * would be node n idles: another one for each h. peers p > 1: p values of h in each step.
     * Weights are 1/(p+1). */
    SGP_GRAPH_BIPARTITE_EXPONENTIAL,
    /* In step k all nodes draw the same random permutation s of the ranks and the same p distinct
     * hops h of 1..n-1, a function of (seed, k); s[i] sends to s[(i + h) mod n]. In- and out-degree
     * are p, so a push-sum weight of 1 stays 1. */
    SGP_GRAPH_RANDOM,
    /* The Base-(p+1) graph (Takezawa et al. 2023): at most p neighbours in a step, and exact after
     * a period for every n. Weights are not uniform, and a node may idle. */
    SGP_GRAPH_BASE,
    /* In each step each node draws p distinct receivers on its own, all sets with equal
     * probability: a function of (seed, step, rank). In-degrees differ, so push-sum weights move,
     * and with them the effective learning rate lr / w: training diverges. For experiments on the
     * weight only. */
    SGP_GRAPH_RANDOM_UNEVEN,
} sgp_graph_kind_t;

/* A plain value: copy it freely. All zero but `size` is the one-peer exponential graph. */
typedef struct sgp_graph {
    sgp_graph_kind_t kind; /* SGP_GRAPH_EXPONENTIAL */
    int size;              /* nodes, n >= 1; required */
    int peers;             /* out-peers per step, p < n; 0: one */
    uint64_t seed;         /* of the two random kinds; 0. Unused by the others */
} sgp_graph_t;

typedef struct sgp_edge {
    int peer;
    double weight; /* share of the sender's mass, in (0, 1) */
} sgp_edge_t;

/* SGP_ERR_INVALID if size < 1, peers < 0, peers >= size (unless size is 1), peers > 2 on a ring, or
 * more peers than a bipartite exponential graph has values of h; logs which. The functions below
 * require a graph that passed. */
SGP_API sgp_status_t sgp_graph_check(const sgp_graph_t *graph);

/* The largest number of edges that sgp_graph_out or sgp_graph_in can write for any rank and step.
 */
SGP_API int sgp_graph_max_degree(const sgp_graph_t *graph);

/* Steps after which the sequence of mixing matrices repeats; >= 1. The random graphs never
 * repeat: there it is ceil(log_{p+1} n), the fewest steps in which something can reach everybody. */
SGP_API int sgp_graph_period(const sgp_graph_t *graph);

/* Whether the mixing matrix of every step is symmetric and doubly stochastic, as D-PSGD needs it:
 * bipartite exponential, base, complete, a ring with two peers, and every graph that is so small
 * that each node sends to all others in every step. */
SGP_API bool sgp_graph_symmetric(const sgp_graph_t *graph);

/* Writes the out-edges of `rank` at `step` (edge.peer: the receiver), in ascending order of peer,
 * each peer once, never `rank` itself; returns how many (0 when alone, or idle in this step). The
 * share kept is 1 - the sum of the weights. Where two hops of a step meet in one peer, or in the
 * sender itself (n no power of p + 1), the peer is taken once and the weights stay uniform:
 * 1 / (distinct peers + 1).
 * edges: (sgp_graph_max_degree), all of it may be overwritten. */
SGP_API int sgp_graph_out(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges);

/* The in-edges of `rank` at `step` (edge.peer: the sender; edge.weight: the share of the sender's
 * mass), ascending; returns how many. A random graph takes O(n p): the shuffle, or the
 * draws of all nodes, are repeated.
 * edges: (sgp_graph_max_degree), all of it may be overwritten. */
SGP_API int sgp_graph_in(const sgp_graph_t *graph, int rank, uint64_t step, sgp_edge_t *edges);

/* "exponential", "ring", "complete", "static-exponential", "bipartite-exponential", "random",
 * "base", "random-uneven"; "unknown" for a number that is no kind; never NULL, static. */
SGP_API const char *sgp_graph_name(sgp_graph_kind_t kind);

/* The kind of that name. SGP_ERR_NOT_FOUND leaves *kind as it was. */
SGP_API sgp_status_t sgp_graph_parse(const char *name, sgp_graph_kind_t *kind);

#ifdef __cplusplus
}
#endif
#endif
