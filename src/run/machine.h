/* SPDX-License-Identifier: Apache-2.0 */
/* What the processes of this machine can have of its memory. */
#ifndef SGP_RUN_MACHINE_H
#define SGP_RUN_MACHINE_H

typedef struct machine_memory {
    double bytes;
    const char *limit; /* the cgroup file that sets it ("memory.max"), static; NULL: the machine */
} machine_memory_t;

/* The machine's memory, or what the cgroup of this process or one above it allows, where that is less. root: "" for
 * this machine; of a test, a directory that stands for /. What cannot be read does not limit. */
machine_memory_t machine_memory(const char *root);

#endif
