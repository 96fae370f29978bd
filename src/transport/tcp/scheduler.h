/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is on the line into a node, and on the one out of it.
 *
 * Two vectors that come into a node at once share its line, and both arrive late. In lock step that grows: the
 * node that waits for the earlier one pushes late itself, while the sender of the later one had no need to hurry,
 * and the nodes drift apart until every step of theirs meets another one on some line. (tests/transport/test_scheduler.c has a
 * model: a step of 8 nodes whose push takes 200 ms takes 280 with shared lines, 211 in turns.)
 * So a line serves the messages of one step at a time, those that began first, and the others are held: a sender
 * leaves them in their queue, a receiver does not read them. Messages of one step share. Who begins first is
 * served first, whatever the steps are, so that nobody waits for ever.
 *
 * A line must not idle for that: where those whose turn it is leave more than three quarters of it free (a slow
 * sender, a receiver that holds them in its turn), it is open to all for a while, and then tried again.
 *
 * Pure functions; the links (links.c) own the sockets and the clock. Times are nanoseconds. */
#ifndef SGP_TRANSPORT_TCP_SCHEDULER_H
#define SGP_TRANSPORT_TCP_SCHEDULER_H

#include <stdbool.h>
#include <stdint.h>

/* How long the line is watched before it is judged. */
#define SGP_SCHEDULER_WINDOW ((uint64_t)20000000)

/* The message under way on one connection. */
typedef struct sgp_turn {
    uint64_t
        order; /* in which messages began, from 1; 0: none is under way, or one that need not wait */
    uint64_t step;
} sgp_turn_t;

/* One line. Embedded; zeros are an idle one. */
typedef struct sgp_scheduler {
    uint64_t begun; /* messages so far */
    sgp_turn_t first;
    uint64_t lowest, highest; /* steps under way */
    bool open;
    unsigned windows;            /* for so many more */
    unsigned patience;           /* for so many the next time */
    uint64_t since;              /* begin of this window; 0: there is none */
    uint64_t held_since;         /* when all were served last */
    uint64_t moved, moved_first; /* bytes in this window */
    double line;                 /* bytes per nanosecond that it has carried of late */
} sgp_scheduler_t;

/* A message begins. */
sgp_turn_t sgp_scheduler_begin(sgp_scheduler_t *scheduler, uint64_t step);

/* Finds the first one: look, then see for every connection. */
void sgp_scheduler_look(sgp_scheduler_t *scheduler);
void sgp_scheduler_see(sgp_scheduler_t *scheduler, const sgp_turn_t *turn);

/* Messages of several steps are under way: windows have to be closed. */
bool sgp_scheduler_contended(const sgp_scheduler_t *scheduler);

bool sgp_scheduler_may(const sgp_scheduler_t *scheduler, const sgp_turn_t *turn);

/* Bytes of a message have passed. */
void sgp_scheduler_moved(sgp_scheduler_t *scheduler, const sgp_turn_t *turn, uint64_t bytes);

/* Opens a window if there is none, closes one that is over, and judges it. most_held: nobody is held for
 * longer without a moment of service. true: who may has changed. */
bool sgp_scheduler_watch(sgp_scheduler_t *scheduler, uint64_t now, uint64_t most_held);

/* Nothing is contended any more. */
void sgp_scheduler_rest(sgp_scheduler_t *scheduler);

#endif
