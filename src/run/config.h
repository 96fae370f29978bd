/* SPDX-License-Identifier: Apache-2.0 */
/* A run as config.json, and as the list that all nodes must agree on. Both follow from the rows of option_rows.h. */
#ifndef SGP_RUN_CONFIG_H
#define SGP_RUN_CONFIG_H

#include "run/agreement.h"
#include "run/option_rows.h"
#include "files/content_hash.h"
#include "run/replica.h"
#include "run/train_types.h"

#include <jansson.h>

/* Everything needed to run it again: the options, the data with their checksum, what follows from both, the versions,
 * the run's id, and the latest change of the number of nodes, if there was one. A new reference; NULL when out of memory. */
json_t *config_json(const train_options_t *options, const replica_t *replica, const char *id,
                    const train_resumed_t *resumed);

/* {"step": 120, "nodes": 5}: the step after which that many nodes were followed by the present ones. A new reference; NULL
 * when out of memory. */
#define CONFIG_RESUMED "resumed"
json_t *config_resumed_json(const train_resumed_t *resumed);

/* The options alone, one member per row, with "_" in names instead of "-". A null is a default that follows from the
 * other options. A number of more than 15 digits is a string. A new reference; NULL when out of memory. */
json_t *config_options_json(const train_options_t *options);

/* Of the peers, and of an overlap in steps, as there. */
json_t *config_peers_json(const train_options_t *options);
json_t *config_overlap_json(int overlap);

enum { CONFIG_KEY = 64, CONFIG_VALUE = 256 };

/* A member that cannot be read. option: NULL: this version has no option of that name and type. */
typedef struct config_mistake {
    const option_t *option;
    char key[CONFIG_KEY];
    char text[CONFIG_VALUE];
} config_mistake_t;

/* Sets every option that the object names; the others stay as they are. Strings are borrowed from the object. Returns
 * false and fills *mistake at the first member that cannot be read. */
bool config_options_read(const json_t *object, train_options_t *options, config_mistake_t *mistake);

/* An option with different values in two runs. */
typedef struct config_difference {
    char key[CONFIG_KEY], there[CONFIG_VALUE], here[CONFIG_VALUE];
} config_difference_t;

/* Whether the options are those of another run than the object's: whether they differ where --resume may not change
 * them. The number of nodes may change. *difference: the first such option, if true. */
bool config_differs(const json_t *object, const train_options_t *options,
                    config_difference_t *difference);

/* Everything that would change the result, or the messages that nodes expect. Not the names of directories, the
 * transport, or the slow node. */
void config_agreement(const train_options_t *options, const replica_t *replica,
                      agreement_t *agreement);

/* The hash of the agreement without the version and the options that --resume may change. Checkpoints hold it. */
void config_fingerprint(const train_options_t *options, const replica_t *replica,
                        char text[CONTENT_HASH_TEXT]);

#endif
