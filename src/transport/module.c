/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char here = 0; /* its address lies in libsgp */

/* The folder of a file; false: it has none. */
static bool folder_of(const char *file, char folder[PATH_MAX]) {
    const char *slash = strrchr(file, '/');
    if (!slash || slash - file >= PATH_MAX) return false;
    memcpy(folder, file, (size_t)(slash - file));
    folder[slash - file] = '\0';
    return true;
}

void *sgp_module_open_file(const char *file, const char **why) {
    void *module = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
    if (!module) *why = dlerror();
    return module;
}

static void *try_in(const char *folder, const char *below, const char *name, const char **why) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%slibsgp-%s.so", folder, below, name);
    if (length >= PATH_MAX || access(path, R_OK) != 0) return NULL;
    return sgp_module_open_file(path, why);
}

void *sgp_module_open(const char *name, const char **why) {
    static const char *const below[] = {"", "../" SGP_LIBDIR "/", "../src/", "../../src/"};
    char folder[PATH_MAX], program[PATH_MAX];
    void *module = NULL;
    *why = NULL;
    Dl_info found;
    if (dladdr(&here, &found) && found.dli_fname && folder_of(found.dli_fname, folder))
        module = try_in(folder, "", name, why);
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length <= 0) return module;
    program[length] = '\0';
    if (!folder_of(program, folder)) return module;
    for (size_t i = 0; i < sizeof below / sizeof *below && !module; i++)
        module = try_in(folder, below[i], name, why);
    return module;
}
