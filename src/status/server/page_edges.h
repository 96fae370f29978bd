/* SPDX-License-Identifier: Apache-2.0 */
/* Edges in words and as a table. Called by page_graph.c, which draws them. */
#ifndef SGP_STATUS_SERVER_PAGE_EDGES_H
#define SGP_STATUS_SERVER_PAGE_EDGES_H

#include "status/server/render_text.h"
#include "status/snapshot.h"

/* The index of the member in a seat; snapshot->members: nobody has it. */
size_t page_member_at(const sgp_status_snapshot_t *snapshot, int seat);

/* Edges of the graph of the present step. */
size_t page_edges_in_step(const sgp_status_snapshot_t *snapshot);

/* "0 to 1: 12.3 MB/s, last message 0.2 s ago". */
void page_edge_words(render_t *text, const sgp_status_edge_t *edge);

/* One sentence about all. */
void page_edges_summary(render_t *text, const sgp_status_snapshot_t *snapshot);

/* Those that have been quiet longest first; folded away. */
void page_edges_table(render_t *text, const sgp_status_snapshot_t *snapshot);

#endif
