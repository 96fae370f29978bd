/* SPDX-License-Identifier: Apache-2.0 */
/* The books of a simulation: what every node's push-sum weight must be, from the messages that its transport has carried.
 * They stand between the mixing and the transport: each rank's table of calls is replaced by one that keeps the books and
 * passes the call on. So they know nothing of the mixing's own arithmetic. Used inside tests/simulation.
 *
 * A weight leaves its sender with the first commit of a message. It arrives at the receiver with the release of the last
 * chunk, if all chunks have come. It comes back with take_back. A message of a sender that is lost is torn unless all of
 * it was there in time: if all its chunks have come, but one of them after the loss, both are right. So are both of a torn
 * message in steps of several rounds.
 *
 * Any rank's thread may call; a rank that was killed changes nothing. */
#ifndef SGP_TESTS_SIMULATION_BOOKS_H
#define SGP_TESTS_SIMULATION_BOOKS_H

#include "scenario.h"

typedef struct books books_t;

/* trace: NULL, or where each message is told. */
books_t *books_create(const scenario_t *scenario, FILE *trace);
void books_destroy(books_t *books);

/* Before the first message of the rank. */
void books_watch(books_t *books, sgp_transport_t *transport);

/* Whether a fault has killed the rank. */
bool books_killed(sgp_transport_t *transport);

/* After an exact average of the rank: each of its messages to a node that was gone before it has come back, or was released
 * as a whole. gone: (nodes) then. */
void books_check_returned(books_t *books, int rank, const bool *gone);

/* The rank is in an exact average, or has returned from it. It may drop messages of nodes that are lost or have left, whole or
 * not: the graph that had them is no more. So it may after it with messages of those that did not take part, whose weight is not among
 * those that were scaled. there: (SCENARIO_SEATS) */
void books_average(books_t *books, int rank);
void books_averaged(books_t *books, int rank, const bool *there);

/* Whether the weight can be that of the rank, now that no message is half absorbed; what it should be else. From then on
 * the books go on from it. */
bool books_agree(books_t *books, int rank, double weight, double *expected);

/* The rank's weight was scaled, with nothing else since books_agree would have been right: returns the factor, or NAN if it
 * is unknown (a torn message). */
double books_rescaled(books_t *books, int rank, double weight);

/* Of a rank's pushes since the last call: the least weight that it kept of w where it sent more than 1/1024 of w to a
 * receiver; INFINITY: there was none. */
double books_least_kept(books_t *books, int rank);

/* After the run: the first thing that a transport did against its contract, or NULL. */
const char *books_breach(books_t *books);

/* Of all ranks: messages that were torn, and that came back. */
int books_torn(const books_t *books);
int books_returned(const books_t *books);

#endif
