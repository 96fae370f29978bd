/* SPDX-License-Identifier: Apache-2.0 */
/* The calling side of joining: one call to whoever answers for the group. While it waits to hear that
 * the group is complete, it answers callers of its own and sends them on to the founder. */
#ifndef SGP_GROUP_JOIN_JOIN_CLIENT_H
#define SGP_GROUP_JOIN_JOIN_CLIENT_H

#include "group/join/join_server.h"

#define SGP_CAUSE 256

typedef struct sgp_join_client {
    const sgp_join_options_t *options;
    sgp_endpoint_t *mine; /* port or address set; its rank is set on success */
    const sgp_deadline_t *deadline;
    int listener;  /* borrowed; of this process */
    int answer_ms; /* for the first sign of life */
    sgp_address_t to;

    /* What came of it. */
    char cause[SGP_CAUSE]; /* why it did not succeed, without a line of its own in the log */
    sgp_address_t instead; /* with SGP_ERR_NOT_FOUND */
} sgp_join_client_t;

/* Calls client->to. SGP_OK: *all is the caller's to free. SGP_ERR_AGAIN: nobody is there, or the
 * connection ended (see cause). SGP_ERR_NOT_FOUND: the founder is elsewhere, at client->instead.
 * SGP_ERR_FORMAT: whoever answers is not of this group (cause). SGP_ERR_REFUSED: by the founder (cause).
 * SGP_ERR_TIMEOUT: the group was not complete in time (cause). SGP_ERR_NO_MEMORY. */
sgp_status_t sgp_join_client_run(sgp_join_client_t *client, sgp_endpoint_t **all);

#endif
