/* SPDX-License-Identifier: Apache-2.0 */
/* Which ranks are lost or have left, as the progress thread knows it: a ledger of one entry per
 * seat, which changes once for each of its members.
 *
 * A change passes two steps, in order. First the peers are told of a loss and posts to the rank are
 * dropped (sgp_losses_next); then, once the frames that tell it are sent, the owner learns it
 * (sgp_losses_publish). So a process that ends because of a loss has named the cause by then, and
 * its own end is not taken for one.
 *
 * No socket, no lock: edges.c acts on it. */
#ifndef SGP_TRANSPORT_TCP_LOSSES_H
#define SGP_TRANSPORT_TCP_LOSSES_H

#include "transport/fates.h"
#include "transport/tcp/frame.h"

typedef struct sgp_loss {
    sgp_fate_t fate;
    uint32_t incarnation; /* of the seat's latest member */
    char *why;            /* owned; NULL: the cause's text */
    int told;             /* the first loss that this rank has told of; -1: none */
} sgp_loss_t;

/* Embedded; private. */
typedef struct sgp_losses {
    int rank, capacity;
    bool elastic;            /* no rank ends because of another's loss; set by edges.c */
    sgp_loss_t *of;          /* (capacity) */
    int *changed;            /* (capacity) ranks in the order of their changes */
    int count, acted, known; /* of these; known <= acted <= count */
    unsigned changes;        /* so far */
    uint64_t since; /* when the first one of those not published yet was noticed, nanoseconds */
} sgp_losses_t;

/* All present but the seats from `size` on, which are absent. SGP_ERR_NO_MEMORY (logged).
 * sgp_losses_fini is due in every case. */
sgp_status_t sgp_losses_init(sgp_losses_t *losses, int rank, int capacity, int size);

/* The seat's latest member, in place of the one whose change was published, or before the first change. */
void sgp_losses_seat(sgp_losses_t *losses, int rank, uint32_t incarnation, bool present);
void sgp_losses_fini(sgp_losses_t *losses);

static inline sgp_fate_state_t sgp_losses_state(const sgp_losses_t *losses, int rank) {
    return losses->of[rank].fate.state;
}

/* The rank is lost, or has left; no effect after the first change. why: copied; NULL: the cause's
 * text. A rank whose connection ended or that refuses calls follows the loss that it has told of,
 * if any. */
void sgp_losses_lose(sgp_losses_t *losses, int rank, sgp_fate_t fate, const char *why);
void sgp_losses_leave(sgp_losses_t *losses, int rank);

/* The rank `from`, called `name`, says that another one is lost (word: sgp_loss_pack), or that it is
 * itself: it aborts. A word that is none is ignored. Words and frames tell of founders: they do not name
 * an incarnation, and one that is late must not strike off the next member of the seat. */
void sgp_losses_heard(sgp_losses_t *losses, int from, const char *name, uint32_t word);

/* Whether the word says that this rank itself is lost. */
bool sgp_losses_names_self(const sgp_losses_t *losses, uint32_t word);

/* The next rank that changed, to be acted on; -1: none. */
int sgp_losses_next(sgp_losses_t *losses);

/* The frame that tells a peer of this rank's change. false: there is nothing to tell. A rank that
 * followed another's loss is not told of: a peer that knows the cause sees the rest. Neither is a
 * newcomer: the views of the group (group/view_message.h) tell of those. */
bool sgp_losses_frame(const sgp_losses_t *losses, int rank, sgp_frame_kind_t *kind,
                      uint32_t *value);

/* When the oldest change was noticed that the owner does not know, nanoseconds; 0: no loss is among
 * these. */
uint64_t sgp_losses_unpublished(const sgp_losses_t *losses);

/* Calls note(owner, ...) for each change that was acted on and not published. */
void sgp_losses_publish(sgp_losses_t *losses,
                        void (*note)(void *owner, int rank, sgp_fate_t fate, const char *why),
                        void *owner);

#endif
