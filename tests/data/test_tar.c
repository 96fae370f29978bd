/* SPDX-License-Identifier: Apache-2.0 */
/* Members of tar files, and each kind of damage. */
#include "shard_support.h"

#include "data/formats/tar.h"

#include <fcntl.h>

static char directory[64];
static int file = -1;

static int set_up(void **state) {
    (void)state;
    make_directory(directory);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    if (file >= 0) close(file);
    file = -1;
    remove_directory(directory);
    return 0;
}

static tar_reader_t read_tar(tar_file_t *tar) {
    char path[128];
    uint64_t size = tar->size;
    tar_put(tar, directory, "x.tar");
    snprintf(path, sizeof path, "%s/x.tar", directory);
    if (file >= 0) close(file);
    file = open(path, O_RDONLY);
    assert_true(file >= 0);
    return (tar_reader_t){.file = file, .size = size};
}

static void assert_next(tar_reader_t *reader, const char *name, uint64_t header, uint64_t size) {
    tar_member_t member;
    bool end;
    if (tar_next(reader, &member, &end)) fail_msg("%s: %s", name, reader->problem);
    assert_false(end);
    assert_string_equal(member.name, name);
    assert_int_equal(member.header, header);
    assert_int_equal(member.size, size);
    assert_int_equal(member.type, '0');
}

static void assert_end(tar_reader_t *reader) {
    tar_member_t member;
    bool end = false;
    assert_int_equal(tar_next(reader, &member, &end), SGP_OK);
    assert_true(end);
}

static void assert_damaged(tar_file_t *tar, int members, const char *text) {
    tar_reader_t reader = read_tar(tar);
    tar_member_t member;
    bool end;
    for (int i = 0; i < members; i++) assert_int_equal(tar_next(&reader, &member, &end), SGP_OK);
    assert_int_equal(tar_next(&reader, &member, &end), SGP_ERR_FORMAT);
    if (!strstr(reader.problem, text)) fail_msg("no \"%s\" in: %s", text, reader.problem);
}

static void members_are_found(void **state) {
    (void)state;
    tar_file_t tar = {0};
    tar_add(&tar, "a.jpg", "12345");
    tar_add(&tar, "b/c.cls", "");
    tar_add(&tar, "d", "6");
    tar_add_end(&tar);
    tar_reader_t reader = read_tar(&tar);
    assert_next(&reader, "a.jpg", 0, 5);
    assert_next(&reader, "b/c.cls", 1024, 0);
    assert_next(&reader, "d", 1536, 1);
    assert_end(&reader);
}

static void extended_headers_apply_to_the_next_member(void **state) {
    (void)state;
    tar_file_t tar = {0};
    char longer[300];
    memset(longer, 'n', sizeof longer);
    strcpy(longer + 290, ".jpg");
    tar_add_header(&tar, "././@LongLink", 'L', strlen(longer));
    tar_add_bytes(&tar, longer, strlen(longer));
    tar_add(&tar, "short", "1");
    tar_add_header(&tar, "pax_global_header", 'g', 0);
    const char records[] = "30 mtime=1700000000.123456789\n15 path=é.jpg\n20 comment=whatever\n";
    tar_add_header(&tar, "PaxHeaders/x", 'x', strlen(records));
    tar_add_bytes(&tar, records, strlen(records));
    tar_add(&tar, "y", "22");
    tar_add(&tar, "z", "333");
    tar_add_end(&tar);
    tar_reader_t reader = read_tar(&tar);
    assert_next(&reader, longer, 1024, 1);
    assert_next(&reader, "é.jpg", 3584, 2);
    assert_next(&reader, "z", 4608, 3);
    assert_end(&reader);
}

static void long_paths_are_joined(void **state) {
    (void)state;
    tar_file_t tar = {0};
    tar_add_header(&tar, "file.jpg", '0', 0);
    memcpy(tar.bytes + 345, "some/folder", 11);
    unsigned sum = 8 * ' ';
    for (int i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0 : tar.bytes[i];
    snprintf((char *)tar.bytes + 148, 8, "%06o", sum);
    tar_add_end(&tar);
    tar_reader_t reader = read_tar(&tar);
    assert_next(&reader, "some/folder/file.jpg", 0, 0);
}

static void control_characters_reach_no_terminal(void **state) {
    (void)state;
    tar_file_t tar = {0};
    tar_add(&tar, "a\033[2J.jpg", "1");
    tar_add_end(&tar);
    tar_reader_t reader = read_tar(&tar);
    assert_next(&reader, "a?[2J.jpg", 0, 1);
}

static void cut_files_are_refused(void **state) {
    (void)state;
    tar_file_t tar = {0};
    tar_add(&tar, "a.jpg", "12345");
    assert_damaged(&tar, 1, "ends at byte 1024 without the mark of an end");
    tar_add(&tar, "a.jpg", "12345");
    tar.size = 514;
    assert_damaged(&tar, 0, "ends in the middle of a.jpg: has 2 of its 5 bytes");
    tar_add(&tar, "a.jpg", "12345");
    tar.size = 300;
    assert_damaged(&tar, 0, "ends at byte 300");
}

static void damaged_headers_are_refused(void **state) {
    (void)state;
    tar_file_t tar = {0};
    tar_add(&tar, "a.jpg", "12345");
    tar_add(&tar, "b.jpg", "12345");
    tar.bytes[1024] ^= 1;
    tar_add_end(&tar);
    assert_damaged(&tar, 1, "no header of a tar file at byte 1024");
    tar_add_bytes(&tar, "this is no tar file at all", 26);
    assert_damaged(&tar, 0, "no header of a tar file at byte 0");
    static const char *const records[] = {"99 path=x\n", "path=x\n", "10 path=xy", "11 size=-1\n"};
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        tar_add_header(&tar, "x", 'x', strlen(records[i]));
        tar_add_bytes(&tar, records[i], strlen(records[i]));
        tar_add(&tar, "y", "z");
        assert_damaged(&tar, 0, "a damaged extended header at byte 0");
    }
    tar_add_header(&tar, "x", 'L', 70000);
    static const char much[70000];
    tar_add_bytes(&tar, much, sizeof much);
    assert_damaged(&tar, 0, "an extended header of 70000 bytes");
}

/* A size beyond 8 GiB, as GNU tar writes it, in a file that has less. */
static void binary_sizes_are_read(void **state) {
    (void)state;
    tar_file_t tar = {0};
    tar_add(&tar, "a.jpg", "12345");
    memset(tar.bytes + 124, 0, 12);
    tar.bytes[124] = 0x80;
    tar.bytes[131] = 1; /* 2^32 */
    unsigned sum = 8 * ' ';
    for (int i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0 : tar.bytes[i];
    snprintf((char *)tar.bytes + 148, 8, "%06o", sum);
    assert_damaged(&tar, 0, "of its 4294967296 bytes");
}

/* What is written is read, and is what the other writer writes but for mode, user and time. */
static void headers_are_written_as_posix_says(void **state) {
    (void)state;
    uint8_t block[TAR_BLOCK];
    tar_member_t member;
    char name[102];
    assert_true(tar_format("key.jpg", 0123456, 01234567, block));
    assert_true(tar_parse(block, &member));
    assert_string_equal(member.name, "key.jpg");
    assert_true(member.size == 0123456 && member.type == '0');
    assert_memory_equal(block + 124, "00000123456", 12);
    assert_memory_equal(block + 136, "00001234567", 12);
    assert_memory_equal(block + 257, "ustar\00000", 8);
    block[0]++;
    assert_false(tar_parse(block, &member));
    memset(name, 'x', sizeof name);
    name[100] = '\0';
    assert_true(tar_format(name, 1, 1, block) && tar_parse(block, &member));
    assert_string_equal(member.name, name);
    name[100] = 'x';
    name[101] = '\0';
    assert_false(tar_format(name, 1, 1, block));
    assert_false(tar_format("", 1, 1, block));
    assert_false(tar_format("x", (uint64_t)1 << 33, 1, block));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(members_are_found),     TEST(extended_headers_apply_to_the_next_member),
        TEST(long_paths_are_joined), TEST(control_characters_reach_no_terminal),
        TEST(cut_files_are_refused), TEST(damaged_headers_are_refused),
        TEST(binary_sizes_are_read), TEST(headers_are_written_as_posix_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
