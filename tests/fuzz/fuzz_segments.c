/* SPDX-License-Identifier: Apache-2.0 */
/* The segments of an epoch as bytes, whole or a report: switches, then the bytes. */
#include "fuzz.h"

#include "base/bytes.h"
#include "data/segments_record.h"

enum { MOST = 4096, HEADER = 64, MEMBER = 40, MOST_POSITIONS = 4096 };

/* The counts of an input whose rest is members alone. */
static size_t repair(uint8_t *bytes, size_t size) {
    if (size < HEADER) return size;
    size_t members = (size - HEADER) / MEMBER;
    sgp_bytes_put(bytes + 12, members, 4);
    memset(bytes + 48, 0, 16);
    return HEADER + members * MEMBER;
}

/* All positions are divided up, and what is returned is among them. */
static void check_segments(const segments_t *segments) {
    uint64_t end = segments_end(segments), count = segments->start.count;
    position_set_t returned = {0};
    FUZZ_CHECK(segments_reached(segments, end) == count);
    for (size_t i = 0; i < segments->count; i++) {
        const cursor_t *cursor = &segments->list[i];
        FUZZ_CHECK(cursor->size > 0 && cursor->begin <= count);
        FUZZ_CHECK(i == 0 || cursor->begin >= cursor[-1].begin);
    }
    if (count > MOST_POSITIONS) return;
    FUZZ_CHECK(segments_returned(segments, end, &returned) == SGP_OK);
    FUZZ_CHECK(position_set_total(&returned) <= count);
    FUZZ_CHECK(returned.count == 0 || returned.ranges[returned.count - 1].end <= count);
    position_set_fini(&returned);
}

/* Written and read again they say the same. */
static void check_again(const segments_t *segments) {
    size_t size = segments_record_bytes(segments, SEGMENTS_WHOLE), written = 0;
    uint8_t *bytes = malloc(size);
    segments_record_t record;
    segments_t again;
    FUZZ_CHECK(bytes);
    FUZZ_CHECK(segments_encode(segments, SEGMENTS_WHOLE, 0, bytes, size, &written) == SGP_OK);
    FUZZ_CHECK(written == size);
    FUZZ_CHECK(segments_record_read(bytes, size, &record) == SGP_OK);
    FUZZ_CHECK(segments_init_from(&again, &record) == SGP_OK);
    FUZZ_CHECK(again.count == segments->count && segments_end(&again) == segments_end(segments));
    segments_fini(&again);
    free(bytes);
}

/* Of one that has the same beginning, and knows nothing. */
static void check_report(const segments_record_t *record) {
    segments_t segments;
    segments_options_t options = {.count = record->start.count,
                                  .workers = record->start.workers,
                                  .batch = record->start.batch,
                                  .nodes = 3};
    FUZZ_CHECK(segments_init(&segments, &options) == SGP_OK);
    segments_begin_at(&segments, record->start.step, record->start.begin);
    FUZZ_CHECK(segments_merge(&segments, record) == SGP_OK);
    check_segments(&segments);
    check_again(&segments);
    segments_fini(&segments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input_t input = {data, size};
    uint8_t bytes[MOST];
    segments_record_t record;
    segments_t segments;
    unsigned switches = fuzz_byte(&input);
    size_t length = fuzz_take(&input, bytes, sizeof bytes);
    if (switches & FUZZ_REPAIR) length = repair(bytes, length);
    if (segments_record_read(bytes, length, &record) != SGP_OK) return 0;
    if (record.form == SEGMENTS_REPORT) {
        check_report(&record);
        return 0;
    }
    FUZZ_CHECK(segments_init_from(&segments, &record) == SGP_OK);
    check_segments(&segments);
    check_again(&segments);
    segments_fini(&segments);
    return 0;
}
