/* SPDX-License-Identifier: Apache-2.0 */
/* A labelled image data set in memory: training and test set, as bytes. The folder data loads data
 * sets and turns them into batches; run, files and the commands call it. It knows (rank, size) of a
 * node and nothing else of the cluster.
 *
 * Of the formats of data/source.h those whose samples are pixels of one size: IDX files, as of MNIST
 * (data/formats/idx_files.h), and CIFAR-10 and CIFAR-100 (data/formats/cifar.h). Immutable once
 * loaded: any number of threads may read it. */
#ifndef SGP_DATA_DATASET_H
#define SGP_DATA_DATASET_H

#include <sgp/status.h>
#include <stdint.h>

#define DATASET_MAX_CHANNELS 4

/* Read from the headers or sizes of the files. */
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
    /* Of each channel over the pixels of `train`, in units of a byte (0..255): normalised with them
     * the training set has mean 0 and variance 1. deviation is 1 where all pixels are equal. */
    float mean[DATASET_MAX_CHANNELS];
    float deviation[DATASET_MAX_CHANNELS];
    uint64_t checksum; /* XXH3 of shape, train and test: equal where two nodes have the same data */
} dataset_t;

/* data: as source_open takes it. Reads only the headers. Sets *shape only on success. Errors as dataset_load. */
sgp_status_t dataset_inspect(const char *data, dataset_shape_t *shape);

/* Loads and checks everything. limit: number of training samples to keep, the first ones; 0: all.
 * Sets *dataset only on success.
 * SGP_ERR_NOT_FOUND: no such directory or file. SGP_ERR_IO: cannot be read. SGP_ERR_FORMAT: a file
 * is damaged, or two files do not fit each other. SGP_ERR_UNSUPPORTED: the samples are JPEG or PNG files. SGP_ERR_INVALID: limit is negative or exceeds the
 * training set. SGP_ERR_NO_MEMORY. Each logs one line with the file, the value found, and the value
 * expected. */
sgp_status_t dataset_load(const char *data, int64_t limit, dataset_t **dataset);

/* NULL is fine. */
void dataset_destroy(dataset_t *dataset);

#endif
