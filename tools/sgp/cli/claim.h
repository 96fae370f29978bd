/* SPDX-License-Identifier: Apache-2.0 */
/* A run's directory belongs to one run: no other process works in it, and nothing that another run
 * has written there is replaced unasked. */
#ifndef SGP_CLI_CLAIM_H
#define SGP_CLI_CLAIM_H

#include "cli/output.h"
#include "cli/train_settings.h"

#include "files/directory_lock.h"

/* The directories that this process holds until claim_release. */
typedef struct claim {
    char token[DIRECTORY_LOCK_TOKEN]; /* the same in all processes of the run */
    char output[OUTPUT_PATH];         /* the run's directory */
    directory_lock_t lock, source;    /* of output, and of --resume if that is another directory */
    bool clears;                      /* an old run's files are to be removed first */
} claim_t;

#define CLAIM_NONE                                                                                 \
    { .lock.file = -1, .source.file = -1 }

/* For the process that decides about the run. Makes the directory (of a new name if the command
 * line gives none) and locks it, and that of --resume; as a node of a launcher it shares the
 * launcher's lock (SGP_LOCK). Returns false after a line about what is wrong: another process works
 * there, or there are files of a run that may not be replaced. */
bool claim_begin(const settings_t *settings, claim_t *claim);

/* For the other nodes, after all know claim->token. settings->run.output: it may be a directory of
 * the same name on another machine. */
bool claim_follow(const settings_t *settings, claim_t *claim);

/* With --overwrite, removes the old run's files. Returns false after a line about what cannot be
 * removed. */
bool claim_clear(const claim_t *claim);

/* Puts the token into the environment of the nodes that are started next. */
void claim_export(const claim_t *claim);

void claim_release(claim_t *claim);

/* Whether a new run with these settings may write into the directory, which may be missing. Returns
 * false after a line about what is there. */
bool claim_allows(const settings_t *settings, const char *directory);

#endif
