/* SPDX-License-Identifier: Apache-2.0 */
#include "data/loader.h"

#include "base/random.h"

/* Random streams from this on belong to the augmentation; those below, to the epochs of the
 * sampler, which has the same seed. */
#define AUGMENT_STREAM ((uint64_t)1 << 63)

/* The crop of a sample from its padded image, and whether it is mirrored. */
typedef struct crop {
    int dy, dx; /* pixels, -LOADER_PADDING..LOADER_PADDING: output (y, x) is input (y + dy, x + dx)
                 */
    bool flip;
} crop_t;

void loader_init(loader_t *loader, const loader_options_t *options) {
    const dataset_t *dataset = options->dataset;
    loader->dataset = dataset;
    loader->augment = options->augment;
    sgp_random_t random;
    sgp_random_init(&random, options->seed, AUGMENT_STREAM + (uint64_t)options->rank);
    loader->node_seed = sgp_random_u64(&random);
    for (int c = 0; c < dataset->shape.channels; c++)
        for (int i = 0; i < 256; i++)
            loader->table[c][i] = ((float)i - dataset->mean[c]) / dataset->deviation[c];
}

size_t loader_sample_floats(const loader_t *loader) {
    const dataset_shape_t *shape = &loader->dataset->shape;
    return (size_t)shape->height * (size_t)shape->width * (size_t)shape->channels;
}

/* in, out: (pixels, channels) */
static void normalise(const loader_t *loader, const uint8_t *in, size_t pixels, float *out) {
    size_t channels = (size_t)loader->dataset->shape.channels;
    if (channels == 1) {
        for (size_t i = 0; i < pixels; i++) out[i] = loader->table[0][in[i]];
        return;
    }
    for (size_t i = 0; i < pixels * channels; i++) out[i] = loader->table[i % channels][in[i]];
}

static crop_t draw_crop(const loader_t *loader, uint64_t epoch, uint64_t sample) {
    sgp_random_t random;
    sgp_random_init(&random, loader->node_seed, epoch << 32 | sample);
    crop_t crop;
    crop.dy = (int)sgp_random_below(&random, 2 * LOADER_PADDING + 1) - LOADER_PADDING;
    crop.dx = (int)sgp_random_below(&random, 2 * LOADER_PADDING + 1) - LOADER_PADDING;
    crop.flip = sgp_random_below(&random, 2) == 1;
    return crop;
}

/* in, out: (width, channels), in reverse order of the pixels. */
static void normalise_flipped(const loader_t *loader, const uint8_t *in, int width, float *out) {
    int channels = loader->dataset->shape.channels;
    for (int x = 0; x < width; x++)
        for (int c = 0; c < channels; c++)
            out[x * channels + c] = loader->table[c][in[(width - 1 - x) * channels + c]];
}

static void fill_black(const loader_t *loader, float *out) {
    size_t floats = loader_sample_floats(loader);
    size_t channels = (size_t)loader->dataset->shape.channels;
    for (size_t i = 0; i < floats; i++) out[i] = loader->table[i % channels][0];
}

/* in, out: (height, width, channels) */
static void augment(const loader_t *loader, const uint8_t *in, crop_t crop, float *out) {
    const dataset_shape_t *shape = &loader->dataset->shape;
    int height = shape->height, width = shape->width, channels = shape->channels;
    fill_black(loader, out);
    int left = crop.dx < 0 ? -crop.dx : 0; /* output columns [left, right) show the image */
    int right = crop.dx > 0 ? width - crop.dx : width;
    if (left >= right) return; /* narrower than the padding */
    for (int y = 0; y < height; y++) {
        int source = y + crop.dy;
        if (source < 0 || source >= height) continue;
        const uint8_t *from = in + (source * width + left + crop.dx) * channels;
        float *row = out + y * width * channels;
        if (crop.flip)
            normalise_flipped(loader, from, right - left, row + (width - right) * channels);
        else normalise(loader, from, (size_t)(right - left), row + left * channels);
    }
}

void loader_train(const loader_t *loader, uint64_t epoch, const uint64_t *indices, int count,
                  float *images, int32_t *labels) {
    loader_train_at(loader, epoch, indices, indices, count, images, labels);
}

void loader_train_at(const loader_t *loader, uint64_t epoch, const uint64_t *indices,
                     const uint64_t *keys, int count, float *images, int32_t *labels) {
    const dataset_split_t *train = &loader->dataset->train;
    size_t floats = loader_sample_floats(loader);
    size_t pixels = floats / (size_t)loader->dataset->shape.channels;
    for (int i = 0; i < count; i++) {
        const uint8_t *in = train->images + indices[i] * floats;
        float *out = images + (size_t)i * floats;
        if (loader->augment) augment(loader, in, draw_crop(loader, epoch, keys[i]), out);
        else normalise(loader, in, pixels, out);
        labels[i] = train->labels[indices[i]];
    }
}

void loader_test(const loader_t *loader, uint32_t first, int count, float *images,
                 int32_t *labels) {
    const dataset_split_t *test = &loader->dataset->test;
    size_t floats = loader_sample_floats(loader);
    size_t pixels = floats / (size_t)loader->dataset->shape.channels;
    normalise(loader, test->images + first * floats, (size_t)count * pixels, images);
    for (int i = 0; i < count; i++) labels[i] = test->labels[first + (uint32_t)i];
}
