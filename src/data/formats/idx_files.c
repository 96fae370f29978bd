/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/idx_files.h"

#include "base/logging.h"
#include "data/data_path.h"
#include "data/formats/class_file.h"
#include "data/formats/idx.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLASSES  10
#define MAX_SIDE 4096 /* pixels; larger images are no data for these models */

/* The two files of a split, and the contents of their headers. */
typedef struct split_files {
    char images_path[PATH_MAX];
    char labels_path[PATH_MAX];
    idx_header_t images;
    idx_header_t labels;
} split_files_t;

/* path: (PATH_MAX) of the file with or without ".gz", whichever is there. */
static sgp_status_t find_file(const char *directory, const char *name, char *path) {
    static const char *const suffixes[] = {".gz", ""};
    for (int i = 0; i < 2; i++) {
        int length = snprintf(path, PATH_MAX, "%s/%s%s", directory, name, suffixes[i]);
        if (length >= PATH_MAX)
            return sgp_fail(SGP_ERR_INVALID, "data %s: the path is longer than %d bytes", directory,
                            PATH_MAX - 1);
        if (access(path, F_OK) == 0) return SGP_OK;
    }
    return sgp_fail(SGP_ERR_NOT_FOUND, "%s: not found, neither with nor without .gz", path);
}

static sgp_status_t check_pair(const split_files_t *files) {
    if (files->images.shape[0] != files->labels.shape[0])
        return sgp_fail(
            SGP_ERR_FORMAT, "%s: holds %u labels: should be %u, one for each image of %s",
            files->labels_path, files->labels.shape[0], files->images.shape[0], files->images_path);
    for (int i = 1; i <= 2; i++)
        if (files->images.shape[i] > MAX_SIDE)
            return sgp_fail(SGP_ERR_FORMAT, "%s: images of %u x %u pixels: should be at most %d",
                            files->images_path, files->images.shape[1], files->images.shape[2],
                            MAX_SIDE);
    return SGP_OK;
}

static sgp_status_t inspect_split(const char *directory, const char *prefix, split_files_t *files) {
    char name[64];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte", prefix);
    sgp_status_t status = find_file(directory, name, files->images_path);
    if (status) return status;
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", prefix);
    status = find_file(directory, name, files->labels_path);
    if (status) return status;
    status = idx_read_header(files->images_path, 3, &files->images);
    if (status) return status;
    status = idx_read_header(files->labels_path, 1, &files->labels);
    return status ? status : check_pair(files);
}

static sgp_status_t inspect_both(const char *directory, split_files_t *train, split_files_t *test) {
    sgp_status_t status = inspect_split(directory, "train", train);
    if (status) return status;
    status = inspect_split(directory, "t10k", test);
    if (status) return status;
    if (train->images.shape[1] != test->images.shape[1] ||
        train->images.shape[2] != test->images.shape[2])
        return sgp_fail(SGP_ERR_FORMAT, "%s: images of %u x %u pixels: should be %u x %u as in %s",
                        test->images_path, test->images.shape[1], test->images.shape[2],
                        train->images.shape[1], train->images.shape[2], train->images_path);
    return SGP_OK;
}

static dataset_shape_t shape_of(const split_files_t *train, const split_files_t *test) {
    return (dataset_shape_t){
        .height = (int)train->images.shape[1],
        .width = (int)train->images.shape[2],
        .channels = 1,
        .classes = CLASSES,
        .train_count = train->images.shape[0],
        .test_count = test->images.shape[0],
    };
}

static sgp_status_t inspect(const char *directory, dataset_shape_t *shape) {
    split_files_t train, test;
    sgp_status_t status = inspect_both(directory, &train, &test);
    if (!status) *shape = shape_of(&train, &test);
    return status;
}

static sgp_status_t check_labels(const char *path, const uint8_t *labels, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (labels[i] >= CLASSES)
            return sgp_fail(SGP_ERR_FORMAT, "%s: label %d of sample %zu: should be 0 to %d", path,
                            labels[i], i, CLASSES - 1);
    return SGP_OK;
}

static sgp_status_t load_split(const split_files_t *files, dataset_split_t *split) {
    idx_header_t header;
    uint8_t *images = NULL, *labels = NULL;
    sgp_status_t status = idx_read(files->images_path, 3, &header, &images);
    if (status) return status;
    /* The file was read twice; between the two it may have been replaced. */
    bool changed = memcmp(header.shape, files->images.shape, 3 * sizeof header.shape[0]) != 0;
    status = idx_read(files->labels_path, 1, &header, &labels);
    if (status) goto free_images;
    if (changed || header.shape[0] != files->labels.shape[0]) {
        status = sgp_fail(SGP_ERR_FORMAT, "%s: changed while it was read", files->images_path);
        goto free_labels;
    }
    status = check_labels(files->labels_path, labels, header.bytes);
    if (status) goto free_labels;
    *split = (dataset_split_t){.count = header.shape[0], .images = images, .labels = labels};
    return SGP_OK;
free_labels:
    free(labels);
free_images:
    free(images);
    return status;
}

static sgp_status_t load(const char *directory, dataset_t *dataset) {
    split_files_t train, test;
    sgp_status_t status = inspect_both(directory, &train, &test);
    if (status) return status;
    status = load_split(&train, &dataset->train);
    if (status) return status;
    status = load_split(&test, &dataset->test);
    if (status) {
        free((void *)dataset->train.images); /* const for readers; allocated by idx_read */
        free((void *)dataset->train.labels);
        dataset->train = (dataset_split_t){0};
        return status;
    }
    dataset->shape = shape_of(&train, &test);
    return SGP_OK;
}

static bool probe(const char *directory) {
    static const char *const names[] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                        "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int gzip = 0; gzip < 2; gzip++)
            if (snprintf(path, sizeof path, "%s/%s%s", directory, names[i], gzip ? ".gz" : "") <
                    PATH_MAX &&
                access(path, F_OK) == 0)
                return true;
    return false;
}

/* Source: https://github.com/zalandoresearch/fashion-mnist, "Labels". */
static sgp_status_t fashion_classes(names_t *names) {
    static const char *const labels[CLASSES] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                                "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                                "Bag",         "Ankle boot"};
    for (int i = 0; i < CLASSES; i++)
        if (names_add(names, labels[i]))
            return sgp_fail(SGP_ERR_NO_MEMORY, "data fashion-mnist: no memory");
    return SGP_OK;
}

static sgp_status_t classes(const char *directory, const dataset_shape_t *shape, names_t *names) {
    if (strcmp(directory, DATA_PATH_FASHION_MNIST) == 0) return fashion_classes(names);
    return class_file_names(directory, "classes.txt", shape->classes, names);
}

const pixel_format_t idx_pixels = {
    .name = "idx", .probe = probe, .inspect = inspect, .load = load, .classes = classes};
