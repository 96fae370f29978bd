/* SPDX-License-Identifier: Apache-2.0 */
/* Which messages may use a network link: the one into a node, or the one out of it.
 *
 * Two vectors that come into a node at once share its link, and both arrive late. In lock step that
 * grows: the node that waits for the earlier vector pushes late itself, while the sender of the
 * later one had no need to hurry, and the nodes drift apart until every step of theirs meets
 * another one on some link. (tests/transport/test_scheduler.c has a model: a step of 8 nodes whose
 * push takes 200 ms takes 280 with shared links, 211 when messages take turns.) So a link serves
 * the messages of one step at a time, those that began first. The others are held: a sender leaves
 * them in their queue, also where its receiver has told it to. Messages of one step share the link.
 * The message that began first is served first, whatever its step, so none waits for ever.
 *
 * No link idles because of that: where the messages that are served leave more than three quarters
 * of the link free (a slow sender, or a receiver that holds them), it is open to all messages for a
 * while, and then tried again.
 *
 * Pure functions: traffic.c acts on their decisions. Times are nanoseconds. */
#ifndef SGP_TRANSPORT_TCP_SCHEDULER_H
#define SGP_TRANSPORT_TCP_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

/* How long a link is watched before its use is judged. A loss of packets stops a connection for a
 * few round trips, and lets megabytes arrive at once when it is mended: in windows of 20 ms a link
 * of 100 Mb/s seemed to carry six times its rate, and then to be idle. */
#define SGP_SCHEDULER_WINDOW ((uint64_t)100000000)

/* The message under way on one connection. */
typedef struct sgp_turn {
    uint64_t order; /* of the beginning of messages, from 1; 0: none, or one that need not wait */
    uint64_t step;
} sgp_turn_t;

/* One link. Embedded, private; zeros are an idle one. */
typedef struct sgp_scheduler {
    uint64_t begun;           /* messages so far */
    sgp_turn_t first;         /* the earliest message under way, whose step is served */
    uint64_t lowest, highest; /* steps under way */
    bool open;                /* to all */
    unsigned windows;         /* for so many more */
    unsigned patience;        /* for so many the next time */
    uint64_t since;           /* begin of this window; 0: there is none */
    uint64_t held_since;      /* when all were served last, or the first one began to be served */
    uint64_t held_for;        /* order of the first one then */
    uint64_t moved, moved_first; /* bytes in this window: of all, and of the step that is served */
    double link;                 /* bytes per nanosecond that the link has carried of late */
} sgp_scheduler_t;

/* A message begins. */
sgp_turn_t sgp_scheduler_begin(sgp_scheduler_t *scheduler, uint64_t step);

/* Finds the message that began first: look, then see for every connection. */
void sgp_scheduler_look(sgp_scheduler_t *scheduler);
void sgp_scheduler_see(sgp_scheduler_t *scheduler, const sgp_turn_t *turn);

/* Messages of several steps are under way: call watch twice per window. */
bool sgp_scheduler_contended(const sgp_scheduler_t *scheduler);

/* Whether a message may use the link now. */
bool sgp_scheduler_may(const sgp_scheduler_t *scheduler, const sgp_turn_t *turn);

/* The messages that may use the link now, as one number for a frame: 0: all; else of a step. */
uint32_t sgp_scheduler_turn(const sgp_scheduler_t *scheduler);
uint32_t sgp_turn_of_step(uint64_t step); /* its number */

/* Bytes of a message have passed. */
void sgp_scheduler_moved(sgp_scheduler_t *scheduler, const sgp_turn_t *turn, uint64_t bytes);

/* Opens a window if there is none, closes one that is over, and judges it. While one message is
 * served for longer than most_held, the others have a moment of service each such time. true:
 * another set of messages may use the link now. */
bool sgp_scheduler_watch(sgp_scheduler_t *scheduler, uint64_t now, uint64_t most_held);

/* The link is not contended any more. */
void sgp_scheduler_rest(sgp_scheduler_t *scheduler);

#endif
