/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoint of a process: all that the others need to connect to it, and to check that it
 * belongs to their group. Plain data, of a fixed size when it travels. */
#ifndef SGP_GROUP_JOIN_ENDPOINT_H
#define SGP_GROUP_JOIN_ENDPOINT_H

#include "net/address.h"

#include <sgp/status.h>
#include <stdint.h>

#define SGP_ENDPOINT_BYTES   256
#define SGP_ENDPOINT_HEX     (2 * SGP_ENDPOINT_BYTES + 1)
#define SGP_ENDPOINT_SECRET  32
#define SGP_ENDPOINT_HOST    48
#define SGP_ENDPOINT_VERSION 24

/* The transport that the user asked for. */
typedef enum sgp_transport_choice {
    SGP_CHOICE_AUTO,
    SGP_CHOICE_SHM,
    SGP_CHOICE_TCP,
    SGP_CHOICE_MPI, /* never in an endpoint: MPI knows which processes take part */
    SGP_CHOICE_LAST = SGP_CHOICE_MPI,
} sgp_transport_choice_t;

typedef struct sgp_endpoint {
    int rank;             /* -1: not assigned yet */
    int size;             /* of the group */
    uint64_t run;         /* random, not 0; rank 0's is the group's */
    uint64_t machine;     /* processes of equal value can share memory */
    uint64_t fingerprint; /* of the launcher's job; 0: it has none */
    sgp_transport_choice_t transport;
    int port; /* not 0: address is "", and its host the one that it calls from */
    char address[SGP_ADDRESS_TEXT];     /* where it listens; "" and port 0: nowhere */
    char host[SGP_ENDPOINT_HOST];       /* its name, for log lines */
    char version[SGP_ENDPOINT_VERSION]; /* of the library */

    /* Rank 0's becomes the group's key where there is no other. Zeros unless the launcher's channel
     * is private. */
    unsigned char secret[SGP_ENDPOINT_SECRET];
} sgp_endpoint_t;

/* This process's: machine, host, version, and a new random run; with a random secret if asked for.
 * SGP_ERR_SYSTEM (logged): no random numbers. */
sgp_status_t sgp_endpoint_init(sgp_endpoint_t *endpoint, bool secret);

void sgp_endpoint_encode(const sgp_endpoint_t *endpoint, unsigned char bytes[SGP_ENDPOINT_BYTES]);

/* Sets *endpoint only on success. SGP_ERR_FORMAT (not logged): not an endpoint, another version of
 * the format, damaged, or a field is out of range. */
sgp_status_t sgp_endpoint_decode(const unsigned char bytes[SGP_ENDPOINT_BYTES],
                                 sgp_endpoint_t *endpoint);

/* The same as hexadecimal text, for launchers that pass on text. Text that is too short, or not
 * hexadecimal, is SGP_ERR_FORMAT; NULL is, too. */
void sgp_endpoint_to_hex(const sgp_endpoint_t *endpoint, char text[SGP_ENDPOINT_HEX]);
sgp_status_t sgp_endpoint_of_hex(const char *text, sgp_endpoint_t *endpoint);

/* Whether `all` (size) form a group: ranks in order, and one size, version, transport and job.
 * SGP_ERR_MISMATCH (logged). */
sgp_status_t sgp_endpoint_check_all(const sgp_endpoint_t *all, int size);

/* A hash of the properties that processes with shared memory have in common: the booted kernel, the
 * user, and /tmp, where they meet. */
uint64_t sgp_endpoint_machine(void);

const char *sgp_transport_choice_name(sgp_transport_choice_t choice);

#endif
