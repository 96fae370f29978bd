/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that want to become members of the running group: they have called this rank's listener and shaken hands, and
 * wait for the owner (take_visitor of transport.h). The progress thread puts them in, the owner takes them out; a few
 * wait at most. */
#ifndef SGP_TRANSPORT_TCP_VISITORS_H
#define SGP_TRANSPORT_TCP_VISITORS_H

#include "transport/visitor.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SGP_MOST_VISITORS 8

/* Embedded; private. */
typedef struct sgp_visitors {
    pthread_mutex_t lock; /* of all below */
    bool admitted;
    atomic_int count;
    sgp_visitor_t waiting[SGP_MOST_VISITORS]; /* the earliest first */
} sgp_visitors_t;

void sgp_visitors_init(sgp_visitors_t *visitors);
void sgp_visitors_fini(sgp_visitors_t *visitors); /* closes the sockets */

/* Without admission, those that wait are sent away. */
void sgp_visitors_admit(sgp_visitors_t *visitors, bool admits);

bool sgp_visitors_are_admitted(sgp_visitors_t *visitors);

/* As many wait as may. */
bool sgp_visitors_are_many(const sgp_visitors_t *visitors);

/* Takes the socket and the seals. false: there is no room any more, and the socket is closed. */
bool sgp_visitors_put(sgp_visitors_t *visitors, const sgp_visitor_t *visitor);

/* The caller closes its socket by sgp_fork_close, and destroys its seals. false: none waits. */
bool sgp_visitors_take(sgp_visitors_t *visitors, sgp_visitor_t *visitor);

#endif
