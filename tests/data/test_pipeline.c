/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of pictures from a source in memory: the same for any number of threads, and what each is made of. */
#include "data/support.h"

#include "base/random.h"
#include "data/formats/source_format.h"
#include "data/picture/picture_encode.h"
#include "data/pipeline.h"

#include <sys/wait.h>

enum {
    COUNT = 50,
    TESTS = 21,
    SIZE = 8,
    BATCH = 6,
    FLOATS = SIZE * SIZE * 3,
    SEED = 9,
    MOST = 256
};

/* The source. */
static struct {
    uint8_t *files[COUNT];
    size_t sizes[COUNT];
    bool bad[SOURCE_SPLITS][COUNT];
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t open;
    bool shut;   /* reading waits */
    int reads;   /* begun */
    int allowed; /* that may have begun */
    bool exceeded;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .open = PTHREAD_COND_INITIALIZER};

static sgp_status_t fake_read(const source_t *source, source_split_t split, uint64_t index,
                              source_buffer_t *buffer) {
    (void)source;
    pthread_mutex_lock(&fake.lock);
    if (++fake.reads > fake.allowed) fake.exceeded = true;
    pthread_cond_broadcast(&fake.open);
    bool waits = fake.shut;
    while (fake.shut) pthread_cond_wait(&fake.open, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
    if (waits) return source_buffer_fail(buffer, SGP_ERR_IO, "came too late");
    if (fake.bad[split][index] && index % 2)
        return source_buffer_fail(buffer, SGP_ERR_IO, "cannot be read: for a test");
    size_t size = fake.bad[split][index] ? 40 : fake.sizes[index]; /* cut behind the header */
    sgp_status_t status = source_buffer_reserve(buffer, size);
    if (!status) memcpy(buffer->bytes, fake.files[index], size);
    return status;
}

static void fake_name(const source_t *source, source_split_t split, uint64_t index,
                      char name[SOURCE_NAME_BYTES]) {
    (void)source;
    snprintf(name, SOURCE_NAME_BYTES, "%s/%d.png", split == SOURCE_TRAIN ? "train" : "val",
             (int)index);
}

static const source_format_t format = {
    .name = "fake", .encoded = true, .read = fake_read, .sample_name = fake_name};
static uint16_t labels[COUNT];
static source_t source = {.format = &format,
                          .shape = {.encoded = true, .classes = 7, .count = {COUNT, TESTS}},
                          .labels = {labels, labels}};

static void set_gate(bool shut) {
    pthread_mutex_lock(&fake.lock);
    fake.shut = shut;
    pthread_cond_broadcast(&fake.open);
    pthread_mutex_unlock(&fake.lock);
}

/* Waits until so many were begun. */
static void await_reads(int reads) {
    pthread_mutex_lock(&fake.lock);
    while (fake.reads < reads) pthread_cond_wait(&fake.open, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
}

static void allow(int reads) {
    pthread_mutex_lock(&fake.lock);
    fake.allowed = reads;
    pthread_mutex_unlock(&fake.lock);
}

static int set_up(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) {
        uint8_t pixels[20][20][3];
        for (size_t at = 0; at < sizeof pixels; at++)
            ((uint8_t *)pixels)[at] = (uint8_t)(7 * i + (int)at * (i % 3 + 1));
        picture_pixels_t picture = {&pixels[0][0][0], 9 + i % 5, 20 - i % 7, 3};
        assert_int_equal(picture_encode_png(&picture, &fake.files[i], &fake.sizes[i]), SGP_OK);
        labels[i] = (uint16_t)(i % 7);
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) free(fake.files[i]);
    return 0;
}

static int begin_test(void **state) {
    (void)state;
    memset(fake.bad, 0, sizeof fake.bad);
    fake.reads = 0;
    fake.exceeded = false;
    allow(1 << 30);
    log_start();
    return 0;
}

static sampler_t make_sampler(uint64_t epoch) {
    sampler_t sampler;
    sampler_options_t options = {
        .count = COUNT, .rank = 1, .size = 2, .batch = BATCH, .seed = SEED};
    assert_int_equal(sampler_init(&sampler, &options), SGP_OK);
    sampler_begin_epoch(&sampler, epoch);
    return sampler;
}

static pipeline_options_t usual(int threads) {
    return (pipeline_options_t){.source = &source,
                                .picture = picture_options(SIZE),
                                .augment = true,
                                .skip_bad = true,
                                .batch = BATCH,
                                .threads = threads,
                                .seed = SEED};
}

static pipeline_t *make(const pipeline_options_t *options) {
    pipeline_t *pipeline = NULL;
    assert_int_equal(pipeline_create(options, &pipeline), SGP_OK);
    return pipeline;
}

static void begin_train(pipeline_t *pipeline, const sampler_t *sampler, uint64_t epoch,
                        uint64_t first) {
    pipeline_order_t order = {.sampler = sampler};
    assert_int_equal(pipeline_train(pipeline, &order, epoch, first, sampler_steps(sampler)),
                     SGP_OK);
}

/* Everything that the batches of a pass hold. */
typedef struct record {
    int batches, bad;
    int counts[MOST], valid[MOST];
    float images[MOST][BATCH][FLOATS];
    int32_t labels[MOST][BATCH];
} record_t;

static void take(pipeline_t *pipeline, int batches, record_t *record) {
    memset(record, 0, sizeof *record);
    for (int i = 0; i < batches; i++) {
        pipeline_batch_t batch;
        assert_int_equal(pipeline_next(pipeline, &batch), SGP_OK);
        memcpy(record->images[i], batch.images, (size_t)batch.count * sizeof record->images[i][0]);
        memcpy(record->labels[i], batch.labels, (size_t)batch.count * sizeof record->labels[i][0]);
        record->counts[i] = batch.count;
        record->valid[i] = batch.valid;
        record->bad += batch.bad;
    }
    record->batches = batches;
}

static record_t first, second;

/* An epoch with so many threads, from a step on. */
static void take_epoch(int threads, uint64_t epoch, uint64_t from, record_t *record) {
    pipeline_options_t options = usual(threads);
    pipeline_t *pipeline = make(&options);
    sampler_t sampler = make_sampler(epoch);
    begin_train(pipeline, &sampler, epoch, from);
    take(pipeline, (int)(sampler_steps(&sampler) - from), record);
    assert_true(pipeline_destroy(pipeline));
    sampler_fini(&sampler);
}

static void threads_do_not_change_a_bit(void **state) {
    (void)state;
    fake.bad[SOURCE_TRAIN][3] = fake.bad[SOURCE_TRAIN][8] = true;
    take_epoch(1, 2, 0, &first);
    for (int threads = 2; threads <= 7; threads += 5) {
        take_epoch(threads, 2, 0, &second);
        assert_memory_equal(&first, &second, sizeof first);
    }
}

/* The random number of a position, as the header has it: of (seed, epoch, position). */
static uint64_t random_of(uint64_t epoch, uint64_t position) {
    sgp_random_t random;
    sgp_random_init(&random, SEED, ((uint64_t)1 << 63) + epoch);
    sgp_random_init(&random, sgp_random_u64(&random), position);
    return sgp_random_u64(&random);
}

/* Against the sampler and the decoder, called by hand. */
static void a_sample_is_the_picture_of_its_position(void **state) {
    (void)state;
    picture_options_t picture = picture_options(SIZE);
    picture_worker_t *worker;
    assert_int_equal(picture_worker_create(0, &worker), SGP_OK);
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        take_epoch(3, epoch, 0, &first);
        sampler_t sampler = make_sampler(epoch);
        assert_int_equal(first.batches, sampler_steps(&sampler));
        for (int step = 0; step < first.batches; step++) {
            cursor_part_t part = sampler_part(&sampler, (uint64_t)step);
            assert_int_equal(first.valid[step], part.count);
            assert_int_equal(first.counts[step], BATCH);
            for (int i = 0; i < BATCH; i++) {
                uint64_t position = sampler_position(&part, i),
                         index = sampler_at(&sampler, position);
                float expected[FLOATS];
                assert_int_equal(picture_train(worker, &picture, fake.files[index],
                                               fake.sizes[index], random_of(epoch, position),
                                               expected),
                                 SGP_OK);
                assert_memory_equal(first.images[step][i], expected, sizeof expected);
                assert_int_equal(first.labels[step][i], index % 7);
            }
        }
        sampler_fini(&sampler);
    }
    picture_worker_destroy(worker);
}

static void begins_in_the_middle_of_an_epoch(void **state) {
    (void)state;
    fake.bad[SOURCE_TRAIN][5] = true;
    take_epoch(2, 1, 0, &first);
    take_epoch(2, 1, 2, &second);
    assert_int_equal(second.batches, first.batches - 2);
    assert_memory_equal(first.images[2], second.images[0],
                        (size_t)second.batches * sizeof first.images[0]);
    assert_memory_equal(first.labels[2], second.labels[0],
                        (size_t)second.batches * sizeof first.labels[0]);
}

/* Each of the node's own positions whose picture is bad counts once, and shows the next good one. */
static void bad_pictures_are_replaced_by_the_next(void **state) {
    (void)state;
    sampler_t sampler = make_sampler(0);
    uint64_t last = COUNT - 1; /* position: replaced by the first */
    uint64_t bad[] = {BATCH, BATCH + 1, last};
    for (int i = 0; i < 3; i++) fake.bad[SOURCE_TRAIN][sampler_at(&sampler, bad[i])] = true;
    take_epoch(2, 0, 0, &first);
    assert_int_equal(first.labels[0][0], sampler_at(&sampler, BATCH + 2) % 7);
    assert_int_equal(first.labels[0][1], sampler_at(&sampler, BATCH + 2) % 7);
    assert_int_equal(first.labels[0][2], sampler_at(&sampler, BATCH + 2) % 7);
    int end = first.batches - 1; /* of 2 positions one for each node: this one has the last */
    assert_int_equal(first.valid[end], 1);
    assert_int_equal(first.labels[end][0], sampler_at(&sampler, 0) % 7);
    assert_int_equal(first.bad, 3);
    assert_int_equal(captured.lines, 3);
    assert_non_null(strstr(captured.last, ".png"));
    assert_non_null(strstr(captured.last, "replaced by train/"));
    sampler_fini(&sampler);
}

static void without_skipping_a_bad_picture_is_an_error(void **state) {
    (void)state;
    for (int broken = 0; broken < 2; broken++) {
        sampler_t sampler = make_sampler(0);
        pipeline_options_t options = usual(3);
        options.skip_bad = false;
        pipeline_t *pipeline = make(&options);
        uint64_t step = 1;
        cursor_part_t part = sampler_part(&sampler, step);
        /* The later of two is not the one that is named, whichever thread is first. */
        uint64_t early = sampler_at(&sampler, sampler_position(&part, 1));
        uint64_t late = sampler_at(&sampler, sampler_position(&part, 4));
        fake.bad[SOURCE_TRAIN][early] = fake.bad[SOURCE_TRAIN][late] = true;
        log_start();
        begin_train(pipeline, &sampler, 0, 0);
        pipeline_batch_t batch;
        assert_int_equal(pipeline_next(pipeline, &batch), SGP_OK);
        sgp_status_t status = pipeline_next(pipeline, &batch);
        assert_int_equal(status, early % 2 ? SGP_ERR_IO : SGP_ERR_FORMAT);
        char name[64];
        snprintf(name, sizeof name, "train/%d.png: ", (int)early);
        assert_logged(name, NULL);
        pipeline_destroy(pipeline);
        sampler_fini(&sampler);
    }
}

static void a_source_without_a_good_picture_ends_the_run(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i++) fake.bad[SOURCE_TRAIN][i] = true;
    pipeline_options_t options = usual(2);
    pipeline_t *pipeline = make(&options);
    sampler_t sampler = make_sampler(0);
    begin_train(pipeline, &sampler, 0, 0);
    pipeline_batch_t batch;
    assert_true(pipeline_next(pipeline, &batch) != SGP_OK);
    assert_logged("64 pictures in a row are bad", NULL);
    pipeline_destroy(pipeline);
    sampler_fini(&sampler);
}

static void the_log_names_so_many_and_no_more(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; i += 2) fake.bad[SOURCE_TRAIN][i] = true;
    pipeline_options_t options = usual(2);
    pipeline_t *pipeline = make(&options);
    int bad = 0;
    for (uint64_t epoch = 0; epoch < 4; epoch++) {
        sampler_t sampler = make_sampler(epoch);
        begin_train(pipeline, &sampler, epoch, 0);
        take(pipeline, (int)sampler_steps(&sampler), &first);
        bad += first.bad;
        assert_int_equal(pipeline_pause(pipeline), SGP_OK);
        sampler_fini(&sampler);
    }
    assert_in_range(bad, PIPELINE_NAMED + 1, 100);
    assert_int_equal(captured.lines, PIPELINE_NAMED);
    assert_non_null(strstr(captured.last, "further bad pictures are counted"));
    pipeline_destroy(pipeline);
}

/* In order, all of the slice, without those that are bad. */
static void test_samples_in_order(void **state) {
    (void)state;
    enum { FIRST = 3, END = 20 };
    pipeline_options_t options = usual(3);
    pipeline_t *pipeline = make(&options);
    fake.bad[SOURCE_TEST][4] = fake.bad[SOURCE_TEST][19] = true;
    for (int again = 0; again < 2; again++) {
        assert_int_equal(pipeline_test(pipeline, FIRST, END), SGP_OK);
        take(pipeline, 3, &first);
        int batch = 0, at = 0;
        for (int i = FIRST; i < END; i++) {
            if ((i - FIRST) / BATCH != batch) {
                assert_int_equal(first.counts[batch++], at);
                at = 0;
            }
            if (!fake.bad[SOURCE_TEST][i]) assert_int_equal(first.labels[batch][at++], i % 7);
        }
        assert_int_equal(first.counts[2], at);
        assert_int_equal(first.bad, 2);
    }
    assert_non_null(strstr(captured.last, "val/19.png"));
    assert_non_null(strstr(captured.last, "left out"));
    pipeline_destroy(pipeline);
}

/* A slow caller holds the threads back. */
static void no_more_is_read_than_fits(void **state) {
    (void)state;
    pipeline_options_t options = usual(4);
    pipeline_t *pipeline = make(&options);
    sampler_t sampler = make_sampler(0);
    allow((PIPELINE_AHEAD + 1) * BATCH);
    begin_train(pipeline, &sampler, 0, 0);
    for (int step = 0; step < (int)sampler_steps(&sampler); step++) {
        pipeline_batch_t batch;
        allow((step + PIPELINE_AHEAD + 1) * BATCH);
        assert_int_equal(pipeline_next(pipeline, &batch), SGP_OK);
    }
    assert_int_equal(fake.reads, sampler_steps(&sampler) * BATCH);
    assert_false(fake.exceeded);
    pipeline_destroy(pipeline);
    sampler_fini(&sampler);
}

/* The other node leaves before step `leaves`, and one more joins before the last step. */
static void tell_change(sampler_t *sampler, uint64_t leaves, uint64_t now, uint64_t *changed) {
    segments_event_t events[] = {
        {SEGMENTS_LEAVES, .member = segments_number(0, 0), .first = leaves, .end = leaves},
        {SEGMENTS_JOINS, .member = segments_number(2, 0), .first = 6}};
    assert_int_equal(sampler_tell(sampler, events, 2, now, changed), SGP_OK);
}

/* A pass in which the change is heard of after so many batches. */
static void take_changed(int threads, int heard, uint64_t leaves, record_t *record) {
    pipeline_options_t options = usual(threads);
    pipeline_t *pipeline = make(&options);
    sampler_t sampler = make_sampler(1);
    uint64_t changed;
    if (heard < 0) tell_change(&sampler, leaves, 0, &changed);
    begin_train(pipeline, &sampler, 1, 0);
    memset(record, 0, sizeof *record);
    for (int i = 0; i < (int)sampler_steps(&sampler) || i == heard; i++) {
        pipeline_batch_t batch;
        if (i == heard) {
            assert_int_equal(pipeline_rest(pipeline), SGP_OK);
            tell_change(&sampler, leaves, (uint64_t)heard, &changed);
            assert_int_equal(changed, leaves);
            pipeline_resume(pipeline, changed, sampler_steps(&sampler));
        }
        assert_int_equal(pipeline_next(pipeline, &batch), SGP_OK);
        memcpy(record->images[i], batch.images, sizeof record->images[i]);
        memcpy(record->labels[i], batch.labels, sizeof record->labels[i]);
        record->valid[i] = batch.valid;
        record->batches++;
    }
    assert_true(pipeline_destroy(pipeline));
    sampler_fini(&sampler);
}

/* Heard of in time, a change of members leaves no trace of what was prepared before. */
static void a_change_of_members_drops_what_was_prepared(void **state) {
    (void)state;
    /* 12 positions a step, then 6, and from step 6 on 12 again; 50 in all. */
    static const int steps[] = {8, 7, 7, 6, 5};
    fake.bad[SOURCE_TRAIN][3] = true;
    for (uint64_t leaves = 0; leaves < 5; leaves++) {
        take_changed(2, -1, leaves, &first);
        assert_int_equal(first.batches, steps[leaves]);
        for (int threads = 1; threads <= 5; threads += 2)
            for (int heard = 0; heard <= (int)leaves; heard++) {
                take_changed(threads, heard, leaves, &second);
                assert_memory_equal(&first, &second, sizeof first);
            }
    }
}

/* What is still the node's own is not read again. */
static void a_change_of_members_keeps_the_rest(void **state) {
    (void)state;
    pipeline_options_t options = usual(3);
    pipeline_t *pipeline = make(&options);
    sampler_t sampler = make_sampler(0);
    pipeline_batch_t batch;
    uint64_t changed;
    enum { READY = (PIPELINE_AHEAD + 1) * BATCH };
    begin_train(pipeline, &sampler, 0, 0);
    await_reads(READY);
    assert_int_equal(pipeline_rest(pipeline), SGP_OK);
    tell_change(&sampler, 2, 0, &changed);
    pipeline_resume(pipeline, changed, sampler_steps(&sampler));
    for (uint64_t step = 0; step < sampler_steps(&sampler); step++)
        assert_int_equal(pipeline_next(pipeline, &batch), SGP_OK);
    assert_int_equal(fake.reads, (sampler_steps(&sampler) + 1) * BATCH);
    pipeline_destroy(pipeline);
    sampler_fini(&sampler);
}

static int threads_of_process(void) {
    return count_entries("/proc/self/task");
}

static void an_early_end_leaves_no_thread(void **state) {
    (void)state;
    int before = threads_of_process();
    for (int taken = 0; taken < 3; taken++) {
        pipeline_options_t options = usual(5);
        pipeline_t *pipeline = make(&options);
        sampler_t sampler = make_sampler(0);
        if (taken > 0) begin_train(pipeline, &sampler, 0, 0);
        take(pipeline, taken > 0 ? taken - 1 : 0, &first);
        pipeline_destroy(pipeline);
        sampler_fini(&sampler);
    }
    assert_int_equal(threads_of_process(), before);
}

/* Kept reachable: the thread still has it. */
static pipeline_t *volatile left_behind;

static void a_file_system_that_does_not_answer_ends_the_run(void **state) {
    (void)state;
    pipeline_options_t options = usual(1);
    options.patience_ms = 20;
    pipeline_t *pipeline = left_behind = make(&options);
    set_gate(true);
    assert_int_equal(pipeline_test(pipeline, 0, TESTS), SGP_OK);
    pipeline_batch_t batch;
    assert_int_equal(pipeline_next(pipeline, &batch), SGP_ERR_IO);
    assert_logged("val/0.png", "does not answer", NULL);
    log_start();
    assert_int_equal(pipeline_pause(pipeline), SGP_ERR_IO);
    assert_logged("does not answer", NULL);
    log_start();
    assert_false(pipeline_destroy(pipeline));
    assert_logged("left behind", NULL);
    set_gate(false);
}

/* A child of a plain fork gets an error, and may clean up; the parent goes on. */
static void a_forked_child_is_refused(void **state) {
    (void)state;
    pipeline_options_t options = usual(2);
    pipeline_t *pipeline = make(&options);
    assert_int_equal(pipeline_test(pipeline, 0, TESTS), SGP_OK);
    pid_t child = fork();
    if (child == 0) {
        pipeline_batch_t batch;
        bool refused = pipeline_next(pipeline, &batch) == SGP_ERR_INVALID;
        pipeline_destroy(pipeline);
        _exit(refused ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    take(pipeline, 4, &first);
    assert_int_equal(first.counts[3], TESTS - 3 * BATCH);
    pipeline_destroy(pipeline);
}

static void chosen_samples_and_parts(void **state) {
    (void)state;
    static const uint64_t chosen[COUNT] = {[10] = 41, [11] = 7, [12] = 30};
    sampler_t sampler;
    sampler_options_t options = {.count = 3, .size = 1, .batch = BATCH, .seed = 1};
    assert_int_equal(sampler_init(&sampler, &options), SGP_OK);
    pipeline_options_t settings = usual(2);
    pipeline_t *pipeline = make(&settings);
    pipeline_order_t order = {.sampler = &sampler, .chosen = chosen, .first = 10};
    assert_int_equal(pipeline_train(pipeline, &order, 0, 0, 1), SGP_OK);
    take(pipeline, 1, &first);
    assert_int_equal(first.valid[0], 3);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(first.labels[0][i], chosen[10 + sampler_at(&sampler, i)] % 7);
    pipeline_destroy(pipeline);
    sampler_fini(&sampler);
}

#define TEST(name) cmocka_unit_test_setup(name, begin_test)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(threads_do_not_change_a_bit),
        TEST(a_sample_is_the_picture_of_its_position),
        TEST(begins_in_the_middle_of_an_epoch),
        TEST(bad_pictures_are_replaced_by_the_next),
        TEST(without_skipping_a_bad_picture_is_an_error),
        TEST(a_source_without_a_good_picture_ends_the_run),
        TEST(the_log_names_so_many_and_no_more),
        TEST(test_samples_in_order),
        TEST(no_more_is_read_than_fits),
        TEST(a_change_of_members_drops_what_was_prepared),
        TEST(a_change_of_members_keeps_the_rest),
        TEST(an_early_end_leaves_no_thread),
        TEST(a_forked_child_is_refused),
        TEST(chosen_samples_and_parts),
        TEST(a_file_system_that_does_not_answer_ends_the_run),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
