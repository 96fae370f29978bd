/* SPDX-License-Identifier: Apache-2.0 */
#include "run/machine.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* false: not a number, such as "max", which is no limit. */
static bool read_bytes(const char *path, double *bytes) {
    char text[64];
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool read = fgets(text, sizeof text, file) != NULL;
    fclose(file);
    char *end = text;
    if (read) *bytes = strtod(text, &end);
    return end != text;
}

/* The least limit of a cgroup and all above it, in the file `name` of each. In a container the path
 * may be the host's, of which only the root is visible. */
static void walk_up(const char *mount, char *group, const char *name, machine_memory_t *least) {
    char path[PATH_MAX];
    for (;;) {
        double bytes;
        int length = snprintf(path, sizeof path, "%s%s/%s", mount, group, name);
        if (length < (int)sizeof path && read_bytes(path, &bytes) && bytes < least->bytes)
            *least = (machine_memory_t){.bytes = bytes, .limit = name};
        char *slash = strrchr(group, '/');
        if (!slash) return;
        *slash = '\0';
    }
}

/* "memory" among the names between two colons. */
static bool has_memory(const char *controllers) {
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, "memory", 6) == 0 && (at[6] == ',' || at[6] == '\0')) return true;
    }
    return false;
}

/* A line of /proc/self/cgroup: "number:controllers:path"; in version 2 controllers is empty. */
static void take_line(const char *root, char *line, machine_memory_t *least) {
    char mount[PATH_MAX];
    char *controllers = strchr(line, ':'),
         *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group) return;
    *group++ = '\0';
    group[strcspn(group, "\n")] = '\0';
    bool second = *++controllers == '\0';
    if (!second && !has_memory(controllers)) return;
    snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s", root, second ? "" : "/memory");
    walk_up(mount, group, second ? "memory.max" : "memory.limit_in_bytes", least);
}

machine_memory_t machine_memory(const char *root) {
    machine_memory_t least = {.bytes =
                                  (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE)};
    char path[PATH_MAX], line[PATH_MAX];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) take_line(root, line, &least);
    if (file) fclose(file);
    return least;
}
