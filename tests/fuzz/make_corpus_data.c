/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs for the formats of data: shards, and records of segments. */
#include "make_corpus.h"

#include "data/formats/shard_index.h"
#include "data/segments_record.h"

#include <xxhash.h>

/* ---- shards ---- */

enum { SHARD_REPAIR = 1, SHARD_IS_INDEX = 2 };

static void add_block(bytes_t *bytes, const void *content, size_t count) {
    static const uint8_t zeros[TAR_BLOCK];
    corpus_add(bytes, content, count);
    corpus_add(bytes, zeros, (size_t)tar_padded(count) - count);
}

static void add_header(bytes_t *bytes, const char *name, char type, size_t size) {
    uint8_t block[TAR_BLOCK];
    FUZZ_CHECK(tar_format(name, size, 0, block));
    block[156] = (uint8_t)type; /* its sum is repaired, unless it is that of a file */
    corpus_add(bytes, block, sizeof block);
}

static void add_member(bytes_t *bytes, const char *name, const char *content) {
    add_header(bytes, name, '0', strlen(content));
    add_block(bytes, content, strlen(content));
}

static void make_shard(const char *name, unsigned switches, const char *const *members, bool ends) {
    static const uint8_t end[2 * TAR_BLOCK];
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, switches);
    for (; *members; members += 2) add_member(&bytes, members[0], members[1]);
    if (ends) corpus_add(&bytes, end, sizeof end);
    corpus_write("shard", name, &bytes);
}

static void make_extended(const char *name, char type, const char *content) {
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, SHARD_REPAIR);
    add_header(&bytes, "extended", type, strlen(content));
    add_block(&bytes, content, strlen(content));
    add_member(&bytes, "x.jpg", "1");
    add_block(&bytes, "", 0);
    corpus_write("shard", name, &bytes);
}

static void make_index(const char *name, unsigned switches, const shard_sample_t *samples,
                       uint32_t count, uint64_t tar_bytes) {
    uint8_t encoded[512];
    bytes_t bytes = {0};
    shard_index_t index = {.samples = (shard_sample_t *)samples, .count = count};
    index.tar_bytes = tar_bytes;
    FUZZ_CHECK(shard_index_bytes(&index) <= sizeof encoded);
    shard_index_encode(&index, encoded);
    corpus_add_byte(&bytes, switches);
    corpus_add(&bytes, encoded, shard_index_bytes(&index));
    corpus_write("shard", name, &bytes);
}

/* One header with another byte in it, and `left` bytes behind it. */
static void make_odd(const char *name, const char *member, size_t at, unsigned byte, size_t left) {
    static const uint8_t zeros[2048];
    bytes_t bytes = {0};
    corpus_add_byte(&bytes, SHARD_REPAIR);
    add_header(&bytes, member, '0', 1000);
    bytes.at[1 + at] = (uint8_t)byte;
    corpus_add(&bytes, zeros, left);
    corpus_write("shard", name, &bytes);
}

/* An index with another byte in it. */
static void make_odd_index(const char *name, size_t at, unsigned byte) {
    static const shard_sample_t sample = {0, 100, 1, 0};
    uint8_t encoded[SHARD_INDEX_HEADER + SHARD_INDEX_RECORD];
    bytes_t bytes = {0};
    shard_index_t index = {.samples = (shard_sample_t *)&sample, .count = 1, .tar_bytes = 2048};
    shard_index_encode(&index, encoded);
    encoded[at] = (uint8_t)byte;
    corpus_add_byte(&bytes, SHARD_IS_INDEX);
    corpus_add(&bytes, encoded, sizeof encoded);
    corpus_write("shard", name, &bytes);
}

static void make_odd_shards(void) {
    enum { SIZE = 124, TYPE = 156, MAGIC = 257, PREFIX = 345 };
    make_odd("size-binary", "a.jpg", SIZE, 0x80, 2048);
    make_odd("size-negative", "a.jpg", SIZE, 0xff, 2048);
    make_odd("size-text", "a.jpg", SIZE, 'x', 2048);
    make_odd("link", "a.jpg", TYPE, '1', 2048);
    make_odd("folder", "a.jpg", TYPE, '5', 2048);
    make_odd("prefix", "a.jpg", PREFIX, 'p', 2048);
    make_odd("no-header", "a.jpg", MAGIC, 'x', 2048);
    make_odd("cut-in-picture", "a.jpg", MAGIC, 'u', 512);
    make_odd("control", "a\033[2J.jpg", MAGIC, 'u', 2048);
    make_odd_index("index-version", 8, 2);
    make_odd_index("index-count", 12, 2);
    make_odd_index("index-magic", 0, 'x');
    make_odd_index("index-sum", 24, 0);
}

static void make_shards(void) {
    static const shard_sample_t samples[] = {{0, 100, 1, 0}, {4, 512, 2, 9}, {8, 1, 3, 1}};
    make_shard("good", 0, (const char *[]){"a.jpg", "A", "a.cls", "0", NULL}, true);
    make_shard("repaired", SHARD_REPAIR, (const char *[]){"b/a.cls", "17", "b/a.PNG", "A", NULL},
               true);
    make_shard("others", SHARD_REPAIR,
               (const char *[]){"a.jpg", "A", "a.json", "{}", "a.cls", "1\n", NULL}, true);
    make_shard("unlabelled", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "b.jpg", "B", NULL},
               true);
    make_shard("wordy", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.cls", "cat", NULL}, true);
    make_shard("label-large", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.cls", "70000", NULL},
               true);
    make_shard("label-empty", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.cls", "", NULL},
               true);
    make_shard("twice", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.png", "0", NULL}, true);
    make_shard("label-alone", SHARD_REPAIR, (const char *[]){"README", "A", "a.cls", "0", NULL},
               true);
    make_shard("empty", SHARD_REPAIR, (const char *[]){"README", "A", NULL}, true);
    make_shard("cut", SHARD_REPAIR, (const char *[]){"a.jpg", "A", "a.cls", "0", NULL}, false);
    make_extended("pax", 'x', "15 path=y.jpeg\n9 size=1\n");
    make_extended("pax-damaged", 'x', "99 path=y.jpeg\n");
    make_extended("gnu", 'L', "a/longer/name/of/a/member.jpg");
    make_extended("global", 'g', "10 x=yyyy\n");
    make_index("index", SHARD_IS_INDEX, samples, 3, 6144);
    make_index("index-repaired", SHARD_IS_INDEX | SHARD_REPAIR, samples, 3, 6144);
    make_index("index-outside", SHARD_IS_INDEX | SHARD_REPAIR, samples, 3, 4000);
}

/* ---- segments ---- */

static void make_segments(const char *name, unsigned switches, const segments_t *segments,
                          segments_form_t form) {
    bytes_t bytes = {0};
    size_t size = 0;
    corpus_add_byte(&bytes, switches);
    FUZZ_CHECK(segments_encode(segments, form, 7, bytes.at + 1, sizeof bytes.at - 1, &size) ==
               SGP_OK);
    bytes.count += size;
    corpus_write("segments", name, &bytes);
}

static void make_all_segments(void) {
    segments_t segments;
    position_set_t used = {0};
    segments_options_t options = {.count = 499, .workers = 2, .batch = 3, .nodes = 3};
    segments_event_t events[] = {
        {SEGMENTS_LEAVES, .member = segments_number(1, 0), .first = 5, .end = 16},
        {SEGMENTS_JOINS, .member = segments_number(1, 1), .first = 16, .candidate = 77},
        {SEGMENTS_LEAVES, .member = segments_number(2, 0), .first = 9, .end = 32},
        {SEGMENTS_PASSES, .member = segments_number(0, 0), .first = 6, .end = 12},
        {SEGMENTS_LEAVES, .member = segments_number(9, 0), .first = 0, .end = 4}};
    FUZZ_CHECK(segments_init(&segments, &options) == SGP_OK);
    make_segments("plain", 0, &segments, SEGMENTS_WHOLE);
    FUZZ_CHECK(segments_apply(&segments, events, 5) == SGP_OK);
    make_segments("events", 0, &segments, SEGMENTS_WHOLE);
    make_segments("repaired", FUZZ_REPAIR, &segments, SEGMENTS_WHOLE);
    FUZZ_CHECK(segments_fold(&segments, 10) == SGP_OK);
    FUZZ_CHECK(position_set_append(&used, 200, 206) == SGP_OK);
    position_set_arrange(&used);
    FUZZ_CHECK(segments_use(&segments, &used) == SGP_OK);
    make_segments("folded", 0, &segments, SEGMENTS_WHOLE);
    make_segments("report", 0, &segments, SEGMENTS_REPORT);
    position_set_fini(&used);
    segments_fini(&segments);
}

void corpus_make_data(void) {
    make_shards();
    make_odd_shards();
    make_all_segments();
}
