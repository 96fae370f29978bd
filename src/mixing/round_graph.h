/* SPDX-License-Identifier: Apache-2.0 */
/* The graph of a round. In an elastic group it is formed over the plan of the round's step (group/membership.h), without the
 * nodes that were not in the last exact average: all nodes with the same view have the same graph. A node that hears of a
 * change after its step has used the old one meanwhile; questions.h and late.h make that safe. For the algorithms that
 * push. */
#ifndef SGP_MIXING_ROUND_GRAPH_H
#define SGP_MIXING_ROUND_GRAPH_H

#include "group/membership.h"
#include "mixing/mixer_core.h"

/* mixer->graphs, in an elastic group. SGP_ERR_NO_MEMORY, logged. fini accepts zeros. */
sgp_status_t sgp_round_graphs_init(sgp_mixer_t *mixer);
void sgp_round_graphs_fini(sgp_mixer_t *mixer);

/* Where the mixer is. */
sgp_moment_t sgp_round_moment(const sgp_mixer_t *mixer);

/* At the beginning of a step of an elastic group: mixer->graph is that of its round from here on. */
void sgp_round_graph_begin(sgp_mixer_t *mixer);

/* The edges of this node in a round, with ranks of the group as peers; returns how many. edges: (sgp_holes_degree). Fine for
 * a group that is not elastic. */
int sgp_holes_out(const sgp_mixer_t *mixer, uint64_t round, sgp_edge_t *edges);
int sgp_holes_in(const sgp_mixer_t *mixer, uint64_t round, sgp_edge_t *edges);

/* The ranks of the nodes of the present graph, ascending, and this node's place among them; returns how many. seats: (size).
 * Fine for a group that is not elastic: all of them. */
int sgp_round_seats(const sgp_mixer_t *mixer, int *seats, int *place);

/* Edges of a node in a round at most, whatever the plan. */
size_t sgp_holes_degree(const sgp_mixer_t *mixer);

/* From the next step on the graph is without the nodes that are not there, this one is; all of them call it settled, after the
 * same step. there: (size) by rank. */
void sgp_holes_reform(sgp_mixer_t *mixer, const bool *there);

/* mixer->graph has been set to the options' graph: it is that of the present plan. Fine for a group that is not elastic. */
void sgp_holes_shrink_graph(sgp_mixer_t *mixer);

#endif
