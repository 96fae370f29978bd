/* SPDX-License-Identifier: Apache-2.0 */
/* VIEW messages: the payload in which a view (group/view.h), or news of it, travels from a member to
 * another.
 *
 *     at  bytes  field
 *      0    2    count of the notices
 *      2    2    flags
 *      4         the notices, each with its card (group/member_notice.h)
 *
 * Merging is idempotent and commutative, so a view that does not fit into one message is sent as
 * several, of which each is whole, in any order. Pure functions over bytes and a view; none
 * allocates. */
#ifndef SGP_GROUP_VIEW_MESSAGE_H
#define SGP_GROUP_VIEW_MESSAGE_H

#include "group/view.h"

#define SGP_VIEW_HEAD       4
#define SGP_VIEW_MOST_BYTES ((size_t)64 << 10) /* of a message */

/* The room in which at least one more notice fits. */
#define SGP_VIEW_LEAST_ROOM (SGP_VIEW_HEAD + SGP_MEMBER_NOTICE_BYTES + SGP_MEMBER_CARD_BYTES)

/* Flag of a message: its sender has not heard the receiver for longer than a member may be silent. */
#define SGP_VIEW_YOU_WERE_SILENT 0x0001u

/* Where the next message of a view begins. All zero: at its start. Valid as long as the view lives,
 * also while it changes; what is then left out differs in the digest. */
typedef struct sgp_view_cursor {
    int seat;
    unsigned part; /* notices of the seat that were written */
    bool done;     /* the last message was the last one */
} sgp_view_cursor_t;

/* Writes the next message of the view, of at most `room` bytes, which are at least
 * SGP_VIEW_LEAST_ROOM; room beyond SGP_VIEW_MOST_BYTES is not used. Returns its bytes. Call until
 * cursor->done. A view of the founders alone is one message without notices. */
size_t sgp_view_encode(const sgp_view_t *view, unsigned flags, sgp_view_cursor_t *cursor,
                       unsigned char *bytes, size_t room);

/* Writes a message of these notices, which pass sgp_view_check. Returns its bytes; 0: they do not
 * fit. */
size_t sgp_view_encode_notices(const sgp_member_notice_t *notices, int count, unsigned flags,
                               unsigned char *bytes, size_t room);

/* Merges the notices of a message. *news: whether the digest has changed. *flags: of the message.
 * SGP_ERR_FORMAT: the message is not valid, *reason (static) is the cause, and nothing has changed:
 * all notices are checked before the first is merged. Nobody may write to bytes meanwhile: copy those
 * that lie in another process's memory. Does not log. */
sgp_status_t sgp_view_decode(sgp_view_t *view, const unsigned char *bytes, size_t size,
                             unsigned *flags, bool *news, const char **reason);

#endif
