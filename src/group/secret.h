/* SPDX-License-Identifier: Apache-2.0 */
/* The secret that the processes of a group share, from options, environment or file. */
#ifndef SGP_GROUP_SECRET_H
#define SGP_GROUP_SECRET_H

#include "wire/handshake.h"

#include <sgp/group.h>

/* Sets *keyed, and *key if there is one. White space at the end does not count, so that a file and the
 * text in it are the same. SGP_ERR_NOT_FOUND, SGP_ERR_IO: the file; SGP_ERR_INVALID: too short; logged. */
sgp_status_t sgp_secret_find(const sgp_group_options_t *options, bool *keyed, sgp_key_t *key);

#endif
