/* SPDX-License-Identifier: Apache-2.0 */
/* A process that joins a running group: it calls any live member, its sponsor (sponsor.h), gets a seat and all that it needs
 * to connect, and reports that it is ready. Called by the run's and the library's way to join in mid-run; nothing here knows
 * the state that it has to fetch in between.
 *
 *     call         blocks: a sponsor has offered a seat
 *     connect      a transport to all members; they answer it once they have opened the seat
 *     ...          the caller fetches the state of the run
 *     ready        blocks: the sponsor has made the JOIN notice
 *
 * Not thread-safe. The protocol is in docs/membership.md, "Joining". */
#ifndef SGP_GROUP_JOIN_CANDIDATE_H
#define SGP_GROUP_JOIN_CANDIDATE_H

#include "group/join/enter_message.h"
#include "transport/transport.h"
#include "wire/key.h"

#include <sgp/encryption.h>

typedef struct sgp_candidate sgp_candidate_t;

typedef struct sgp_candidate_options {
    const char *
        contacts; /* "HOST:PORT" of a member, or of several, with commas between them; tried in that order, and again
                             until the time is up */
    const sgp_key_t *key;          /* NULL: none */
    bool insecure;                 /* without a key: call other machines as well */
    sgp_encryption_t encryption;   /* with a key */
    const char *interface, *ports; /* where it listens (sgp_address_listen) */
    uint64_t options;              /* hash of the options that it insists on; 0: none */
    const void
        *detail; /* (detail_bytes) at most SGP_ENTER_DETAIL_BYTES: for the group's owner to judge */
    size_t detail_bytes;
    int seat;             /* of a member that was struck off by mistake; -1: a new one */
    uint32_t incarnation; /*     its incarnation then */
    int timeout_ms;       /* for call, and to connect; required */
    bool
        waits; /* it calls no other member before it sends: it may lose its seat before it is admitted */
} sgp_candidate_options_t;

/* Sets *candidate only on success. Blocks. SGP_ERR_TIMEOUT: no member was reached, or none has answered;
 * SGP_ERR_REFUSED: the group refuses it; SGP_ERR_MISMATCH: the process there is no member of a running group of this
 * version; SGP_ERR_INVALID, SGP_ERR_NOT_FOUND, SGP_ERR_SYSTEM, SGP_ERR_NO_MEMORY; all logged, with the reason. */
sgp_status_t sgp_candidate_call(const sgp_candidate_options_t *options,
                                sgp_candidate_t **candidate);

/* Closes the call: a sponsor that has not admitted it gives the seat to others. NULL is fine. */
void sgp_candidate_destroy(sgp_candidate_t *candidate);

/* What the sponsor has said; it lives as long as the candidate. */
const sgp_welcome_t *sgp_candidate_welcome(const sgp_candidate_t *candidate);
uint64_t sgp_candidate_id(const sgp_candidate_t *candidate);

/* A transport of the new member, elastic, to all members that are there; once. Does not wait for them. The errors of
 * sgp_tcp_connect. */
sgp_status_t sgp_candidate_connect(sgp_candidate_t *candidate, sgp_transport_t **transport);

/* The state of the run, as the sponsor's owner gives it. *bytes: (*count) malloc, the caller's. SGP_ERR_REFUSED: by the sponsor, or
 * it has more than `most` bytes; SGP_ERR_PEER_LOST, SGP_ERR_TIMEOUT, SGP_ERR_NO_MEMORY; logged. */
sgp_status_t sgp_candidate_fetch(sgp_candidate_t *candidate, int timeout_ms, size_t most,
                                 void **bytes, size_t *count);

/* It does not join: the sponsor logs the reason. Best effort. */
void sgp_candidate_decline(sgp_candidate_t *candidate, const char *why);

/* Reports READY, and waits for the sponsor: it serves candidates between two steps. *step: from which this member takes
 * part. SGP_ERR_REFUSED; SGP_ERR_AGAIN: the seat has gone to another: call again with a new candidate;
 * SGP_ERR_PEER_LOST: the sponsor is gone: the caller looks whether the others know its JOIN notice; SGP_ERR_TIMEOUT;
 * logged. */
sgp_status_t sgp_candidate_ready(sgp_candidate_t *candidate, int timeout_ms, uint64_t *step);

#endif
