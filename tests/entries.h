/* SPDX-License-Identifier: Apache-2.0 */
/* What a folder has; of /proc/self/fd and /proc/self/task: the open files and the threads of this process. */
#ifndef SGP_TESTS_ENTRIES_H
#define SGP_TESTS_ENTRIES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>

/* Entries other than "." and "..". */
static inline int count_entries(const char *directory) {
    DIR *list = opendir(directory);
    assert_non_null(list);
    int count = 0;
    while (readdir(list)) count++;
    closedir(list);
    return count - 2;
}

#endif
