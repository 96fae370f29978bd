/* SPDX-License-Identifier: Apache-2.0 */
/* What a process shows to the others of its group before they are connected. Plain data, of a fixed
 * size when it travels. */
#ifndef SGP_GROUP_JOIN_ENDPOINT_H
#define SGP_GROUP_JOIN_ENDPOINT_H

#include "net/address.h"

#include <sgp/status.h>
#include <stdint.h>

#define SGP_CARD_BYTES   256
#define SGP_CARD_SECRET  32
#define SGP_CARD_HOST    48
#define SGP_CARD_VERSION 24

/* What was wished for; MPI has a way of its own to join. */
typedef enum sgp_carrier {
    SGP_CARRIER_AUTO,
    SGP_CARRIER_SHM,
    SGP_CARRIER_TCP,
    SGP_CARRIER_MPI, /* has no cards: MPI knows who takes part */
    SGP_CARRIER_LAST = SGP_CARRIER_MPI,
} sgp_carrier_t;

typedef struct sgp_card {
    int rank;             /* -1: to be given */
    int size;             /* of the group */
    uint64_t run;         /* random, not 0; the group's is that of rank 0 */
    uint64_t machine;     /* the same: memory can be shared */
    uint64_t fingerprint; /* of the job that started the processes; 0: not known */
    sgp_carrier_t carrier;
    int port;                              /* address is "": the caller's, with this port */
    char address[SGP_ADDRESS_TEXT];        /* where it listens; "" and port 0: it does not */
    char host[SGP_CARD_HOST];              /* its name, for log lines */
    char version[SGP_CARD_VERSION];        /* of the library */
    unsigned char secret[SGP_CARD_SECRET]; /* rank 0's is the group's key where there is no other;
                                              travels only where nobody else can read it */
} sgp_card_t;

/* A card of this process: machine, host, version, and a new run. secret: a random one, too.
 * SGP_ERR_SYSTEM (logged): no random numbers. */
sgp_status_t sgp_card_init(sgp_card_t *card, bool secret);

void sgp_card_encode(const sgp_card_t *card, unsigned char bytes[SGP_CARD_BYTES]);

/* Sets *card only on success. SGP_ERR_FORMAT (not logged): no card, of another version, damaged, or
 * something in it is out of range. */
sgp_status_t sgp_card_decode(const unsigned char bytes[SGP_CARD_BYTES], sgp_card_t *card);

/* Whether `all` (size) can be one group: each in its place, of one size, version, carrier and job.
 * SGP_ERR_MISMATCH (logged). */
sgp_status_t sgp_card_check_all(const sgp_card_t *all, int size);

/* A hash of what processes that can share memory have in common: the kernel that booted, the user, and
 * /tmp, in which they meet. */
uint64_t sgp_card_machine(void);

const char *sgp_carrier_name(sgp_carrier_t carrier);

#endif
