/* SPDX-License-Identifier: Apache-2.0 */
/* TensorBoard's event files: their names and their beginning. Records (files/event_record.h) are
 * appended to them with atomic_file_append. */
#ifndef SGP_FILES_EVENT_FILE_H
#define SGP_FILES_EVENT_FILE_H

#include <sgp/status.h>
#include <stdint.h>

#define EVENT_FILE_PREFIX "events.out.tfevents." /* of every file's name */

enum { EVENT_FILE_NAME = 160 };

/* events.out.tfevents.TIME.HOST.PID of this process. wall_time: seconds since 1970. */
void event_file_name(double wall_time, char name[EVENT_FILE_NAME]);

/* Replaces directory/name by a file with the records that every event file begins with. first: the
 * step that it begins with; values of this and later steps in older files of the directory are
 * void. SGP_ERR_IO, logged. */
sgp_status_t event_file_begin(const char *directory, const char *name, double wall_time,
                              int64_t first);

#endif
