/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs of nodes with several workers, as threads, equal runs of nodes whose batch is as many
 * times larger. */
#include "run/run_fixture.h"
#include "worker_ranks.h"

#include "files/safetensors_reader.h"
#include "run/train.h"

#include <math.h>
#include <unistd.h>

#define TRAIN     406 /* leaves a tail for every number of processes here */
#define TESTS     90
#define SIDE      16
#define PROCESSES 8

static int set_up(void **state) {
    return fixture_set_up(state, TRAIN, TESTS, SIDE);
}

typedef struct result {
    train_options_t options;
    sgp_status_t status[PROCESSES];
    train_summary_t summary[PROCESSES];
} result_t;

static void train(const workers_place_t *place, void *context) {
    result_t *result = context;
    train_groups_t groups = {.all = place->all, .nodes = place->nodes, .workers = place->workers};
    train_callbacks_t none = {0};
    result->status[place->rank] =
        train_run(&result->options, &groups, &none, &result->summary[place->rank]);
}

static void run(result_t *result, const train_options_t *options) {
    *result = (result_t){.options = *options};
    workers_setup_t setup = {.nodes = options->nodes, .workers = options->workers};
    run_workers(&setup, train, result);
    for (int r = 0; r < options->nodes * options->workers; r++)
        if (result->status[r]) fail_msg("process %d: %s", r, sgp_status_name(result->status[r]));
}

/* batch: of a node and step. */
static train_options_t small_run(const fixture_t *fixture, int nodes, int workers, int batch) {
    train_options_t options = fixture_run(fixture, nodes);
    options.output = fixture->output;
    options.workers = workers;
    options.batch_size = batch / workers;
    return options;
}

static safetensors_file_t model_of(const fixture_t *fixture) {
    char path[96];
    snprintf(path, sizeof path, "%s/model.safetensors", fixture->output);
    return safetensors_open(path);
}

static float largest_difference(const safetensors_file_t *a, const safetensors_file_t *b) {
    const float *left = (const float *)a->data, *right = (const float *)b->data;
    float largest = 0;
    assert_int_equal(a->data_bytes, b->data_bytes);
    for (size_t i = 0; i < a->data_bytes / sizeof *left; i++)
        largest = fmaxf(largest, fabsf(left[i] - right[i]));
    return largest;
}

static void check_alike(const result_t *result) {
    const train_summary_t *first = &result->summary[0];
    for (int r = 1; r < result->options.nodes * result->options.workers; r++) {
        assert_string_equal(result->summary[r].parameters_hash, first->parameters_hash);
        assert_true(result->summary[r].train_loss == first->train_loss);
        assert_memory_equal(&result->summary[r].test_accuracy, &first->test_accuracy,
                            sizeof first->test_accuracy);
    }
    assert_true(fabs(first->consensus.w_total - result->options.nodes) < 1e-9);
    assert_true(first->consensus.drift < 1e-5);
}

static void check_same_training(const result_t *one, const result_t *many) {
    const train_summary_t *a = &one->summary[0], *b = &many->summary[0];
    double few = 2.0 / TESTS;
    assert_int_equal(a->steps, b->steps);
    assert_true(fabs(a->train_loss - b->train_loss) < 1e-4);
    assert_true(fabs(a->average_model_accuracy - b->average_model_accuracy) <= few);
    assert_true(fabs(a->test_accuracy.min - b->test_accuracy.min) <= few);
    assert_true(fabs(a->test_accuracy.max - b->test_accuracy.max) <= few);
    check_alike(many);
}

static const sgp_algorithm_t repeatable[] = {SGP_ALGORITHM_SGP, SGP_ALGORITHM_ALLREDUCE,
                                             SGP_ALGORITHM_OSGP, SGP_ALGORITHM_DPSGD};

static void workers_are_a_larger_batch(void **state) {
    static const int shapes[][2] = {{1, 3}, {2, 2}, {2, 4}, {4, 2}}; /* nodes, workers */
    for (int a = 0; a < 4; a++)
        for (int s = 0; s < 4; s++) {
            result_t one, many;
            train_options_t options = small_run(*state, shapes[s][0], 1, 12);
            options.algorithm = train_stages_of((int)repeatable[a]);
            options.augment = s == 1; /* drawn for the node and the sample */
            run(&one, &options);
            safetensors_file_t alone = model_of(*state);
            options.workers = shapes[s][1];
            options.batch_size = 12 / options.workers;
            run(&many, &options);
            safetensors_file_t together = model_of(*state);
            check_same_training(&one, &many);
            assert_true(largest_difference(&alone, &together) < 1e-5f);
            safetensors_close(&alone);
            safetensors_close(&together);
        }
}

static void mass_is_kept_without_lock_step(void **state) {
    for (int async = 0; async < 2; async++) {
        result_t result;
        train_options_t options = small_run(*state, 3, 2, 8);
        if (async) options.overlap = SGP_OVERLAP_ASYNC;
        else options.algorithm = train_stages_of(SGP_ALGORITHM_ADPSGD);
        run(&result, &options);
        check_alike(&result);
    }
}

/* Each worker has its own statistics of batch norm; a node's model is one all the same. */
static void batch_norm_is_averaged(void **state) {
    result_t result;
    train_options_t options = small_run(*state, 2, 2, 8);
    options.model = "resnet20";
    options.epochs = 1;
    options.limit_samples = 48;
    run(&result, &options);
    check_alike(&result);
}

/* Lines name the worker; those of a node's workers have the accuracy of its model. */
static void metrics_name_the_worker(void **state) {
    const fixture_t *fixture = *state;
    result_t result;
    char path[96];
    train_options_t options = small_run(fixture, 2, 3, 12);
    run(&result, &options);
    snprintf(path, sizeof path, "%s/metrics.jsonl", fixture->output);
    char *text = read_whole(path, NULL), *rest = text;
    int place = 0;
    double accuracy[2] = {NAN, NAN};
    for (char *line; (line = strsep(&rest, "\n")) && *line; place = (place + 1) % 6) {
        json_t *object = json_loads(line, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(object, "node")), place / 3);
        assert_int_equal(json_integer_value(json_object_get(object, "worker")), place % 3);
        json_t *found = json_object_get(object, "test_accuracy");
        double value = found ? json_number_value(found) : NAN;
        if (place % 3 == 0) accuracy[place / 3] = value;
        assert_true(!found || value == accuracy[place / 3]);
        json_decref(object);
    }
    assert_int_equal(place, 0);
    free(text);
}

/* A run that is stopped and continued ends with the same bits; with an overlap only if it halted at
 * the end of an epoch, since a checkpoint between two steps absorbs the messages in flight. */
static volatile sig_atomic_t stop;

static void stop_after_first_epoch(const train_progress_t *progress, void *user) {
    (void)user;
    if (progress->epoch_end && progress->epoch == 2) stop = 1;
}

static void train_until_stopped(const workers_place_t *place, void *context) {
    result_t *result = context;
    train_groups_t groups = {.all = place->all, .nodes = place->nodes, .workers = place->workers};
    train_callbacks_t callbacks = {.stop = &stop};
    if (place->rank == 0) callbacks.progress = stop_after_first_epoch;
    result->status[place->rank] =
        train_run(&result->options, &groups, &callbacks, &result->summary[place->rank]);
}

static void it_goes_on_with_the_same_bits(void **state) {
    const fixture_t *fixture = *state;
    for (int a = 0; a < 4; a++) {
        result_t straight, result;
        train_options_t options = small_run(fixture, 2, 2, 12);
        options.epochs = 3;
        options.algorithm = train_stages_of((int)repeatable[a]);
        run(&straight, &options);
        stop = 0;
        result = (result_t){.options = options};
        run_workers(&(workers_setup_t){.nodes = 2, .workers = 2}, train_until_stopped, &result);
        assert_int_not_equal(result.status[0], SGP_OK);
        uint64_t in_epoch = straight.summary[0].steps / (uint64_t)options.epochs;
        bool between = result.summary[0].steps % in_epoch != 0;
        options.resume = fixture->output;
        run(&result, &options);
        check_alike(&result);
        if (between && repeatable[a] == SGP_ALGORITHM_OSGP) continue;
        assert_string_equal(result.summary[0].parameters_hash, straight.summary[0].parameters_hash);
    }
}

static void different_workers(const workers_place_t *place, void *context) {
    result_t *result = context;
    train_options_t options = result->options;
    train_groups_t groups = {.all = place->all, .nodes = place->nodes, .workers = place->workers};
    train_summary_t summary;
    if (place->rank == 3) options.lr = 0.2;
    CHECK(train_run(&options, &groups, NULL, &summary) == SGP_ERR_MISMATCH);
}

static void a_difference_names_the_worker(void **state) {
    result_t result = {.options = small_run(*state, 2, 2, 8)};
    result.options.output = NULL;
    run_workers(&(workers_setup_t){.nodes = 2, .workers = 2}, different_workers, &result);
    assert_string_equal(captured.last, "lr is 0.2 on worker 1 of node 1, but 0.1 on worker 0 of "
                                       "node 0: all nodes need the same");
}

static void wrong_workers(const workers_place_t *place, void *context) {
    result_t *result = context;
    train_groups_t groups = {.all = place->all, .nodes = place->nodes, .workers = place->workers};
    train_summary_t summary;
    CHECK(train_run(&result->options, &groups, NULL, &summary) == SGP_ERR_INVALID);
}

static void groups_of_other_sizes_are_refused(void **state) {
    result_t result = {.options = small_run(*state, 2, 4, 8)};
    run_workers(&(workers_setup_t){.nodes = 2, .workers = 2}, wrong_workers, &result);
    assert_string_equal(captured.last, "workers-per-node is 4: must be 2, as in the group");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)

int main(int argc, char **argv) {
    (void)argc;
    hold_openmp_to_one_thread(argv);
    const struct CMUnitTest tests[] = {
        TEST(workers_are_a_larger_batch),
        TEST(mass_is_kept_without_lock_step),
        TEST(batch_norm_is_averaged),
        TEST(metrics_name_the_worker),
        TEST(it_goes_on_with_the_same_bits),
        TEST(a_difference_names_the_worker),
        TEST(groups_of_other_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
