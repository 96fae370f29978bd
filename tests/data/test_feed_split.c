/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes whose samples differ: by a division, or because each has data of its own. */
#include "data/feed_support.h"

/* Of a division each node takes its own pictures, all as often as another or once more, and its workers share them; the
 * pictures of a node have two classes. Also with pictures chosen by a limit. */
static void assert_split(const char *data, int workers, int64_t limit) {
    enum { PLACES = 3 };
    int all[COUNT] = {0}, owned = 0;
    for (int node = 0; node < PLACES; node++) {
        int taken[COUNT] = {0}, classes[CLASSES] = {0}, kinds = 0, least = COUNT, most = 0;
        for (int worker = 0; worker < workers; worker++) {
            feed_options_t options = pictures_of(data, node * workers + worker, PLACES * workers);
            options.workers = workers;
            options.limit = limit;
            assert_true(division_parse("label:2", &options.split));
            feed_t *feed = make(&options);
            assert_int_equal(feed_division(feed)->nodes, PLACES);
            take_epoch(feed, 1, taken);
            feed_destroy(feed);
        }
        for (int i = 0; i < COUNT; i++) {
            all[i] += taken[i];
            classes[i / EACH] += taken[i];
            if (taken[i] > most) most = taken[i];
            if (taken[i] && taken[i] < least) least = taken[i];
        }
        for (int c = 0; c < CLASSES; c++) kinds += classes[c] > 0;
        assert_int_equal(kinds, 2);
        assert_in_range(most - least, 0, 1);
    }
    for (int i = 0; i < COUNT; i++) owned += all[i] > 0;
    assert_true(owned > COUNT / 2);
}

static void nodes_have_their_classes(void **state) {
    const fixture_t *fixture = *state;
    assert_split(fixture->folder, 1, 0);
    assert_split(fixture->shards, 2, 0);
    assert_split(fixture->folder, 1, COUNT - 5);
}

/* The pictures of two epochs of a node, in order. */
static void list_epochs(feed_t *feed, float *images /* (2, steps, BATCH) */) {
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        assert_int_equal(feed_begin_epoch(feed, epoch, 0), SGP_OK);
        for (uint64_t step = 0; step < feed_steps(feed); step++) {
            feed_batch_t batch;
            assert_int_equal(feed_next(feed, &batch), SGP_OK);
            for (int i = 0; i < BATCH; i++)
                *images++ = (float)number_of(feed, batch.images + i * 8 * 8 * 3);
        }
    }
}

/* A node that has the place of another, of so many nodes, has its samples and its order. */
static void a_share_can_be_taken_over(void **state) {
    const fixture_t *fixture = *state;
    float one[100] = {0}, other[100] = {0};
    feed_options_t options = pictures_of(fixture->folder, 2, 3);
    assert_true(division_parse("dirichlet:1", &options.split));
    feed_t *feed = make(&options);
    uint64_t hash = feed_division_hash(feed);
    list_epochs(feed, one);
    feed_destroy(feed);
    options.rank = 0;
    options.size = 3;
    feed = make(&options);
    assert_int_equal(feed_division_hash(feed), hash);
    assert_int_equal(feed_set_share(feed, 2, 3), SGP_OK);
    list_epochs(feed, other);
    assert_memory_equal(one, other, sizeof one);
    assert_int_equal(feed_set_share(feed, 0, 4), SGP_OK);
    list_epochs(feed, one);
    assert_int_equal(feed_set_share(feed, 4, 4), SGP_OK); /* the samples of 0, in another order */
    list_epochs(feed, other);
    assert_memory_not_equal(one, other, sizeof one);
    assert_int_equal(feed_division(feed)->nodes, 4);
    assert_int_equal(feed_division_hash(feed), hash); /* that of the beginning */
    feed_destroy(feed);
}

/* All nodes make the steps of the one with the most samples, and one with fewer takes its own again. */
static void private_data_are_repeated(void **state) {
    const fixture_t *fixture = *state;
    for (int workers = 1; workers <= 2; workers++) {
        int taken[COUNT] = {0};
        for (int worker = 0; worker < workers; worker++) {
            feed_options_t options = pictures_of(fixture->folder, workers + worker, 2 * workers);
            options.workers = workers;
            options.private_data = true;
            feed_t *feed = make(&options);
            uint64_t each = (uint64_t)workers * BATCH;
            assert_int_equal(feed_steps(feed), (COUNT + each - 1) / each);
            assert_int_equal(feed_epoch_samples(feed, 5), 5 * COUNT);
            assert_int_equal(feed_set_length(feed, 3 * COUNT), SGP_OK);
            assert_int_equal(feed_epoch_samples(feed, 5), 15 * COUNT);
            assert_int_equal(take_epoch(feed, 3, taken), (3 * COUNT + each - 1) / each);
            assert_int_equal(feed_tell(feed, NULL, 0, 0), SGP_OK);
            feed_destroy(feed);
        }
        for (int i = 0; i < COUNT; i++) assert_int_equal(taken[i], 3);
    }
}

/* A sample that comes again in an epoch is cropped in another way. */
static void repeated_samples_differ(void **state) {
    const fixture_t *fixture = *state;
    enum { SEEN = 3 * COUNT / BATCH };
    static float images[SEEN][BATCH * SIDE * SIDE];
    feed_options_t options = options_of(fixture->pixels, 0, 1);
    options.private_data = options.augment = true;
    options.limit = 1;
    feed_t *feed = make(&options);
    assert_int_equal(feed_set_length(feed, 3 * COUNT), SGP_OK);
    assert_int_equal(feed_begin_epoch(feed, 0, 0), SGP_OK);
    int same = 0;
    for (int step = 0; step < SEEN; step++) {
        feed_batch_t batch;
        assert_int_equal(feed_next(feed, &batch), SGP_OK);
        memcpy(images[step], batch.images, sizeof images[step]);
        for (int before = 0; before < step; before++)
            same += memcmp(images[step], images[before], sizeof images[step]) == 0;
    }
    assert_int_equal(same, 0);
    feed_destroy(feed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nodes_have_their_classes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_share_can_be_taken_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(private_data_are_repeated, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repeated_samples_differ, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
