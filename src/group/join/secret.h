/* SPDX-License-Identifier: Apache-2.0 */
/* The secret that the processes of a group share, from options, environment or file. */
#ifndef SGP_GROUP_JOIN_SECRET_H
#define SGP_GROUP_JOIN_SECRET_H

#include "wire/key.h"

#include <sgp/group.h>

/* The key that the options name, or else SGP_KEY_FILE or SGP_KEY. Sets *keyed, and *key if there is
 * one. The errors of sgp_secret_read and sgp_key_make. */
sgp_status_t sgp_secret_find(const sgp_group_options_t *options, bool *keyed, sgp_key_t *key);

/* *encryption: SGP_ENCRYPTION_AUTO, ON or OFF, by the options or else by SGP_ENCRYPTION of the environment. keyed: there is a key,
 * or will be. SGP_ERR_INVALID, logged: there is no such word, or it asks for encryption without a key. */
sgp_status_t sgp_secret_encryption(const sgp_group_options_t *options, bool keyed,
                                   sgp_encryption_t *encryption);

/* The key of a file of at most 4096 bytes. SGP_ERR_INVALID (logged, with the remedy): the file
 * cannot be read, users other than its owner may use it, or the secret is too short. */
sgp_status_t sgp_secret_read(const char *path, sgp_key_t *key);

#endif
