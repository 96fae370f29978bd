/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the page, each an element with an id, which the page's script replaces when a new one arrives. Called by
 * page_frame.c. No attribute `style` and no event handler: the server's content security policy forbids them. */
#ifndef SGP_STATUS_SERVER_PAGE_PARTS_H
#define SGP_STATUS_SERVER_PAGE_PARTS_H

#include "status/server/digest.h"
#include "status/server/render_text.h"

enum {
    PAGE_ALL =
        12, /* members: up to so many are in one table; of more, the healthy ones are folded away */
    PAGE_EACH = 64, /* members that are drawn one by one, and whose rows are all on the page */
    PAGE_ROWS = 32, /* of members in trouble, and of bars, where there are more members than that */
    PAGE_EDGES = 256 /* rows of edges */
};

/* Trouble in words, then the members in order of trouble. */
void page_members(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest);

/* The table of all members, without folding. */
void page_all_members(render_t *text, const sgp_status_snapshot_t *snapshot,
                      const digest_t *digest);

/* Loss and accuracy over time. */
void page_curves(render_t *text, const sgp_status_snapshot_t *snapshot);

/* The graph of the step, and its edges. */
void page_graph(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest);

/* Where the time of a step goes. */
void page_bars(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest);

/* The last log lines. */
void page_log(render_t *text, const sgp_status_snapshot_t *snapshot);

/* "live", "slow", ...: of a member, as the page names and marks it; static. */
const char *page_state(const sgp_status_member_t *member, bool slow);

/* The mark of such a state: a character of its own shape; static, HTML. */
const char *page_mark(const char *state);

#endif
