/* SPDX-License-Identifier: Apache-2.0 */
#include "train/json.h"

#include "base/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local bool short_of_memory;

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes);
    if (!memory) short_of_memory = true;
    return memory;
}

static void watch_jansson(void) {
    json_set_alloc_funcs(allocate, free);
}

void train_json_begin(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_jansson);
    short_of_memory = false;
}

bool train_json_failed(void) {
    return short_of_memory;
}

json_t *train_json_u64(uint64_t value) {
    char digits[24];
    if (value <= INT64_MAX) return json_integer((json_int_t)value);
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return json_string(digits);
}

sgp_status_t train_json_write(const char *directory, const char *name, json_t *json) {
    char *text = json ? json_dumps(json, JSON_INDENT(2) | TRAIN_JSON_FLAGS) : NULL;
    json_decref(json);
    if (!text || train_json_failed()) {
        free(text);
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s/%s: no memory to write it", directory, name);
    }
    file_part_t parts[] = {{text, strlen(text)}, {"\n", 1}};
    sgp_status_t status = file_replace(directory, name, parts, 2);
    free(text);
    return status;
}
