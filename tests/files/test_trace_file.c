/* SPDX-License-Identifier: Apache-2.0 */
/* The file is valid JSON whenever it is closed, spans begin at its origin, and a full disk takes
 * back what was written last. */
#include "data/support.h"

#include "files/trace_file.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

typedef struct fixture {
    char directory[64];
    trace_file_t file;
} fixture_t;

static int set_up(void **state) {
    fixture_t *fixture = calloc(1, sizeof *fixture);
    make_directory(fixture->directory);
    assert_int_equal(
        trace_file_create(&fixture->file, fixture->directory, "it.json", 5000, "first"), SGP_OK);
    log_start();
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    remove_directory(((fixture_t *)*state)->directory);
    free(*state);
    return 0;
}

static json_t *load(const fixture_t *fixture) {
    char path[96];
    json_error_t error;
    snprintf(path, sizeof path, "%s/it.json", fixture->directory);
    json_t *json = json_load_file(path, 0, &error);
    if (!json) fail_msg("%s", error.text);
    return json;
}

/* Event i; borrowed from file. */
static json_t *event(json_t *file, size_t i) {
    return json_array_get(json_object_get(file, "traceEvents"), i);
}

static size_t count_all(json_t *file) {
    return json_array_size(json_object_get(file, "traceEvents"));
}

static double number(json_t *object, const char *name) {
    return json_number_value(json_object_get(object, name));
}

static const trace_file_track_t track = {.process = 3, .thread = 6};

static void a_new_file_names_one_process(void **state) {
    json_t *file = load(*state);
    assert_int_equal(count_all(file), 1);
    json_t *arguments = json_object_get(event(file, 0), "args");
    assert_string_equal(json_string_value(json_object_get(arguments, "name")), "first");
    assert_true(number(event(file, 0), "pid") == 1);
    json_decref(file);
}

/* Origin 5 us: [6, 8.5) us begins at 1 us; of [4, 6) us 1 us is left, of [4, 5) us nothing. */
static void spans_begin_at_the_origin(void **state) {
    fixture_t *fixture = *state;
    assert_int_equal(trace_file_open(&fixture->file), SGP_OK);
    trace_file_span(&fixture->file, track, "data", 6000, 8500, 7);
    trace_file_span(&fixture->file, track, "data", 4000, 6000, 8);
    trace_file_span(&fixture->file, track, "data", 4000, 5000, 9);
    assert_int_equal(trace_file_close(&fixture->file), SGP_OK);
    json_t *file = load(fixture);
    assert_int_equal(count_all(file), 3);
    assert_true(fabs(number(event(file, 1), "ts") - 1) < 1e-9);
    assert_true(fabs(number(event(file, 1), "dur") - 2.5) < 1e-9);
    assert_true(number(event(file, 1), "pid") == 3 && number(event(file, 1), "tid") == 6);
    assert_true(number(json_object_get(event(file, 1), "args"), "step") == 7);
    assert_true(number(event(file, 2), "ts") == 0 && number(event(file, 2), "dur") == 1);
    json_decref(file);
}

static void it_grows_and_stays_valid(void **state) {
    fixture_t *fixture = *state;
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(trace_file_open(&fixture->file), SGP_OK);
        if (i == 0) trace_file_name(&fixture->file, track, "third", 2, "computing", 0);
        trace_file_span(&fixture->file, track, "data", 6000 + i * 10, 6005 + i * 10, 1);
        if (i == 4) trace_file_label(&fixture->file, track, "full");
        assert_int_equal(trace_file_close(&fixture->file), SGP_OK);
        json_t *file = load(fixture);
        assert_int_equal(count_all(file), 1 + 4 + i + 1 + (i == 4));
        json_decref(file);
    }
}

static void set_limit(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A limit on the size of files stands in for the full disk. */
static void a_full_disk_takes_events_back(void **state) {
    fixture_t *fixture = *state;
    assert_int_equal(trace_file_open(&fixture->file), SGP_OK);
    for (uint64_t i = 0; i < 100; i++)
        trace_file_span(&fixture->file, track, "data", 6000 + i * 10, 6005 + i * 10, 1);
    set_limit(2000);
    sgp_status_t status = trace_file_close(&fixture->file);
    set_limit(RLIM_INFINITY);
    assert_int_equal(status, SGP_ERR_IO);
    assert_logged(fixture->directory, "it.json: cannot be written: File too large", NULL);
    json_t *file = load(fixture);
    assert_int_equal(count_all(file), 1);
    json_decref(file);
}

static void failures_name_the_file(void **state) {
    fixture_t *fixture = *state;
    trace_file_t file;
    char path[96];
    snprintf(path, sizeof path, "%s/it.json", fixture->directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(trace_file_open(&fixture->file), SGP_ERR_IO);
    assert_logged(path, "No such file", NULL);
    log_start();
    assert_int_equal(trace_file_create(&file, "/nowhere/at/all", "it.json", 0, "x"), SGP_ERR_IO);
    assert_logged("/nowhere/at/all/it.json", NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    signal(SIGXFSZ, SIG_IGN); /* so that a write over the limit fails instead */
    const struct CMUnitTest tests[] = {
        TEST(a_new_file_names_one_process), TEST(spans_begin_at_the_origin),
        TEST(it_grows_and_stays_valid),     TEST(a_full_disk_takes_events_back),
        TEST(failures_name_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
