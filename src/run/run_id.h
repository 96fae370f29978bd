/* SPDX-License-Identifier: Apache-2.0 */
/* The id of a run: 128 random bits as hexadecimal digits. The first node draws it when the run begins,
 * --resume keeps it, and every file of the run names it, so that no file of another run with the
 * same options is taken for one of this run. */
#ifndef SGP_RUN_RUN_ID_H
#define SGP_RUN_RUN_ID_H

#include <sgp/group.h>

enum { RUN_ID_TEXT = 33 };

#define RUN_ID_KEY "run_id"

/* SGP_ERR_SYSTEM, logged. */
sgp_status_t run_id_draw(char id[RUN_ID_TEXT]);

/* The id in the config.json of a run's directory; "": the run is of an earlier version, or there is
 * no config.json. SGP_ERR_FORMAT, SGP_ERR_IO, logged. */
sgp_status_t run_id_read(const char *directory, char id[RUN_ID_TEXT]);

/* Gives every node the id that the first one reads from `directory`; "" if that is NULL. All nodes call
 * it; blocks as sgp_group_gather. The errors of run_id_read, on all nodes; SGP_ERR_NO_MEMORY. */
sgp_status_t run_id_find(sgp_group_t *group, const char *directory, char id[RUN_ID_TEXT]);

/* Gives every node an id that the first one draws, unless they have one. As run_id_find. */
sgp_status_t run_id_complete(sgp_group_t *group, char id[RUN_ID_TEXT]);

#endif
