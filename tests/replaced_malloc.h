/* SPDX-License-Identifier: Apache-2.0 */
/* malloc and its relatives for the whole process, in place of the C library's or a sanitizer's, which do the
 * work. For one file of a program or of a library that is loaded before all others; the three functions
 * below, which it defines, decide about the calls. */
#ifndef SGP_TESTS_REPLACED_MALLOC_H
#define SGP_TESTS_REPLACED_MALLOC_H

#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Whether the call of that return address fails; errno is set then. */
static bool fails(const void *caller);

/* made: after an allocation (memory: NULL if it failed); returns memory. forget: before it is freed. */
static void *made(void *memory, const void *caller);
static void forget(const void *memory);

/* ---- the allocators underneath: a sanitizer's, or the C library's ---- */

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);
__attribute__((weak)) void *__interceptor_malloc(size_t bytes);
__attribute__((weak)) void *__interceptor_calloc(size_t count, size_t bytes);
__attribute__((weak)) void *__interceptor_realloc(void *memory, size_t bytes);
__attribute__((weak)) int __interceptor_posix_memalign(void **memory, size_t alignment,
                                                       size_t bytes);
__attribute__((weak)) void __interceptor_free(void *memory);

static void *real_malloc(size_t bytes) {
    return __interceptor_malloc ? __interceptor_malloc(bytes) : __libc_malloc(bytes);
}

static void *real_calloc(size_t count, size_t bytes) {
    return __interceptor_calloc ? __interceptor_calloc(count, bytes) : __libc_calloc(count, bytes);
}

static void *real_realloc(void *memory, size_t bytes) {
    return __interceptor_realloc ? __interceptor_realloc(memory, bytes)
                                 : __libc_realloc(memory, bytes);
}

static void *real_memalign(size_t alignment, size_t bytes) {
    void *memory = NULL;
    if (!__interceptor_posix_memalign) return __libc_memalign(alignment, bytes);
    return __interceptor_posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void real_free(void *memory) {
    if (__interceptor_free) __interceptor_free(memory);
    else __libc_free(memory);
}

/* ---- libraries that do not survive a failure, and are left alone ---- */

enum { LIBRARIES = 32 };

typedef struct extent {
    uintptr_t begin, end;
} extent_t;

static extent_t foreign[LIBRARIES];
static int foreign_count;

static int note_library(struct dl_phdr_info *info, size_t size, void *user) {
    static const char *const names[] = {"libdnnl",  "libstdc++", "libgomp",
                                        "libgcc_s", "libuv",     "ld-linux"};
    (void)size, (void)user;
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        if (!info->dlpi_name || !strstr(info->dlpi_name, names[n])) continue;
        for (int p = 0; p < info->dlpi_phnum && foreign_count < LIBRARIES; p++) {
            const ElfW(Phdr) *part = &info->dlpi_phdr[p];
            if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
            uintptr_t begin = info->dlpi_addr + part->p_vaddr;
            foreign[foreign_count++] = (extent_t){begin, begin + part->p_memsz};
        }
    }
    return 0;
}

/* Call it once those libraries are loaded. */
__attribute__((unused)) static void note_foreign(void) {
    if (foreign_count == 0) dl_iterate_phdr(note_library, NULL);
}

__attribute__((unused)) static bool is_foreign(const void *caller) {
    for (int i = 0; i < foreign_count; i++)
        if ((uintptr_t)caller >= foreign[i].begin && (uintptr_t)caller < foreign[i].end)
            return true;
    return false;
}

/* ---- in place of the C library's ---- */

#define PUBLIC __attribute__((visibility("default"), noinline))
#define CALLER __builtin_return_address(0)

PUBLIC void *malloc(size_t bytes) {
    return fails(CALLER) ? NULL : made(real_malloc(bytes), CALLER);
}

PUBLIC void *calloc(size_t count, size_t bytes) {
    return fails(CALLER) ? NULL : made(real_calloc(count, bytes), CALLER);
}

PUBLIC void *realloc(void *memory, size_t bytes) {
    if (fails(CALLER)) return NULL;
    if (memory) forget(memory);
    return made(real_realloc(memory, bytes), CALLER);
}

PUBLIC void *memalign(size_t alignment, size_t bytes) {
    return fails(CALLER) ? NULL : made(real_memalign(alignment, bytes), CALLER);
}

PUBLIC void *aligned_alloc(size_t alignment, size_t bytes) {
    return fails(CALLER) ? NULL : made(real_memalign(alignment, bytes), CALLER);
}

PUBLIC int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    void *new = fails(CALLER) ? NULL : made(real_memalign(alignment, bytes), CALLER);
    if (!new) return ENOMEM;
    *memory = new;
    return 0;
}

PUBLIC void free(void *memory) {
    if (!memory) return;
    forget(memory);
    real_free(memory);
}

#endif
