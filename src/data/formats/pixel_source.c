/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/pixel_source.h"

#include "base/logging.h"
#include "data/formats/cifar.h"
#include "data/formats/idx_files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const dataset_split_t *split_of(const source_t *source, source_split_t split) {
    const dataset_t *dataset = source->state;
    return split == SOURCE_TRAIN ? &dataset->train : &dataset->test;
}

static size_t sample_bytes(const source_t *source) {
    const source_shape_t *shape = &source->shape;
    return (size_t)shape->height * (size_t)shape->width * (size_t)shape->channels;
}

static sgp_status_t fill_labels(source_t *source, const char *directory) {
    for (int split = 0; split < SOURCE_SPLITS; split++) {
        const dataset_split_t *from = split_of(source, (source_split_t)split);
        source->shape.count[split] = from->count;
        sgp_status_t status = source_labels_allocate(source, (source_split_t)split, directory);
        if (status) return status;
        for (uint32_t i = 0; i < from->count; i++) source->labels[split][i] = from->labels[i];
    }
    return SGP_OK;
}

static sgp_status_t take_fingerprint(source_t *source, const char *directory) {
    XXH3_state_t *state = source_hash_begin(source);
    if (!state) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", directory);
    for (int split = 0; split < SOURCE_SPLITS; split++) {
        const dataset_split_t *from = split_of(source, (source_split_t)split);
        XXH3_64bits_update(state, from->images, from->count * sample_bytes(source));
    }
    source->fingerprint = source_hash_end(state);
    return SGP_OK;
}

static sgp_status_t open_pixels(const pixel_format_t *format, const char *directory,
                                source_t *source) {
    dataset_t *dataset = calloc(1, sizeof *dataset);
    if (!dataset) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", directory);
    source->state = dataset;
    sgp_status_t status = format->load(directory, dataset);
    if (status) return status;
    source->shape.height = dataset->shape.height;
    source->shape.width = dataset->shape.width;
    source->shape.channels = dataset->shape.channels;
    source->shape.classes = dataset->shape.classes;
    status = format->classes(directory, &dataset->shape, &source->classes);
    if (!status) status = fill_labels(source, directory);
    return status ? status : take_fingerprint(source, directory);
}

static void close_pixels(source_t *source) {
    dataset_t *dataset = source->state;
    if (!dataset) return;
    for (int split = 0; split < SOURCE_SPLITS; split++) {
        free((void *)split_of(source, (source_split_t)split)->images); /* const for readers */
        free((void *)split_of(source, (source_split_t)split)->labels);
    }
    free(dataset);
}

static sgp_status_t read_pixels(const source_t *source, source_split_t split, uint64_t index,
                                source_buffer_t *buffer) {
    size_t bytes = sample_bytes(source);
    sgp_status_t status = source_buffer_reserve(buffer, bytes);
    if (!status) memcpy(buffer->bytes, split_of(source, split)->images + index * bytes, bytes);
    return status;
}

static void sample_name(const source_t *source, source_split_t split, uint64_t index,
                        char name[SOURCE_NAME_BYTES]) {
    (void)source;
    snprintf(name, SOURCE_NAME_BYTES, "%s sample %llu", split == SOURCE_TRAIN ? "training" : "test",
             (unsigned long long)index);
}

/* A format's rows of the table: its own name, probe and open, and the rest from above. */
#define PIXEL_SOURCE(format, files)                                                                \
    static sgp_status_t probe_##format(const char *directory) {                                    \
        return format##_pixels.probe(directory) ? SGP_OK : SGP_ERR_NOT_FOUND;                      \
    }                                                                                              \
    static sgp_status_t open_##format(const char *directory, source_t *source) {                   \
        return open_pixels(&format##_pixels, directory, source);                                   \
    }                                                                                              \
    const source_format_t format##_source = {                                                      \
        .name = #format,                                                                           \
        .wanted = (files),                                                                         \
        .probe = probe_##format,                                                                   \
        .open = open_##format,                                                                     \
        .close = close_pixels,                                                                     \
        .read = read_pixels,                                                                       \
        .sample_name = sample_name,                                                                \
    }

PIXEL_SOURCE(cifar10, "data_batch_1.bin");
PIXEL_SOURCE(cifar100, "train.bin");
PIXEL_SOURCE(idx, "train-images-idx3-ubyte");
