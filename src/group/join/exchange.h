/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which the processes of a group come by each other's endpoints.
 *
 * Each takes this process's endpoint, with its rank and size where they are known, and gives all endpoints in
 * order of rank; what the way itself finds out (rank, size) is put into the endpoint. All block, until the
 * deadline at most, log what went wrong, and set *all only on success; the caller frees it. */
#ifndef SGP_GROUP_JOIN_EXCHANGE_H
#define SGP_GROUP_JOIN_EXCHANGE_H

#include "group/join/endpoint.h"
#include "wire/handshake.h"

#include <sgp/group.h>
#include <stdbool.h>

typedef struct sgp_deadline {
    uint64_t deadline; /* nanoseconds of sgp_clock_now */
    int timeout_ms;    /* what it was made of, for log lines */
} sgp_deadline_t;

sgp_deadline_t sgp_deadline_in(int timeout_ms);
int sgp_deadline_left_ms(const sgp_deadline_t *deadline);

/* As a person would say it, "30 s". Returns text. */
const char *sgp_deadline_text(const sgp_deadline_t *deadline, char text[32]);

/* In a directory that all can reach and nobody else can read, private to this run; it may be on a file
 * system that machines share. Rank and size are known. SGP_ERR_INVALID: no such directory, or the rank
 * is taken; SGP_ERR_TIMEOUT: a node did not come; SGP_ERR_MISMATCH. */
sgp_status_t sgp_exchange_directory(const char *directory, const sgp_endpoint_t *mine,
                                    const sgp_deadline_t *deadline, sgp_endpoint_t **all);

/* Through the launcher that speaks PMIx (mpirun of Open MPI, srun, prterun), which says rank and size.
 * SGP_ERR_UNSUPPORTED: built without PMIx, or its library is missing. */
sgp_status_t sgp_exchange_pmix(sgp_endpoint_t *mine, const sgp_deadline_t *deadline,
                               sgp_endpoint_t **all);

/* Through the launcher that speaks PMI-1 on PMI_FD (mpirun of MPICH). */
sgp_status_t sgp_exchange_pmi(sgp_endpoint_t *mine, const sgp_deadline_t *deadline,
                              sgp_endpoint_t **all);

/* Through an existing group, all of whose processes call. all: (size of the group) in its order, whatever
 * the endpoints' own ranks are. */
sgp_status_t sgp_exchange_group(sgp_group_t *group, const sgp_endpoint_t *mine,
                                sgp_endpoint_t **all);

typedef enum sgp_join_role {
    SGP_JOIN_ROLE_ANY,    /* whoever finds the address to be its own, and free, founds the group */
    SGP_JOIN_ROLE_SERVER, /* this process founds */
    SGP_JOIN_ROLE_CLIENT, /* it calls, and never founds */
} sgp_join_role_t;

typedef struct sgp_join_options {
    const char *at; /* HOST:PORT */
    int ports;      /* so many from PORT on are tried; 0: 1 */
    sgp_join_role_t founder;
    const sgp_key_t *key; /* NULL: none */
    bool insecure;
    const char *interface, *listen_ports; /* of a caller, as sgp_address_listen has them */
} sgp_join_options_t;

/* Over TCP. One founds the group at HOST:PORT, the others call; whoever calls another member than the
 * founder is sent on. The endpoint's rank is a wish, or -1. *listener: what this process listens on, as its
 * endpoint says; on success it is the caller's. SGP_ERR_REFUSED: by the founder; the log says why. */
sgp_status_t sgp_exchange_join(const sgp_join_options_t *options, sgp_endpoint_t *mine,
                               const sgp_deadline_t *deadline, int *listener, sgp_endpoint_t **all);

#endif
