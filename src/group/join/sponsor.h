/* SPDX-License-Identifier: Apache-2.0 */
/* The sponsor's side of joining a running group: this member answers candidates (candidate.h) that call its listener, gives
 * each a seat, and tells it all that it needs to connect. Created and served by the run, or by whoever owns an elastic group
 * with free seats; every member can be a sponsor. It makes no notice itself: its owner does (sgp_sponsor_owner_t).
 *
 * Handshakes are made by the transport's progress thread. All else happens in sgp_sponsor_serve, which the thread that makes
 * the transport's calls calls often: where it looks at its inbox, or between two steps. It never blocks, and serves a few
 * candidates at a time, each within time limits; without one it costs one atomic load.
 *
 * The order of events for one candidate: offer, snapshot if it wants one, admit, parted(admitted true); or parted(admitted false) at any time. The
 * protocol is in docs/membership.md, "Joining". */
#ifndef SGP_GROUP_JOIN_SPONSOR_H
#define SGP_GROUP_JOIN_SPONSOR_H

#include "group/join/card.h"
#include "group/join/enter_message.h"
#include "transport/visitor.h"

typedef struct sgp_sponsor sgp_sponsor_t;

/* A candidate that has been offered a seat. */
typedef struct sgp_sponsored {
    uint64_t candidate;
    int seat;
    uint32_t incarnation;
    const unsigned char *card; /* (SGP_CARD_BYTES) for its JOIN notice */
    const sgp_endpoint_t *endpoint;
    const void *detail; /* (detail_bytes) as it has sent it; only in offer */
    size_t detail_bytes;
} sgp_sponsored_t;

/* The owner's part of a WELCOME: borrowed until offer has returned and the sponsor has copied it. */
typedef struct sgp_sponsor_offer {
    const void *
        view; /* (view_bytes) at most SGP_ENTER_VIEW_BYTES: VIEW messages, each behind its length of 4 bytes */
    size_t view_bytes;
    const void *blob; /* (blob_bytes) at most SGP_ENTER_BLOB_BYTES: the options of the run */
    size_t blob_bytes;
} sgp_sponsor_offer_t;

typedef struct sgp_sponsor_owner {
    /* Whether the seat may be given now, and the incarnation of its next member: for an owner that knows more than the
     * transport, such as the group's view. NULL: every seat may whose member is gone for the transport. */
    bool (*is_free)(void *context, int seat, uint32_t *incarnation);

    /* A candidate asks, and would get that seat. Fills in *offer. false: it is refused; why: (SGP_ENTER_REASON) the
     * reason, which names what differs on both sides. */
    bool (*offer)(void *context, const sgp_sponsored_t *candidate, sgp_sponsor_offer_t *offer,
                  char *why);

    /* It wants the state of the run: *bytes: (*count) malloc, the sponsor frees it; at most SGP_ENTER_STATE_BYTES. false: it
     * is refused. NULL: there is none. */
    bool (*snapshot)(void *context, const sgp_sponsored_t *candidate, void **bytes, size_t *count,
                     char *why);

    /* It has the state of the run and listens: makes its JOIN notice. *step: from which it takes part. false: it is
     * refused; *again: it may ask for another seat at once. */
    bool (*admit)(void *context, const sgp_sponsored_t *candidate, uint64_t *step, bool *again,
                  char *why);

    /* Whether it is certain by now that the seat of its notice is its own, or has gone to another one (*stays: false): then it is
     * refused, and may ask again. It is told the step only then. NULL: it is, at once. */
    bool (*settled)(void *context, const sgp_sponsored_t *candidate, bool *stays);

    /* The sponsor forgets it: it was told that it is admitted, or is gone or refused before that. */
    void (*parted)(void *context, const sgp_sponsored_t *candidate, bool admitted);
    void *context;
} sgp_sponsor_owner_t;

typedef struct sgp_sponsor_options {
    sgp_transport_t *transport; /* borrowed; sgp_transport_can_admit */
    uint64_t options;           /* hash of the run's options; a candidate may insist on it */
    int peer_timeout_ms;        /* of the group, passed on; 0: the default */
    int request_ms; /* for a candidate to send its request, or to take the last message; 0: 10,000 */
    int ready_ms;   /* from its WELCOME until it is ready; 0: 600,000 */
    int most;       /* candidates at a time; 0: 4 */
    sgp_sponsor_owner_t owner; /* copied */
} sgp_sponsor_options_t;

/* From now on the transport lets visitors in. Sets *sponsor only on success. SGP_ERR_UNSUPPORTED: nobody can call this
 * transport; SGP_ERR_NO_MEMORY; logged. */
sgp_status_t sgp_sponsor_create(const sgp_sponsor_options_t *options, sgp_sponsor_t **sponsor);

/* Candidates are left without an answer: they ask another member. NULL is fine. */
void sgp_sponsor_destroy(sgp_sponsor_t *sponsor);

/* Does what can be done now. Never blocks. */
void sgp_sponsor_serve(sgp_sponsor_t *sponsor);

/* Candidates that are being served. */
int sgp_sponsor_candidates(const sgp_sponsor_t *sponsor);

/* The seat of a candidate has gone to another one, whose sponsor was another member: it is refused, and asks again. No
 * effect if this sponsor does not know it. */
void sgp_sponsor_withdraw(sgp_sponsor_t *sponsor, uint64_t candidate, const char *why);

#endif
