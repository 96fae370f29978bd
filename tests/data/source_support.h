/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of sources: trees of small files. */
#ifndef SGP_TESTS_DATA_SOURCE_SUPPORT_H
#define SGP_TESTS_DATA_SOURCE_SUPPORT_H

#include "support.h"

#include "data/source.h"

/* Writes directory/path, with the folders on the way. */
static inline void put_bytes(const char *directory, const char *path, const void *bytes,
                             size_t count) {
    char whole[512];
    assert_true(snprintf(whole, sizeof whole, "%s/%s", directory, path) < (int)sizeof whole);
    for (char *slash = strchr(whole + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0777);
        *slash = '/';
    }
    write_file(whole, bytes, count);
}

static inline void put(const char *directory, const char *path, const char *text) {
    put_bytes(directory, path, text, strlen(text));
}

static inline void drop(const char *directory, const char *path) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", directory, path);
    assert_int_equal(unlink(whole), 0);
}

static inline void put_link(const char *directory, const char *path, const char *target) {
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", directory, path);
    assert_int_equal(symlink(target, whole), 0);
}

/* Opening fails with one line that contains both texts. */
static inline void assert_refused(const char *data, sgp_status_t expected, const char *text,
                                  const char *more) {
    source_t *source = NULL;
    log_start();
    assert_int_equal(source_open(data, &source), expected);
    assert_null(source);
    assert_logged(text, more, NULL);
}

static inline source_t *open_source(const char *data) {
    source_t *source = NULL;
    log_start();
    if (source_open(data, &source)) fail_msg("%s", captured.last);
    return source;
}

/* The sample has this label and name, and these bytes. */
static inline void assert_sample(const source_t *source, source_split_t split, uint64_t index,
                                 uint32_t label, const char *name, const void *bytes,
                                 size_t count) {
    char found[SOURCE_NAME_BYTES];
    source_buffer_t buffer = {0};
    source_name(source, split, index, found);
    assert_string_equal(found, name);
    assert_int_equal(source_label(source, split, index), label);
    if (source_read(source, split, index, &buffer)) fail_msg("%s: %s", name, buffer.reason);
    assert_int_equal(buffer.size, count);
    assert_memory_equal(buffer.bytes, bytes, count);
    source_buffer_fini(&buffer);
}

#define ASSERT_SAMPLE(source, split, index, label, name, text)                                     \
    assert_sample(source, split, index, label, name, text, strlen(text))

#endif
