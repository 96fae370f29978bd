/* SPDX-License-Identifier: Apache-2.0 */
/* A file is replaced whole or not at all, and the log says why not. A limit on the size of files
 * acts as a full disk: it stops a write in the middle. */
#include "data/support.h"

#include "files/atomic_file.h"

#include <signal.h>
#include <sys/resource.h>

typedef struct fixture {
    char directory[64];
    char path[96];
} fixture_t;

static int set_up(void **state) {
    fixture_t *fixture = calloc(1, sizeof *fixture);
    make_directory(fixture->directory);
    snprintf(fixture->path, sizeof fixture->path, "%s/it", fixture->directory);
    log_start();
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    remove_directory(((fixture_t *)*state)->directory);
    free(*state);
    return 0;
}

static sgp_status_t replace(const fixture_t *fixture, const char *text) {
    atomic_file_part_t parts[] = {{text, 1}, {text + 1, strlen(text) - 1}};
    return atomic_file_replace(fixture->directory, "it", parts, 2);
}

static void assert_holds(const fixture_t *fixture, const char *text) {
    char *found = read_whole(fixture->path, NULL);
    assert_string_equal(found, text);
    assert_int_equal(count_entries(fixture->directory), 1);
    free(found);
}

static void set_limit(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void replaces_and_appends(void **state) {
    const fixture_t *fixture = *state;
    assert_int_equal(replace(fixture, "first text"), SGP_OK);
    assert_holds(fixture, "first text");
    assert_int_equal(replace(fixture, "second"), SGP_OK);
    assert_holds(fixture, "second");
    assert_int_equal(atomic_file_append(fixture->directory, "it", " and third", 10), SGP_OK);
    assert_holds(fixture, "second and third");
    assert_int_equal(atomic_file_replace(fixture->directory, "it", NULL, 0), SGP_OK);
    assert_holds(fixture, "");
    assert_int_equal(captured.lines, 0);
}

static void a_leftover_part_is_replaced(void **state) {
    const fixture_t *fixture = *state;
    char part[128];
    snprintf(part, sizeof part, "%s.%ld.part", fixture->path, (long)getpid());
    write_file(part, "left over", 9);
    assert_int_equal(replace(fixture, "new"), SGP_OK);
    assert_holds(fixture, "new");
}

/* Another process that writes the same file keeps its part. */
static void the_part_of_another_stays(void **state) {
    const fixture_t *fixture = *state;
    char part[128];
    snprintf(part, sizeof part, "%s.1.part", fixture->path);
    write_file(part, "of another", 10);
    assert_int_equal(replace(fixture, "new"), SGP_OK);
    assert_int_equal(unlink(part), 0);
    assert_holds(fixture, "new");
}

static void parts_are_known(void **state) {
    (void)state;
    static const struct {
        const char *file;
        bool is;
    } rows[] = {{"it.part", true},     {"it.77.part", true}, {"it", false},
                {"it.77", false},      {"its.part", false},  {"it.x.part", false},
                {"it.7x.part", false}, {"it..part", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(atomic_file_is_part(rows[i].file, "it"), rows[i].is);
}

static void a_full_disk_leaves_the_old_file(void **state) {
    const fixture_t *fixture = *state;
    assert_int_equal(replace(fixture, "the old text"), SGP_OK);
    set_limit(5);
    sgp_status_t status = replace(fixture, "the new text");
    set_limit(RLIM_INFINITY);
    assert_int_equal(status, SGP_ERR_IO);
    assert_logged(fixture->path, "File too large", NULL);
    assert_holds(fixture, "the old text");
}

static void a_full_disk_takes_back_a_partial_line(void **state) {
    const fixture_t *fixture = *state;
    assert_int_equal(replace(fixture, "line 1\n"), SGP_OK);
    set_limit(10);
    sgp_status_t status = atomic_file_append(fixture->directory, "it", "line 2\n", 7);
    set_limit(RLIM_INFINITY);
    assert_int_equal(status, SGP_ERR_IO);
    assert_logged(fixture->path, "File too large", NULL);
    assert_holds(fixture, "line 1\n");
}

static void removes_and_makes_directories(void **state) {
    const fixture_t *fixture = *state;
    assert_int_equal(atomic_file_make_directory(fixture->directory, "it"), SGP_OK);
    assert_int_equal(atomic_file_make_directory(fixture->directory, "it"), SGP_OK);
    assert_int_equal(rmdir(fixture->path), 0);
    assert_int_equal(atomic_file_remove(fixture->directory, "it"), SGP_OK);
    assert_int_equal(replace(fixture, "text"), SGP_OK);
    assert_int_equal(captured.lines, 0);
    assert_int_equal(atomic_file_make_directory(fixture->directory, "it"), SGP_ERR_IO);
    assert_logged(fixture->path, "Not a directory", NULL);
    assert_int_equal(atomic_file_remove(fixture->directory, "it"), SGP_OK);
    assert_int_equal(count_entries(fixture->directory), 0);
    log_start();
    assert_int_equal(atomic_file_make_directory("/nowhere/at/all", "it"), SGP_ERR_IO);
    assert_logged("/nowhere/at/all/it", "No such file", NULL);
}

static void the_reason_is_named(void **state) {
    const fixture_t *fixture = *state;
    assert_int_equal(atomic_file_append("/dev", "full", "x", 1), SGP_ERR_IO);
    assert_logged("/dev/full", "No space left", NULL);
    log_start();
    assert_int_equal(atomic_file_append(fixture->directory, "it", "x", 1), SGP_ERR_IO);
    assert_logged(fixture->path, "No such file", NULL);
    write_file(fixture->path, "a file", 6);
    log_start();
    assert_int_equal(atomic_file_replace(fixture->path, "below", NULL, 0), SGP_ERR_IO);
    assert_logged(fixture->path, "Not a directory", NULL);
    log_start();
    assert_int_equal(atomic_file_replace("/nowhere/at/all", "it", NULL, 0), SGP_ERR_IO);
    assert_logged("/nowhere/at/all/it", "No such file", NULL);
}

static void a_directory_in_its_place_stays(void **state) {
    const fixture_t *fixture = *state;
    assert_int_equal(mkdir(fixture->path, 0777), 0);
    assert_int_equal(replace(fixture, "text"), SGP_ERR_IO);
    assert_logged(fixture->path, "Is a directory", NULL);
    assert_int_equal(count_entries(fixture->directory), 1);
    assert_int_equal(rmdir(fixture->path), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    signal(SIGXFSZ, SIG_IGN); /* so that a write over the limit fails instead */
    const struct CMUnitTest tests[] = {
        TEST(replaces_and_appends),
        TEST(a_leftover_part_is_replaced),
        TEST(the_part_of_another_stays),
        TEST(parts_are_known),
        TEST(a_full_disk_leaves_the_old_file),
        TEST(a_full_disk_takes_back_a_partial_line),
        TEST(removes_and_makes_directories),
        TEST(the_reason_is_named),
        TEST(a_directory_in_its_place_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
