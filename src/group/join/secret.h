/* SPDX-License-Identifier: Apache-2.0 */
/* The secret that the processes of a group share, from options, environment or file. */
#ifndef SGP_GROUP_JOIN_SECRET_H
#define SGP_GROUP_JOIN_SECRET_H

#include "wire/handshake.h"

#include <sgp/group.h>

/* Sets *keyed, and *key if there is one. SGP_ERR_INVALID: too short, or a file that cannot be used (see
 * sgp_key_read); logged. */
sgp_status_t sgp_secret_find(const sgp_group_options_t *options, bool *keyed, sgp_key_t *key);

#endif
