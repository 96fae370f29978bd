/* SPDX-License-Identifier: Apache-2.0 */
#include "files/json.h"

#include "base/logging.h"
#include "base/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- jansson's memory ---- */

/* While jansson parses it has a reserve; once it draws on that, feed ends the text. It reads text
 * in pieces of a KiB, for which the reserve is enough. */
enum { RESERVE = 1 << 17 };

static _Thread_local bool short_of_memory;
static _Thread_local char *reserve; /* (RESERVE) NULL: none */
static _Thread_local size_t reserve_used;

static void *allocate(size_t bytes) {
    void *memory = malloc(bytes);
    if (memory) return memory;
    short_of_memory = true;
    size_t taken = (bytes + 15) / 16 * 16;
    if (!reserve || taken > RESERVE - reserve_used) return NULL;
    reserve_used += taken;
    return reserve + reserve_used - taken;
}

static void release(void *memory) {
    uintptr_t at = (uintptr_t)memory, begin = (uintptr_t)reserve;
    bool reserved = reserve && at >= begin && at < begin + RESERVE;
    if (!reserved) free(memory);
}

static void watch_jansson(void) {
    json_set_alloc_funcs(allocate, release);
}

void files_json_begin(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_jansson);
    short_of_memory = false;
}

bool files_json_failed(void) {
    return short_of_memory;
}

/* ---- parsing ---- */

typedef struct source {
    int file; /* -1: text */
    const char *text;
    size_t left;
} source_t;

static size_t feed(void *buffer, size_t room, void *user) {
    source_t *source = user;
    if (short_of_memory) return (size_t)-1;
    if (source->file >= 0) {
        ssize_t got = read(source->file, buffer, room);
        return got < 0 ? (size_t)-1 : (size_t)got;
    }
    size_t count = source->left < room ? source->left : room;
    memcpy(buffer, source->text, count);
    source->text += count;
    source->left -= count;
    return count;
}

static json_t *parse(source_t *source, size_t flags, json_error_t *error) {
    files_json_begin();
    reserve = malloc(RESERVE);
    reserve_used = 0;
    short_of_memory = !reserve;
    json_t *json = reserve ? json_load_callback(feed, source, flags, error) : NULL;
    if (short_of_memory) {
        json_decref(json);
        json = NULL;
        if (error) snprintf(error->text, sizeof error->text, "no memory to read it");
    }
    free(reserve);
    reserve = NULL;
    return json;
}

json_t *files_json_parse(const char *text, size_t length, size_t flags, json_error_t *error) {
    return parse(&(source_t){.file = -1, .text = text, .left = length}, flags, error);
}

json_t *files_json_load(const char *path, size_t flags, json_error_t *error) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        if (error)
            snprintf(error->text, sizeof error->text, "unable to open %s: %s", path,
                     strerror(errno));
        return NULL;
    }
    json_t *json = parse(&(source_t){.file = file}, flags, error);
    close(file);
    return json;
}

/* ---- making and writing ---- */

json_t *files_json_u64(uint64_t value) {
    char digits[24];
    if (value <= INT64_MAX) return json_integer((json_int_t)value);
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    return json_string(digits);
}

sgp_status_t files_json_read(const char *path, json_t **json, char problem[FILES_JSON_PROBLEM]) {
    json_error_t error;
    int file;
    sgp_status_t status = sgp_regular_open(path, &file, problem);
    if (status) return status;
    *json = parse(&(source_t){.file = file}, JSON_REJECT_DUPLICATES, &error);
    close(file);
    if (*json) return SGP_OK;
    if (files_json_failed()) {
        snprintf(problem, FILES_JSON_PROBLEM, "no memory to read it");
        return SGP_ERR_NO_MEMORY;
    }
    snprintf(problem, FILES_JSON_PROBLEM, "is damaged in line %d: %s", error.line, error.text);
    return SGP_ERR_FORMAT;
}

sgp_status_t files_json_write(const char *directory, const char *name, json_t *json) {
    char *text = json ? json_dumps(json, JSON_INDENT(2) | FILES_JSON_FLAGS) : NULL;
    json_decref(json);
    if (!text || files_json_failed()) {
        free(text);
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s/%s: no memory to write it", directory, name);
    }
    atomic_file_part_t parts[] = {{text, strlen(text)}, {"\n", 1}};
    sgp_status_t status = atomic_file_replace(directory, name, parts, 2);
    free(text);
    return status;
}
