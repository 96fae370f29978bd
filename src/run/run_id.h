/* SPDX-License-Identifier: Apache-2.0 */
/* A run's id: 128 random bits as hexadecimal digits. Node 0 draws it when the run begins, --resume
 * keeps it, and every file of the run names it, so that no file of another run is taken for one of
 * this run, however alike the options are. */
#ifndef SGP_RUN_RUN_ID_H
#define SGP_RUN_RUN_ID_H

#include <sgp/status.h>

enum { RUN_ID_TEXT = 33 };

#define RUN_ID_KEY "run_id"

/* SGP_ERR_SYSTEM, logged. */
sgp_status_t run_id_draw(char id[RUN_ID_TEXT]);

/* That of the run in `directory`, as its config.json has it; "": a run of an earlier version, or no
 * config.json. SGP_ERR_FORMAT, SGP_ERR_IO, logged. */
sgp_status_t run_id_read(const char *directory, char id[RUN_ID_TEXT]);

#endif
