/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/source_format.h"

#include "base/logging.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

sgp_status_t source_buffer_fail(source_buffer_t *buffer, sgp_status_t status, const char *format,
                                ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer->reason, sizeof buffer->reason, format, arguments);
    va_end(arguments);
    return status;
}

sgp_status_t source_buffer_reserve(source_buffer_t *buffer, uint64_t size) {
    if (size > SOURCE_MOST_BYTES)
        return source_buffer_fail(buffer, SGP_ERR_IO, "has %llu bytes: more than %llu",
                                  (unsigned long long)size, (unsigned long long)SOURCE_MOST_BYTES);
    if (size > buffer->room) {
        size_t room = (size_t)size + (size_t)size / 4; /* so that few samples make it grow */
        uint8_t *bytes = malloc(room);
        if (!bytes)
            return source_buffer_fail(buffer, SGP_ERR_NO_MEMORY, "no memory for its %llu bytes",
                                      (unsigned long long)size);
        free(buffer->bytes);
        buffer->bytes = bytes;
        buffer->room = room;
    }
    buffer->size = (size_t)size;
    return SGP_OK;
}

sgp_status_t source_buffer_pread(source_buffer_t *buffer, int file, void *bytes, size_t count,
                                 uint64_t offset) {
    uint8_t *next = bytes;
    while (count > 0) {
        ssize_t got = pread(file, next, count, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return source_buffer_fail(buffer, SGP_ERR_IO, "cannot be read: %s", strerror(errno));
        if (got == 0)
            return source_buffer_fail(buffer, SGP_ERR_IO,
                                      "ends %zu bytes early: it has changed since it was opened",
                                      count);
        next += got;
        count -= (size_t)got;
        offset += (uint64_t)got;
    }
    return SGP_OK;
}

sgp_status_t source_labels_allocate(source_t *source, source_split_t split, const char *directory) {
    uint64_t count = source->shape.count[split];
    source->labels[split] = malloc(count * sizeof *source->labels[split]);
    if (source->labels[split] || count == 0) return SGP_OK;
    return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory for %llu labels", directory,
                    (unsigned long long)count);
}

XXH3_state_t *source_hash_begin(const source_t *source) {
    XXH3_state_t *state = XXH3_createState();
    if (!state) return NULL;
    XXH3_64bits_reset(state);
    const source_shape_t *shape = &source->shape;
    uint64_t numbers[] = {shape->encoded,           (uint64_t)shape->height,
                          (uint64_t)shape->width,   (uint64_t)shape->channels,
                          (uint64_t)shape->classes, shape->count[SOURCE_TRAIN],
                          shape->count[SOURCE_TEST]};
    XXH3_64bits_update(state, numbers, sizeof numbers);
    for (size_t i = 0; i < source->classes.count; i++) {
        const char *name = names_at(&source->classes, i);
        XXH3_64bits_update(state, name, strlen(name) + 1);
    }
    for (int split = 0; split < SOURCE_SPLITS; split++)
        XXH3_64bits_update(state, source->labels[split],
                           shape->count[split] * sizeof *source->labels[split]);
    return state;
}

uint64_t source_hash_end(XXH3_state_t *state) {
    uint64_t hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return hash;
}
