/* SPDX-License-Identifier: Apache-2.0 */
/* The runs that `sgp table` and `sgp report` take: each directory is one of a run, or contains those of runs. */
#ifndef SGP_CLI_RUN_LIST_H
#define SGP_CLI_RUN_LIST_H

typedef struct run_list {
    char **directories; /* (count) */
    int count;
} run_list_t;

/* Appends `directory` if it is a run's, otherwise its subdirectories that are, sorted by name. Returns 0, or the
 * program's exit status after a line: there is no run, or no memory. */
int run_list_add(run_list_t *list, const char *directory);

void run_list_release(run_list_t *list);

#endif
