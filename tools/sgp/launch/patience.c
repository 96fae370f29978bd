/* SPDX-License-Identifier: Apache-2.0 */
#include "launch/patience.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum { MOST = 1 << 20 }; /* seconds: twelve days */

int patience_open(void) {
    return memfd_create("sgp-patience", MFD_CLOEXEC);
}

int patience_longest(int descriptor, int nodes) {
    int longest = 0;
    for (int rank = 0; rank < nodes; rank++) {
        uint32_t seconds;
        off_t at = (off_t)rank * (off_t)sizeof seconds;
        if (pread(descriptor, &seconds, sizeof seconds, at) != (ssize_t)sizeof seconds) continue;
        if (seconds <= MOST && (int)seconds > longest) longest = (int)seconds;
    }
    return longest;
}

void patience_export(int descriptor, int launcher_pid) {
    char text[48];
    snprintf(text, sizeof text, "/proc/%d/fd/%d", launcher_pid, descriptor);
    setenv("SGP_PATIENCE", text, 1);
}

void patience_tell(double seconds, int rank) {
    const char *path = getenv("SGP_PATIENCE");
    if (!path) return;
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0) return; /* the launcher is gone, and so will this node be */
    uint32_t whole = seconds < MOST ? (uint32_t)seconds + 1 : MOST;
    /* A shorter write cannot be: the file is memory. */
    ssize_t written = pwrite(file, &whole, sizeof whole, (off_t)rank * (off_t)sizeof whole);
    (void)written;
    close(file);
}
