/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/secret.h"

#include <stdlib.h>
#include <string.h>

sgp_status_t sgp_secret_find(const sgp_group_options_t *options, bool *keyed, sgp_key_t *key) {
    const char *text = options->key, *path = options->key_file;
    if (!text && !path) path = getenv("SGP_KEY_FILE");
    if (!text && !(path && *path)) text = getenv("SGP_KEY");
    *keyed = (path && *path) || (text && *text);
    if (!*keyed) return SGP_OK;
    return text && *text ? sgp_key_of_text(text, strlen(text), key) : sgp_key_read(path, key);
}
