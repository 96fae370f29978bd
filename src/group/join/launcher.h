/* SPDX-License-Identifier: Apache-2.0 */
/* src/group/join is how the processes of a group find each other: sgp_group_join asks which
 * launcher started this process (placement.h), exchanges endpoints as that launcher allows, and
 * connects a transport (connect.h). Only sgp_group_join, sgp_group_split and the program's check of
 * its options call it. It runs before the group exists and never in a step.
 *
 * This header: a launcher, and the place of a process that it started. A new launcher is a file
 * launcher_NAME.c with one sgp_launcher_t, and an entry in the table of placement.c. */
#ifndef SGP_GROUP_JOIN_LAUNCHER_H
#define SGP_GROUP_JOIN_LAUNCHER_H

#include "group/join/deadline.h"
#include "group/join/endpoint.h"
#include "wire/key.h"

#include <sgp/encryption.h>

#include <sgp/group.h>

typedef struct sgp_launcher sgp_launcher_t;

/* Which process serves the join protocol, for launchers that exchange endpoints at an address. */
typedef enum sgp_join_role {
    SGP_JOIN_ROLE_ANY,    /* the first process that can listen on the address, which is its own */
    SGP_JOIN_ROLE_SERVER, /* this process */
    SGP_JOIN_ROLE_CLIENT, /* another process */
} sgp_join_role_t;

#define SGP_PLACEMENT_TEXT 300

typedef struct sgp_placement {
    const sgp_launcher_t *launcher; /* NULL: none was found, a group of one */
    int rank;                       /* -1: known once the group is complete */
    int size;                       /* 0: the launcher tells it during the exchange */
    uint64_t fingerprint;           /* of the launcher's job; 0: it has none */

    const char *rendezvous; /* directory: points into the options or the environment; may be NULL */

    char at[SGP_PLACEMENT_TEXT]; /* address: HOST:PORT */
    int ports;                   /* the server takes the first free one of so many from PORT on */
    sgp_join_role_t role;
} sgp_placement_t;

/* The arguments of an exchange; borrowed. */
typedef struct sgp_exchange {
    const sgp_placement_t *placement;
    const sgp_deadline_t *deadline;
    const sgp_key_t *key; /* NULL: none */
    bool insecure;
    sgp_encryption_t encryption;
    const char *interface, *ports; /* on which a client listens, as sgp_address_listen takes them */
} sgp_exchange_t;

struct sgp_launcher {
    const char *name; /* of the variable or option that states the size, for messages */
    int timeout_ms;   /* default for all processes to come */

    /* The launcher's channel carries endpoints to the processes of this group alone. So rank 0's
     * endpoint carries a secret for the key, and each process listens before the exchange.
     * Otherwise the exchange itself listens, at an address that any process may call. */
    bool private_channel;

    /* Whether it started this process, from options and environment. */
    bool (*recognise)(const sgp_group_options_t *options);

    /* Fills in the rest of a placement whose launcher is set and whose other fields are defaults.
     * SGP_ERR_INVALID (logged): a value makes no sense. */
    sgp_status_t (*place)(const sgp_group_options_t *options, sgp_placement_t *placement);

    /* Exchanges endpoints: mine for all of them, in order of rank. Sets the rank and size of `mine`
     * where the exchange decides them. Blocks, until the deadline at most. Sets *all, which the
     * caller frees, only on success, and without a private channel *listener as well: the socket of
     * this process's address. SGP_ERR_TIMEOUT: a process did not come; SGP_ERR_MISMATCH;
     * SGP_ERR_SYSTEM; SGP_ERR_NO_MEMORY; all logged. */
    sgp_status_t (*exchange)(const sgp_exchange_t *exchange, sgp_endpoint_t *mine, int *listener,
                             sgp_endpoint_t **all);
};

enum {
    SGP_LAUNCHER_TIMEOUT_MS = 30000, /* where a launcher starts the processes */
    SGP_BY_HAND_TIMEOUT_MS = 300000, /* where people start them */
};

/* launcher_NAME.c */
extern const sgp_launcher_t sgp_launcher_address;   /* --join HOST:PORT, or SGP_JOIN: people */
extern const sgp_launcher_t sgp_launcher_directory; /* SGP_RANK and so on: sgp run */
extern const sgp_launcher_t sgp_launcher_pmix;      /* mpirun of Open MPI, prterun, srun */
extern const sgp_launcher_t sgp_launcher_pmi;       /* mpirun of MPICH */
extern const sgp_launcher_t sgp_launcher_torchrun;
extern const sgp_launcher_t sgp_launcher_slurm; /* srun without PMIx */

/* Whether this is a Slurm step of one process. An interactive shell of Slurm is one, with all
 * variables of a job, and started nothing. */
bool sgp_slurm_is_shell(void);

/* The first host of a list in Slurm's notation, "node[03-05,9],other7". false: no list, or `room`
 * is too small. */
bool sgp_slurm_first_host(const char *list, char *host, size_t room);

#endif
