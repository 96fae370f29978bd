/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the feed: pixels in memory, and pictures in folders and shards that show their number. */
#ifndef SGP_TESTS_DATA_FEED_SUPPORT_H
#define SGP_TESTS_DATA_FEED_SUPPORT_H

#include "data/shard_support.h"

#include "data/feed.h"
#include "data/picture/picture_encode.h"

enum { SIDE = 12, CLASSES = 5, EACH = 9, COUNT = CLASSES * EACH, BATCH = 4, SHARDS = 3 };

typedef struct fixture {
    char pixels[64], folder[64], shards[64];
} fixture_t;

/* A picture whose grey level is its number. */
static inline void encode(int number, uint8_t **bytes, size_t *size) {
    uint8_t pixels[SIDE * SIDE];
    memset(pixels, number, sizeof pixels);
    picture_pixels_t picture = {pixels, SIDE, SIDE, 1};
    assert_int_equal(picture_encode_png(&picture, bytes, size), SGP_OK);
}

static inline void write_folder(const char *directory) {
    for (int i = 0; i < COUNT; i++) {
        char path[64];
        uint8_t *bytes;
        size_t size;
        encode(i, &bytes, &size);
        snprintf(path, sizeof path, "train/class%d/%02d.png", i / EACH, i);
        put_bytes(directory, path, bytes, size);
        snprintf(path, sizeof path, "val/class%d/%02d.png", i / EACH, i);
        if (i % EACH < 2) put_bytes(directory, path, bytes, size);
        free(bytes);
    }
}

static inline void add_sample(tar_file_t *tar, int number) {
    char name[32], label[16];
    uint8_t *bytes;
    size_t size;
    encode(number, &bytes, &size);
    snprintf(name, sizeof name, "%02d.png", number);
    tar_add_header(tar, name, '0', size);
    tar_add_bytes(tar, bytes, size);
    snprintf(name, sizeof name, "%02d.cls", number);
    snprintf(label, sizeof label, "%d", number / EACH);
    tar_add(tar, name, label);
    free(bytes);
}

static inline void write_shards(const char *directory) {
    tar_file_t tar = {0};
    for (int shard = 0; shard < SHARDS; shard++) {
        char name[32];
        for (int i = shard; i < COUNT; i += SHARDS) add_sample(&tar, i);
        tar_add_end(&tar);
        snprintf(name, sizeof name, "train-%06d.tar", shard);
        tar_put(&tar, directory, name);
    }
    for (int i = 0; i < COUNT; i += EACH) add_sample(&tar, i);
    tar_add_end(&tar);
    tar_put(&tar, directory, "val-000000.tar");
    put(directory, "classes.txt", "a\nb\nc\nd\ne\n");
}

static inline int set_up(void **state) {
    fixture_t *fixture = calloc(1, sizeof *fixture);
    make_directory(fixture->pixels);
    make_directory(fixture->folder);
    make_directory(fixture->shards);
    write_dataset(fixture->pixels, COUNT, 20, SIDE);
    write_folder(fixture->folder);
    write_shards(fixture->shards);
    log_start();
    *state = fixture;
    return 0;
}

static inline int tear_down(void **state) {
    fixture_t *fixture = *state;
    remove_directory(fixture->pixels);
    remove_directory(fixture->folder);
    remove_directory(fixture->shards);
    free(fixture);
    return 0;
}

static inline feed_options_t options_of(const char *data, int rank, int size) {
    return (feed_options_t){
        .data = data, .batch = BATCH, .rank = rank, .size = size, .seed = 3, .threads = 2};
}

static inline feed_t *make(const feed_options_t *options) {
    feed_t *feed = NULL;
    sgp_status_t status = feed_create(options, &feed);
    if (status) fail_msg("%d: %s", status, captured.last);
    return feed;
}

static inline feed_options_t pictures_of(const char *data, int rank, int size) {
    feed_options_t options = options_of(data, rank, size);
    options.image_size = 8;
    return options;
}

/* The number of a picture, from its grey level. */
static inline int number_of(const feed_t *feed, const float *image) {
    return (int)(image[0] * feed_deviation(feed)[0] + feed_mean(feed)[0] + 0.5f);
}

/* Adds the node's own pictures of the steps from `step` to before `end` to taken (COUNT). */
static inline void take_steps(feed_t *feed, uint64_t step, uint64_t end, int *taken) {
    for (; step < end; step++) {
        feed_batch_t batch;
        assert_int_equal(feed_next(feed, &batch), SGP_OK);
        assert_int_equal(batch.count, BATCH);
        assert_int_equal(batch.valid, feed_samples(feed, step));
        for (int i = 0; i < batch.valid; i++) {
            int number = number_of(feed, batch.images + i * 8 * 8 * 3);
            assert_in_range(number, 0, COUNT - 1);
            assert_int_equal(batch.labels[i], number / EACH);
            taken[number]++;
        }
    }
}

/* Those of an epoch. Returns the steps. */
static inline uint64_t take_epoch(feed_t *feed, uint64_t epoch, int *taken) {
    assert_int_equal(feed_begin_epoch(feed, epoch, 0), SGP_OK);
    take_steps(feed, 0, feed_steps(feed), taken);
    return feed_steps(feed);
}

#endif
