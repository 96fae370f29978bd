/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks, sizes and texts from the environment, for the launchers. */
#ifndef SGP_GROUP_JOIN_ENVIRONMENT_H
#define SGP_GROUP_JOIN_ENVIRONMENT_H

#include "group/join/launcher.h"

/* NULL: not set, or empty. */
const char *sgp_environment_text(const char *name);

/* From 0 to `most`. SGP_ERR_INVALID (logged): not set, or no such number. */
sgp_status_t sgp_environment_number(const char *name, int most, int *value);

/* The placement's rank and size, from variables of these names; both are needed. SGP_ERR_INVALID
 * (logged). */
sgp_status_t sgp_environment_place(const char *rank, const char *size, sgp_placement_t *placement);

/* SGP_ERR_INVALID (logged): a group cannot have so many processes. */
sgp_status_t sgp_environment_check_size(int size);

/* A hash of the launcher's job; never 0. */
uint64_t sgp_environment_fingerprint(const char *job);

#endif
