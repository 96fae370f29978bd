/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint of M nodes is the beginning of N: their mean, their place in the samples, and nothing twice. */
#include "run/run_fixture.h"
#include "run/nodes.h"

#include "files/json.h"
#include "mixing/mixer_internal.h"
#include "optimizer/optimizer_internal.h"
#include "run/checkpoint.h"
#include "run/checkpoint_folder.h"
#include "run/resize.h"
#include "run/resume.h"
#include "run/run_files.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#define TRAIN 406
#define TESTS 40
#define SIDE  16
#define MOST  5 /* nodes */

static int set_up(void **state) {
    return fixture_set_up(state, TRAIN, TESTS, SIDE);
}

/* ---- runs ---- */

static train_options_t small_run(const fixture_t *fixture, int nodes) {
    train_options_t options = fixture_run(fixture, nodes);
    options.output = fixture->output;
    options.epochs = 3;
    return options;
}

static void remove_file(const fixture_t *fixture, const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", fixture->output, name);
    assert_int_equal(unlink(path), 0);
}

static train_summary_t train(const train_options_t *options) {
    node_t nodes[MAX_NODES];
    run_alike(nodes, options);
    assert_all_ended(nodes, options->nodes, SGP_OK);
    assert_true(fabs(nodes[0].summary.consensus.w_total - options->nodes) < 1e-9);
    assert_true(nodes[0].summary.consensus.drift < 1e-5);
    return nodes[0].summary;
}

/* A full disk, by a limit on the size of files. */
static void set_limit(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void fill_disk(const train_progress_t *progress, void *user) {
    const int *epoch = user;
    if (progress->epoch_end && progress->epoch == *epoch) set_limit(20000);
}

static uint64_t newest_step(const fixture_t *fixture) {
    checkpoint_list_t list;
    assert_int_equal(checkpoint_list(fixture->output, &list), SGP_OK);
    assert_true(list.count > 0);
    uint64_t step = list.steps[0];
    checkpoint_list_release(&list);
    return step;
}

/* Its first checkpoint after the end of an epoch (from 1) cannot be written, which ends the run. */
static void train_until(const train_options_t *options, int epoch) {
    node_t nodes[MAX_NODES];
    for (int rank = 0; rank < options->nodes; rank++) nodes[rank] = (node_t){.options = *options};
    nodes[0].callbacks = (train_callbacks_t){.progress = fill_disk, .user = &epoch};
    run_nodes(nodes, options->nodes);
    set_limit(RLIM_INFINITY);
    assert_all_ended(nodes, options->nodes, SGP_ERR_IO);
    log_start();
}

static uint64_t steps_per_epoch(const train_options_t *options) {
    uint64_t batch = (uint64_t)(options->nodes * options->batch_size);
    uint64_t samples = options->limit_samples ? (uint64_t)options->limit_samples : TRAIN;
    return (samples + batch - 1) / batch;
}

/* A new run that leaves the checkpoint of `step` alone. The end of that epoch comes before 2 * step. */
static void train_first(const fixture_t *fixture, train_options_t *options, uint64_t step) {
    assert_int_equal(run_files_remove(fixture->output), SGP_OK);
    options->resume = NULL;
    options->checkpoint_every = (int64_t)step;
    train_until(options, (int)(step / steps_per_epoch(options)) + 1);
    assert_int_equal(newest_step(fixture), step);
    options->resume = fixture->output;
}

/* ---- what the nodes begin with ---- */

/* A process that has resumed, and has made no step. */
typedef struct process {
    run_t run;
    sgp_group_t *group;
} process_t;

static void begin(process_t *process, const train_options_t *options, sgp_loopback_t *hub, int rank,
                  const checkpoint_origin_t *origin, uint64_t step) {
    run_t *run = &process->run;
    *run = (run_t){.options = options,
                   .rank = rank,
                   .size = options->nodes,
                   .founders = options->nodes,
                   .node = rank};
    assert_int_equal(sgp_group_create(sgp_loopback_transport(hub, rank), 0, &process->group),
                     SGP_OK);
    run->group = run->nodes = process->group;
    assert_int_equal(replica_init(&run->replica, options, rank), SGP_OK);
    metrics_init(&run->metrics, run->replica.steps_per_epoch, run->replica.parameters);
    run->origin = *origin;
    resize_place(run, step);
    assert_int_equal(times_init(&run->times, epochs_total(&run->replica.epochs)), SGP_OK);
    assert_int_equal(replica_join(&run->replica, options, 0, process->group, NULL), SGP_OK);
    assert_int_equal(resize_read(run, options->resume, step), SGP_OK);
}

static void end(process_t *process) {
    times_fini(&process->run.times);
    replica_fini(&process->run.replica);
    sgp_group_leave(process->group);
}

/* The bytes of the tensor of that name in the files of all nodes, to be released with release_all. to: (nodes) */
static void read_numbers(const char *output, uint64_t step, int nodes, const char *name, void **to,
                         size_t *bytes) {
    for (int rank = 0; rank < nodes; rank++) {
        char path[PATH_MAX], problem[TENSOR_FILE_PROBLEM];
        tensor_file_t file;
        assert_int_equal(checkpoint_file(output, step, rank, path), SGP_OK);
        assert_int_equal(tensor_file_open(path, &file, problem), SGP_OK);
        const tensor_file_entry_t *entry = tensor_file_find(&file, name);
        assert_non_null(entry);
        *bytes = (size_t)(entry->end - entry->begin);
        to[rank] = malloc(*bytes);
        assert_int_equal(tensor_file_read(&file, entry->begin, *bytes, to[rank], problem), SGP_OK);
        tensor_file_close(&file);
    }
}

/* mine: (count) is the mean of the nodes', weighted by w (nodes). */
static void assert_mean(const float *mine, size_t count, void **files, const double *w, int nodes) {
    for (size_t i = 0; i < count; i++) {
        double sum = 0, weight = 0;
        for (int rank = 0; rank < nodes; rank++) {
            sum += w[rank] * ((float *)files[rank])[i];
            weight += w[rank];
        }
        assert_true(fabs(mine[i] - sum / weight) <= 1e-6 * fabs(sum / weight) + 1e-12);
    }
}

static void release_all(void **files, int nodes) {
    for (int rank = 0; rank < nodes; rank++) free(files[rank]);
}

static void read_weights(const char *output, uint64_t step, int nodes, double *w) {
    void *files[MOST];
    size_t bytes;
    read_numbers(output, step, nodes, CHECKPOINT_OWN "mixer.weight", files, &bytes);
    for (int rank = 0; rank < nodes; rank++) w[rank] = *(double *)files[rank];
    release_all(files, nodes);
}

static void assert_model(run_t *run, const char *output, uint64_t step, int before) {
    double w[MOST];
    read_weights(output, step, before, w);
    const float *z = sgp_mixer_parameters(run->replica.mixer);
    for (size_t i = 0; i < model_tensor_count(run->replica.model); i++) {
        const model_tensor_t *tensor = model_tensor(run->replica.model, i);
        size_t at = tensor->offset + (tensor->is_buffer ? run->replica.parameters : 0), bytes;
        void *files[MOST];
        read_numbers(output, step, before, tensor->name, files, &bytes);
        assert_int_equal(bytes, tensor->count * sizeof(float));
        assert_mean(z + at, tensor->count, files, w, before);
        release_all(files, before);
    }
}

/* Of the optimizer and of the outer updates every node counts the same. Returns how many arrays there are. */
static int assert_arrays(run_t *run, const char *output, uint64_t step, int before) {
    static const double ones[MOST] = {1, 1, 1, 1, 1};
    sgp_state_t state = {0};
    int found = 0;
    sgp_optimizer_state(run->replica.optimizer, &state);
    sgp_mixer_state(run->replica.mixer, &state);
    for (size_t i = 0; i < state.count; i++) {
        const sgp_state_item_t *item = &state.items[i];
        char name[CHECKPOINT_ITEM_NAME];
        size_t bytes;
        void *files[MOST];
        if (item->kind != SGP_STATE_FLOAT32 || !strcmp(item->name, "mixer.z")) continue;
        checkpoint_item_name(item, name);
        read_numbers(output, step, before, name, files, &bytes);
        assert_mean(item->data, item->count, files, ones, before);
        release_all(files, before);
        found++;
    }
    return found;
}

/* Sums over the nodes stay the same. */
static void assert_sums(process_t *processes, int after, const char *output, uint64_t step,
                        int before) {
    void *sums[MOST], *counters[MOST];
    size_t bytes;
    double loss = 0, samples = 0;
    int64_t sent = 0;
    read_numbers(output, step, before, CHECKPOINT_OWN "run.epoch", sums, &bytes);
    read_numbers(output, step, before, CHECKPOINT_OWN "mixer.statistics", counters, &bytes);
    for (int rank = 0; rank < before; rank++) {
        loss += ((double *)sums[rank])[0];
        samples += ((double *)sums[rank])[1];
        sent += (int64_t)((sgp_mixer_statistics_t *)counters[rank])->sent;
    }
    release_all(sums, before);
    release_all(counters, before);
    for (int rank = 0; rank < after; rank++) {
        sgp_mixer_statistics_t statistics;
        sgp_mixer_statistics(processes[rank].run.replica.mixer, &statistics);
        assert_true(statistics.weight == 1);
        loss -= processes[rank].run.epoch_sums.loss;
        samples -= processes[rank].run.epoch_sums.samples;
        sent -= (int64_t)statistics.sent;
    }
    assert_true(fabs(loss) < 1e-9 && fabs(samples) < 1e-9);
    assert_int_equal(sent, 0);
}

static void begin_with(const fixture_t *fixture, train_options_t options, int after, uint64_t step,
                       int arrays) {
    int before = options.nodes;
    process_t processes[MOST];
    sgp_loopback_t *hub;
    train_first(fixture, &options, step);
    options.nodes = after;
    checkpoint_origin_t origin = {.nodes = before};
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = after}, &hub), SGP_OK);
    for (int rank = 0; rank < after; rank++) {
        replica_t replica;
        assert_int_equal(replica_init(&replica, &options, rank), SGP_OK);
        origin.epochs = replica_epochs(&options, before, replica.feed);
        replica_fini(&replica);
        begin(&processes[rank], &options, hub, rank, &origin, step);
        assert_int_equal(processes[rank].run.step, step);
        assert_model(&processes[rank].run, fixture->output, step, before);
        assert_int_equal(assert_arrays(&processes[rank].run, fixture->output, step, before),
                         arrays);
    }
    assert_sums(processes, after, fixture->output, step, before);
    for (int rank = 0; rank < after; rank++) end(&processes[rank]);
    sgp_loopback_destroy(hub);
}

static void nodes_begin_with_the_mean(void **state) {
    train_options_t options = small_run(*state, 5);
    begin_with(*state, options, 3, 8, 1);
    options.nodes = 2;
    options.optimizer = "adam";
    options.lr = 0.01;
    begin_with(*state, options, 4, 20, 2);
    options = small_run(*state, 4);
    options.slow_momentum = 0.6;
    options.slow_every = 3;
    options.slow_alone = true;
    begin_with(*state, options, 1, 8, 3);
}

/* Its push-sum weights differ from 1, and its model has batch norm. */
static void weights_count(void **state) {
    train_options_t options = small_run(*state, 5);
    options.graph = SGP_GRAPH_RANDOM_UNEVEN;
    options.model = "resnet20";
    options.lr = 1e-3;
    options.limit_samples = 120;
    options.epochs = 4; /* of 3 steps */
    begin_with(*state, options, 2, 8, 1);
}

/* ---- how the run goes on ---- */

static json_t *read_json(const fixture_t *fixture, const char *name) {
    char path[PATH_MAX], problem[FILES_JSON_PROBLEM];
    json_t *json;
    snprintf(path, sizeof path, "%s/%s", fixture->output, name);
    assert_int_equal(files_json_read(path, &json, problem), SGP_OK);
    return json;
}

static void assert_resumed(const fixture_t *fixture, const char *name, int step, int nodes) {
    json_t *json = read_json(fixture, name), *resumed = json_object_get(json, "resumed");
    assert_int_equal(json_integer_value(json_object_get(resumed, "step")), step);
    assert_int_equal(json_integer_value(json_object_get(resumed, "nodes")), nodes);
    json_decref(json);
}

/* Steps of the run of `before` nodes that `after` others continue after `step` steps. */
static uint64_t steps_of(int before, int after, uint64_t step, int epochs) {
    uint64_t old = (uint64_t)before * 8, new = (uint64_t)after * 8;
    uint64_t each = (TRAIN + old - 1) / old, begun = step / each, taken = step % each * old;
    return step + (TRAIN - taken + new - 1) / new +
           ((uint64_t)epochs - begun - 1) * ((TRAIN + new - 1) / new);
}

/* `before` nodes, then `after`; these are stopped, mostly in the same epoch, and go on with the same bits as if they had
 * not been. */
static void go_on(const fixture_t *fixture, train_options_t options, int after) {
    int before = options.nodes;
    uint64_t step = steps_per_epoch(&options) + 3; /* in the second epoch */
    train_first(fixture, &options, step);
    options.nodes = after;
    options.checkpoint_every = (int64_t)step + 2;
    train_summary_t whole = train(&options);
    assert_int_equal(whole.steps, steps_of(before, after, step, options.epochs));
    assert_int_equal(whole.resumed.step, step);
    assert_int_equal(whole.resumed.nodes, before);
    assert_resumed(fixture, "config.json", (int)step, before);
    options.nodes = before;
    train_first(fixture, &options, step);
    options.nodes = after;
    options.checkpoint_every = (int64_t)step + 2;
    train_until(&options, 2);
    assert_true(newest_step(fixture) > step);
    train_summary_t summary = train(&options);
    assert_string_equal(summary.parameters_hash, whole.parameters_hash);
    assert_int_equal(summary.steps, whole.steps);
    assert_true(summary.train_loss == whole.train_loss);
    assert_int_equal(summary.resumed.step, step);
    assert_resumed(fixture, "summary.json", (int)step, before);
    assert_int_equal(summary.messages.sent, whole.messages.sent);
    assert_int_equal(captured.lines, 0);
}

static void other_nodes_go_on(void **state) {
    static const int nodes[][2] = {{5, 3}, {2, 4}, {4, 1}, {1, 3}};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++)
        go_on(*state, small_run(*state, nodes[i][0]), nodes[i][1]);
}

static void every_algorithm_goes_on(void **state) {
    static const sgp_algorithm_t algorithms[] = {SGP_ALGORITHM_ALLREDUCE, SGP_ALGORITHM_OSGP,
                                                 SGP_ALGORITHM_DPSGD};
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        train_options_t options = small_run(*state, 4);
        options.algorithm = train_stages_of((int)algorithms[i]);
        options.encoding = SGP_ENCODING_BFLOAT16;
        go_on(*state, options, 2);
        if (algorithms[i] == SGP_ALGORITHM_DPSGD) continue;
        go_on(*state, options, 1);
        options.nodes = 1;
        go_on(*state, options, 2);
    }
}

static void every_variant_goes_on(void **state) {
    train_options_t options = small_run(*state, 3);
    options.algorithm = train_stages_of(SGP_ALGORITHM_OSGP);
    options.overlap = 3;
    options.local_steps = 2;
    go_on(*state, options, 5);
    options = small_run(*state, 4);
    options.slow_momentum = 0.6;
    options.slow_every = 5;
    options.optimizer = "adam";
    options.lr = 0.01;
    go_on(*state, options, 3);
    options = small_run(*state, 2);
    assert_true(train_algorithms_parse("0:allreduce,1:osgp,2:dpsgd", &options.algorithm));
    go_on(*state, options, 4);
}

/* The result of an asynchronous run is not reproducible, but its mass is. */
static void mass_is_right_without_lock_step(void **state) {
    static const sgp_algorithm_t algorithms[] = {SGP_ALGORITHM_OSGP, SGP_ALGORITHM_ADPSGD};
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        train_options_t options = small_run(*state, 4);
        options.algorithm = train_stages_of((int)algorithms[i]);
        if (algorithms[i] == SGP_ALGORITHM_OSGP) options.overlap = SGP_OVERLAP_ASYNC;
        train_first(*state, &options, 16);
        options.nodes = 2;
        assert_int_equal(train(&options).steps, steps_of(4, 2, 16, 3));
        assert_int_equal(captured.lines, 0);
    }
}

/* Twice in one epoch, at the end of an epoch, and when all steps are done. */
static void nodes_change_again(void **state) {
    fixture_t *fixture = *state;
    train_options_t options = small_run(fixture, 5); /* 11 steps in an epoch */
    train_first(fixture, &options, 13);
    options.nodes = 3;
    options.checkpoint_every = 15;
    train_until(&options, 2);
    assert_int_equal(newest_step(fixture), 15);
    options.nodes = 2;
    options.checkpoint_every = 1000;
    train_summary_t summary = train(&options); /* 80, 48, then 278 samples of the epoch */
    assert_int_equal(summary.steps, 15 + 18 + 26);
    assert_int_equal(summary.resumed.step, 15);
    assert_int_equal(summary.resumed.nodes, 3);
    remove_file(fixture, "summary.json");
    options.nodes = 4;
    summary = train(&options);
    assert_int_equal(summary.steps, 15 + 18 + 26);
    assert_int_equal(summary.resumed.nodes, 2);
}

static void at_the_end_of_an_epoch(void **state) {
    fixture_t *fixture = *state;
    train_options_t options = small_run(fixture, 4); /* 13 steps in an epoch */
    train_first(fixture, &options, 26);
    options.nodes = 3;
    assert_int_equal(train(&options).steps, 26 + 17);
}

/* The learning rate goes on at the same place of its schedule, with the new global batch. */
static void rate_follows_the_samples(void **state) {
    train_options_t four = small_run(*state, 4), two = small_run(*state, 2);
    replica_t before, after;
    assert_int_equal(replica_init(&before, &four, 0), SGP_OK);
    assert_int_equal(replica_init(&after, &two, 0), SGP_OK);
    after.epochs = epochs_continue(&before.epochs, 20, 16);
    assert_true(replica_rate(&after, 20) > 0.45 * replica_rate(&before, 20));
    assert_true(replica_rate(&after, 20) < 0.55 * replica_rate(&before, 20));
    for (uint64_t k = 21; k < epochs_total(&after.epochs); k++)
        assert_true(replica_rate(&after, k) < replica_rate(&after, k - 1));
    replica_fini(&before);
    replica_fini(&after);
}

/* ---- what does not fit ---- */

static void a_missing_file_is_an_older_checkpoint(void **state) {
    fixture_t *fixture = *state;
    char path[PATH_MAX];
    uint64_t step;
    train_options_t options = small_run(fixture, 4);
    options.checkpoint_every = 13;
    train(&options);
    options.resume = fixture->output;
    options.nodes = 2;
    assert_int_equal(resume_check(&options, &step), SGP_OK);
    assert_int_equal(step, 39);
    assert_int_equal(checkpoint_file(fixture->output, 39, 3, path), SGP_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(resume_check(&options, &step), SGP_OK);
    assert_int_equal(step, 26);
    remove_file(fixture, "summary.json");
    log_start();
    assert_int_equal(train(&options).steps, 26 + 26);
    assert_logged("the checkpoint of step 39 is not complete", "step 26", NULL);
}

static void a_damaged_file_is_noticed(void **state) {
    fixture_t *fixture = *state;
    char path[PATH_MAX];
    uint64_t step;
    train_options_t options = small_run(fixture, 4);
    train_first(fixture, &options, 8);
    assert_int_equal(checkpoint_file(fixture->output, 8, 2, path), SGP_OK);
    size_t size;
    char *bytes = read_whole(path, &size);
    bytes[size - 9] ^= 1;
    write_file(path, bytes, size);
    free(bytes);
    options.nodes = 3;
    assert_int_equal(resume_check(&options, &step), SGP_ERR_FORMAT);
    assert_non_null(strstr(captured.last, "node-2.safetensors"));
    node_t nodes[MAX_NODES];
    log_start();
    run_alike(nodes, &options);
    assert_all_ended(nodes, 3, SGP_ERR_FORMAT);
    assert_int_equal(captured.lines, 2); /* the warning, and that nothing else is there */
    assert_non_null(strstr(captured.last, "node-2.safetensors"));
    assert_non_null(strstr(captured.last, "there is no other checkpoint"));
}

/* Each has the files of its machine alone. */
static void nodes_must_see_all_files(void **state) {
    fixture_t *fixture = *state;
    char empty[64];
    node_t nodes[MAX_NODES];
    train_options_t options = small_run(fixture, 4);
    train_first(fixture, &options, 8);
    make_directory(empty);
    options.nodes = 2;
    for (int rank = 0; rank < 2; rank++) nodes[rank] = (node_t){.options = options};
    nodes[1].options.resume = nodes[1].options.output = empty;
    log_start();
    run_nodes(nodes, 2);
    assert_all_ended(nodes, 2, SGP_ERR_NOT_FOUND);
    assert_logged("the whole checkpoint of 4 nodes", "to go on with 2", NULL);
    remove_directory(empty);
}

static void other_workers_are_refused(void **state) {
    fixture_t *fixture = *state;
    uint64_t step;
    train_options_t options = small_run(fixture, 4);
    train_first(fixture, &options, 8);
    options.nodes = 2;
    options.workers = 2;
    assert_int_equal(resume_check(&options, &step), SGP_ERR_MISMATCH);
    assert_logged("workers_per_node is 1 there and 2 here", NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)

int main(int argc, char **argv) {
    (void)argc;
    hold_openmp_to_one_thread(argv);
    signal(SIGXFSZ, SIG_IGN); /* so that a write over the limit fails instead */
    const struct CMUnitTest tests[] = {
        TEST(nodes_begin_with_the_mean), TEST(weights_count),
        TEST(other_nodes_go_on),         TEST(every_algorithm_goes_on),
        TEST(every_variant_goes_on),     TEST(mass_is_right_without_lock_step),
        TEST(nodes_change_again),        TEST(at_the_end_of_an_epoch),
        TEST(rate_follows_the_samples),  TEST(a_missing_file_is_an_older_checkpoint),
        TEST(a_damaged_file_is_noticed), TEST(nodes_must_see_all_files),
        TEST(other_workers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
