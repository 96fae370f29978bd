/* SPDX-License-Identifier: Apache-2.0 */
/* Files that the IDX reader accepts, and each kind of damage, which it refuses with the reason. */
#include "data/support.h"

#include "data/formats/idx.h"

#define COUNT      (3 * 4 * 5)
#define FILE_BYTES (16 + COUNT)

static const uint32_t shape[3] = {3, 4, 5};

typedef struct fixture {
    char directory[64];
    char path[96];
    uint8_t values[COUNT];
    idx_bytes_t file; /* undamaged */
} fixture_t;

static int set_up(void **state) {
    fixture_t *fixture = calloc(1, sizeof *fixture);
    make_directory(fixture->directory);
    snprintf(fixture->path, sizeof fixture->path, "%s/images", fixture->directory);
    for (int i = 0; i < COUNT; i++) fixture->values[i] = (uint8_t)(i * 37);
    fixture->file = idx_bytes(3, shape, fixture->values);
    log_start();
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    fixture_t *fixture = *state;
    remove_directory(fixture->directory);
    free(fixture->file.bytes);
    free(fixture);
    return 0;
}

static void assert_reads(const fixture_t *fixture) {
    idx_header_t header;
    uint8_t *values;
    assert_int_equal(idx_read(fixture->path, 3, &header, &values), SGP_OK);
    assert_int_equal(header.dims, 3);
    assert_memory_equal(header.shape, shape, sizeof shape);
    assert_int_equal(header.bytes, COUNT);
    assert_memory_equal(values, fixture->values, COUNT);
    free(values);
    assert_int_equal(captured.lines, 0);
}

/* The file is refused with `status` and one line that contains its name and `text`; outputs are
 * unchanged. */
static void assert_refused(const fixture_t *fixture, sgp_status_t status, const char *text) {
    idx_header_t header = {.dims = -7};
    uint8_t *values = (uint8_t *)fixture;
    log_start();
    assert_int_equal(idx_read(fixture->path, 3, &header, &values), status);
    assert_logged(fixture->path, text, NULL);
    assert_int_equal(header.dims, -7);
    assert_ptr_equal(values, fixture);
}

static void reads_plain(void **state) {
    fixture_t *fixture = *state;
    write_file(fixture->path, fixture->file.bytes, FILE_BYTES);
    assert_reads(fixture);
}

static void reads_gzip(void **state) {
    fixture_t *fixture = *state;
    write_gzip(fixture->path, fixture->file.bytes, FILE_BYTES);
    assert_reads(fixture);
}

/* As pigz and `cat a.gz b.gz` write it; the second stream starts inside the header, or the data. */
static void reads_several_gzip_members(void **state) {
    fixture_t *fixture = *state;
    for (size_t cut = 0; cut <= FILE_BYTES; cut += 7) {
        size_t length;
        write_gzip(fixture->path, fixture->file.bytes, cut);
        char *first = read_whole(fixture->path, &length);
        write_gzip(fixture->path, fixture->file.bytes + cut, FILE_BYTES - cut);
        size_t more;
        char *second = read_whole(fixture->path, &more);
        first = realloc(first, length + more);
        memcpy(first + length, second, more);
        write_file(fixture->path, first, length + more);
        assert_reads(fixture);
        free(first);
        free(second);
    }
}

static void missing_file_is_not_found(void **state) {
    assert_refused(*state, SGP_ERR_NOT_FOUND, "No such file");
}

static void directory_is_unreadable(void **state) {
    fixture_t *fixture = *state;
    strcpy(fixture->path, fixture->directory);
    assert_refused(fixture, SGP_ERR_FORMAT, "is a directory");
}

static void every_truncation_is_refused(void **state) {
    fixture_t *fixture = *state;
    for (size_t length = 0; length < FILE_BYTES; length++) {
        write_file(fixture->path, fixture->file.bytes, length);
        assert_refused(fixture, SGP_ERR_FORMAT, length < 16 ? "header" : "truncated");
    }
}

static void every_truncation_of_gzip_is_refused(void **state) {
    fixture_t *fixture = *state;
    size_t length;
    write_gzip(fixture->path, fixture->file.bytes, FILE_BYTES);
    char *bytes = read_whole(fixture->path, &length);
    for (size_t cut = 0; cut < length; cut++) {
        write_file(fixture->path, bytes, cut);
        assert_refused(fixture, SGP_ERR_FORMAT, "");
    }
    free(bytes);
}

static void damaged_gzip_is_refused(void **state) {
    fixture_t *fixture = *state;
    size_t length;
    write_gzip(fixture->path, fixture->file.bytes, FILE_BYTES);
    char *bytes = read_whole(fixture->path, &length);
    bytes[length - 8] ^= 1; /* the first byte of its CRC */
    write_file(fixture->path, bytes, length);
    assert_refused(fixture, SGP_ERR_FORMAT, "incorrect data check");
    free(bytes);
}

static void trailing_bytes_are_refused(void **state) {
    fixture_t *fixture = *state;
    uint8_t *longer = malloc(FILE_BYTES + 1);
    memcpy(longer, fixture->file.bytes, FILE_BYTES);
    longer[FILE_BYTES] = 0;
    write_file(fixture->path, longer, FILE_BYTES + 1);
    assert_refused(fixture, SGP_ERR_FORMAT, "follows its 60 bytes");
    write_gzip(fixture->path, longer, FILE_BYTES + 1);
    assert_refused(fixture, SGP_ERR_FORMAT, "follows its 60 bytes");
    free(longer);
}

static void bytes_behind_gzip_are_refused(void **state) {
    fixture_t *fixture = *state;
    write_gzip(fixture->path, fixture->file.bytes, FILE_BYTES);
    FILE *file = fopen(fixture->path, "ab");
    fputs("garbage", file);
    fclose(file);
    assert_refused(fixture, SGP_ERR_FORMAT, "not gzip");
}

static void wrong_magic_is_refused(void **state) {
    fixture_t *fixture = *state;
    static const struct {
        int byte, value;
        const char *found;
    } cases[] = {{0, 1, "0x01000803"}, {2, 0x0d, "0x00000d03"}, {3, 1, "0x00000801"}};
    for (int i = 0; i < 3; i++) {
        uint8_t right = fixture->file.bytes[cases[i].byte];
        fixture->file.bytes[cases[i].byte] = (uint8_t)cases[i].value;
        write_file(fixture->path, fixture->file.bytes, FILE_BYTES);
        assert_refused(fixture, SGP_ERR_FORMAT, cases[i].found);
        assert_non_null(strstr(captured.last, "should be 0x00000803"));
        fixture->file.bytes[cases[i].byte] = right;
    }
}

/* Sizes that are zero, overflow 64 bits, or exceed what so small a file can hold are refused
 * without an allocation. */
static void impossible_sizes_are_refused(void **state) {
    fixture_t *fixture = *state;
    memset(fixture->file.bytes + 8, 0, 4);
    write_file(fixture->path, fixture->file.bytes, FILE_BYTES);
    assert_refused(fixture, SGP_ERR_FORMAT, "dimension 2 is 0");
    memset(fixture->file.bytes + 4, 0xff, 12);
    write_file(fixture->path, fixture->file.bytes, FILE_BYTES);
    assert_refused(fixture, SGP_ERR_FORMAT, "terabyte");
    memcpy(fixture->file.bytes + 4, (uint8_t[]){0, 1, 0, 0, 0, 0, 16, 0, 0, 0, 16, 0}, 12);
    write_file(fixture->path, fixture->file.bytes, FILE_BYTES);
    assert_refused(fixture, SGP_ERR_FORMAT, "cannot hold them");
    write_gzip(fixture->path, fixture->file.bytes, FILE_BYTES);
    assert_refused(fixture, SGP_ERR_FORMAT, "cannot hold them");
}

static void header_alone_needs_no_data(void **state) {
    fixture_t *fixture = *state;
    idx_header_t header;
    write_gzip(fixture->path, fixture->file.bytes, FILE_BYTES);
    assert_int_equal(idx_read_header(fixture->path, 3, &header), SGP_OK);
    assert_memory_equal(header.shape, shape, sizeof shape);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(reads_plain),
        TEST(reads_gzip),
        TEST(reads_several_gzip_members),
        TEST(missing_file_is_not_found),
        TEST(directory_is_unreadable),
        TEST(every_truncation_is_refused),
        TEST(every_truncation_of_gzip_is_refused),
        TEST(damaged_gzip_is_refused),
        TEST(trailing_bytes_are_refused),
        TEST(bytes_behind_gzip_are_refused),
        TEST(wrong_magic_is_refused),
        TEST(impossible_sizes_are_refused),
        TEST(header_alone_needs_no_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
