/* SPDX-License-Identifier: Apache-2.0 */
/* The table of formats, and source.h on top of it. */
#include "base/logging.h"
#include "data/data_path.h"
#include "data/formats/folder.h"
#include "data/formats/pixel_source.h"
#include "data/formats/shards.h"
#include "data/formats/source_format.h"

#include <stdio.h>
#include <stdlib.h>

/* In the order in which they are tried: a new format is a line here and a file in data/formats. */
static const source_format_t *const formats[] = {
    &folder_format, &shards_format, &cifar10_source, &cifar100_source, &idx_source,
};

enum { FORMATS = sizeof formats / sizeof formats[0] };

static sgp_status_t fail_unknown(const char *data) {
    char wanted[512];
    size_t used = 0;
    for (size_t i = 0; i < FORMATS && used < sizeof wanted; i++)
        used += (size_t)snprintf(wanted + used, sizeof wanted - used, "%s%s (%s)",
                                 i == 0            ? ""
                                 : i + 1 < FORMATS ? ", "
                                                   : " or ",
                                 formats[i]->wanted, formats[i]->name);
    return sgp_fail(SGP_ERR_NOT_FOUND, "data %s: no data set of a known format: there is no %s",
                    data, wanted);
}

static sgp_status_t find(const char *data, const char **directory, const source_format_t **format) {
    sgp_status_t status = data_path_find(data, directory);
    if (status) return status;
    for (size_t i = 0; i < FORMATS; i++) {
        status = formats[i]->probe(*directory);
        if (status == SGP_OK) *format = formats[i];
        if (status != SGP_ERR_NOT_FOUND) return status;
    }
    return fail_unknown(data);
}

sgp_status_t source_find(const char *data, const char **format, bool *encoded) {
    const char *directory;
    const source_format_t *found = NULL;
    sgp_status_t status = find(data, &directory, &found);
    if (status) return status;
    *format = found->name;
    *encoded = found->encoded;
    return SGP_OK;
}

sgp_status_t source_open(const char *data, source_t **source) {
    const char *directory;
    const source_format_t *format = NULL;
    sgp_status_t status = find(data, &directory, &format);
    if (status) return status;
    source_t *opened = calloc(1, sizeof *opened);
    if (!opened) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", data);
    opened->format = format;
    opened->shape.encoded = format->encoded;
    status = format->open(directory, opened);
    if (status) source_close(opened);
    else *source = opened;
    return status;
}

void source_close(source_t *source) {
    if (!source) return;
    source->format->close(source);
    for (int split = 0; split < SOURCE_SPLITS; split++) free(source->labels[split]);
    names_fini(&source->classes);
    free(source);
}

const source_shape_t *source_shape(const source_t *source) {
    return &source->shape;
}

const char *source_format(const source_t *source) {
    return source->format->name;
}

const char *source_class_name(const source_t *source, int class) {
    return names_at(&source->classes, (size_t) class);
}

uint32_t source_label(const source_t *source, source_split_t split, uint64_t index) {
    return source->labels[split][index];
}

sgp_status_t source_read(const source_t *source, source_split_t split, uint64_t index,
                         source_buffer_t *buffer) {
    return source->format->read(source, split, index, buffer);
}

void source_buffer_fini(source_buffer_t *buffer) {
    free(buffer->bytes);
    *buffer = (source_buffer_t){0};
}

void source_name(const source_t *source, source_split_t split, uint64_t index,
                 char name[SOURCE_NAME_BYTES]) {
    source->format->sample_name(source, split, index, name);
    for (char *at = name; *at; at++) /* which a terminal would obey */
        if ((unsigned char)*at < ' ' || *at == 0x7f) *at = '?';
}

void source_will_need(const source_t *source, source_split_t split, const uint64_t *indices,
                      size_t count) {
    if (source->format->will_need) source->format->will_need(source, split, indices, count);
}

uint64_t source_fingerprint(const source_t *source) {
    return source->fingerprint;
}
