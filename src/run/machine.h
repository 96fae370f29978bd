/* SPDX-License-Identifier: Apache-2.0 */
/* The memory that the processes of this machine may use. */
#ifndef SGP_RUN_MACHINE_H
#define SGP_RUN_MACHINE_H

typedef struct machine_memory {
    double bytes;
    const char
        *limit; /* the cgroup file that sets it ("memory.max"), static; NULL: no such limit */
} machine_memory_t;

/* The machine's memory, or the limit of this process's cgroup or of one above it, whichever is
 * least. Files that cannot be read set no limit. root: ""; in a test, a directory in place of /. */
machine_memory_t machine_memory(const char *root);

#endif
