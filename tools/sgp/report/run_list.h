/* SPDX-License-Identifier: Apache-2.0 */
/* The runs that the directories on a command line name: each is a run's directory, or contains
 * runs. */
#ifndef SGP_REPORT_RUN_LIST_H
#define SGP_REPORT_RUN_LIST_H

typedef struct run_list {
    char **directories; /* (count) */
    int count;
} run_list_t;

/* Appends `directory` if it is a run's, else its subdirectories that are, by name. Returns 0, or
 * the program's exit status after a line: no run was found, or no memory. */
int run_list_add(run_list_t *list, const char *directory);

void run_list_release(run_list_t *list);

#endif
