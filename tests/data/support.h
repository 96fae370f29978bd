/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of data and train: a temporary directory, small IDX data sets, the last log line.
 */
#ifndef SGP_TESTS_DATA_SUPPORT_H
#define SGP_TESTS_DATA_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "entries.h"

#include <dirent.h>
#include <pthread.h>
#include <sgp/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* The lines of the log since log_start, and the last one; nodes may be threads. */
static struct {
    pthread_mutex_t lock;
    int lines;
    char last[1024];
} captured = {.lock = PTHREAD_MUTEX_INITIALIZER};

static inline void capture_line(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)level, (void)rank, (void)user;
    pthread_mutex_lock(&captured.lock);
    captured.lines++;
    snprintf(captured.last, sizeof captured.last, "%s", line);
    pthread_mutex_unlock(&captured.lock);
}

static inline void log_start(void) {
    captured.lines = 0;
    captured.last[0] = '\0';
    sgp_log_set(capture_line, NULL, SGP_LOG_WARNING);
}

/* One line was logged since log_start, and it contains each of the texts (NULL ends the list). */
static inline void assert_logged(const char *text, ...) {
    if (captured.lines != 1)
        fail_msg("%d lines were logged, the last: %s", captured.lines, captured.last);
    va_list arguments;
    va_start(arguments, text);
    for (; text; text = va_arg(arguments, const char *))
        if (!strstr(captured.last, text)) fail_msg("no \"%s\" in: %s", text, captured.last);
    va_end(arguments);
}

/* directory: (64) receives the name of a new directory. */
static inline void make_directory(char *directory) {
    strcpy(directory, "/tmp/sgp-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
}

/* Removes the directory with its contents. */
static inline void remove_directory(const char *directory) {
    DIR *list = opendir(directory);
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list));) {
        char path[512];
        int length = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        assert_true(length < (int)sizeof path);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (unlink(path) != 0) remove_directory(path);
    }
    closedir(list);
    assert_int_equal(rmdir(directory), 0);
}

static inline void write_file(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* The whole file, with a 0 byte behind it; the caller frees it. count may be NULL. */
static inline char *read_whole(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t length = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(length + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, length, file), length);
    fclose(file);
    bytes[length] = '\0';
    if (count) *count = length;
    return bytes;
}

/* An IDX file in memory: bytes (length). */
typedef struct idx_bytes {
    uint8_t *bytes;
    size_t length;
} idx_bytes_t;

static inline idx_bytes_t idx_bytes(int dims, const uint32_t *shape, const uint8_t *values) {
    size_t count = 1;
    for (int i = 0; i < dims; i++) count *= shape[i];
    idx_bytes_t file = {malloc(4 + 4 * (size_t)dims + count), 4 + 4 * (size_t)dims + count};
    assert_non_null(file.bytes);
    memcpy(file.bytes, (uint8_t[]){0, 0, 8, (uint8_t)dims}, 4);
    for (int i = 0; i < dims; i++)
        for (int b = 0; b < 4; b++) file.bytes[4 + 4 * i + b] = (uint8_t)(shape[i] >> (24 - 8 * b));
    memcpy(file.bytes + 4 + 4 * dims, values, count);
    return file;
}

static inline void write_gzip(const char *path, const void *bytes, size_t count) {
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)count), count);
    assert_int_equal(gzclose(file), Z_OK);
}

static inline void write_idx(const char *directory, const char *name, int dims,
                             const uint32_t *shape, const uint8_t *values) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    idx_bytes_t file = idx_bytes(dims, shape, values);
    size_t length = strlen(name);
    if (length > 3 && strcmp(name + length - 3, ".gz") == 0)
        write_gzip(path, file.bytes, file.length);
    else write_file(path, file.bytes, file.length);
    free(file.bytes);
}

/* A learnable data set: class k is a bright row k on a noisy background; side >= 10. */
static inline void write_split(const char *directory, const char *prefix, uint32_t count,
                               uint32_t side) {
    size_t pixels = (size_t)side * side;
    uint8_t *images = malloc(count * pixels), *labels = malloc(count);
    assert_true(images && labels);
    uint32_t noise = 12345 + count;
    for (uint32_t i = 0; i < count; i++) {
        labels[i] = (uint8_t)((i * 7 + i / 10) % 10);
        for (size_t p = 0; p < pixels; p++) {
            noise = noise * 1664525u + 1013904223u;
            images[i * pixels + p] = (uint8_t)((noise >> 24) / (p / side == labels[i] ? 1 : 3));
        }
    }
    char name[64];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte.gz", prefix);
    write_idx(directory, name, 3, (uint32_t[]){count, side, side}, images);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", prefix);
    write_idx(directory, name, 1, &count, labels);
    free(images);
    free(labels);
}

static inline void write_dataset(const char *directory, uint32_t train, uint32_t test,
                                 uint32_t side) {
    write_split(directory, "train", train, side);
    write_split(directory, "t10k", test, side);
}

#endif
