/* SPDX-License-Identifier: Apache-2.0 */
/* An event file begins with the records that TensorBoard expects, and has the name that it looks
 * for. */
#include "data/support.h"

#include "files/crc32c.h"
#include "files/event_file.h"

static uint64_t little_endian(const uint8_t *bytes, int count) {
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* Checks the frame at *bytes and moves past it; returns the record's length. */
static size_t next_record(const uint8_t **bytes, const uint8_t **record) {
    uint64_t length = little_endian(*bytes, 8);
    uint32_t crc = crc32c(*bytes, 8);
    assert_int_equal(little_endian(*bytes + 8, 4), (crc >> 15 | crc << 17) + 0xa282ead8u);
    *record = *bytes + 12;
    crc = crc32c(*record, length);
    assert_int_equal(little_endian(*record + length, 4), (crc >> 15 | crc << 17) + 0xa282ead8u);
    *bytes = *record + length + 4;
    return length;
}

/* Field 1 of both records is the time; then the version (3), or step (2) and session log (7:
 * START). */
static void it_begins_with_version_and_start(void **state) {
    (void)state;
    static const uint8_t time[] = {1 << 3 | 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f}; /* 1.5 */
    static const char version[] = "\x1a\x0d"
                                  "brain.Event:2";
    static const uint8_t start[] = {2 << 3 | 0, 43, 7 << 3 | 2, 2, 1 << 3 | 0, 1};
    char directory[64], path[96];
    size_t size;
    make_directory(directory);
    assert_int_equal(event_file_begin(directory, "it", 1.5, 43), SGP_OK);
    snprintf(path, sizeof path, "%s/it", directory);
    char *whole = read_whole(path, &size);
    const uint8_t *next = (const uint8_t *)whole, *record;
    assert_int_equal(next_record(&next, &record), sizeof time + sizeof version - 1);
    assert_memory_equal(record, time, sizeof time);
    assert_memory_equal(record + sizeof time, version, sizeof version - 1);
    assert_int_equal(next_record(&next, &record), sizeof time + sizeof start);
    assert_memory_equal(record, time, sizeof time);
    assert_memory_equal(record + sizeof time, start, sizeof start);
    assert_int_equal(next - (const uint8_t *)whole, size);
    free(whole);
    remove_directory(directory);
}

static void the_name_has_time_host_and_process(void **state) {
    (void)state;
    char name[EVENT_FILE_NAME], host[65] = "", expected[EVENT_FILE_NAME];
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    event_file_name(1700000000.9, name);
    snprintf(expected, sizeof expected, "events.out.tfevents.1700000000.%s.%ld", host,
             (long)getpid());
    assert_string_equal(name, expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_begins_with_version_and_start),
        cmocka_unit_test(the_name_has_time_host_and_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
