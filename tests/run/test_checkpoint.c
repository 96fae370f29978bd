/* SPDX-License-Identifier: Apache-2.0 */
/* A run that is stopped and continued equals an uninterrupted one; a damaged checkpoint is refused;
 * a full disk leaves the last complete checkpoint. */
#include "run/run_fixture.h"
#include "run/nodes.h"

#include "run/checkpoint_folder.h"
#include "files/json.h"
#include "run/resume.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#define TRAIN 406 /* 13 steps of 32 in an epoch, the last one short */
#define TESTS 40
#define SIDE  16
#define NODES 4

static int set_up(void **state) {
    return fixture_set_up(state, TRAIN, TESTS, SIDE);
}

static train_options_t small_run(const fixture_t *fixture) {
    train_options_t options = fixture_run(fixture, NODES);
    options.output = fixture->output;
    options.epochs = 3;
    options.checkpoint_every = 4;
    return options;
}

/* ---- a full disk, which also ends a run on all nodes after the same step ---- */

static void set_limit(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* By a limit on the size of files. */
static void fill_disk(const train_progress_t *progress, void *user) {
    const int *epoch = user;
    if (progress->epoch_end && progress->epoch == *epoch) set_limit(20000);
}

/* Its first checkpoint after the end of an epoch (from 1) cannot be written. */
static void run_until(const train_options_t *options, int epoch) {
    node_t nodes[MAX_NODES];
    for (int rank = 0; rank < NODES; rank++) nodes[rank] = (node_t){.options = *options};
    nodes[0].callbacks = (train_callbacks_t){.progress = fill_disk, .user = &epoch};
    run_nodes(nodes, NODES);
    set_limit(RLIM_INFINITY);
    assert_all_ended(nodes, NODES, SGP_ERR_IO);
    assert_non_null(strstr(captured.last, "File too large"));
}

static void assert_checkpoints(const fixture_t *fixture, uint64_t newest, uint64_t before) {
    checkpoint_list_t list;
    assert_int_equal(checkpoint_list(fixture->output, &list), SGP_OK);
    assert_int_equal(list.count, before ? 2 : 1);
    assert_int_equal(list.steps[0], newest);
    if (before) assert_int_equal(list.steps[1], before);
    checkpoint_list_release(&list);
}

static train_summary_t resume(train_options_t options) {
    node_t nodes[MAX_NODES];
    options.resume = options.output;
    run_alike(nodes, &options);
    assert_all_ended(nodes, NODES, SGP_OK);
    return nodes[0].summary;
}

static void assert_same(train_summary_t summary, train_summary_t whole) {
    assert_string_equal(summary.parameters_hash, whole.parameters_hash);
    assert_int_equal(summary.steps, whole.steps);
    assert_true(summary.train_loss == whole.train_loss);
    /* Added up in the order in which chunks arrive. */
    double distance = whole.consensus.distance;
    assert_true(fabs(summary.consensus.distance - distance) <= 1e-9 * distance);
    assert_true(summary.consensus.drift == whole.consensus.drift);
    assert_int_equal(summary.messages.sent, whole.messages.sent);
    assert_int_equal(summary.messages.received, whole.messages.received);
}

/* In the middle of the first epoch, and of the second. */
static void stop_and_go_on(const fixture_t *fixture, train_options_t options) {
    node_t nodes[MAX_NODES];
    run_alike(nodes, &options);
    assert_all_ended(nodes, NODES, SGP_OK);
    train_summary_t whole = nodes[0].summary;
    for (int epoch = 1; epoch <= 2; epoch++) {
        run_until(&options, epoch); /* 13 steps; the checkpoint of 16 or 28 fails */
        assert_checkpoints(fixture, epoch == 1 ? 12 : 24, epoch == 1 ? 8 : 20);
        assert_same(resume(options), whole);
    }
}

static void every_algorithm_goes_on(void **state) {
    static const sgp_algorithm_t algorithms[] = {SGP_ALGORITHM_SGP, SGP_ALGORITHM_ALLREDUCE,
                                                 SGP_ALGORITHM_OSGP, SGP_ALGORITHM_DPSGD};
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        train_options_t options = small_run(*state);
        options.algorithm = train_stages_of((int)algorithms[i]);
        stop_and_go_on(*state, options);
    }
}

/* All-reduce carries the rounding of gradients from step to step. */
static void every_encoding_goes_on(void **state) {
    for (int encoding = SGP_ENCODING_BFLOAT16; encoding <= SGP_ENCODING_FLOAT16; encoding++) {
        train_options_t options = small_run(*state);
        options.encoding = (sgp_encoding_t)encoding;
        options.algorithm = train_stages_of(SGP_ALGORITHM_ALLREDUCE);
        stop_and_go_on(*state, options);
        options.algorithm = train_stages_of(SGP_ALGORITHM_OSGP);
        stop_and_go_on(*state, options);
    }
}

static void every_variant_goes_on(void **state) {
    train_options_t options = small_run(*state);
    options.algorithm = train_stages_of(SGP_ALGORITHM_OSGP);
    options.overlap = 3;
    options.local_steps = 2;
    stop_and_go_on(*state, options);
    options = small_run(*state);
    options.slow_momentum = 0.6;
    options.slow_every = 5;
    options.optimizer = "adam";
    options.lr = 0.01;
    stop_and_go_on(*state, options);
    options.slow_alone = true;
    options.augment = true;
    stop_and_go_on(*state, options);
    options = small_run(*state);
    options.biased = true;
    options.graph = SGP_GRAPH_RANDOM_UNEVEN;
    options.model = "lenet";
    stop_and_go_on(*state, options);
}

static void a_run_that_changes_goes_on(void **state) {
    train_options_t options = small_run(*state);
    assert_true(train_algorithms_parse("0:allreduce,1:osgp,2:dpsgd", &options.algorithm));
    assert_true(train_peers_parse("0:1,2:2", &options.peers));
    stop_and_go_on(*state, options);
}

/* The result of an asynchronous run is not reproducible, but its mass is. */
static void mass_is_kept_without_lock_step(void **state) {
    static const sgp_algorithm_t algorithms[] = {SGP_ALGORITHM_OSGP, SGP_ALGORITHM_ADPSGD};
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++) {
        train_options_t options = small_run(*state);
        options.algorithm = train_stages_of((int)algorithms[i]);
        if (algorithms[i] == SGP_ALGORITHM_OSGP) options.overlap = SGP_OVERLAP_ASYNC;
        run_until(&options, 1);
        train_summary_t summary = resume(options);
        assert_int_equal(summary.steps, 39);
        assert_true(fabs(summary.consensus.w_total - NODES) < 1e-9);
        assert_true(summary.consensus.drift < 1e-5);
    }
}

/* ---- damage ---- */

typedef struct damaged {
    char path[PATH_MAX];
    char *bytes;         /* (size) as it was */
    size_t size, header; /* bytes before the data */
} damaged_t;

static damaged_t read_checkpoint(const fixture_t *fixture, uint64_t step) {
    damaged_t damaged;
    uint64_t length;
    assert_int_equal(checkpoint_file(fixture->output, step, 1, damaged.path), SGP_OK);
    damaged.bytes = read_whole(damaged.path, &damaged.size);
    memcpy(&length, damaged.bytes, sizeof length);
    damaged.header = 8 + length;
    return damaged;
}

static void write_at(const damaged_t *damaged, size_t at, char byte) {
    FILE *file = fopen(damaged->path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)at, SEEK_SET), 0);
    assert_int_equal(fputc(byte, file), (unsigned char)byte);
    assert_int_equal(fclose(file), 0);
}

/* One epoch with a checkpoint at its end. */
static train_options_t one_epoch(const fixture_t *fixture) {
    train_options_t options = small_run(fixture);
    options.epochs = 1;
    options.checkpoint_every = 100;
    return options;
}

/* The checkpoint of a run whose resumption `options` ask for. */
static damaged_t make_checkpoint(const fixture_t *fixture, train_options_t *options) {
    node_t nodes[MAX_NODES];
    *options = one_epoch(fixture);
    options->model = "lenet";
    run_alike(nodes, options);
    options->resume = fixture->output;
    return read_checkpoint(fixture, 13);
}

static void a_flipped_byte_is_noticed(void **state) {
    fixture_t *fixture = *state;
    train_options_t options;
    damaged_t damaged = make_checkpoint(fixture, &options);
    for (size_t i = 0; i < 300; i++) {
        size_t range = i % 2 ? damaged.size : damaged.header;
        size_t at = i * 7919 % range;
        uint64_t step = 0;
        write_at(&damaged, at, (char)(damaged.bytes[at] ^ (char)(1 << i % 8)));
        sgp_status_t status = resume_check(&options, &step);
        write_at(&damaged, at, damaged.bytes[at]);
        assert_int_equal(status, SGP_ERR_FORMAT);
    }
    uint64_t step;
    assert_int_equal(resume_check(&options, &step), SGP_OK);
    free(damaged.bytes);
}

static void a_cut_file_is_noticed(void **state) {
    fixture_t *fixture = *state;
    train_options_t options;
    damaged_t damaged = make_checkpoint(fixture, &options);
    for (size_t size = damaged.size; size > 0;) {
        uint64_t step;
        size -= size > damaged.size / 40 ? damaged.size / 40 : size;
        assert_int_equal(truncate(damaged.path, (off_t)size), 0);
        assert_int_equal(resume_check(&options, &step), SGP_ERR_FORMAT);
    }
    assert_non_null(strstr(captured.last, damaged.path));
    free(damaged.bytes);
}

/* ---- files of other runs ---- */

/* Rewrites the file at path with a changed header. */
static void rewrite(const char *path,
                    void (*change)(json_t *header, const uint8_t *data, size_t bytes)) {
    size_t size;
    uint64_t length;
    char *bytes = read_whole(path, &size);
    memcpy(&length, bytes, sizeof length);
    const uint8_t *data = (uint8_t *)bytes + 8 + length;
    json_t *header = json_loadb(bytes + 8, length, 0, NULL);
    change(header, data, size - 8 - length);
    char *text = json_dumps(header, JSON_COMPACT | JSON_PRESERVE_ORDER);
    length = strlen(text);
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(&length, 1, sizeof length, file), sizeof length);
    assert_int_equal(fwrite(text, 1, length, file), length);
    size_t rest = size - (size_t)(data - (uint8_t *)bytes);
    assert_int_equal(fwrite(data, 1, rest, file), rest);
    assert_int_equal(fclose(file), 0);
    free(text);
    json_decref(header);
    free(bytes);
}

/* The header of versions without run ids, hashes of whole files and the place in the samples. */
static void make_old(json_t *header, const uint8_t *data, size_t bytes) {
    static const char *const place[] = {"epoch",        "epoch_start",
                                        "segment_step", "segment_position",
                                        "resumed_step", "resumed_nodes"};
    char hash[CONTENT_HASH_TEXT];
    json_t *metadata = json_object_get(header, "__metadata__");
    content_hash_of(data, bytes, hash);
    json_object_del(metadata, "file_hash");
    json_object_del(metadata, "sgp_format");
    json_object_del(metadata, "run_id");
    for (size_t i = 0; i < sizeof place / sizeof place[0]; i++)
        assert_int_equal(json_object_del(metadata, place[i]), 0);
    json_object_set_new(metadata, "hash", json_string(hash));
}

static void lose_summary(const fixture_t *fixture) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/summary.json", fixture->output);
    assert_int_equal(unlink(path), 0);
}

static void a_file_of_another_run_is_refused(void **state) {
    fixture_t *fixture = *state;
    node_t first[MAX_NODES], second[MAX_NODES];
    train_options_t options = one_epoch(fixture);
    run_alike(first, &options);
    damaged_t damaged = read_checkpoint(fixture, 13);
    run_alike(second, &options);
    assert_string_equal(first[0].summary.parameters_hash, second[0].summary.parameters_hash);
    assert_string_not_equal(first[0].summary.run_id, second[0].summary.run_id);
    assert_string_equal(second[0].summary.run_id, second[NODES - 1].summary.run_id);
    write_file(damaged.path, damaged.bytes, damaged.size);
    free(damaged.bytes);
    uint64_t step;
    options.resume = fixture->output;
    log_start();
    assert_int_equal(resume_check(&options, &step), SGP_ERR_MISMATCH);
    assert_logged(damaged.path, "run_id", first[0].summary.run_id, second[0].summary.run_id, NULL);
}

/* It is continued, and has an id from then on. */
static void a_run_of_an_earlier_version_goes_on(void **state) {
    fixture_t *fixture = *state;
    node_t nodes[MAX_NODES];
    char path[PATH_MAX], problem[FILES_JSON_PROBLEM];
    json_t *config;
    train_options_t options = one_epoch(fixture);
    run_alike(nodes, &options);
    train_summary_t whole = nodes[0].summary;
    lose_summary(fixture);
    for (int rank = 0; rank < NODES; rank++) {
        assert_int_equal(checkpoint_file(fixture->output, 13, rank, path), SGP_OK);
        rewrite(path, make_old);
    }
    snprintf(path, sizeof path, "%s/config.json", fixture->output);
    assert_int_equal(files_json_read(path, &config, problem), SGP_OK);
    json_object_del(config, "run_id");
    assert_int_equal(files_json_write(fixture->output, "config.json", config), SGP_OK);
    train_options_t fewer = options;
    uint64_t step = 0;
    fewer.resume = fixture->output;
    fewer.nodes = NODES - 1;
    assert_int_equal(resume_check(&fewer, &step), SGP_OK);
    assert_int_equal(step, 13);
    log_start();
    train_summary_t summary = resume(options);
    assert_logged("node-0.safetensors: is of an earlier version", "names no run", NULL);
    assert_string_equal(summary.parameters_hash, whole.parameters_hash);
    assert_int_equal(strlen(summary.run_id), 32);
    assert_int_equal(files_json_read(path, &config, problem), SGP_OK);
    assert_string_equal(json_string_value(json_object_get(config, "run_id")), summary.run_id);
    json_decref(config);
}

/* Node 1's weight is doubled, in a file that is whole. */
static void wrong_mass_is_warned_of(void **state) {
    fixture_t *fixture = *state;
    node_t nodes[MAX_NODES];
    char problem[TENSOR_FILE_PROBLEM];
    tensor_file_t file;
    train_options_t options = one_epoch(fixture);
    options.checkpoint_every = 8; /* before the end of the epoch */
    run_alike(nodes, &options);
    lose_summary(fixture);
    checkpoint_folder_remove(fixture->output, 13, 0);
    damaged_t damaged = read_checkpoint(fixture, 8);
    assert_int_equal(tensor_file_open(damaged.path, &file, problem), SGP_OK);
    double *weight = (double *)(damaged.bytes + damaged.header +
                                tensor_file_find(&file, "sgp.mixer.weight")->begin);
    tensor_file_close(&file);
    *weight *= 2;
    write_file(damaged.path, damaged.bytes, damaged.size);
    free(damaged.bytes);
    for (int rank = 0; rank < NODES; rank++) {
        char path[PATH_MAX];
        assert_int_equal(checkpoint_file(fixture->output, 8, rank, path), SGP_OK);
        rewrite(path, make_old);
    }
    log_start();
    resume(options);
    assert_int_equal(captured.lines, 3); /* the first about the version */
    assert_non_null(strstr(captured.last, "the mass has drifted by"));
    assert_non_null(strstr(captured.last, "at the end of epoch 1"));
}

static void a_full_disk_leaves_the_last_checkpoint(void **state) {
    fixture_t *fixture = *state;
    uint64_t step;
    train_options_t options = small_run(fixture);
    options.checkpoint_every = 0;
    run_until(&options, 2);
    assert_checkpoints(fixture, 13, 0);
    options.resume = fixture->output;
    assert_int_equal(resume_check(&options, &step), SGP_OK);
    assert_int_equal(step, 13);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)

int main(int argc, char **argv) {
    (void)argc;
    hold_openmp_to_one_thread(argv);
    signal(SIGXFSZ, SIG_IGN); /* so that a write over the limit fails instead */
    const struct CMUnitTest tests[] = {
        TEST(every_algorithm_goes_on),
        TEST(every_encoding_goes_on),
        TEST(every_variant_goes_on),
        TEST(a_run_that_changes_goes_on),
        TEST(mass_is_kept_without_lock_step),
        TEST(a_flipped_byte_is_noticed),
        TEST(a_cut_file_is_noticed),
        TEST(a_file_of_another_run_is_refused),
        TEST(a_run_of_an_earlier_version_goes_on),
        TEST(wrong_mass_is_warned_of),
        TEST(a_full_disk_leaves_the_last_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
