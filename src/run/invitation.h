/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a running run, as its members tell them to a newcomer: a JSON text. It holds the run's id, the options
 * as in config.json, the directory, and the list that all nodes agree on (config_agreement), with which the newcomer
 * compares its own before it joins. The protocol is in docs/membership.md, "Joining".
 *
 * A member calls invitation_make, once; a newcomer invitation_read and, when it has its data and its model,
 * invitation_check. No threads, no messages: the group carries the text (sgp_newcomers_t.blob). */
#ifndef SGP_RUN_INVITATION_H
#define SGP_RUN_INVITATION_H

#include "run/config.h"
#include "run/run_id.h"

#define INVITATION_BYTES ((size_t)64 << 10) /* at most */

/* Embedded; its options' strings point into json. */
typedef struct invitation {
    json_t *json; /* owned */
    char run_id[RUN_ID_TEXT];
    const char *output;    /* the directory of the members; NULL: they write no files */
    const json_t *options; /* for config_options_read */
    agreement_t agreement;
} invitation_t;

/* Sets *text (malloc, *bytes long, with a zero behind it) only on success. id: run_id.h. SGP_ERR_NO_MEMORY;
 * SGP_ERR_INVALID: it is longer than INVITATION_BYTES; logged. */
sgp_status_t invitation_make(const train_options_t *options, const replica_t *replica,
                             const char *id, char **text, size_t *bytes);

/* bytes may hold anything. Logs the reason; then there is nothing to release. SGP_ERR_FORMAT: this is no invitation;
 * SGP_ERR_MISMATCH: of another version of the program; SGP_ERR_NO_MEMORY. */
sgp_status_t invitation_read(const void *bytes, size_t count, invitation_t *invitation);
void invitation_release(invitation_t *invitation); /* zeros are fine */

/* Sets the options of the run; those that each node has for itself stay as they are: the files to begin from, to resume and to
 * write. Strings are borrowed from the invitation. false: this version cannot read an option. */
bool invitation_options(const invitation_t *invitation, train_options_t *options,
                        config_mistake_t *mistake);

/* Whether this node's options, data and model are those of the run. why: (room) else the first difference, with both
 * values. */
bool invitation_check(const invitation_t *invitation, const train_options_t *options,
                      const replica_t *replica, char *why, size_t room);

#endif
