/* SPDX-License-Identifier: Apache-2.0 */
/* What a rank of an elastic group knows of its contact to one other (docs/membership.md, "Silence"): when it last heard
 * it, and what the two say of each other in their pulses. Called by edges.c, in the progress thread; no socket, no clock.
 * Times are nanoseconds of the process's clock. */
#ifndef SGP_TRANSPORT_TCP_CONTACT_H
#define SGP_TRANSPORT_TCP_CONTACT_H

#include "transport/silence_limits.h"
#include "transport/tcp/frame.h"

/* Embedded. Zeros: there was no connection. */
typedef struct sgp_contact {
    uint64_t heard; /* the last byte, over connections that have ended */
    uint64_t
        broken; /* when the last connection ended, and not in order; 0: there is one, or was none */
    uint32_t flags;        /* of the other's last pulse */
    unsigned noted;        /* sgp_silence_t, as the owner knows */
    bool untold;           /* the other is or was silent, and has not been told of it since */
    _Atomic uint64_t last; /* the last byte, as of the last look; for other threads */
} sgp_contact_t;

/* A connection to it was opened. */
void sgp_contact_opened(sgp_contact_t *contact);

/* One has ended, over which the last byte came then. */
void sgp_contact_closed(sgp_contact_t *contact, uint64_t heard);

/* The last one has ended, and not in order. */
void sgp_contact_lost(sgp_contact_t *contact, uint64_t now);

/* A pulse of the other has come. true: it says for the first time that this rank was silent. */
bool sgp_contact_hear(sgp_contact_t *contact, uint32_t flags);

/* The flags of a pulse to the other, which the caller sends. */
uint32_t sgp_contact_speak(sgp_contact_t *contact, bool hangs);

/* heard: the last byte over an open connection; 0: none is open. Returns the reasons for which it is silent. */
unsigned sgp_contact_look(sgp_contact_t *contact, uint64_t heard, uint64_t now,
                          const sgp_limits_t *limits);

/* How long nothing has been heard, as of the last look; 0: there was no connection. */
uint64_t sgp_contact_silence(const sgp_contact_t *contact, uint64_t now);

/* This process did not run for so long until now, and has not listened. */
void sgp_contact_forgive(sgp_contact_t *contact, uint64_t late, uint64_t now);

#endif
