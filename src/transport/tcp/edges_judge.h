/* SPDX-License-Identifier: Apache-2.0 */
/* Who may open an edge to this rank, or ask to join the group: a part of edges.c, which alone calls it. In the progress
 * thread. */
#ifndef SGP_TRANSPORT_TCP_EDGES_JUDGE_H
#define SGP_TRANSPORT_TCP_EDGES_JUDGE_H

#include "transport/tcp/edge_table.h"

typedef enum sgp_judgement {
    SGP_JUDGED, /* accepted or refused */
    SGP_JUDGED_LATER, /* neither; the connection is to be closed, and the peer calls again: a newcomer that this rank does
                          not know yet, or a visitor while too many wait */
    SGP_JUDGED_SECOND, /* neither; there is a connection of that rank already, edges->of[].in */
} sgp_judgement_t;

/* The peer has shown who it is. */
sgp_judgement_t sgp_edges_judge(sgp_edges_t *edges, sgp_connection_t *connection);

#endif
