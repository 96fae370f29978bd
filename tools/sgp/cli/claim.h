/* SPDX-License-Identifier: Apache-2.0 */
/* Claims a run's directory: no other process works in it, and files of another run are replaced only with
 * --overwrite. */
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
    bool clears;                      /* remove an old run's files first */
} claim_t;

#define CLAIM_NONE                                                                                 \
    { .lock.file = -1, .source.file = -1 }

/* For the launcher, or node 0 if there is none. Makes the directory (with a new name if --output is not given), locks
 * it, and locks that of --resume. A node shares its launcher's lock (SGP_LOCK). Returns false after a line about the
 * cause: another process works there, or the directory holds files of a run that may not be replaced. */
bool claim_begin(const settings_t *settings, claim_t *claim);

/* For the other nodes, once all know claim->token. settings->run.output may be a directory of the same name on another
 * machine. */
bool claim_follow(const settings_t *settings, claim_t *claim);

/* With --overwrite, removes the old run's files. Returns false after a line about a file that cannot be removed. */
bool claim_clear(const claim_t *claim);

/* Puts the token into the environment, for the nodes that are started next. */
void claim_export(const claim_t *claim);

void claim_release(claim_t *claim);

/* Whether a new run with these settings may write into the directory, which may be missing. Returns false after a line
 * about the run that is there. */
bool claim_allows(const settings_t *settings, const char *directory);

#endif
