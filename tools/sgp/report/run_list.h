/* SPDX-License-Identifier: Apache-2.0 */
/* The runs that a person means by some directories: `sgp table` and `sgp report` take those of
 * runs, and those in which runs lie. */
#ifndef SGP_REPORT_RUN_LIST_H
#define SGP_REPORT_RUN_LIST_H

typedef struct run_list {
    char **directories; /* (count) */
    int count;
} run_list_t;

/* Appends `directory` if it is a run's, otherwise its subdirectories that are, by name. Returns 0,
 * or the program's exit status after a line: there is none, or no memory. */
int run_list_add(run_list_t *list, const char *directory);

void run_list_release(run_list_t *list);

#endif
