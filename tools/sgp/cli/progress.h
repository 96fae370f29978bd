/* SPDX-License-Identifier: Apache-2.0 */
/* The progress of a run on standard error: one line per finished epoch, and on a terminal a line that changes in
 * place. */
#ifndef SGP_CLI_PROGRESS_H
#define SGP_CLI_PROGRESS_H

#include "run/train.h"

#include <stddef.h>

typedef struct progress {
    bool silent;
    bool live; /* the terminal shows a line without its newline */
} progress_t;

void progress_begin(progress_t *progress, bool silent);

/* A train_callbacks_t.progress; user: progress_t. */
void progress_show(const train_progress_t *state, void *user);

/* A train_callbacks_t.resized; user: progress_t. */
void progress_resized(const train_resized_t *resized, void *user);

/* A train_callbacks_t.divided; user: progress_t. */
void progress_divided(const division_rule_t *rule, const division_t *division, void *user);

/* Removes the line from the terminal. */
void progress_end(progress_t *progress);

/* The line for a state in at most `width` columns; leaves out the less important parts first. */
void progress_format(const train_progress_t *state, int width, char *text, size_t size);

#endif
