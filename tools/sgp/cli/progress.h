/* SPDX-License-Identifier: Apache-2.0 */
/* What a person sees of a run: on a terminal a line that changes in place and one line for each
 * finished epoch, elsewhere the lines of the epochs alone. */
#ifndef SGP_CLI_PROGRESS_H
#define SGP_CLI_PROGRESS_H

#include "run/train.h"

#include <stddef.h>

typedef struct progress {
    bool silent;
    bool live; /* a line stands there without its newline */
} progress_t;

void progress_begin(progress_t *progress, bool silent);

/* A train_callbacks_t.progress; user: progress_t. */
void progress_show(const train_progress_t *state, void *user);

/* Leaves the terminal as it was found. */
void progress_end(progress_t *progress);

/* The line for a state, in at most `width` columns: the less important parts go first. */
void progress_format(const train_progress_t *state, int width, char *text, size_t size);

#endif
