/* SPDX-License-Identifier: Apache-2.0 */
/* A labelled image data set in memory: training and test set, as bytes.
 *
 * The one format so far is that of MNIST: a directory with the four IDX files
 * train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte,
 * each with or without ".gz". One channel, labels 0..9. Immutable once loaded: any number of
 * threads may read it. */
#ifndef SGP_DATA_DATASET_H
#define SGP_DATA_DATASET_H

#include <sgp/status.h>
#include <stdint.h>

#define DATASET_MAX_CHANNELS 4

/* What the headers of the files say. */
typedef struct dataset_shape {
    int height; /* pixels */
    int width;
    int channels;
    int classes;
    uint32_t train_count; /* samples */
    uint32_t test_count;
} dataset_shape_t;

typedef struct dataset_split {
    uint32_t count;        /* samples, >= 1 */
    const uint8_t *images; /* (count, height, width, channels), nhwc */
    const uint8_t *labels; /* (count), each < classes */
} dataset_split_t;

typedef struct dataset {
    dataset_shape_t shape;
    dataset_split_t train; /* the first `limit` samples of the training files */
    dataset_split_t test;
    /* Of each channel over the pixels of `train`, in units of a byte (0..255): what makes the
     * training set have mean 0 and variance 1. deviation is 1 where all pixels are equal. */
    float mean[DATASET_MAX_CHANNELS];
    float deviation[DATASET_MAX_CHANNELS];
    uint64_t checksum; /* XXH3 of shape, train and test as they are here: tells whether two nodes
                          have the same data */
} dataset_t;

/* data: "fashion-mnist" (where Debian's dataset-fashion-mnist puts it), or a directory.
 * Reads the headers alone. Sets *shape only on success. Errors as dataset_load. */
sgp_status_t dataset_inspect(const char *data, dataset_shape_t *shape);

/* Loads and checks everything. limit: number of training samples to keep, the first ones; 0: all.
 * Sets *dataset only on success.
 * SGP_ERR_NOT_FOUND: no such directory or file. SGP_ERR_IO: cannot be read. SGP_ERR_FORMAT: a file
 * is damaged, or two files do not fit each other. SGP_ERR_INVALID: limit is negative or more than
 * there is. SGP_ERR_NO_MEMORY. Each logs one line with the file, what was found, and what would be
 * right. */
sgp_status_t dataset_load(const char *data, int64_t limit, dataset_t **dataset);

/* NULL is fine. */
void dataset_destroy(dataset_t *dataset);

#endif
