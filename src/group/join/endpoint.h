/* SPDX-License-Identifier: Apache-2.0 */
/* What a process shows to the others of its group before they are connected. Plain data, of a fixed
 * size when it travels. */
#ifndef SGP_GROUP_JOIN_ENDPOINT_H
#define SGP_GROUP_JOIN_ENDPOINT_H

#include "net/address.h"

#include <sgp/status.h>
#include <stdint.h>

#define SGP_ENDPOINT_BYTES   256
#define SGP_ENDPOINT_SECRET  32
#define SGP_ENDPOINT_HOST    48
#define SGP_ENDPOINT_VERSION 24

/* What was wished for; MPI has a way of its own to join. */
typedef enum sgp_transport_choice {
    SGP_CHOICE_AUTO,
    SGP_CHOICE_SHM,
    SGP_CHOICE_TCP,
    SGP_CHOICE_MPI, /* has no endpoints: MPI knows who takes part */
    SGP_CHOICE_LAST = SGP_CHOICE_MPI,
} sgp_transport_choice_t;

typedef struct sgp_endpoint {
    int rank;             /* -1: to be given */
    int size;             /* of the group */
    uint64_t run;         /* random, not 0; the group's is that of rank 0 */
    uint64_t machine;     /* the same: memory can be shared */
    uint64_t fingerprint; /* of the job that started the processes; 0: not known */
    sgp_transport_choice_t transport;
    int port;                           /* address is "": the caller's, with this port */
    char address[SGP_ADDRESS_TEXT];     /* where it listens; "" and port 0: it does not */
    char host[SGP_ENDPOINT_HOST];       /* its name, for log lines */
    char version[SGP_ENDPOINT_VERSION]; /* of the library */
    unsigned char
        secret[SGP_ENDPOINT_SECRET]; /* rank 0's is the group's key where there is no other;
                                              travels only where nobody else can read it */
} sgp_endpoint_t;

/* A endpoint of this process: machine, host, version, and a new run. secret: a random one, too.
 * SGP_ERR_SYSTEM (logged): no random numbers. */
sgp_status_t sgp_endpoint_init(sgp_endpoint_t *endpoint, bool secret);

void sgp_endpoint_encode(const sgp_endpoint_t *endpoint, unsigned char bytes[SGP_ENDPOINT_BYTES]);

/* Sets *endpoint only on success. SGP_ERR_FORMAT (not logged): no endpoint, of another version, damaged, or
 * something in it is out of range. */
sgp_status_t sgp_endpoint_decode(const unsigned char bytes[SGP_ENDPOINT_BYTES],
                                 sgp_endpoint_t *endpoint);

/* Whether `all` (size) can be one group: each in its place, of one size, version, transport and job.
 * SGP_ERR_MISMATCH (logged). */
sgp_status_t sgp_endpoint_check_all(const sgp_endpoint_t *all, int size);

/* A hash of what processes that can share memory have in common: the kernel that booted, the user, and
 * /tmp, in which they meet. */
uint64_t sgp_endpoint_machine(void);

const char *sgp_transport_choice_name(sgp_transport_choice_t choice);

#endif
