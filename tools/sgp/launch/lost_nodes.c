/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/lost_nodes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* Byte P of the file is 1 if process P is given up. */

int lost_nodes_open(void) {
    return memfd_create("sgp-lost-nodes", MFD_CLOEXEC);
}

bool lost_nodes_has(int descriptor, int process) {
    char lost = 0;
    return pread(descriptor, &lost, 1, (off_t)process) == 1 && lost;
}

void lost_nodes_export(int descriptor, int launcher_pid) {
    char text[48];
    snprintf(text, sizeof text, "/proc/%d/fd/%d", launcher_pid, descriptor);
    setenv("SGP_LOST_NODES", text, 1);
}

bool lost_nodes_launched(void) {
    const char *path = getenv("SGP_LOST_NODES");
    return path && access(path, W_OK) == 0;
}

bool lost_nodes_told(int process) {
    const char *path = getenv("SGP_LOST_NODES");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return false;
    bool lost = lost_nodes_has(file, process);
    close(file);
    return lost;
}

static void set(int process, const char *byte) {
    const char *path = getenv("SGP_LOST_NODES");
    int file = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    ssize_t written = pwrite(file, byte, 1, (off_t)process);
    (void)written;
    close(file);
}

void lost_nodes_tell(int process) {
    set(process, "\1");
}

void lost_nodes_regain(int process) {
    if (lost_nodes_told(process)) set(process, "");
}

void lost_nodes_regain_self(void) {
    const char *rank = getenv("SGP_RANK"); /* the launcher's number for this process */
    if (rank && *rank) lost_nodes_regain(atoi(rank));
}
