/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation fails once, in reading and writing a run's files and in whole runs: no file is
 * half-written, taken for a damaged one, or different from the file with enough memory. */
#include "failing_alloc.h"
#include "run/run_fixture.h"
#include "run/nodes.h"

#include "run/average_checkpoint.h"
#include "run/checkpoint_folder.h"
#include "run/config.h"
#include "run/initial.h"
#include "files/json.h"
#include "run/metrics.h"
#include "run/resume.h"
#include "run/summary.h"

enum { TRAIN = 24, TESTS = 10, SIDE = 10 };

/* Replaces the C library's: thousands of files are written here. */
__attribute__((visibility("default"))) int fsync(int file) {
    (void)file;
    return 0;
}

static int set_up(void **state) {
    return fixture_set_up(state, TRAIN, TESTS, SIDE);
}

static train_options_t small_run(const fixture_t *fixture) {
    train_options_t options = fixture_run(fixture, 1);
    options.output = fixture->output;
    return options;
}

static sgp_status_t run_alone(const train_options_t *options, failing_t *failing) {
    sgp_loopback_t *hub = NULL;
    sgp_group_t *group = NULL;
    train_summary_t summary = {.steps = 0};
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = 1}, &hub), SGP_OK);
    assert_int_equal(sgp_group_create(sgp_loopback_transport(hub, 0), 0, &group), SGP_OK);
    train_groups_t groups = {.all = group};
    if (failing) failing_on(failing);
    sgp_status_t status = train_run(options, &groups, NULL, &summary);
    if (failing) failing_check(failing, status);
    assert_true(status != SGP_OK || summary.steps > 0);
    sgp_group_leave(group);
    sgp_loopback_destroy(hub);
    return status;
}

static char *read_output(const fixture_t *fixture, const char *name, size_t *length) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", fixture->output, name);
    return read_whole(path, length);
}

/* A file that was there before is either as it was or as it should be. */
static void assert_whole(const fixture_t *fixture, const char *name, const char *wanted,
                         size_t length) {
    size_t found_length;
    char *found = read_output(fixture, name, &found_length);
    if (found_length != length) failing_say();
    assert_int_equal(found_length, length);
    assert_memory_equal(found, wanted, length);
    free(found);
}

/* ---- safetensors ---- */

static sgp_status_t write_tensors(const fixture_t *fixture) {
    static const float weight[6] = {1, 2, 3, 4, 5, 6};
    static const double clock[1] = {7};
    static const int64_t shapes[2][2] = {{2, 3}, {1}};
    const safetensors_tensor_t tensors[] = {
        {.name = "clock", .dims = 1, .shape = shapes[1], .data = clock, .dtype = SAFETENSORS_F64},
        {.name = "weight", .dims = 2, .shape = shapes[0], .data = weight}};
    const safetensors_pair_t pairs[] = {{"kind", "test"}};
    return safetensors_write(fixture->output, "t.safetensors", tensors, 2, pairs, 1);
}

static void test_write_tensors(void **state) {
    const fixture_t *fixture = *state;
    size_t length;
    assert_int_equal(write_tensors(fixture), SGP_OK);
    char *wanted = read_output(fixture, "t.safetensors", &length);
    failing_t failing = {0};
    while (failing_round(&failing)) {
        FAILING(&failing, write_tensors(fixture));
        assert_whole(fixture, "t.safetensors", wanted, length);
        assert_int_equal(count_entries(fixture->output), 1);
    }
    free(wanted);
}

static void test_read_tensors(void **state) {
    const fixture_t *fixture = *state;
    char path[PATH_MAX], problem[TENSOR_FILE_PROBLEM];
    snprintf(path, sizeof path, "%s/t.safetensors", fixture->output);
    assert_int_equal(write_tensors(fixture), SGP_OK);
    failing_t failing = {.unlogged = true};
    while (failing_round(&failing)) {
        tensor_file_t file;
        if (FAILING(&failing, tensor_file_open(path, &file, problem)) != SGP_OK) continue;
        assert_int_equal(file.count, 2);
        FAILING(&failing, tensor_file_check(&file, problem));
        tensor_file_close(&file);
    }
}

/* ---- JSON ---- */

typedef struct made {
    train_options_t options;
    replica_t replica;
} made_t;

static sgp_status_t write_config(const fixture_t *fixture, const made_t *made) {
    return files_json_write(fixture->output, "config.json",
                            config_json(&made->options, &made->replica, "0",
                                        &(train_resumed_t){.step = 9, .nodes = 3}));
}

static sgp_status_t write_summary(const fixture_t *fixture, const made_t *made) {
    train_summary_t summary = {.steps = 5, .messages.sent = UINT64_MAX};
    return files_json_write(fixture->output, "summary.json",
                            train_summary_json(&made->options, &summary));
}

static sgp_status_t write_metrics(const fixture_t *fixture, const made_t *made) {
    metrics_record_t records[4] = {{.step = 1, .mean.samples = 1}, {.step = 2, .mean.samples = 1}};
    double distances[2] = {0.5, NAN};
    metrics_lines_t lines = {
        .size = 2, .count = 2, .workers = 2, .records = records, .distances = distances};
    metrics_node_t nodes[2] = {{.train_loss = 1}, {.train_loss = 2}};
    metrics_epoch_t epoch = {.epoch = 1, .step = 2};
    (void)made;
    sgp_status_t status = atomic_file_replace(fixture->output, METRICS_FILE, NULL, 0);
    return status ? status : metrics_write(&lines, fixture->output, &epoch, nodes);
}

/* empty: after a failed append the file is empty. */
static void write_json(const fixture_t *fixture, const char *name, bool empty,
                       sgp_status_t (*write)(const fixture_t *fixture, const made_t *made)) {
    made_t made = {.options = small_run(fixture)};
    size_t length;
    made.options.peers = (train_stages_t){.count = 2, .stage = {{0, 1}, {1, 2}}};
    made.options.slow_rank = 0;
    assert_int_equal(replica_init(&made.replica, &made.options, 0), SGP_OK);
    assert_int_equal(write(fixture, &made), SGP_OK);
    char *wanted = read_output(fixture, name, &length);
    failing_t failing = {.may_pass = true};
    while (failing_round(&failing)) {
        sgp_status_t status = FAILING(&failing, write(fixture, &made));
        assert_whole(fixture, name, wanted, status != SGP_OK && empty ? 0 : length);
    }
    assert_true(failing.round > 2);
    free(wanted);
    replica_fini(&made.replica);
}

static void test_config(void **state) {
    write_json(*state, "config.json", false, write_config);
}

static void test_summary(void **state) {
    write_json(*state, "summary.json", false, write_summary);
}

static void test_metrics(void **state) {
    write_json(*state, METRICS_FILE, true, write_metrics);
}

/* ---- resuming ---- */

/* The file has all the lines to keep, or is unchanged. */
static void test_resume_metrics(void **state) {
    const fixture_t *fixture = *state;
    static const char before[] = "{\"epoch\": 1, \"step\": 1}\n{\"epoch\": 2, \"step\": 2}\n"
                                 "{\"epoch\": 3, \"step\": 3}\n{\"epoch\": 3, \"st";
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/" METRICS_FILE, fixture->output);
    failing_t failing = {.may_pass = true, .also = SGP_ERR_IO};
    while (failing_round(&failing)) {
        write_file(path, before, strlen(before));
        sgp_status_t status =
            FAILING(&failing, resume_metrics(fixture->output, fixture->output, 2, 0));
        size_t kept = (size_t)(strstr(before, "{\"epoch\": 3") - before);
        assert_whole(fixture, METRICS_FILE, before, status == SGP_OK ? kept : strlen(before));
    }
    assert_true(failing.round > 2);
}

/* A checkpoint that could not be checked for want of memory is not bad: no older one is chosen. */
static void test_resume_check(void **state) {
    const fixture_t *fixture = *state;
    train_options_t options = small_run(fixture);
    assert_int_equal(run_alone(&options, NULL), SGP_OK);
    options.resume = options.output;
    failing_t failing = {.may_pass = true, .also = SGP_ERR_IO};
    while (failing_round(&failing)) {
        uint64_t step = 99;
        sgp_status_t status = FAILING(&failing, resume_check(&options, &step));
        if (status == SGP_OK) assert_int_equal(step, 6);
    }
}

/* Loaded whole, or not marked as loaded. */
static void test_initial(void **state) {
    const fixture_t *fixture = *state;
    train_options_t options = small_run(fixture);
    replica_t replica;
    char path[PATH_MAX];
    assert_int_equal(run_alone(&options, NULL), SGP_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", options.output);
    assert_int_equal(replica_init(&replica, &options, 0), SGP_OK);
    options.init = path;
    failing_t failing = {0};
    while (failing_round(&failing)) {
        replica.initial_hash[0] = '\0';
        sgp_status_t status = FAILING(&failing, initial_load(&options, &replica));
        assert_true((status == SGP_OK) == (replica.initial_hash[0] != '\0'));
    }
    assert_true(failing.round > 2);
    replica_fini(&replica);
}

static void test_average(void **state) {
    const fixture_t *fixture = *state;
    train_options_t options = small_run(fixture);
    char newest[PATH_MAX];
    assert_int_equal(run_alone(&options, NULL), SGP_OK);
    assert_int_equal(checkpoint_folder(options.output, 6, newest), SGP_OK);
    failing_t failing = {.also = SGP_ERR_IO};
    while (failing_round(&failing)) {
        average_source_t source;
        if (FAILING(&failing, average_open(options.output, &source)) != SGP_OK) continue;
        assert_string_equal(source.folder, newest);
        average_close(&source);
    }
}

/* ---- whole runs ---- */

static void empty(const char *directory) {
    remove_directory(directory);
    assert_int_equal(mkdir(directory, 0700), 0);
}

static void test_run(void **state) {
    const fixture_t *fixture = *state;
    train_options_t options = small_run(fixture);
    options.tensorboard = options.trace = true;
    options.epochs = 1;
    failing_t failing = {.stride = 7, .may_pass = true, .also = SGP_ERR_IO};
    while (failing_round(&failing)) {
        empty(fixture->output);
        run_alone(&options, &failing);
    }
    assert_true(failing.round > 100);
}

/* A run that was killed in its second epoch. */
static void kill_run(const fixture_t *fixture) {
    char path[PATH_MAX];
    static const char *const names[] = {"summary.json", "model.safetensors"};
    assert_int_equal(checkpoint_folder(fixture->output, 6, path), SGP_OK);
    remove_directory(path);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", fixture->output, names[i]);
        assert_int_equal(unlink(path), 0);
    }
}

/* The checkpoint to continue from stays as it was, whatever fails. */
static void test_resumed_run(void **state) {
    const fixture_t *fixture = *state;
    train_options_t options = small_run(fixture);
    char directory[64];
    uint64_t step;
    assert_int_equal(run_alone(&options, NULL), SGP_OK);
    kill_run(fixture);
    make_directory(directory);
    options.resume = fixture->output;
    options.output = directory;
    failing_t failing = {.stride = 7, .may_pass = true, .also = SGP_ERR_IO};
    while (failing_round(&failing)) {
        empty(directory);
        run_alone(&options, &failing);
    }
    assert_int_equal(resume_check(&options, &step), SGP_OK);
    assert_int_equal(step, 3);
    remove_directory(directory);
}

/* The same for one node that goes on from a checkpoint of two. */
static void test_resized_run(void **state) {
    const fixture_t *fixture = *state;
    train_options_t options = small_run(fixture);
    node_t nodes[MAX_NODES];
    char directory[64];
    uint64_t step;
    options.nodes = 2; /* 2 steps in an epoch */
    options.checkpoint_every = 3;
    options.epochs = 2;
    run_alike(nodes, &options);
    assert_all_ended(nodes, 2, SGP_OK);
    checkpoint_folder_remove(fixture->output, 4, 0);
    make_directory(directory);
    options.nodes = 1;
    options.resume = fixture->output;
    failing_t checking = {.also = SGP_ERR_IO, .may_pass = true};
    while (failing_round(&checking)) {
        step = 99;
        sgp_status_t status = FAILING(&checking, resume_check(&options, &step));
        if (status == SGP_OK) assert_int_equal(step, 3);
    }
    options.output = directory;
    failing_t failing = {.stride = 17, .may_pass = true, .also = SGP_ERR_IO};
    while (failing_round(&failing)) {
        empty(directory);
        run_alone(&options, &failing);
    }
    assert_int_equal(resume_check(&options, &step), SGP_OK);
    assert_int_equal(step, 3);
    remove_directory(directory);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_write_tensors, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_read_tensors, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_config, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_summary, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_metrics, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_resume_metrics, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_resume_check, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_initial, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_average, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_run, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_resumed_run, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_resized_run, set_up, fixture_tear_down),
    };
    (void)argc;
    hold_openmp_to_one_thread(argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
