/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_id.h"

#include "base/logging.h"
#include "files/json.h"
#include "run/agreement.h"
#include "run/presence.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DIGITS "0123456789abcdef"

sgp_status_t run_id_draw(char id[RUN_ID_TEXT]) {
    unsigned char bytes[16];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        return sgp_fail(SGP_ERR_SYSTEM, "no random numbers for the run's id: %s", strerror(errno));
    for (size_t i = 0; i < sizeof bytes; i++) {
        id[2 * i] = DIGITS[bytes[i] >> 4];
        id[2 * i + 1] = DIGITS[bytes[i] & 15];
    }
    id[RUN_ID_TEXT - 1] = '\0';
    return SGP_OK;
}

/* found: may be NULL. */
static sgp_status_t take(const char *path, const char *found, char id[RUN_ID_TEXT]) {
    if (!found) return SGP_OK;
    if (strlen(found) != RUN_ID_TEXT - 1 || strspn(found, DIGITS) != RUN_ID_TEXT - 1)
        return sgp_fail(SGP_ERR_FORMAT, "%s: its " RUN_ID_KEY " is %.40s: must be %d digits", path,
                        found, RUN_ID_TEXT - 1);
    strcpy(id, found);
    return SGP_OK;
}

sgp_status_t run_id_read(const char *directory, char id[RUN_ID_TEXT]) {
    char path[PATH_MAX], problem[FILES_JSON_PROBLEM];
    json_t *config;
    *id = '\0';
    if (snprintf(path, sizeof path, "%s/config.json", directory) >= PATH_MAX)
        return sgp_fail(SGP_ERR_INVALID, "%.100s...: the path is too long", directory);
    sgp_status_t status = files_json_read(path, &config, problem);
    if (status == SGP_ERR_NOT_FOUND) return SGP_OK;
    if (status) return sgp_fail(status, "%s: %s", path, problem);
    status = take(path, json_string_value(json_object_get(config, RUN_ID_KEY)), id);
    json_decref(config);
    return status;
}

/* Every node takes the id of node `from`. */
static sgp_status_t share(sgp_group_t *group, int from, char id[RUN_ID_TEXT]) {
    int size = sgp_group_capacity(group);
    char(*all)[RUN_ID_TEXT] = malloc((size_t)size * sizeof *all);
    if (!all) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", size);
    sgp_status_t status = sgp_group_gather(group, id, RUN_ID_TEXT, all);
    if (!status) memcpy(id, all[from], RUN_ID_TEXT);
    free(all);
    return status;
}

/* The first node makes the id, by reading it from `directory` or drawing it (NULL). If that node is lost before all have
 * it, the next one does. */
static sgp_status_t make(sgp_group_t *group, const char *directory, char id[RUN_ID_TEXT]) {
    int from;
    sgp_status_t status;
    do {
        from = presence_first(group);
        status = SGP_OK;
        if (sgp_group_rank(group) == from)
            status = directory ? run_id_read(directory, id) : run_id_draw(id);
        status = agreement_share(group, status);
        if (!status) status = share(group, from, id);
    } while (!status && !presence_has(group, from));
    return status;
}

sgp_status_t run_id_find(sgp_group_t *group, const char *directory, char id[RUN_ID_TEXT]) {
    memset(id, 0, RUN_ID_TEXT);
    return directory ? make(group, directory, id) : SGP_OK;
}

sgp_status_t run_id_complete(sgp_group_t *group, char id[RUN_ID_TEXT]) {
    return *id ? SGP_OK : make(group, NULL, id);
}
