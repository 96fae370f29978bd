/* SPDX-License-Identifier: Apache-2.0 */
/* The page as a whole, and its parts alone as an event of /events. */
#ifndef SGP_STATUS_SERVER_PAGE_FRAME_H
#define SGP_STATUS_SERVER_PAGE_FRAME_H

#include "status/server/digest.h"
#include "status/server/render_text.h"

/* flight: whether there is a flight recorder to write. */
void page_render(render_t *text, const sgp_status_snapshot_t *snapshot, const digest_t *digest,
                 bool flight);

/* The page of all members. */
void page_render_members(render_t *text, const sgp_status_snapshot_t *snapshot,
                         const digest_t *digest);

/* An event "status", whose data are the parts of the page. */
void page_render_event(render_t *text, const sgp_status_snapshot_t *snapshot,
                       const digest_t *digest);

enum { PAGE_POLICY = 512 };

/* The content security policy: the page's own style and script by their hashes, and nothing else. */
void page_policy(char policy[PAGE_POLICY]);

#endif
