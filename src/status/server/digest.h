/* SPDX-License-Identifier: Apache-2.0 */
/* What a snapshot says as a whole: the numbers at the head of the page, who is slow, and the members in order of the
 * attention that they need. Every format shows these and computes none of its own. */
#ifndef SGP_STATUS_SERVER_DIGEST_H
#define SGP_STATUS_SERVER_DIGEST_H

#include "status/snapshot.h"

/* A member is slow whose computing and updating takes this many times the median of the live ones. */
#define DIGEST_SLOW 1.5

typedef struct digest {
    size_t live;
    uint64_t step, step_min,
        epoch;                 /* of the live members: the largest; the smallest; the largest */
    double samples_per_second; /* their sum; NAN: none has reported any */
    double loss, accuracy;     /* the mean over those of them that have reported one, or NAN */
    double work_ms;            /* the median of their computing and updating, or NAN */
    double wait_ms;            /* the median of their waiting, or NAN */
    size_t troubled; /* members at the head of `order` that are gone, silent, slow or joining */
    size_t *order;   /* (members) indices: gone, silent, slow, joining, live, left; then by seat */
    bool *slow;      /* (members) */
} digest_t;

/* Sets *digest on success only. SGP_ERR_NO_MEMORY. */
sgp_status_t digest_make(const sgp_status_snapshot_t *snapshot, digest_t *digest);

/* All zero is fine. */
void digest_free(digest_t *digest);

/* Milliseconds of a step that a member computes and updates; NAN: not known. */
double digest_work(const sgp_status_member_t *member);

#endif
