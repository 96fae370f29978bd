/* SPDX-License-Identifier: Apache-2.0 */
#include "files/event_file.h"

#include "files/atomic_file.h"
#include "files/event_record.h"

#include <stdio.h>
#include <unistd.h>

void event_file_name(double wall_time, char name[EVENT_FILE_NAME]) {
    char host[65] = "";
    if (gethostname(host, sizeof host - 1) != 0 || !host[0]) snprintf(host, sizeof host, "host");
    snprintf(name, EVENT_FILE_NAME, EVENT_FILE_PREFIX "%010lld.%s.%ld", (long long)wall_time, host,
             (long)getpid());
}

sgp_status_t event_file_begin(const char *directory, const char *name, double wall_time,
                              int64_t first) {
    event_record_t version, start;
    event_record_version(&version, wall_time);
    event_record_start(&start, wall_time, first);
    const atomic_file_part_t parts[] = {{version.bytes, version.length},
                                        {start.bytes, start.length}};
    return atomic_file_replace(directory, name, parts, 2);
}
