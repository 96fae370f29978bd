/* SPDX-License-Identifier: Apache-2.0 */
#include "train/json.h"

#include "base/log.h"
#include "base/regular.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

json_t *train_json_u64(uint64_t value) {
    char digits[24];
    if (value <= INT64_MAX) return json_integer((json_int_t)value);
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return json_string(digits);
}

sgp_status_t train_json_read(const char *path, json_t **json, char problem[TRAIN_JSON_PROBLEM]) {
    json_error_t error;
    int file;
    sgp_status_t status = sgp_regular_open(path, &file, problem);
    if (status) return status;
    *json = json_loadfd(file, JSON_REJECT_DUPLICATES, &error);
    close(file);
    if (*json) return SGP_OK;
    snprintf(problem, TRAIN_JSON_PROBLEM, "is damaged in line %d: %s", error.line, error.text);
    return SGP_ERR_FORMAT;
}

sgp_status_t train_json_write(const char *directory, const char *name, json_t *json) {
    char *text = json ? json_dumps(json, JSON_INDENT(2) | TRAIN_JSON_FLAGS) : NULL;
    json_decref(json);
    if (!text) return sgp_fail(SGP_ERR_NO_MEMORY, "%s/%s: no memory to write it", directory, name);
    file_part_t parts[] = {{text, strlen(text)}, {"\n", 1}};
    sgp_status_t status = file_replace(directory, name, parts, 2);
    free(text);
    return status;
}
