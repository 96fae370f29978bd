/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind a view (group/view.h): for each seat the records of its newest incarnations. A
 * record is the merged JOIN and the merged end of one member. Only the files view_*.c include it. */
#ifndef SGP_GROUP_VIEW_SEATS_H
#define SGP_GROUP_VIEW_SEATS_H

#include "group/view.h"

/* All zero: nothing is known about the member. */
typedef struct sgp_view_record {
    uint64_t from; /* if joined */
    uint64_t candidate;
    uint64_t until, last; /* if it has an end */
    uint64_t version;     /* of the view, when it changed last */
    uint16_t from_origin, until_origin;
    uint8_t joined;   /* it is a founder, or its JOIN is known */
    uint8_t end;      /* sgp_member_notice_kind_t: LEFT, DEAD; 0: none is known */
    uint8_t certain;  /* of a DEAD */
    uint8_t news;     /* sgp_view_news: events that wait to be taken */
    uint8_t told;     /* sgp_view_news: events of which one was taken */
    uint8_t told_end; /* the kind in the last of them */
} sgp_view_record_t;

enum sgp_view_news {
    SGP_NEWS_JOIN = 1,
    SGP_NEWS_END = 2,
};

typedef struct sgp_view_seat {
    sgp_view_record_t records[SGP_VIEW_INCARNATIONS]; /* by incarnation modulo their number */
    uint32_t newest;                                  /* incarnation; if used */
    uint32_t next; /* in the list of seats with news: seat + 1; 0: the last */
    uint16_t card_bytes;
    uint8_t used;
    uint8_t listed;
} sgp_view_seat_t;

struct sgp_view {
    int capacity, founders;
    int used; /* seats from here on were never used */
    uint64_t digest, version;
    uint32_t first, last;   /* of the list of seats with news: seat + 1; 0: it is empty */
    sgp_view_seat_t *seats; /* (capacity) */
    unsigned char *cards;   /* (capacity, SGP_MEMBER_CARD_BYTES) of the newest incarnations */
};

static inline unsigned char *sgp_view_card(const sgp_view_t *view, int seat) {
    return view->cards + (size_t)seat * SGP_MEMBER_CARD_BYTES;
}

static inline bool sgp_view_is_founder(const sgp_view_t *view, int seat, uint32_t incarnation) {
    return seat < view->founders && incarnation == 0;
}

/* Incarnations of a used seat that have a record. */
static inline uint32_t sgp_view_kept(const sgp_view_seat_t *seat) {
    return seat->newest < SGP_VIEW_INCARNATIONS ? seat->newest + 1 : SGP_VIEW_INCARNATIONS;
}

/* The record of the incarnation `age` uses before the newest; age is below sgp_view_kept. */
static inline sgp_view_record_t *sgp_view_record(sgp_view_seat_t *seat, uint32_t age) {
    return &seat->records[(seat->newest - age) % SGP_VIEW_INCARNATIONS];
}

static inline const sgp_view_record_t *sgp_view_record_of(const sgp_view_seat_t *seat,
                                                          uint32_t age) {
    return &seat->records[(seat->newest - age) % SGP_VIEW_INCARNATIONS];
}

/* The merged notices of a member; the JOIN has its card. false: there is none. */
bool sgp_view_join_of(const sgp_view_t *view, int seat, uint32_t age, sgp_member_notice_t *notice);
bool sgp_view_end_of(const sgp_view_t *view, int seat, uint32_t age, sgp_member_notice_t *notice);

#endif
