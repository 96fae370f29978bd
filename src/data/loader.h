/* SPDX-License-Identifier: Apache-2.0 */
/* Turns bytes into batches: normalises samples to floats, and augments them if asked.
 *
 * A pixel becomes (byte - mean) / deviation of its channel. Augmentation is that of CIFAR residual
 * networks (He et al. 2016, section 4.2): 4 pixels of padding on each side, a crop of the original
 * size at a random place, and a horizontal flip with probability 1/2. The padding is black, a zero
 * byte, as in torchvision: an image on a black background is only shifted. The random numbers of a
 * sample depend only on (seed, rank, epoch, sample). */
#ifndef SGP_DATA_LOADER_H
#define SGP_DATA_LOADER_H

#include "data/dataset.h"

#include <stdbool.h>
#include <stddef.h>

#define LOADER_PADDING 4 /* pixels */

typedef struct loader_options {
    const dataset_t *dataset; /* borrowed, must outlive the loader; required */
    bool augment;
    uint64_t seed; /* of the augmentation, together with rank */
    int rank;
} loader_options_t;

/* Embedded; fields are private. Loading does not change it: several threads may share one. */
typedef struct loader {
    const dataset_t *dataset;
    bool augment;
    uint64_t node_seed;
    float table[DATASET_MAX_CHANNELS][256]; /* normalised value of each byte, by channel */
} loader_t;

/* Cannot fail; needs no fini. */
void loader_init(loader_t *loader, const loader_options_t *options);

/* Floats in one sample. */
size_t loader_sample_floats(const loader_t *loader);

/* Training samples, augmented if asked. indices: each < dataset->train.count. images: (count,
 * height, width, channels), nhwc; labels: (count). Allocates nothing. */
void loader_train(const loader_t *loader, uint64_t epoch, const uint64_t *indices /* (count) */,
                  int count, float *images, int32_t *labels);

/* The same, with random numbers of (seed, rank, epoch, key) instead: for batches in which a sample may come more than once in
 * an epoch. keys: (count), each < 2^32. */
void loader_train_at(const loader_t *loader, uint64_t epoch, const uint64_t *indices,
                     const uint64_t *keys, int count, float *images, int32_t *labels);

/* Test samples [first, first + count), never augmented; first + count <= dataset->test.count. */
void loader_test(const loader_t *loader, uint32_t first, int count, float *images, int32_t *labels);

#endif
