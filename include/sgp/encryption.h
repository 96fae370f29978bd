/* SPDX-License-Identifier: Apache-2.0 */
/* Whether messages between nodes that share a key are encrypted. With a key they are authenticated in every case. */
#ifndef SGP_ENCRYPTION_H
#define SGP_ENCRYPTION_H

typedef enum sgp_encryption {
    SGP_ENCRYPTION_AUTO = 0, /* between machines, not inside of one */
    SGP_ENCRYPTION_ON,
    SGP_ENCRYPTION_OFF,
    SGP_ENCRYPTION_AUTO_ALWAYS, /* of sgp_group_options_t: AUTO, whatever SGP_ENCRYPTION says */
    SGP_ENCRYPTION_LAST = SGP_ENCRYPTION_AUTO_ALWAYS,
} sgp_encryption_t;

#endif
