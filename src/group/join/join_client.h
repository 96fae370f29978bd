/* SPDX-License-Identifier: Apache-2.0 */
/* The calling side of the join protocol: one call to the server or to another member. While the
 * client waits for the group to be complete, it redirects callers of its own to the server. Blocks;
 * not thread-safe. */
#ifndef SGP_GROUP_JOIN_JOIN_CLIENT_H
#define SGP_GROUP_JOIN_JOIN_CLIENT_H

#include "group/join/join_server.h"

#define SGP_CAUSE 256

typedef struct sgp_join_client {
    const sgp_exchange_t *exchange; /* borrowed */
    sgp_endpoint_t *mine; /* borrowed; its port or address is set, and its rank is set on success */
    int listener;         /* borrowed; of this process */
    int answer_ms;        /* to connect, and to be admitted, redirected or refused */
    sgp_address_t to;

    /* Results. */
    char cause[SGP_CAUSE];  /* of a failure that has no log line of its own */
    sgp_address_t redirect; /* with SGP_ERR_NOT_FOUND */
} sgp_join_client_t;

/* Calls client->to. SGP_OK: *all is the caller's to free. SGP_ERR_AGAIN: nothing listens there, or
 * the connection ended. SGP_ERR_NOT_FOUND: the server is at client->redirect. SGP_ERR_FORMAT: the
 * process that answers is not of this group. SGP_ERR_REFUSED: by the server. SGP_ERR_TIMEOUT: the
 * group was not complete in time. All of these have a cause, and no log line. SGP_ERR_NO_MEMORY
 * (logged). */
sgp_status_t sgp_join_client_run(sgp_join_client_t *client, sgp_endpoint_t **all);

#endif
