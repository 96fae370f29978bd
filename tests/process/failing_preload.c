/* SPDX-License-Identifier: Apache-2.0 */
/* For LD_PRELOAD: in the program, not in its children, allocation FAIL_AT fails (from 1), and with FAIL_ALL those after it. At the
 * end file FAIL_COUNT gets their number. */
#include "replaced_malloc.h"

#include <stdatomic.h>
#include <stdio.h>

static size_t fail_first, fail_last; /* 0: none */
static atomic_size_t counted;
static atomic_bool on;

static bool fails(const void *caller) {
    if (!atomic_load(&on) || is_foreign(caller)) return false;
    size_t number = atomic_fetch_add(&counted, 1) + 1;
    if (number < fail_first || number > fail_last) return false;
    errno = ENOMEM;
    return true;
}

static void *made(void *memory, const void *caller) {
    (void)caller;
    return memory;
}

static void forget(const void *memory) {
    (void)memory;
}

static __attribute__((constructor)) void begin(void) {
    const char *at = getenv("FAIL_AT");
    fail_first = at ? strtoul(at, NULL, 10) : 0;
    fail_last = !fail_first ? 0 : getenv("FAIL_ALL") ? SIZE_MAX : fail_first;
    unsetenv("LD_PRELOAD");
    note_foreign();
    atomic_store(&on, true);
}

static __attribute__((destructor)) void end(void) {
    const char *path = getenv("FAIL_COUNT");
    atomic_store(&on, false);
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%zu", atomic_load(&counted));
    fclose(file);
}
