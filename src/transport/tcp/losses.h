/* SPDX-License-Identifier: Apache-2.0 */
/* Who is gone, and who is told. In the thread of the links.
 *
 * A loss is said on all open links before the owner of the links knows of it: a process that ends because of a loss
 * has named the cause by then, and its own end is not taken for one. */
#ifndef SGP_TRANSPORT_TCP_LOSSES_H
#define SGP_TRANSPORT_TCP_LOSSES_H

#include "transport/tcp/tcp_engine.h"

/* A rank is lost; the first word counts. why: for people. Where its connections ended and it had told of
 * another's loss before, its end follows that one. */
__attribute__((format(printf, 4, 5))) void sgp_links_lose(sgp_links_t *links, int rank,
                                                          sgp_cause_t cause, const char *why, ...);

/* A rank has left in order. */
void sgp_links_note_left(sgp_links_t *links, int rank);

/* A peer says that another rank is lost (word: sgp_loss_pack) or has left. */
void sgp_links_heard_lost(sgp_links_t *links, int from, uint32_t word);
void sgp_links_heard_left(sgp_links_t *links, uint32_t rank);

/* What the owner has noticed, the latest first; frees them. */
void sgp_links_take_notes(sgp_links_t *links, sgp_noticed_t *notes);

/* An edge has been opened: tells it what is known of others. */
void sgp_links_note_open(sgp_links_t *links, sgp_link_t *link);

/* Tells the owner of losses once they have been said, or could not be for a while. Last in everything that the loop
 * calls. */
void sgp_links_publish(sgp_links_t *links);

#endif
