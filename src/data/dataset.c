/* SPDX-License-Identifier: Apache-2.0 */
#include "data/dataset.h"

#include "base/logging.h"
#include "data/data_path.h"
#include "data/formats/pixel_formats.h"
#include "data/source.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

/* The pixel format of the data. */
static sgp_status_t find(const char *data, const char **directory, const pixel_format_t **format) {
    const char *name;
    bool encoded;
    sgp_status_t status = source_find(data, &name, &encoded);
    if (!status) status = data_path_find(data, directory);
    if (status) return status;
    if (encoded)
        return sgp_fail(SGP_ERR_UNSUPPORTED,
                        "data %s: holds JPEG or PNG files (%s): should be pixels, all of one size",
                        data, name);
    *format = pixel_formats_find(*directory);
    assert(*format);
    return SGP_OK;
}

sgp_status_t dataset_inspect(const char *data, dataset_shape_t *shape) {
    const char *directory;
    const pixel_format_t *format;
    sgp_status_t status = find(data, &directory, &format);
    return status ? status : format->inspect(directory, shape);
}

static size_t sample_bytes(const dataset_shape_t *shape) {
    return (size_t)shape->height * (size_t)shape->width * (size_t)shape->channels;
}

/* Exact: sums of bytes fit 64-bit integers, so the result does not depend on the order. */
static void normalise(dataset_t *dataset) {
    size_t channels = (size_t)dataset->shape.channels;
    size_t pixels = dataset->train.count * sample_bytes(&dataset->shape) / channels;
    for (size_t c = 0; c < channels; c++) {
        uint64_t sum = 0, squares = 0;
        for (size_t i = 0; i < pixels; i++) {
            uint64_t value = dataset->train.images[i * channels + c];
            sum += value;
            squares += value * value;
        }
        double mean = (double)sum / (double)pixels;
        double variance = (double)squares / (double)pixels - mean * mean;
        dataset->mean[c] = (float)mean;
        /* Bytes vary by far more than this as soon as they vary at all. */
        dataset->deviation[c] = variance > 1e-9 ? (float)sqrt(variance) : 1.0f;
    }
}

static uint64_t checksum_of(const dataset_t *dataset) {
    const dataset_shape_t *shape = &dataset->shape;
    uint64_t parts[9] = {(uint64_t)shape->height, (uint64_t)shape->width, (uint64_t)shape->channels,
                         dataset->train.count, dataset->test.count};
    const dataset_split_t *splits[2] = {&dataset->train, &dataset->test};
    for (int i = 0; i < 2; i++) {
        parts[5 + 2 * i] = XXH3_64bits(splits[i]->images, splits[i]->count * sample_bytes(shape));
        parts[6 + 2 * i] = XXH3_64bits(splits[i]->labels, splits[i]->count);
    }
    return XXH3_64bits(parts, sizeof parts);
}

static sgp_status_t keep_first(dataset_t *dataset, int64_t limit, const char *data) {
    if (limit < 0 || limit > dataset->train.count)
        return sgp_fail(SGP_ERR_INVALID,
                        "limit-samples is %lld: should be 1 to %u, the training samples of %s, or "
                        "0 for all",
                        (long long)limit, dataset->train.count, data);
    if (limit > 0) dataset->train.count = dataset->shape.train_count = (uint32_t)limit;
    return SGP_OK;
}

sgp_status_t dataset_load(const char *data, int64_t limit, dataset_t **dataset) {
    const char *directory;
    const pixel_format_t *format;
    sgp_status_t status = find(data, &directory, &format);
    if (status) return status;
    dataset_t *loaded = calloc(1, sizeof *loaded);
    if (!loaded) return sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory", data);
    status = format->load(directory, loaded);
    if (!status) status = keep_first(loaded, limit, data);
    if (status) {
        dataset_destroy(loaded);
        return status;
    }
    normalise(loaded);
    loaded->checksum = checksum_of(loaded);
    *dataset = loaded;
    return SGP_OK;
}

void dataset_destroy(dataset_t *dataset) {
    if (!dataset) return;
    dataset_split_t *splits[2] = {&dataset->train, &dataset->test};
    for (int i = 0; i < 2; i++) {
        free((void *)splits[i]->images); /* const for readers; allocated by the format */
        free((void *)splits[i]->labels);
    }
    free(dataset);
}
