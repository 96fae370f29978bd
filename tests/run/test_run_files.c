/* SPDX-License-Identifier: Apache-2.0 */
/* A directory holds a run if it has a run's files, and only these are removed. */
#include "data/support.h"

#include "run/run_files.h"

#include <sys/stat.h>
#include <unistd.h>

static bool finished(const char *text) {
    json_t *json = json_loads(text, 0, NULL);
    bool found = run_files_finished(json);
    json_decref(json);
    return found;
}

static void a_summary_shows_a_finished_run(void **state) {
    (void)state;
    assert_true(finished("{\"status\": \"finished\", \"parameters_hash\": \"0\"}"));
    assert_false(finished("{\"status\": \"interrupted\", \"parameters_hash\": \"0\"}"));
    assert_false(finished("{\"status\": 7, \"parameters_hash\": \"0\"}"));
    assert_true(finished("{\"parameters_hash\": \"0\"}")); /* of an earlier version */
    assert_false(finished("{}"));
    assert_false(run_files_finished(NULL));
}

static void make(const char *directory, const char *name, bool folder) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (folder) assert_int_equal(mkdir(path, 0700), 0);
    else write_file(path, "x", 1);
}

static bool is_there(const char *directory, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

static void each_of_its_files_makes_a_run(void **state) {
    (void)state;
    static const char *const names[] = {"config.json", "metrics.jsonl", "summary.json",
                                        "model.safetensors"};
    static const char *const others[] = {"notes.txt", "report.html", "trace.json", "checkpoint",
                                         "average.safetensors"};
    char directory[64];
    make_directory(directory);
    assert_false(run_files_exist("/nowhere/at/all"));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        make(directory, others[i], i == 3);
    assert_false(run_files_exist(directory));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        make(directory, names[i], false);
        assert_true(run_files_exist(directory));
        assert_int_equal(run_files_remove(directory), SGP_OK);
        assert_false(run_files_exist(directory));
    }
    make(directory, "checkpoint", true);
    make(directory, "checkpoint/step-000000012", true);
    assert_true(run_files_exist(directory));
    assert_int_equal(run_files_remove(directory), SGP_OK);
    assert_false(is_there(directory, "checkpoint"));
    assert_true(is_there(directory, "notes.txt") && is_there(directory, "average.safetensors"));
    remove_directory(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_summary_shows_a_finished_run),
        cmocka_unit_test(each_of_its_files_makes_a_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
