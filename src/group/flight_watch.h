/* SPDX-License-Identifier: Apache-2.0 */
/* When the flight recorders of this process are written: at the first failure of a group's call, on SIGQUIT, or when asked. And
 * where: into the folder that SGP_FLIGHT names, or that the run names; without one nothing is written, and SIGQUIT does what it
 * did before.
 *
 * SIGQUIT is taken over while a group exists, if a folder is named and nobody else has taken or ignores it. Its handler only wakes
 * a thread that does nothing else, so that the files are written while the other threads hang. Any thread may call. */
#ifndef SGP_GROUP_FLIGHT_WATCH_H
#define SGP_GROUP_FLIGHT_WATCH_H

#include "group/flight_file.h"

/* source->transport is set. Borrowed until remove, which waits for a file that is being written. */
void sgp_flight_watch_add(sgp_flight_source_t *source);
void sgp_flight_watch_remove(sgp_flight_source_t *source);

/* The folder, copied; takes the place of SGP_FLIGHT. failures: files are written at failures, too. NULL: no folder any more. */
void sgp_flight_watch_into(const char *folder, bool failures);

/* The id of the run that the files are of, the same on all nodes. */
void sgp_flight_watch_name(const char *id);

/* A call of the group has failed with that status, whose line is sgp_last_error: the first time, the file of its process is
 * written. Nothing happens without a folder, or if the status does not end a run. */
void sgp_flight_watch_failed(sgp_flight_source_t *source, sgp_status_t status);

/* Writes the files of all processes that this one is; a line in the log has the last one's name. why: "asked". SGP_ERR_INVALID, logged: there is no
 * folder. SGP_ERR_IO, SGP_ERR_NO_MEMORY, logged. */
sgp_status_t sgp_flight_watch_write(const char *why);

/* The same as write_flight of the status server's source (status/snapshot.h); context is not used. */
sgp_status_t sgp_flight_watch_asked(void *context);

#endif
