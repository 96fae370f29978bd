/* SPDX-License-Identifier: Apache-2.0 */
/* The batches of all nodes together, of pixels in memory and of pictures in folders and shards. */
#include "data/feed_support.h"

#include "data/loader.h"
#include "data/sampler.h"

/* `before` nodes make `cut` steps of an epoch, and `after` others the rest: in two parts, as a run that is resumed once
 * more. The next epoch is whole again. */
static void change_nodes(const char *data, int before, int after, uint64_t cut) {
    int taken[2][COUNT] = {{0}};
    for (int rank = 0; rank < before; rank++) {
        feed_options_t options = pictures_of(data, rank, before);
        feed_t *feed = make(&options);
        assert_int_equal(feed_begin_epoch(feed, 1, 0), SGP_OK);
        take_steps(feed, 0, cut, taken[0]);
        feed_destroy(feed);
    }
    uint64_t position = cut * (uint64_t)before * BATCH;
    for (int rank = 0; rank < after; rank++) {
        feed_options_t options = pictures_of(data, rank, after);
        feed_t *feed = make(&options);
        uint64_t each = (uint64_t)after * BATCH, end = cut + (COUNT - position + each - 1) / each;
        assert_int_equal(feed_continue_epoch(feed, 1, cut, position, cut), SGP_OK);
        take_steps(feed, cut, cut + 1, taken[0]);
        assert_int_equal(feed_continue_epoch(feed, 1, cut, position, cut + 1), SGP_OK);
        take_steps(feed, cut + 1, end, taken[0]);
        take_epoch(feed, 2, taken[1]);
        feed_destroy(feed);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(taken[0][i], 1);
        assert_int_equal(taken[1][i], 1);
    }
}

static void each_picture_once_when_nodes_change(void **state) {
    const fixture_t *fixture = *state;
    change_nodes(fixture->folder, 5, 3, 1);
    change_nodes(fixture->folder, 2, 4, 3);
    change_nodes(fixture->folder, 4, 1, 2);
    change_nodes(fixture->shards, 1, 2, 4);
}

static void each_picture_once_over_all_nodes(void **state) {
    const fixture_t *fixture = *state;
    const char *const data[] = {fixture->folder, fixture->shards};
    for (int d = 0; d < 2; d++)
        for (int size = 1; size <= 3; size++) {
            int taken[COUNT] = {0};
            for (int rank = 0; rank < size; rank++) {
                feed_options_t options = pictures_of(data[d], rank, size);
                feed_t *feed = make(&options);
                assert_true(feed_shape(feed)->pictures);
                uint64_t steps = take_epoch(feed, 1, taken);
                assert_int_equal(steps, (COUNT + size * BATCH - 1) / (size * BATCH));
                feed_destroy(feed);
            }
            for (int i = 0; i < COUNT; i++) assert_int_equal(taken[i], 1);
        }
}

/* Each node takes its part of the shards: no other, and all of it. Workers share that of their node. */
static void parts_of_shards(void **state) {
    const fixture_t *fixture = *state;
    int all[COUNT] = {0};
    for (int node = 0; node < SHARDS; node++) {
        int taken[COUNT] = {0};
        for (int worker = 0; worker < 2; worker++) {
            feed_options_t options = pictures_of(fixture->shards, 2 * node + worker, 2 * SHARDS);
            options.workers = 2;
            options.shard_per_node = true;
            feed_t *feed = make(&options);
            assert_int_equal(take_epoch(feed, 0, taken), 2);
            feed_destroy(feed);
        }
        for (int i = 0; i < COUNT; i++) {
            assert_int_equal(taken[i], i % SHARDS == node);
            all[i] += taken[i];
        }
    }
    for (int i = 0; i < COUNT; i++) assert_int_equal(all[i], 1);
}

/* Parts of 44 samples for 3 nodes differ by one, and have each sample once. */
static void parts_that_differ(void **state) {
    const fixture_t *fixture = *state;
    int taken[COUNT] = {0}, total = 0;
    for (int node = 0; node < SHARDS; node++) {
        feed_options_t options = pictures_of(fixture->shards, node, SHARDS);
        options.shard_per_node = true;
        options.limit = COUNT - 1;
        feed_t *feed = make(&options);
        assert_int_equal(take_epoch(feed, 0, taken), 4);
        feed_destroy(feed);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_in_range(taken[i], 0, 1);
        total += taken[i];
    }
    assert_int_equal(total, COUNT - 1);
}

static void parts_need_shards(void **state) {
    const fixture_t *fixture = *state;
    feed_options_t options = pictures_of(fixture->folder, 0, 2);
    feed_t *feed = NULL;
    options.shard_per_node = true;
    assert_int_equal(feed_create(&options, &feed), SGP_ERR_INVALID);
    assert_logged("shard-per-node", "sgp data pack", NULL);
    assert_null(feed);
}

/* Of pictures, which lie class by class, a few at random: the same on every node, of several classes. */
static void a_limit_takes_pictures_of_all_kinds(void **state) {
    const fixture_t *fixture = *state;
    enum { LIMIT = 20 };
    int taken[2][COUNT] = {{0}}, classes[CLASSES] = {0}, total = 0;
    for (int size = 1; size <= 2; size++)
        for (int rank = 0; rank < size; rank++) {
            feed_options_t options = pictures_of(fixture->folder, rank, size);
            options.limit = LIMIT;
            feed_t *feed = make(&options);
            assert_int_equal(feed_shape(feed)->train_count, LIMIT);
            take_epoch(feed, 2, taken[size - 1]);
            feed_destroy(feed);
        }
    assert_memory_equal(taken[0], taken[1], sizeof taken[0]);
    for (int i = 0; i < COUNT; i++) {
        assert_in_range(taken[0][i], 0, 1);
        total += taken[0][i];
        classes[i / EACH] += taken[0][i];
    }
    assert_int_equal(total, LIMIT);
    for (int c = 0; c < CLASSES; c++) assert_in_range(classes[c], 1, EACH);
    feed_shape_t shape;
    assert_int_equal(feed_inspect(fixture->folder, COUNT + 1, 0, &shape), SGP_ERR_INVALID);
    assert_logged("limit-samples is 46", "at most 45", NULL);
}

static void test_pictures_in_order(void **state) {
    const fixture_t *fixture = *state;
    feed_options_t options = pictures_of(fixture->folder, 0, 1);
    feed_t *feed = make(&options);
    feed_batch_t batch;
    feed_begin_test(feed, 1, 7);
    int count = 0;
    while (count < 6) {
        assert_int_equal(feed_next(feed, &batch), SGP_OK);
        for (int i = 0; i < batch.count; i++, count++)
            assert_int_equal(batch.labels[i], (1 + count) / 2);
    }
    assert_int_equal(batch.count, 2);
    feed_destroy(feed);
}

/* As sampler and loader make them, bit for bit, also where the epoch begins in the middle. */
static void pixels_are_those_of_the_loader(void **state) {
    const fixture_t *fixture = *state;
    feed_options_t options = options_of(fixture->pixels, 1, 2);
    options.augment = true;
    feed_t *feed = make(&options);
    dataset_t *dataset;
    loader_t loader;
    sampler_t sampler;
    assert_int_equal(dataset_load(fixture->pixels, 0, &dataset), SGP_OK);
    loader_init(&loader, &(loader_options_t){dataset, true, 3, 1});
    sampler_options_t order = {.count = COUNT, .rank = 1, .size = 2, .batch = BATCH, .seed = 3};
    assert_int_equal(sampler_init(&sampler, &order), SGP_OK);
    sampler_begin_epoch(&sampler, 2);
    assert_int_equal(feed_begin_epoch(feed, 2, 1), SGP_OK);
    assert_int_equal(feed_steps(feed), sampler_steps(&sampler));
    for (uint64_t step = 1; step < sampler_steps(&sampler); step++) {
        uint64_t indices[BATCH];
        float images[BATCH * SIDE * SIDE];
        int32_t labels[BATCH];
        feed_batch_t batch;
        assert_int_equal(feed_next(feed, &batch), SGP_OK);
        assert_int_equal(batch.valid, sampler_batch(&sampler, step, indices));
        loader_train(&loader, 2, indices, BATCH, images, labels);
        assert_memory_equal(batch.images, images, sizeof images);
        assert_memory_equal(batch.labels, labels, sizeof labels);
    }
    sampler_fini(&sampler);
    dataset_destroy(dataset);
    feed_destroy(feed);
}

/* ---- members that come and go ---- */

enum { ROOM = 4096, NODES = 3, STEPS = 32 };

/* What the nodes of a run have taken. */
typedef struct record {
    int taken[COUNT];
    float images[NODES][STEPS][BATCH * SIDE * SIDE * 3];
} record_t;

static record_t expected, found;

/* The images of each step, and the node's own samples by number; the number of a picture of pixels is not known. */
static void take_step(feed_t *feed, int node, uint64_t step, record_t *record) {
    feed_batch_t batch;
    size_t floats = (size_t)feed_shape(feed)->height * (size_t)feed_shape(feed)->width *
                    (size_t)feed_shape(feed)->channels;
    assert_true(step < STEPS);
    assert_int_equal(feed_next(feed, &batch), SGP_OK);
    assert_int_equal(batch.valid, feed_samples(feed, step));
    memcpy(record->images[node][step], batch.images, BATCH * floats * sizeof(float));
    for (int i = 0; i < batch.valid && feed_shape(feed)->pictures; i++)
        record->taken[number_of(feed, batch.images + (size_t)i * floats)]++;
}

/* Ends the main part of these feeds. */
static void make_up(feed_t *const *feeds, int nodes, uint64_t step) {
    static unsigned char bytes[NODES][ROOM];
    sampler_report_t reports[NODES];
    for (int i = 0; i < nodes; i++) {
        reports[i].bytes = bytes[i];
        assert_int_equal(feed_report(feeds[i], bytes[i], ROOM, &reports[i].size), SGP_OK);
    }
    for (int i = 0; i < nodes; i++)
        assert_int_equal(feed_make_up(feeds[i], step, reports, (size_t)nodes), SGP_OK);
}

/* Of 3 nodes the last one dies after its first step, which the others hear before step `heard`; they leave it out from
 * step 2 on. Node 1 passes over step 2. */
static void run_with_a_death(const feed_options_t *options, uint64_t heard, record_t *record) {
    feed_t *feeds[NODES];
    segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(2, 0), .first = 1,
                              .end = 2};
    memset(record, 0, sizeof *record);
    for (int i = 0; i < NODES; i++) {
        feed_options_t own = *options;
        own.rank = i;
        feeds[i] = make(&own);
        assert_int_equal(feed_begin_epoch(feeds[i], 1, 0), SGP_OK);
        if (heard == 0 && i < 2) assert_int_equal(feed_tell(feeds[i], &death, 1, 0), SGP_OK);
    }
    uint64_t step = 0;
    for (; step < feed_steps(feeds[0]); step++)
        for (int i = 0; i < (step == 0 ? 3 : 2); i++) {
            if (step == heard && heard > 0 && i < 2)
                assert_int_equal(feed_tell(feeds[i], &death, 1, step), SGP_OK);
            if (i == 1 && step == 2) assert_int_equal(feed_pass_over(feeds[1], 2, 3), SGP_OK);
            else take_step(feeds[i], i, step, record);
        }
    assert_int_equal(step, 5); /* 12 positions in each of 2 steps, then 8 */
    assert_int_equal(feed_reached(feeds[1], step), COUNT);
    make_up(feeds, 2, step);
    assert_int_equal(feed_steps(feeds[0]), 5 + 1); /* 4 of each of the two */
    assert_int_equal(feed_reached(feeds[1], step), COUNT - 2 * BATCH);
    for (int i = 0; i < 2; i++) take_step(feeds[i], i, step, record);
    for (int i = 0; i < NODES; i++) feed_destroy(feeds[i]);
}

static void each_picture_once_though_a_node_dies(void **state) {
    const fixture_t *fixture = *state;
    for (int kind = 0; kind < 2; kind++) {
        feed_options_t options =
            kind ? options_of(fixture->pixels, 0, NODES) : pictures_of(fixture->folder, 0, NODES);
        run_with_a_death(&options, 0, &expected);
        for (int i = 0; i < COUNT && kind == 0; i++) assert_int_equal(expected.taken[i], 1);
        options.augment = kind == 1; /* pictures keep their grey level without it */
        run_with_a_death(&options, 0, &expected);
        for (int threads = 0; threads < 4; threads += 1 + (threads > 0))
            for (uint64_t heard = 0; heard <= 2; heard++) {
                options.threads = threads;
                run_with_a_death(&options, heard, &found);
                assert_memory_equal(&found, &expected, sizeof found);
            }
    }
}

/* A run of 3 nodes, one of which has died, goes on with 2 others where it was saved. */
static void a_saved_epoch_goes_on_with_other_nodes(void **state) {
    const fixture_t *fixture = *state;
    for (uint64_t at = 1; at < 6; at++) {
        feed_t *old[NODES], *new[2];
        segments_event_t death = {SEGMENTS_LEAVES, .member = segments_number(2, 0), .first = 1,
                                  .end = 2};
        unsigned char bytes[ROOM];
        memset(&found, 0, sizeof found);
        for (int i = 0; i < NODES; i++) {
            feed_options_t options = pictures_of(fixture->folder, i, NODES);
            old[i] = make(&options);
            assert_int_equal(feed_begin_epoch(old[i], 2, 0), SGP_OK);
            take_step(old[i], i, 0, &found);
            if (i < 2) assert_int_equal(feed_tell(old[i], &death, 1, 1), SGP_OK);
        }
        if (at == 5) make_up(old, 2, 5); /* while making up */
        for (int i = 0; i < 2; i++)
            for (uint64_t step = 1; step < at; step++) take_step(old[i], i, step, &found);
        size_t size = feed_state_bytes(old[0]);
        assert_true(size <= ROOM);
        feed_save(old[0], bytes);
        for (int i = 0; i < 2; i++) {
            feed_options_t options = pictures_of(fixture->folder, i, 2);
            new[i] = make(&options);
            assert_int_equal(feed_begin_epoch(new[i], 2, at), SGP_OK);
            assert_int_equal(feed_restore(new[i], bytes, size), SGP_OK);
            assert_int_equal(feed_set_members(new[i], at, i, 2), SGP_OK);
        }
        uint64_t step = at;
        for (int part = 0; part < 2; part++) {
            for (; step < feed_steps(new[0]); step++)
                for (int i = 0; i < 2; i++) take_step(new[i], i, step, &found);
            if (part == 0) make_up(new, 2, step);
        }
        for (int i = 0; i < COUNT; i++) assert_int_equal(found.taken[i], 1);
        for (int i = 0; i < NODES; i++) feed_destroy(old[i]);
        for (int i = 0; i < 2; i++) feed_destroy(new[i]);
    }
}

static void pixels_have_a_size(void **state) {
    const fixture_t *fixture = *state;
    feed_shape_t shape;
    assert_int_equal(feed_inspect(fixture->pixels, 0, 32, &shape), SGP_ERR_INVALID);
    assert_logged("image-size is 32", "pixels of one size", NULL);
    assert_int_equal(feed_inspect(fixture->pixels, 7, 0, &shape), SGP_OK);
    assert_int_equal(shape.train_count, 7);
    assert_int_equal(shape.height, SIDE);
    assert_false(shape.pictures);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_picture_once_over_all_nodes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_picture_once_when_nodes_change, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_of_shards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_that_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(parts_need_shards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_limit_takes_pictures_of_all_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pictures_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pixels_are_those_of_the_loader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_picture_once_though_a_node_dies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_saved_epoch_goes_on_with_other_nodes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pixels_have_a_size, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
