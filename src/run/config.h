/* SPDX-License-Identifier: Apache-2.0 */
/* What a run is: as config.json, and as the list that all nodes must agree on. */
#ifndef SGP_RUN_CONFIG_H
#define SGP_RUN_CONFIG_H

#include "run/agreement.h"
#include "files/content_hash.h"
#include "run/replica.h"

#include <jansson.h>

/* Everything needed to run it again: the options by their names on the command line, the data with
 * their checksum, what follows from both, the versions, and the run's id. A new reference; NULL
 * when out of memory. */
json_t *config_json(const train_options_t *options, const replica_t *replica, const char *id);

/* Its options alone. A null is a default that follows from the others; a number that would not come
 * back from its text is given as a string with more digits. */
json_t *config_options_json(const train_options_t *options);

/* A number, or the text of a schedule; "async", or a number. As config_json. */
json_t *config_peers_json(const train_options_t *options);
json_t *config_overlap_json(int overlap);

/* What would give another result if it differed. Not in it: the names of directories, the
 * transport, and who is slow. */
void config_agreement(const train_options_t *options, const replica_t *replica,
                      agreement_t *agreement);

/* Of all that the agreement has, but for what may change when a run is continued: the version, when
 * checkpoints are written, and what else is written. */
void config_fingerprint(const train_options_t *options, const replica_t *replica,
                        char text[CONTENT_HASH_TEXT]);

#endif
