/* SPDX-License-Identifier: Apache-2.0 */
#include "base/saved_state.h"

#include "base/bytes.h"
#include "base/logging.h"

#include <string.h>
#include <xxhash.h>

enum {
    FORMAT_VERSION = 1,
    AT_VERSION = 8,
    AT_ITEMS = 12,
    AT_SIZE = 16,
    AT_HASH = 24,
    AT_LENGTH = 32, /* the hash covers all from here on */
    HEAD = 40,
    NAME = 32,
    ITEM_HEAD = NAME + 16
};

static const char magic[9] = "SGPSTATE";

static size_t padded(size_t bytes) {
    return (bytes + 7) / 8 * 8;
}

static size_t bytes_of(const sgp_state_item_t *item) {
    return item->count * (item->kind == SGP_STATE_FLOAT32 ? sizeof(float) : sizeof(double));
}

size_t sgp_saved_state_size(const char *description, const sgp_state_t *state) {
    size_t size = HEAD + padded(strlen(description));
    for (size_t i = 0; i < state->count; i++)
        size += ITEM_HEAD + padded(bytes_of(&state->items[i]));
    return size;
}

/* ---- writing ---- */

/* With zeros up to the next multiple of 8. Returns the place behind it. */
static unsigned char *put(unsigned char *to, const void *bytes, size_t count) {
    memcpy(to, bytes, count);
    memset(to + count, 0, padded(count) - count);
    return to + padded(count);
}

static unsigned char *put_item(unsigned char *to, const sgp_state_item_t *item) {
    memset(to, 0, ITEM_HEAD);
    strncpy((char *)to, item->name, NAME - 1);
    sgp_bytes_put(to + NAME, (uint32_t)item->kind, 4);
    sgp_bytes_put(to + NAME + 8, item->count, 8);
    return put(to + ITEM_HEAD, item->data, bytes_of(item));
}

void sgp_saved_state_write(const char *description, const sgp_state_t *state, void *bytes) {
    unsigned char *start = bytes, *to = start + HEAD;
    size_t length = strlen(description), size = sgp_saved_state_size(description, state);
    memcpy(start, magic, 8);
    sgp_bytes_put(start + AT_VERSION, FORMAT_VERSION, 4);
    sgp_bytes_put(start + AT_ITEMS, (uint32_t)state->count, 4);
    sgp_bytes_put(start + AT_SIZE, size, 8);
    sgp_bytes_put(start + AT_LENGTH, length, 8);
    to = put(to, description, length);
    for (size_t i = 0; i < state->count; i++) to = put_item(to, &state->items[i]);
    sgp_bytes_put(start + AT_HASH, XXH3_64bits(start + AT_LENGTH, size - AT_LENGTH), 8);
}

/* ---- reading ---- */

static sgp_status_t check_block(const char *what, const unsigned char *start, size_t size) {
    if (size < HEAD || memcmp(start, magic, 8) != 0)
        return sgp_fail(SGP_ERR_INVALID, "%s: %zu bytes that are no saved state of libsgp", what,
                        size);
    uint32_t version = (uint32_t)sgp_bytes_get(start + AT_VERSION, 4);
    if (version != FORMAT_VERSION)
        return sgp_fail(SGP_ERR_MISMATCH,
                        "%s: the saved state has version %u, this libsgp reads %d", what, version,
                        FORMAT_VERSION);
    uint64_t whole = sgp_bytes_get(start + AT_SIZE, 8);
    if (whole != size)
        return sgp_fail(SGP_ERR_INVALID, "%s: a saved state of %llu bytes, of which %zu are given",
                        what, (unsigned long long)whole, size);
    if (XXH3_64bits(start + AT_LENGTH, size - AT_LENGTH) != sgp_bytes_get(start + AT_HASH, 8))
        return sgp_fail(SGP_ERR_INVALID, "%s: the saved state is damaged: its hash differs", what);
    return SGP_OK;
}

/* The word of `text` that holds the character at `at`. */
static const char *word(const char *text, size_t length, size_t at, int *count) {
    size_t begin = at, end = at;
    while (begin > 0 && text[begin - 1] != ' ') begin--;
    while (end < length && text[end] != ' ') end++;
    *count = (int)(end - begin);
    return text + begin;
}

static sgp_status_t check_description(const char *what, const char *description,
                                      const unsigned char *start, size_t size) {
    const char *theirs = (const char *)start + HEAD;
    uint64_t their_length = sgp_bytes_get(start + AT_LENGTH, 8);
    size_t length = strlen(description), at = 0;
    if (their_length > size - HEAD)
        return sgp_fail(SGP_ERR_INVALID, "%s: the saved state is damaged", what);
    if (their_length == length && memcmp(theirs, description, length) == 0) return SGP_OK;
    while (at < length && at < their_length && theirs[at] == description[at]) at++;
    int their_count, our_count;
    const char *their_word = word(theirs, their_length, at, &their_count);
    const char *our_word = word(description, length, at, &our_count);
    return sgp_fail(SGP_ERR_MISMATCH, "%s: the saved state is of one with %.*s, this one has %.*s",
                    what, their_count, their_word, our_count, our_word);
}

/* Moves *from behind the item. */
static sgp_status_t check_item(const char *what, const sgp_state_item_t *item,
                               const unsigned char **from, const unsigned char *end) {
    const unsigned char *at = *from;
    size_t bytes = padded(bytes_of(item));
    char name[NAME] = {0};
    strncpy(name, item->name, NAME - 1);
    if ((size_t)(end - at) < ITEM_HEAD || memcmp(at, name, NAME) != 0 ||
        (uint32_t)sgp_bytes_get(at + NAME, 4) != (uint32_t)item->kind ||
        sgp_bytes_get(at + NAME + 8, 8) != item->count || (size_t)(end - at) - ITEM_HEAD < bytes)
        return sgp_fail(SGP_ERR_MISMATCH, "%s: the saved state has no %zu numbers of %s", what,
                        item->count, item->name);
    *from = at + ITEM_HEAD + bytes;
    return SGP_OK;
}

static sgp_status_t check_items(const char *what, const sgp_state_t *state,
                                const unsigned char *from, const unsigned char *end,
                                uint32_t items) {
    if (items != state->count)
        return sgp_fail(SGP_ERR_MISMATCH, "%s: the saved state has %u items, this one has %zu",
                        what, items, state->count);
    for (size_t i = 0; i < state->count; i++) {
        sgp_status_t status = check_item(what, &state->items[i], &from, end);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

sgp_status_t sgp_saved_state_read(const char *what, const char *description, sgp_state_t *state,
                                  const void *bytes, size_t size) {
    const unsigned char *start = bytes;
    sgp_status_t status = check_block(what, start, size);
    if (status == SGP_OK) status = check_description(what, description, start, size);
    if (status != SGP_OK) return status;
    const unsigned char *from = start + HEAD + padded(strlen(description));
    status =
        check_items(what, state, from, start + size, (uint32_t)sgp_bytes_get(start + AT_ITEMS, 4));
    if (status != SGP_OK) return status;
    for (size_t i = 0; i < state->count; i++) {
        size_t count = bytes_of(&state->items[i]);
        memcpy(state->items[i].data, from + ITEM_HEAD, count);
        from += ITEM_HEAD + padded(count);
    }
    return SGP_OK;
}
