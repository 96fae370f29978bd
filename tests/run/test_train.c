/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs on a small data set: reproducible, learning, exact, and ending in order. */
#include "run/run_fixture.h"
#include "run/nodes.h"
#include "files/safetensors_reader.h"

#include "files/json.h"
#include "run/summary.h"

#include <math.h>
#include <xxhash.h>

#define TRAIN 406 /* leaves a tail for every number of nodes here */
#define TESTS 90
#define SIDE  16

static int set_up(void **state) {
    return fixture_set_up(state, TRAIN, TESTS, SIDE);
}

static train_options_t small_run(const fixture_t *fixture) {
    return fixture_run(fixture, 4);
}

static void the_same_seed_gives_the_same_bits(void **state) {
    node_t first[MAX_NODES], second[MAX_NODES];
    for (int algorithm = 0; algorithm < 2; algorithm++) {
        train_options_t options = small_run(*state);
        options.algorithm =
            train_stages_of(algorithm ? SGP_ALGORITHM_ALLREDUCE : SGP_ALGORITHM_SGP);
        options.augment = true;
        run_alike(first, &options);
        run_alike(second, &options);
        assert_all_ended(first, 4, SGP_OK);
        assert_all_ended(second, 4, SGP_OK);
        assert_string_equal(first[0].summary.parameters_hash, second[0].summary.parameters_hash);
        assert_true(first[0].summary.train_loss == second[0].summary.train_loss);
        options.seed++;
        run_alike(second, &options);
        assert_string_not_equal(first[0].summary.parameters_hash,
                                second[0].summary.parameters_hash);
    }
}

/* Every node returns the same summary, to the last bit. */
static void the_summary_is_the_same_everywhere(void **state) {
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(*state);
    options.nodes = 3;
    run_alike(nodes, &options);
    assert_all_ended(nodes, 3, SGP_OK);
    json_t *expected = train_summary_json(&options, &nodes[0].summary);
    for (int rank = 1; rank < 3; rank++) {
        json_t *found = train_summary_json(&options, &nodes[rank].summary);
        assert_true(json_equal(expected, found));
        json_decref(found);
    }
    json_decref(expected);
    const train_summary_t *summary = &nodes[0].summary;
    assert_int_equal(summary->steps, 2 * 17); /* 406 samples, 24 per step */
    assert_true(fabs(summary->consensus.w_total - 3) < 1e-9);
    assert_true(summary->consensus.drift < 1e-5);
    assert_true(summary->step_ms.p50 <= summary->step_ms.p99 && summary->seconds > 0);
    assert_true(summary->test_accuracy.min <= summary->test_accuracy.mean);
    assert_true(summary->test_accuracy.mean <= summary->test_accuracy.max);
}

/* Guessing gets a tenth right. */
static void it_learns(void **state) {
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(*state);
    options.epochs = 8;
    options.lr = 0.5;
    run_alike(nodes, &options);
    assert_all_ended(nodes, 4, SGP_OK);
    assert_true(nodes[0].summary.test_accuracy.min > 0.8);
    assert_true(nodes[0].summary.average_model_accuracy > 0.8);
    assert_true(nodes[0].summary.train_loss < 1);
}

static void run_to_file(const fixture_t *fixture, train_options_t options,
                        safetensors_file_t *file) {
    node_t nodes[MAX_NODES];
    char path[96];
    options.output = fixture->output;
    options.lr_schedule = "constant";
    options.warmup_epochs = 0;
    run_alike(nodes, &options);
    assert_all_ended(nodes, options.nodes, SGP_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", fixture->output);
    *file = safetensors_open(path);
}

/* Three nodes with a third of a batch each equal one node with the whole batch, also in the last,
 * shorter step: 406 samples are 16 steps of 24 and one of 22. */
static void exact_averaging_equals_one_large_batch(void **state) {
    train_options_t options = small_run(*state);
    safetensors_file_t alone, together;
    options.nodes = 1;
    options.batch_size = 24;
    run_to_file(*state, options, &alone);
    options.nodes = 3;
    options.batch_size = 8;
    options.algorithm = train_stages_of(SGP_ALGORITHM_ALLREDUCE);
    run_to_file(*state, options, &together);
    assert_int_equal(alone.data_bytes, together.data_bytes);
    const float *a = (const float *)alone.data, *b = (const float *)together.data;
    float largest = 0;
    for (size_t i = 0; i < alone.data_bytes / sizeof *a; i++)
        largest = fmaxf(largest, fabsf(a[i] - b[i]));
    assert_true(largest < 2e-6f);
    safetensors_close(&alone);
    safetensors_close(&together);
}

static json_t *load(const fixture_t *fixture, const char *name) {
    char path[96];
    snprintf(path, sizeof path, "%s/%s", fixture->output, name);
    json_t *json = json_load_file(path, 0, NULL);
    assert_non_null(json);
    return json;
}

static void check_metrics(const fixture_t *fixture, int nodes, int epochs) {
    char path[96];
    snprintf(path, sizeof path, "%s/metrics.jsonl", fixture->output);
    char *text = read_whole(path, NULL), *rest = text;
    int lines = 0, ends = 0;
    for (char *line; (line = strsep(&rest, "\n")) && *line; lines++) {
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        ends += json_object_get(object, "test_accuracy") != NULL;
        json_decref(object);
    }
    assert_int_equal(ends, nodes * epochs);
    assert_true(lines > ends && lines % nodes == 0);
    free(text);
}

/* Four files, the checkpoints and nothing else; they agree with the returned summary and with each
 * other. */
static void the_files_describe_the_run(void **state) {
    const fixture_t *fixture = *state;
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(fixture);
    options.output = fixture->output;
    options.lr = 0.07;
    run_alike(nodes, &options);
    assert_all_ended(nodes, 4, SGP_OK);
    assert_int_equal(count_entries(fixture->output), 5);
    check_metrics(fixture, 4, 2);
    json_t *config = load(fixture, "config.json"), *summary = load(fixture, "summary.json");
    json_t *asked = json_object_get(config, "options");
    assert_true(json_number_value(json_object_get(asked, "lr")) == 0.07);
    assert_int_equal(json_integer_value(json_object_get(asked, "batch_size")), 8);
    assert_string_equal(json_string_value(json_object_get(asked, "data")), fixture->data);
    assert_string_equal(json_string_value(json_object_get(summary, "parameters_hash")),
                        nodes[0].summary.parameters_hash);
    json_decref(config);
    json_decref(summary);
}

/* The hash is of the parameters in the file, and the tensors' names and shapes are there. */
static void the_model_file_holds_the_average(void **state) {
    const fixture_t *fixture = *state;
    node_t nodes[MAX_NODES];
    char path[96], hex[33];
    train_options_t options = small_run(fixture);
    options.output = fixture->output;
    run_alike(nodes, &options);
    assert_all_ended(nodes, 4, SGP_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", fixture->output);
    safetensors_file_t file = safetensors_open(path);
    const train_summary_t *summary = &nodes[0].summary;
    assert_int_equal(file.data_bytes, 4 * summary->parameters); /* mlp has no buffers */
    XXH128_hash_t hash = XXH3_128bits(file.data, file.data_bytes);
    snprintf(hex, sizeof hex, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    assert_string_equal(hex, summary->parameters_hash);
    size_t total = 0;
    const char *name;
    json_t *entry;
    json_object_foreach(file.header, name, entry) {
        size_t count;
        if (strcmp(name, "__metadata__") == 0) continue;
        safetensors_find(&file, name, &count);
        total += count;
    }
    assert_int_equal(total, summary->parameters);
    safetensors_close(&file);
}

static int logged_on[MAX_NODES];

static void count_by_rank(sgp_log_level_t level, int rank, const char *line, void *user) {
    (void)user;
    if (level == SGP_LOG_ERROR && rank >= 0) {
        capture_line(level, rank, line, user);
        logged_on[rank]++; /* one thread per rank */
    }
}

static void run_with_one_different(node_t *nodes, const train_options_t *options, int odd,
                                   const train_options_t *other, sgp_status_t status) {
    for (int rank = 0; rank < options->nodes; rank++)
        nodes[rank] = (node_t){.options = rank == odd ? *other : *options};
    memset(logged_on, 0, sizeof logged_on);
    log_start();
    sgp_log_set(count_by_rank, NULL, SGP_LOG_ERROR);
    run_nodes(nodes, options->nodes);
    assert_all_ended(nodes, options->nodes, status);
}

/* Node 0 and the node that differs log it, the others only end. */
static void different_options_are_named(void **state) {
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(*state), other = options;
    options.output = ((fixture_t *)*state)->output;
    other.lr = 0.2;
    run_with_one_different(nodes, &options, 2, &other, SGP_ERR_MISMATCH);
    assert_string_equal(captured.last,
                        "lr is 0.2 on node 2, but 0.1 on node 0: all nodes need the same");
    assert_true(logged_on[0] == 1 && logged_on[1] == 0 && logged_on[2] == 1 && logged_on[3] == 0);
    assert_int_equal(count_entries(options.output), 0);
}

static void different_data_are_noticed(void **state) {
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(*state), other = options;
    char directory[64];
    uint8_t labels[TESTS] = {0};
    make_directory(directory);
    write_dataset(directory, TRAIN, TESTS, SIDE);
    write_idx(directory, "t10k-labels-idx1-ubyte", 1, (uint32_t[]){TESTS}, labels);
    other.data = directory;
    run_with_one_different(nodes, &options, 3, &other, SGP_ERR_MISMATCH);
    assert_non_null(strstr(captured.last, "data checksum is "));
    remove_directory(directory);
}

/* A node that fails on its own logs the cause, and no node waits for it. */
static void one_nodes_failure_ends_all(void **state) {
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(*state), other = options;
    other.data = "/nowhere/at/all";
    run_with_one_different(nodes, &options, 1, &other, SGP_ERR_NOT_FOUND);
    assert_true(logged_on[0] == 0 && logged_on[1] == 1 && logged_on[2] == 0 && logged_on[3] == 0);
    other = options;
    other.nodes = 5;
    run_with_one_different(nodes, &options, 3, &other, SGP_ERR_INVALID);
    assert_non_null(strstr(captured.last, "nodes is 5: must be 4"));
}

static void an_unwritable_output_ends_all(void **state) {
    node_t nodes[MAX_NODES];
    char below[128];
    train_options_t options = small_run(*state);
    snprintf(below, sizeof below, "%s/train-labels-idx1-ubyte", ((fixture_t *)*state)->data);
    options.output = below;
    run_alike(nodes, &options);
    assert_all_ended(nodes, 4, SGP_ERR_IO);
    assert_logged("train-labels-idx1-ubyte/config.json", "Not a directory", NULL);
}

static volatile sig_atomic_t stop;
static char vanishing[64];

static void remove_output(const train_progress_t *progress, void *user) {
    (void)user;
    if (progress->epoch_end && progress->epoch == 1) remove_directory(vanishing);
}

/* The output is there at the start and gone at the end of the second epoch. */
static void an_output_that_vanishes_ends_all(void **state) {
    node_t nodes[MAX_NODES];
    make_directory(vanishing);
    train_options_t options = small_run(*state);
    options.output = vanishing;
    options.checkpoint_every = 1000;
    options.nodes = 1;
    nodes[0] = (node_t){.options = options, .callbacks = {.progress = remove_output}};
    run_nodes(nodes, 1);
    assert_all_ended(nodes, 1, SGP_ERR_IO);
    assert_logged("metrics.jsonl", "No such file", NULL);
}

static void stop_after_first_epoch(const train_progress_t *progress, void *user) {
    (void)user;
    stop = progress->epoch_end && progress->epoch == 1;
}

/* Finished epochs stay in the files, the summary says how the run ended, and there is no model. */
static void a_stopped_run_leaves_whole_files(void **state) {
    const fixture_t *fixture = *state;
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(fixture);
    options.output = fixture->output;
    options.nodes = 1;
    stop = 0;
    nodes[0] = (node_t){.options = options,
                        .callbacks = {.progress = stop_after_first_epoch, .stop = &stop}};
    run_nodes(nodes, 1);
    assert_all_ended(nodes, 1, SGP_ERR_INTERRUPTED);
    check_metrics(fixture, 1, 1);
    json_decref(load(fixture, "config.json"));
    json_t *summary = load(fixture, "summary.json");
    assert_string_equal(json_string_value(json_object_get(summary, "status")), "interrupted");
    assert_true(json_is_null(json_object_get(summary, "parameters_hash")));
    json_decref(summary);
    char own[128]; /* if it was stopped in the middle of an epoch */
    snprintf(own, sizeof own, "%s/metrics-0.jsonl", fixture->output);
    assert_int_equal(count_entries(fixture->output), access(own, F_OK) == 0 ? 5 : 4);
}

/* A fixed time in place of a gradient: vectors still move and mix, and accuracies are NAN. */
static void a_fixed_time_replaces_the_gradient(void **state) {
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(*state);
    options.compute_ms = 0.5;
    options.slow_rank = 2;
    options.slow_factor = 4;
    run_alike(nodes, &options);
    assert_all_ended(nodes, 4, SGP_OK);
    const train_summary_t *summary = &nodes[0].summary;
    assert_true(isnan(summary->train_loss) && isnan(summary->test_accuracy.mean));
    assert_true(isnan(summary->average_model_accuracy));
    assert_true(summary->consensus.distance > 0 && fabs(summary->consensus.w_total - 4) < 1e-9);
    assert_true(summary->step_ms.p50 >= 0.5);
    assert_true(summary->messages.sent > 0 && summary->messages.sent == summary->messages.received);
}

/* Chunks sent again are summed over the nodes, and are in summary.json. */
static void chunks_sent_again_are_counted(void **state) {
    const fixture_t *fixture = *state;
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(fixture);
    options.output = fixture->output;
    for (int rank = 0; rank < 4; rank++)
        nodes[rank] = (node_t){.options = options, .resent = (uint64_t)rank};
    run_nodes(nodes, 4);
    assert_all_ended(nodes, 4, SGP_OK);
    for (int rank = 0; rank < 4; rank++)
        assert_int_equal(nodes[rank].summary.messages.resent, 0 + 1 + 2 + 3);
    json_t *summary = load(fixture, "summary.json");
    json_t *resent = json_object_get(json_object_get(summary, "messages"), "resent");
    assert_int_equal(json_integer_value(resent), 6);
    json_decref(summary);
}

/* Fewer samples than nodes, and a batch larger than all of them: still steps, and no NaN. */
static void a_handful_of_samples_is_enough(void **state) {
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(*state);
    options.limit_samples = 2;
    options.batch_size = 16;
    run_alike(nodes, &options);
    assert_all_ended(nodes, 4, SGP_OK);
    assert_int_equal(nodes[0].summary.steps, 2);
    assert_true(isfinite(nodes[0].summary.train_loss));
}

static int shown_ends;

static void check_progress(const train_progress_t *progress, void *user) {
    const train_options_t *options = user;
    assert_int_equal(progress->rank, 0);
    assert_in_range(progress->epoch, 1, options->epochs);
    assert_in_range(progress->step, 1, progress->steps);
    assert_true(progress->samples_per_second > 0 && progress->seconds_left >= 0);
    if (!progress->epoch_end) return;
    assert_int_equal(progress->epoch, ++shown_ends);
    assert_true(isfinite(progress->loss) && isfinite(progress->test_accuracy));
    assert_int_equal(progress->step * (uint64_t)options->epochs,
                     progress->steps * (uint64_t)progress->epoch);
}

static void progress_reports_every_epoch(void **state) {
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(*state);
    options.nodes = 1;
    options.epochs = 3;
    nodes[0] = (node_t){.options = options,
                        .callbacks = {.progress = check_progress, .user = &nodes[0].options}};
    shown_ends = 0;
    run_nodes(nodes, 1);
    assert_all_ended(nodes, 1, SGP_OK);
    assert_int_equal(shown_ends, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)

int main(int argc, char **argv) {
    (void)argc;
    hold_openmp_to_one_thread(argv);
    const struct CMUnitTest tests[] = {
        TEST(the_same_seed_gives_the_same_bits),
        TEST(the_summary_is_the_same_everywhere),
        TEST(it_learns),
        TEST(exact_averaging_equals_one_large_batch),
        TEST(the_files_describe_the_run),
        TEST(the_model_file_holds_the_average),
        TEST(different_options_are_named),
        TEST(different_data_are_noticed),
        TEST(one_nodes_failure_ends_all),
        TEST(an_unwritable_output_ends_all),
        TEST(an_output_that_vanishes_ends_all),
        TEST(a_stopped_run_leaves_whole_files),
        TEST(a_fixed_time_replaces_the_gradient),
        TEST(chunks_sent_again_are_counted),
        TEST(a_handful_of_samples_is_enough),
        TEST(progress_reports_every_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
