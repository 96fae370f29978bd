/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of pictures by class. A source opens no picture, so the files here hold any bytes. */
#include "source_support.h"

static char directory[64];

static int set_up(void **state) {
    (void)state;
    make_directory(directory);
    put(directory, "train/cat/b.jpg", "cat b");
    put(directory, "train/cat/a.JPEG", "cat a");
    put(directory, "train/Dog/x.png", "dog x");
    put(directory, "train/eel/1.jpeg", "eel 1");
    put(directory, "val/eel/v.jpg", "eel v");
    put(directory, "val/cat/v.jpg", "cat v");
    put(directory, "val/Dog/v.jpg", "dog v");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_directory(directory);
    return 0;
}

static void labels_are_places_in_the_sorted_classes(void **state) {
    (void)state;
    source_t *source = open_source(directory);
    const source_shape_t *shape = source_shape(source);
    assert_string_equal(source_format(source), "folder");
    assert_true(shape->encoded);
    assert_int_equal(shape->channels, 3);
    assert_int_equal(shape->classes, 3);
    assert_int_equal(shape->count[SOURCE_TRAIN], 4);
    assert_int_equal(shape->count[SOURCE_TEST], 3);
    /* As Python sorts them: capitals first. */
    assert_string_equal(source_class_name(source, 0), "Dog");
    assert_string_equal(source_class_name(source, 1), "cat");
    assert_string_equal(source_class_name(source, 2), "eel");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 0, 0, "train/Dog/x.png", "dog x");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 1, 1, "train/cat/a.JPEG", "cat a");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 2, 1, "train/cat/b.jpg", "cat b");
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 3, 2, "train/eel/1.jpeg", "eel 1");
    ASSERT_SAMPLE(source, SOURCE_TEST, 2, 2, "val/eel/v.jpg", "eel v");
    source_will_need(source, SOURCE_TRAIN, (uint64_t[]){3, 0}, 2);
    source_close(source);
}

/* sorted(os.walk(path, followlinks=True)): the class folder's own files, then folder after folder. */
static void folders_in_a_class_are_walked_as_torchvision_does(void **state) {
    (void)state;
    put(directory, "train/cat/part/y.jpg", "y");
    put(directory, "train/cat/part-2/z.jpg", "z");
    put(directory, "elsewhere/linked.jpg", "linked");
    put_link(directory, "train/cat/more", "../../elsewhere");
    put_link(directory, "train/fox", "../elsewhere");
    put(directory, "val/fox/f.jpg", "f");
    source_t *source = open_source(directory);
    static const char *const names[] = {"cat/a.JPEG",     "cat/b.jpg",        "cat/more/linked.jpg",
                                        "cat/part/y.jpg", "cat/part-2/z.jpg", "eel/1.jpeg",
                                        "fox/linked.jpg"};
    /* Of the folders "part" is a beginning of "part-2", and so comes first. */
    for (size_t i = 0; i < 7; i++) {
        char name[SOURCE_NAME_BYTES];
        source_name(source, SOURCE_TRAIN, 1 + i, name);
        assert_string_equal(name + strlen("train/"), names[i]);
    }
    ASSERT_SAMPLE(source, SOURCE_TRAIN, 3, 1, "train/cat/more/linked.jpg", "linked");
    source_close(source);
}

static void other_files_are_ignored(void **state) {
    (void)state;
    put(directory, "train/cat/notes.txt", "notes");
    put(directory, "train/README.jpg", "no class");
    source_t *source = open_source(directory);
    assert_int_equal(captured.lines, 0);
    assert_int_equal(source_shape(source)->count[SOURCE_TRAIN], 4);
    source_close(source);
}

static void pictures_that_are_not_read_are_named(void **state) {
    (void)state;
    put(directory, "train/cat/notes.txt", "notes");
    put(directory, "train/cat/p.webp", "webp");
    source_t *source = open_source(directory);
    assert_logged("2 files are ignored", "train/cat/p.webp", NULL);
    source_close(source);
}

static void test_is_taken_where_val_is_missing(void **state) {
    (void)state;
    char from[128], to[128];
    snprintf(from, sizeof from, "%s/val", directory);
    snprintf(to, sizeof to, "%s/test", directory);
    assert_int_equal(rename(from, to), 0);
    source_t *source = open_source(directory);
    ASSERT_SAMPLE(source, SOURCE_TEST, 0, 0, "test/Dog/v.jpg", "dog v");
    source_close(source);
    remove_directory(to);
    assert_refused(directory, SGP_ERR_NOT_FOUND, directory, "neither val nor test");
}

static void class_folders_without_pictures_are_refused(void **state) {
    (void)state;
    put(directory, "train/ant/readme.txt", "no picture");
    assert_refused(directory, SGP_ERR_FORMAT, "train/ant", "without pictures");
}

static void splits_must_have_the_same_classes(void **state) {
    (void)state;
    put(directory, "val/fox/f.jpg", "f");
    assert_refused(directory, SGP_ERR_FORMAT, "1 class folders that train lacks: fox", "val");
    for (const char *name = "ghij"; *name; name++) {
        char path[64];
        snprintf(path, sizeof path, "train/%c/x.jpg", *name);
        put(directory, path, "x");
    }
    assert_refused(directory, SGP_ERR_FORMAT,
                   "lacks 4 of the 7 class folders of train: g, h, i, ...", "val");
}

static void flat_folders_are_refused(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/val", directory);
    remove_directory(path);
    put(directory, "val/ILSVRC2012_val_00000001.JPEG", "x");
    assert_refused(directory, SGP_ERR_FORMAT, "val: holds no class folder, but pictures",
                   "one folder for each class");
}

static void circles_of_links_end(void **state) {
    (void)state;
    put_link(directory, "train/cat/self", ".");
    assert_refused(directory, SGP_ERR_FORMAT, "train/cat/self", "link to a folder above it");
}

static void unreadable_samples_have_a_reason(void **state) {
    (void)state;
    put_link(directory, "train/cat/c.jpg", "nowhere.jpg");
    put_link(directory, "train/cat/d.jpg", ".");
    source_t *source = open_source(directory);
    source_buffer_t buffer = {0};
    log_start();
    assert_int_equal(source_read(source, SOURCE_TRAIN, 3, &buffer), SGP_ERR_IO);
    assert_non_null(strstr(buffer.reason, "No such file"));
    assert_int_equal(source_read(source, SOURCE_TRAIN, 4, &buffer), SGP_ERR_IO);
    assert_string_equal(buffer.reason, "is a directory");
    assert_int_equal(captured.lines, 0);
    drop(directory, "train/eel/1.jpeg");
    assert_int_equal(source_read(source, SOURCE_TRAIN, 5, &buffer), SGP_ERR_IO);
    source_will_need(source, SOURCE_TRAIN, (uint64_t[]){5}, 1);
    source_buffer_fini(&buffer);
    source_close(source);
}

/* A sparse file of a terabyte takes no memory. */
static void huge_files_are_refused(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/train/Dog/x.png", directory);
    assert_int_equal(truncate(path, (off_t)1 << 40), 0);
    source_t *source = open_source(directory);
    source_buffer_t buffer = {0};
    assert_int_equal(source_read(source, SOURCE_TRAIN, 0, &buffer), SGP_ERR_IO);
    assert_non_null(strstr(buffer.reason, "1099511627776 bytes"));
    assert_null(buffer.bytes);
    source_close(source);
}

static uint64_t fingerprint(void) {
    source_t *source = open_source(directory);
    uint64_t found = source_fingerprint(source);
    source_close(source);
    return found;
}

static void fingerprint_tells_data_apart(void **state) {
    (void)state;
    uint64_t before = fingerprint();
    assert_true(fingerprint() == before);
    put(directory, "val/eel/w.jpg", "w");
    uint64_t more = fingerprint();
    assert_true(more != before);
    drop(directory, "val/eel/w.jpg");
    put(directory, "val/eel/x.jpg", "w");
    assert_true(fingerprint() != more && fingerprint() != before);
    drop(directory, "val/eel/x.jpg");
    assert_true(fingerprint() == before);
}

static void formats_are_found_by_names(void **state) {
    (void)state;
    const char *format;
    bool encoded;
    assert_int_equal(source_find(directory, &format, &encoded), SGP_OK);
    assert_string_equal(format, "folder");
    assert_true(encoded);
    char path[128];
    snprintf(path, sizeof path, "%s/train/cat", directory);
    assert_refused(path, SGP_ERR_NOT_FOUND, path, "train/CLASS/*.jpg (folder)");
    assert_refused("/nowhere/at/all", SGP_ERR_NOT_FOUND, "/nowhere/at/all", "no such directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(labels_are_places_in_the_sorted_classes),
        TEST(folders_in_a_class_are_walked_as_torchvision_does),
        TEST(other_files_are_ignored),
        TEST(pictures_that_are_not_read_are_named),
        TEST(test_is_taken_where_val_is_missing),
        TEST(class_folders_without_pictures_are_refused),
        TEST(splits_must_have_the_same_classes),
        TEST(flat_folders_are_refused),
        TEST(circles_of_links_end),
        TEST(unreadable_samples_have_a_reason),
        TEST(huge_files_are_refused),
        TEST(fingerprint_tells_data_apart),
        TEST(formats_are_found_by_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
