/* SPDX-License-Identifier: Apache-2.0 */
/* The answering side of joining: a listener whose callers shake hands and show their card.
 *
 * Where the group is founded, they are seated until it is complete, and then get their rank and all
 * cards. A member that waits itself sends them on to the founder. Nothing blocks: the owner polls the
 * hall's sockets, together with its own, and lets the hall serve them. Each caller has a few seconds
 * until it is seated, so none holds up the others. */
#ifndef SGP_GROUP_JOIN_JOIN_SERVER_H
#define SGP_GROUP_JOIN_JOIN_SERVER_H

#include "group/join/exchange.h"

#include <poll.h>

/* ---- what travels after the handshake ----
 * The caller: its card; READY when it has all cards. The answerer: the messages below. */
typedef enum sgp_note {
    SGP_NOTE_SEATED = 1, /* SGP_ADDRESS_TEXT: of the founder, as others can reach it */
    SGP_NOTE_ELSEWHERE,  /* SGP_ADDRESS_TEXT: call there instead */
    SGP_NOTE_REFUSED,    /* SGP_VERDICT_BYTES: why */
    SGP_NOTE_CARDS,      /* 4: the receiver's rank; then all cards in order of rank */
    SGP_NOTE_READY,      /* nothing: the sender accepts no callers any more */
    SGP_NOTE_BEGIN,      /* nothing: all are ready */
    SGP_NOTE_LAST = SGP_NOTE_BEGIN,
} sgp_note_t;

#define SGP_NOTE_HEADER 8 /* kind, bytes that follow: both 4 bytes, little-endian */

void sgp_note_encode(sgp_note_t note, size_t bytes, unsigned char header[SGP_NOTE_HEADER]);

/* false: not a note, or more than `most` bytes. */
bool sgp_note_decode(const unsigned char header[SGP_NOTE_HEADER], size_t most, sgp_note_t *note,
                     size_t *bytes);

/* ---- the hall ---- */

typedef struct sgp_guest sgp_guest_t;

typedef struct sgp_hall {
    int listener; /* borrowed; -1: no more callers */
    const sgp_meeting_t *meeting;
    const sgp_card_t *mine; /* the founder's own: a rank, or -1; what callers must agree with */
    char founder[SGP_ADDRESS_TEXT]; /* where callers are sent; the founder itself: its address */
    bool seats;                     /* this is the founder */
    sgp_guest_t **guests;           /* (count) */
    int count, room;
    int seated; /* guests whose card is here */
    int order;  /* of arrival */
} sgp_hall_t;

/* Starts empty. */
void sgp_hall_init(sgp_hall_t *hall, int listener, const sgp_meeting_t *meeting,
                   const sgp_card_t *mine, bool seats);
void sgp_hall_fini(sgp_hall_t *hall);

/* Fills places (sgp_hall_places() of them), and after poll serves what is ready; serve is called at least
 * every second. SGP_ERR_NO_MEMORY. */
int sgp_hall_places(const sgp_hall_t *hall);
void sgp_hall_watch(const sgp_hall_t *hall, struct pollfd *places);
sgp_status_t sgp_hall_serve(sgp_hall_t *hall, const struct pollfd *places);

/* With all seated: gives ranks, tells everybody, and waits until all are ready. *all: (size), the
 * caller frees it; *rank: ours. SGP_ERR_PEER_LOST, SGP_ERR_TIMEOUT (logged). */
sgp_status_t sgp_hall_begin(sgp_hall_t *hall, int *rank, sgp_card_t **all);

/* Tells all who sit why they sat in vain, as far as it can be sent at once. */
void sgp_hall_dismiss(sgp_hall_t *hall, const char *why);

#endif
