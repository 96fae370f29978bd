/* SPDX-License-Identifier: Apache-2.0 */
/* Shards as a source, with and without indexes, and damaged ones. */
#include "shard_support.h"

#include "data/formats/shard_index.h"

#include <sys/resource.h>

static char directory[64];

static void put_shard(const char *name, int first, int count) {
    tar_file_t tar = {0};
    for (int i = first; i < first + count; i++) {
        char member[32], text[32];
        snprintf(member, sizeof member, "%06d.jpg", i);
        snprintf(text, sizeof text, "picture %d", i);
        tar_add(&tar, member, text);
        snprintf(member, sizeof member, "%06d.cls", i);
        snprintf(text, sizeof text, "%d", i % 3);
        tar_add(&tar, member, text);
    }
    tar_add_end(&tar);
    tar_put(&tar, directory, name);
}

/* Offsets of the headers of pictures in such a shard: two blocks for each member. */
enum { PER_SAMPLE = 2048 };

static int set_up(void **state) {
    (void)state;
    make_directory(directory);
    put_shard("train-000000.tar", 0, 4);
    put_shard("train-000001.tar", 4, 3);
    put_shard("val-000000.tar", 100, 2);
    put(directory, "classes.txt", "ant\nbee\ncat\n");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(directory);
    return 0;
}

static void samples_are_those_of_shard_after_shard(void **state) {
    (void)state;
    source_t *source = open_source(directory);
    assert_logged("3 of 3 shards have no index", "sgp data index", NULL);
    const source_shape_t *shape = source_shape(source);
    assert_string_equal(source_format(source), "shards");
    assert_true(shape->encoded && shape->classes == 3);
    assert_true(shape->count[SOURCE_TRAIN] == 7 && shape->count[SOURCE_TEST] == 2);
    assert_string_equal(source_class_name(source, 2), "cat");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 0, 0, "train-000000.tar:000000.jpg", "picture 0");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 3, 0, "train-000000.tar:000003.jpg", "picture 3");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 4, 1, "train-000001.tar:000004.jpg", "picture 4");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 6, 0, "train-000001.tar:000006.jpg", "picture 6");
    ASSERT_SAMPLE(source, SOURCE_TEST, 1, 2, "val-000000.tar:000101.jpg", "picture 101");
    source_will_need(source, SOURCE_TRAIN, (uint64_t[]){6, 0, 1, 5}, 4);
    source_close(source);
}

static void names_of_others_are_accepted(void **state) {
    (void)state;
    put_shard("imagenet1k-train-0000.tar", 0, 1); /* before train-000000.tar */
    put_shard("imagenet1k-validation-00.tar", 7, 1);
    put_shard("retrain-00.tar", 9, 1); /* neither split */
    put_shard("train-00a.tar", 9, 1);
    source_t *source = open_source(directory);
    assert_int_equal(source_shape(source)->count[SOURCE_TRAIN], 8);
    assert_int_equal(source_shape(source)->count[SOURCE_TEST], 3);
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 0, 0, "imagenet1k-train-0000.tar:000000.jpg", "picture 0");
    source_close(source);
}

static void a_missing_shard_is_noticed(void **state) {
    (void)state;
    put_shard("train-000003.tar", 10, 2);
    source_t *source = NULL;
    log_start();
    assert_int_equal(source_open(directory, &source), SGP_OK);
    assert_int_equal(captured.lines, 2); /* and that there are no indexes */
    source_close(source);
    drop(directory, "train-000003.tar");
    put_shard("train-000002.tar", 10, 2);
    put_shard("train-0.tar", 20, 2); /* of another series */
    source_close(open_source(directory));
    assert_int_equal(captured.lines, 1);
}

/* As WebDataset groups them: the path up to the first dot of the file's name. */
static void members_in_any_order_are_a_sample(void **state) {
    (void)state;
    tar_file_t tar = {0};
    tar_add(&tar, "README", "no sample");
    tar_add(&tar, "a.b/x.cls", "2\n");
    tar_add(&tar, "a.b/x.json", "{}");
    tar_add(&tar, "a.b/x.JPEG", "x");
    tar_add_header(&tar, "a.b/", '5', 0);
    tar_add(&tar, "a.b/y.png", "y");
    tar_add(&tar, "a.b/y.seg.png", "no picture of the sample");
    tar_add(&tar, "a.b/y.cls", "1");
    tar_add(&tar, "z.json", "{}");
    tar_add_end(&tar);
    tar_put(&tar, directory, "train-000000.tar");
    drop(directory, "train-000001.tar");
    source_t *source = open_source(directory);
    assert_int_equal(source_shape(source)->count[SOURCE_TRAIN], 2);
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 0, 2, "train-000000.tar:a.b/x.JPEG", "x");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 1, 1, "train-000000.tar:a.b/y.png", "y");
    source_close(source);
}

static void classes_without_names_are_numbers(void **state) {
    (void)state;
    drop(directory, "classes.txt");
    source_t *source = open_source(directory);
    assert_int_equal(source_shape(source)->classes, 3);
    assert_string_equal(source_class_name(source, 1), "1");
    source_close(source);
}

/* Writes an index with these samples and a right checksum. */
static void put_index(const char *name, uint64_t tar_bytes, const shard_sample_t *samples,
                      uint32_t count) {
    uint8_t bytes[512];
    shard_index_t index = {.tar_bytes = tar_bytes};
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(shard_index_add(&index, &samples[i]), SGP_OK);
    assert_true(shard_index_bytes(&index) <= sizeof bytes);
    shard_index_encode(&index, bytes);
    put_bytes(directory, name, bytes, shard_index_bytes(&index));
    shard_index_fini(&index);
}

static uint32_t header_hash(const char *shard, size_t at) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, shard);
    char *bytes = read_whole(path, NULL);
    uint32_t hash = shard_index_hash((uint8_t *)bytes + at);
    free(bytes);
    return hash;
}

/* The second and the fourth sample of train-000000.tar, with other labels than in the shard. */
static void put_good_index(uint64_t tar_bytes) {
    put_index("train-000000.index", tar_bytes,
              (shard_sample_t[]){
                  {PER_SAMPLE / 512, 9, header_hash("train-000000.tar", PER_SAMPLE), 2},
                  {3 * PER_SAMPLE / 512, 9, header_hash("train-000000.tar", 3 * PER_SAMPLE), 1},
              },
              2);
}

enum { BYTES = 4 * PER_SAMPLE + 1024 };

static void an_index_is_believed(void **state) {
    (void)state;
    put_good_index(BYTES);
    source_t *source = open_source(directory);
    assert_logged("2 of 3 shards have no index", NULL);
    assert_int_equal(source_shape(source)->count[SOURCE_TRAIN], 5);
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 0, 2, "train-000000.tar:000001.jpg", "picture 1");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 1, 1, "train-000000.tar:000003.jpg", "picture 3");
    source_close(source);
}

static void an_index_of_another_shard_is_refused(void **state) {
    (void)state;
    put_good_index(BYTES + 512);
    assert_refused(directory, SGP_ERR_FORMAT,
                   "train-000000.tar: has 9216 bytes, but 9728 by its index", "sgp data index");
    put_good_index(BYTES);
    put_shard("train-000000.tar", 50, 4); /* of the same size */
    assert_refused(directory, SGP_ERR_FORMAT, "train-000000.tar: its first sample is not",
                   "has changed");
}

static void damaged_indexes_are_refused(void **state) {
    (void)state;
    char path[128];
    size_t size;
    put_good_index(BYTES);
    snprintf(path, sizeof path, "%s/train-000000.index", directory);
    char *bytes = read_whole(path, &size);
    /* Each byte of it counts. */
    for (size_t i = 0; i < size; i++) {
        bytes[i] ^= 4;
        put_bytes(directory, "train-000000.index", bytes, size);
        assert_refused(directory, SGP_ERR_FORMAT, "train-000000.index", "sgp data index");
        bytes[i] ^= 4;
        put_bytes(directory, "train-000000.index", bytes, i);
        assert_refused(directory, SGP_ERR_FORMAT, "train-000000.index", "sgp data index");
    }
    free(bytes);
    static const shard_sample_t outside = {BYTES / 512 - 1, 1, 0, 0};
    put_index("train-000000.index", BYTES, &outside, 1);
    assert_refused(directory, SGP_ERR_FORMAT, "train-000000.index", "sample 0 ends at byte 9217");
    static const shard_sample_t twice[2] = {{4, 1, 0, 0}, {4, 1, 0, 0}};
    put_index("train-000000.index", BYTES, twice, 2);
    assert_refused(directory, SGP_ERR_FORMAT, "train-000000.index", "sample 1 ends at");
}

static void a_shard_that_changes_later_is_noticed(void **state) {
    (void)state;
    source_t *source = open_source(directory);
    source_buffer_t buffer = {0};
    char name[SOURCE_NAME_BYTES];
    put_shard("train-000001.tar", 60, 3);
    log_start();
    assert_int_equal(source_read(source, SOURCE_TRAIN, 5, &buffer), SGP_ERR_IO);
    assert_non_null(strstr(buffer.reason, "another header at byte 2048"));
    source_name(source, SOURCE_TRAIN, 5, name);
    assert_string_equal(name, "train-000001.tar:byte 2048");
    put_shard("train-000001.tar", 4, 1);
    assert_int_equal(source_read(source, SOURCE_TRAIN, 6, &buffer), SGP_ERR_IO);
    assert_non_null(strstr(buffer.reason, "ends"));
    drop(directory, "train-000000.tar"); /* which has not been read yet */
    assert_int_equal(source_read(source, SOURCE_TRAIN, 0, &buffer), SGP_ERR_IO);
    assert_non_null(strstr(buffer.reason, "No such file"));
    assert_int_equal(captured.lines, 0);
    source_buffer_fini(&buffer);
    source_close(source);
}

static int open_files(void) {
    return count_entries("/proc/self/fd");
}

/* Half of the files that the process may open, whatever the number of shards. */
static void open_files_are_bounded(void **state) {
    (void)state;
    enum { SHARDS = 20, LIMIT = 24 };
    struct rlimit before, low;
    char name[32];
    for (int i = 2; i < SHARDS; i++) {
        snprintf(name, sizeof name, "train-%06d.tar", i);
        put_shard(name, 10 * i, 1);
    }
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){LIMIT, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int files = open_files();
    source_t *source = open_source(directory);
    source_buffer_t buffer = {0};
    for (uint64_t i = 0; i < source_shape(source)->count[SOURCE_TRAIN]; i++) {
        source_will_need(source, SOURCE_TRAIN, &i, 1);
        if (source_read(source, SOURCE_TRAIN, i, &buffer)) fail_msg("%s", buffer.reason);
        source_name(source, SOURCE_TRAIN, i, (char[SOURCE_NAME_BYTES]){0});
    }
    ASSERT_SAMPLE(source, SOURCE_TEST, 0, 1, "val-000000.tar:000100.jpg", "picture 100");
    assert_int_equal(open_files(), files + LIMIT / 2);
    source_buffer_fini(&buffer);
    source_close(source);
    assert_int_equal(open_files(), files);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void *read_all(void *argument) {
    const source_t *source = argument;
    source_buffer_t buffer = {0};
    uintptr_t right = 0;
    for (uint64_t round = 0; round < 50; round++)
        for (uint64_t i = 0; i < source_shape(source)->count[SOURCE_TRAIN]; i++) {
            char text[32];
            snprintf(text, sizeof text, "picture %d", (int)i);
            source_will_need(source, SOURCE_TRAIN, &i, 1);
            right += source_read(source, SOURCE_TRAIN, i, &buffer) == SGP_OK &&
                     buffer.size == strlen(text) && memcmp(buffer.bytes, text, buffer.size) == 0;
        }
    source_buffer_fini(&buffer);
    return (void *)right;
}

static void threads_read_at_once(void **state) {
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    source_t *source = open_source(directory);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, source), 0);
    for (int i = 0; i < THREADS; i++) {
        void *right;
        assert_int_equal(pthread_join(threads[i], &right), 0);
        assert_int_equal((uintptr_t)right, 50 * 7);
    }
    source_close(source);
}

static void cut_shards_are_refused(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/train-000001.tar", directory);
    assert_int_equal(truncate(path, PER_SAMPLE + 514), 0);
    assert_refused(directory, SGP_ERR_FORMAT, "train-000001.tar: ends in the middle of 000005.jpg",
                   "2 of its 9");
    assert_int_equal(truncate(path, PER_SAMPLE), 0);
    assert_refused(directory, SGP_ERR_FORMAT, "train-000001.tar: ends at byte 2048 without", "cut");
    assert_int_equal(truncate(path, 0), 0);
    assert_refused(directory, SGP_ERR_FORMAT, "train-000001.tar: ends at byte 0", "cut");
}

/* One shard with these members of "x.", and the text of its refusal. */
static void assert_members_refused(const char *const *members, const char *text) {
    tar_file_t tar = {0};
    for (; *members; members += 2) tar_add(&tar, members[0], members[1]);
    tar_add_end(&tar);
    tar_put(&tar, directory, "train-000001.tar");
    assert_refused(directory, SGP_ERR_FORMAT, "train-000001.tar", text);
}

static void incomplete_samples_are_refused(void **state) {
    (void)state;
    assert_members_refused((const char *[]){"x.jpg", "1", "y.jpg", "2", NULL},
                           "x has a picture, but no label");
    assert_members_refused((const char *[]){"x.jpg", "1", NULL}, "x has a picture, but no label");
    assert_members_refused((const char *[]){"x.cls", "1", NULL}, "x has a label, but no .jpg");
    assert_members_refused((const char *[]){"x.jpg", "1", "x.png", "1", NULL},
                           "x has two pictures");
    assert_members_refused((const char *[]){"x.cls", "1", "x.cls", "1", NULL}, "x has two labels");
    assert_members_refused((const char *[]){"x.jpg", "1", "x.cls", "cat", NULL},
                           "x has a label that is no number");
    assert_members_refused((const char *[]){"x.jpg", "1", "x.cls", "", NULL},
                           "x has a label that is no number");
    assert_members_refused((const char *[]){"x.jpg", "1", "x.cls", "-1", NULL},
                           "x has a label that is no number");
    assert_members_refused((const char *[]){"x.jpg", "1", "x.cls", "70000", NULL},
                           "x has a label above 65535");
    assert_members_refused((const char *[]){"x.jpg", "1", "x.cls", "3", NULL},
                           "label 3 of sample 0: should be below 3");
    assert_members_refused((const char *[]){"README", "1", NULL}, "holds no sample");
}

static void links_are_refused(void **state) {
    (void)state;
    tar_file_t tar = {0};
    tar_add_header(&tar, "x.jpg", '1', 0);
    tar_add(&tar, "x.cls", "1");
    tar_add_end(&tar);
    tar_put(&tar, directory, "train-000001.tar");
    assert_refused(directory, SGP_ERR_FORMAT, "train-000001.tar: x is a link",
                   "--hard-dereference");
}

static void both_splits_are_needed(void **state) {
    (void)state;
    drop(directory, "val-000000.tar");
    assert_refused(directory, SGP_ERR_NOT_FOUND, directory, "no shards val-000000.tar");
}

static void fingerprint_tells_shards_apart(void **state) {
    (void)state;
    uint64_t before, other;
    source_t *source = open_source(directory);
    before = source_fingerprint(source);
    source_close(source);
    put_shard("train-000001.tar", 7, 3); /* the same labels, other names */
    source = open_source(directory);
    other = source_fingerprint(source);
    source_close(source);
    assert_true(before != other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(samples_are_those_of_shard_after_shard),
        TEST(names_of_others_are_accepted),
        TEST(a_missing_shard_is_noticed),
        TEST(members_in_any_order_are_a_sample),
        TEST(classes_without_names_are_numbers),
        TEST(an_index_is_believed),
        TEST(an_index_of_another_shard_is_refused),
        TEST(damaged_indexes_are_refused),
        TEST(a_shard_that_changes_later_is_noticed),
        TEST(open_files_are_bounded),
        TEST(threads_read_at_once),
        TEST(cut_shards_are_refused),
        TEST(incomplete_samples_are_refused),
        TEST(links_are_refused),
        TEST(both_splits_are_needed),
        TEST(fingerprint_tells_shards_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
