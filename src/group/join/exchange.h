/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which the processes of a group come by each other's cards.
 *
 * Each takes this process's card, with its rank and size where they are known, and gives all cards in
 * order of rank; what the way itself finds out (rank, size) is put into the card. All block, until the
 * deadline at most, log what went wrong, and set *all only on success; the caller frees it. */
#ifndef SGP_GROUP_JOIN_EXCHANGE_H
#define SGP_GROUP_JOIN_EXCHANGE_H

#include "group/join/endpoint.h"
#include "wire/handshake.h"

#include <sgp/group.h>
#include <stdbool.h>

typedef struct sgp_limit {
    uint64_t deadline; /* nanoseconds of sgp_clock_now */
    int timeout_ms;    /* what it was made of, for log lines */
} sgp_limit_t;

sgp_limit_t sgp_limit_make(int timeout_ms);
int sgp_limit_left_ms(const sgp_limit_t *limit);

/* As a person would say it, "30 s". Returns text. */
const char *sgp_limit_text(const sgp_limit_t *limit, char text[32]);

/* In a directory that all can reach and nobody else can read, private to this run; it may be on a file
 * system that machines share. Rank and size are known. SGP_ERR_INVALID: no such directory, or the rank
 * is taken; SGP_ERR_TIMEOUT: a node did not come; SGP_ERR_MISMATCH. */
sgp_status_t sgp_exchange_directory(const char *directory, const sgp_card_t *mine,
                                    const sgp_limit_t *limit, sgp_card_t **all);

/* Through the launcher that speaks PMIx (mpirun of Open MPI, srun, prterun), which says rank and size.
 * SGP_ERR_UNSUPPORTED: built without PMIx, or its library is missing. */
sgp_status_t sgp_exchange_pmix(sgp_card_t *mine, const sgp_limit_t *limit, sgp_card_t **all);

/* Through the launcher that speaks PMI-1 on PMI_FD (mpirun of MPICH). */
sgp_status_t sgp_exchange_pmi(sgp_card_t *mine, const sgp_limit_t *limit, sgp_card_t **all);

/* Through an existing group, all of whose processes call. all: (size of the group) in its order, whatever
 * the cards' own ranks are. */
sgp_status_t sgp_exchange_group(sgp_group_t *group, const sgp_card_t *mine, sgp_card_t **all);

typedef enum sgp_founder {
    SGP_FOUNDER_HERE,  /* whoever finds the address to be its own, and free, founds the group */
    SGP_FOUNDER_US,    /* this process founds */
    SGP_FOUNDER_OTHER, /* it calls, and never founds */
} sgp_founder_t;

typedef struct sgp_meeting {
    const char *at; /* HOST:PORT */
    int ports;      /* so many from PORT on are tried; 0: 1 */
    sgp_founder_t founder;
    const sgp_key_t *key; /* NULL: none */
    bool insecure;
    const char *interface, *listen_ports; /* of a caller, as sgp_address_listen has them */
} sgp_meeting_t;

/* Over TCP. One founds the group at HOST:PORT, the others call; whoever calls another member than the
 * founder is sent on. The card's rank is a wish, or -1. *listener: what this process listens on, as its
 * card says; on success it is the caller's. SGP_ERR_REFUSED: by the founder; the log says why. */
sgp_status_t sgp_exchange_join(const sgp_meeting_t *meeting, sgp_card_t *mine,
                               const sgp_limit_t *limit, int *listener, sgp_card_t **all);

#endif
