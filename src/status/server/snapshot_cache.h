/* SPDX-License-Identifier: Apache-2.0 */
/* The present snapshot and what has been rendered of it. However often it is asked for, a snapshot is taken at most twice a
 * second, and rendered once in each form. One thread. */
#ifndef SGP_STATUS_SERVER_SNAPSHOT_CACHE_H
#define SGP_STATUS_SERVER_SNAPSHOT_CACHE_H

#include "status/server/digest.h"
#include "status/snapshot.h"

#include <stdint.h>

typedef enum form {
    FORM_PAGE,
    FORM_MEMBERS,
    FORM_JSON,
    FORM_PROMETHEUS,
    FORM_OPEN_METRICS,
    FORM_EVENT,
    FORMS
} form_t;

/* Bytes that several answers share. */
typedef struct rendered {
    char *bytes; /* (length) */
    size_t length;
    unsigned uses;
} rendered_t;

#define CACHE_AGE UINT64_C(500000000) /* nanoseconds that a snapshot serves for */

typedef struct snapshot_cache {
    sgp_status_source_t source;
    bool filled; /* the snapshot has been taken once */
    bool taken;  /* it may be shown */
    uint64_t at; /* when it was taken */
    sgp_status_snapshot_t snapshot;
    digest_t digest;
    rendered_t *form[FORMS]; /* NULL: not rendered yet */
} snapshot_cache_t;

/* source: copied. */
void cache_init(snapshot_cache_t *cache, const sgp_status_source_t *source);
void cache_fini(snapshot_cache_t *cache);

/* now: nanoseconds of a clock. The caller releases what it gets. NULL: no memory. */
rendered_t *cache_get(snapshot_cache_t *cache, form_t form, uint64_t now);

/* NULL is fine. */
void rendered_release(rendered_t *rendered);

#endif
