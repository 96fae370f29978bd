/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/cifar.h"

#include "base/logging.h"
#include "base/regular.h"
#include "data/formats/class_file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, CHANNELS = 3, PIXELS = PLANE * CHANNELS, MOST_FILES = 5 };

/* One of the two data sets. */
typedef struct layout {
    int classes;
    size_t labels; /* bytes before the pixels; the last is the label */
    const char *train[MOST_FILES + 1];
    const char *test[2]; /* each list ends with NULL */
} layout_t;

static const layout_t cifar10 = {
    .classes = 10,
    .labels = 1,
    .train = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
              "data_batch_5.bin"},
    .test = {"test_batch.bin"},
};

static const layout_t cifar100 = {
    .classes = 100,
    .labels = 2,
    .train = {"train.bin"},
    .test = {"test.bin"},
};

static sgp_status_t open_file(const char *directory, const char *name, char path[PATH_MAX],
                              int *file) {
    char problem[SGP_REGULAR_PROBLEM];
    if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s/%s: the path is too long", directory, name);
    sgp_status_t status = sgp_regular_open(path, file, problem);
    return status ? sgp_fail(status, "%s: %s", path, problem) : SGP_OK;
}

/* Records in a file, from its size. */
static sgp_status_t count_records(const layout_t *layout, int file, const char *path,
                                  uint64_t *count) {
    struct stat info;
    uint64_t record = layout->labels + PIXELS;
    if (fstat(file, &info) != 0)
        return sgp_fail(SGP_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
    uint64_t size = (uint64_t)info.st_size;
    if (size == 0 || size % record != 0)
        return sgp_fail(SGP_ERR_FORMAT,
                        "%s: has %llu bytes: should be a multiple of %llu, the size of a picture "
                        "with its label: truncated or damaged",
                        path, (unsigned long long)size, (unsigned long long)record);
    *count = size / record;
    return SGP_OK;
}

static sgp_status_t count_split(const layout_t *layout, const char *directory,
                                const char *const *names, uint32_t *count) {
    char path[PATH_MAX];
    uint64_t sum = 0;
    for (; *names; names++) {
        uint64_t records;
        int file;
        sgp_status_t status = open_file(directory, *names, path, &file);
        if (status) return status;
        status = count_records(layout, file, path, &records);
        close(file);
        if (status) return status;
        sum += records;
    }
    if (sum > UINT32_MAX)
        return sgp_fail(SGP_ERR_FORMAT, "%s: %llu pictures: should be at most %u", directory,
                        (unsigned long long)sum, UINT32_MAX);
    *count = (uint32_t)sum;
    return SGP_OK;
}

static sgp_status_t inspect(const layout_t *layout, const char *directory, dataset_shape_t *shape) {
    dataset_shape_t found = {
        .height = SIDE, .width = SIDE, .channels = CHANNELS, .classes = layout->classes};
    sgp_status_t status = count_split(layout, directory, layout->train, &found.train_count);
    if (!status) status = count_split(layout, directory, layout->test, &found.test_count);
    if (!status) *shape = found;
    return status;
}

/* planes: (CHANNELS, PLANE); out: (PLANE, CHANNELS) */
static void interleave(const uint8_t *planes, uint8_t *out) {
    for (size_t c = 0; c < CHANNELS; c++)
        for (size_t i = 0; i < PLANE; i++) out[i * CHANNELS + c] = planes[c * PLANE + i];
}

static sgp_status_t read_record(const layout_t *layout, FILE *stream, const char *path,
                                uint64_t number, uint8_t *image, uint8_t *label) {
    uint8_t record[2 + PIXELS];
    if (fread(record, layout->labels + PIXELS, 1, stream) != 1)
        return sgp_fail(SGP_ERR_IO, "%s: %s", path,
                        ferror(stream) ? "cannot be read" : "changed while it was read");
    *label = record[layout->labels - 1];
    if (*label >= layout->classes)
        return sgp_fail(SGP_ERR_FORMAT, "%s: label %d of sample %llu: should be 0 to %d", path,
                        *label, (unsigned long long)number, layout->classes - 1);
    interleave(record + layout->labels, image);
    return SGP_OK;
}

/* Appends a file's records to the arrays, which have room for `room` samples. */
static sgp_status_t load_file(const layout_t *layout, const char *directory, const char *name,
                              uint32_t room, uint8_t *images, uint8_t *labels, uint32_t *count) {
    char path[PATH_MAX];
    int file;
    uint64_t records;
    sgp_status_t status = open_file(directory, name, path, &file);
    if (status) return status;
    FILE *stream = fdopen(file, "rb");
    if (!stream) {
        close(file);
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to read it", path);
    }
    status = count_records(layout, file, path, &records);
    if (!status && records > room - *count)
        status = sgp_fail(SGP_ERR_FORMAT, "%s: changed while it was read", path);
    for (uint64_t i = 0; !status && i < records; i++, ++*count)
        status =
            read_record(layout, stream, path, i, images + (size_t)*count * PIXELS, labels + *count);
    fclose(stream);
    return status;
}

static sgp_status_t load_split(const layout_t *layout, const char *directory,
                               const char *const *names, uint32_t count, dataset_split_t *split) {
    uint8_t *images = malloc((size_t)count * PIXELS), *labels = malloc(count);
    sgp_status_t status = SGP_OK;
    uint32_t loaded = 0;
    if (!images || !labels)
        status =
            sgp_fail(SGP_ERR_NO_MEMORY, "data %s: no memory for %u pictures", directory, count);
    for (; !status && *names; names++)
        status = load_file(layout, directory, *names, count, images, labels, &loaded);
    if (!status && loaded != count)
        status = sgp_fail(SGP_ERR_FORMAT, "data %s: changed while it was read", directory);
    if (status) {
        free(images);
        free(labels);
        return status;
    }
    *split = (dataset_split_t){.count = count, .images = images, .labels = labels};
    return SGP_OK;
}

static sgp_status_t load(const layout_t *layout, const char *directory, dataset_t *dataset) {
    dataset_shape_t shape;
    dataset_split_t train, test;
    sgp_status_t status = inspect(layout, directory, &shape);
    if (status) return status;
    status = load_split(layout, directory, layout->train, shape.train_count, &train);
    if (status) return status;
    status = load_split(layout, directory, layout->test, shape.test_count, &test);
    if (status) {
        free((void *)train.images); /* const for readers */
        free((void *)train.labels);
        return status;
    }
    dataset->shape = shape;
    dataset->train = train;
    dataset->test = test;
    return SGP_OK;
}

/* All files that tell the data set from others; test.bin alone may be anything. */
static bool probe(const layout_t *layout, const char *directory) {
    char path[PATH_MAX];
    for (int i = 0; layout->train[i]; i++)
        if (snprintf(path, sizeof path, "%s/%s", directory, layout->train[i]) < PATH_MAX &&
            access(path, F_OK) == 0)
            return true;
    return false;
}

static bool probe10(const char *directory) {
    return probe(&cifar10, directory);
}

static bool probe100(const char *directory) {
    return probe(&cifar100, directory);
}

static sgp_status_t inspect10(const char *directory, dataset_shape_t *shape) {
    return inspect(&cifar10, directory, shape);
}

static sgp_status_t inspect100(const char *directory, dataset_shape_t *shape) {
    return inspect(&cifar100, directory, shape);
}

static sgp_status_t load10(const char *directory, dataset_t *dataset) {
    return load(&cifar10, directory, dataset);
}

static sgp_status_t load100(const char *directory, dataset_t *dataset) {
    return load(&cifar100, directory, dataset);
}

static sgp_status_t classes10(const char *directory, const dataset_shape_t *shape, names_t *names) {
    return class_file_names(directory, "batches.meta.txt", shape->classes, names);
}

static sgp_status_t classes100(const char *directory, const dataset_shape_t *shape,
                               names_t *names) {
    return class_file_names(directory, "fine_label_names.txt", shape->classes, names);
}

const pixel_format_t cifar10_pixels = {.name = "cifar10",
                                       .probe = probe10,
                                       .inspect = inspect10,
                                       .load = load10,
                                       .classes = classes10};

const pixel_format_t cifar100_pixels = {.name = "cifar100",
                                        .probe = probe100,
                                        .inspect = inspect100,
                                        .load = load100,
                                        .classes = classes100};
