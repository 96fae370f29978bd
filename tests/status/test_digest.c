/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"

#include "status/server/digest.h"
#include "synthetic.h"

#include <math.h>

static digest_t digest_of(const sgp_status_snapshot_t *snapshot) {
    digest_t digest = {0};
    assert_int_equal(digest_make(snapshot, &digest), SGP_OK);
    return digest;
}

/* Over the live members alone; one that has not reported is no zero. */
static void test_means_are_of_the_live_members_that_reported(void **state) {
    (void)state;
    sgp_status_snapshot_t snapshot;
    synthetic_make(&snapshot, 4);
    const double losses[] = {1, 2, NAN, 100}, accuracies[] = {NAN, NAN, NAN, 0.9};
    for (int i = 0; i < 4; i++) {
        snapshot.member[i].loss = losses[i];
        snapshot.member[i].accuracy = accuracies[i];
        snapshot.member[i].samples_per_second = 10 * (i + 1);
        snapshot.member[i].step = 50 + (uint64_t)i;
    }
    snapshot.member[3].condition = SGP_STATUS_GONE;
    digest_t digest = digest_of(&snapshot);
    assert_int_equal(digest.live, 3);
    assert_true(digest.loss == 1.5);
    assert_true(isnan(digest.accuracy));
    assert_true(digest.samples_per_second == 60);
    assert_int_equal(digest.step, 52);
    assert_int_equal(digest.step_min, 50);
    digest_free(&digest);
    synthetic_free(&snapshot);
}

static void test_trouble_comes_first(void **state) {
    (void)state;
    sgp_status_snapshot_t snapshot;
    synthetic_make(&snapshot, 8);
    snapshot.member[1].condition = SGP_STATUS_LEFT;
    snapshot.member[2].condition = SGP_STATUS_JOINING;
    synthetic_slow(&snapshot, 4, 2);
    snapshot.member[5].condition = SGP_STATUS_SILENT;
    synthetic_lose(&snapshot, 6, "");
    digest_t digest = digest_of(&snapshot);
    const size_t order[] = {6, 5, 4, 2, 0, 3, 7, 1};
    assert_int_equal(digest.troubled, 4);
    for (size_t i = 0; i < 8; i++) assert_int_equal(digest.order[i], order[i]);
    digest_free(&digest);
    synthetic_free(&snapshot);
}

/* docs/status.md: 1.5 times the median, and no longer a wait than the median. */
static void test_who_is_slow(void **state) {
    (void)state;
    for (size_t members = 2; members <= 9; members++) {
        sgp_status_snapshot_t snapshot;
        synthetic_make(&snapshot, members);
        for (size_t i = 0; i < members; i++) {
            snapshot.member[i].compute_ms = 90;
            snapshot.member[i].update_ms = 10;
        }
        digest_t none = digest_of(&snapshot);
        snapshot.member[1].compute_ms = 141; /* 151 against 100 */
        snapshot.member[1].wait_ms = 1;
        digest_t one = digest_of(&snapshot);
        snapshot.member[1].compute_ms = 139;
        digest_t less = digest_of(&snapshot);
        snapshot.member[1].compute_ms = 500;
        snapshot.member[1].wait_ms = 1000;
        digest_t waits = digest_of(&snapshot);
        snapshot.member[1].wait_ms = 0;
        snapshot.member[1].condition = SGP_STATUS_GONE;
        digest_t gone = digest_of(&snapshot);
        for (size_t i = 0; i < members; i++) {
            assert_false(none.slow[i] || less.slow[i] || gone.slow[i]);
            assert_int_equal(one.slow[i], i == 1);
            if (members > 2) assert_false(waits.slow[i]); /* of two, the lower wait is the median */
        }
        digest_t *const all[] = {&none, &one, &less, &waits, &gone};
        for (int i = 0; i < 5; i++) digest_free(all[i]);
        synthetic_free(&snapshot);
    }
}

static void test_nobody_is_slow_where_nothing_is_known(void **state) {
    (void)state;
    sgp_status_snapshot_t snapshot;
    synthetic_make(&snapshot, 3);
    for (int i = 0; i < 3; i++)
        snapshot.member[i].compute_ms = snapshot.member[i].update_ms = snapshot.member[i].wait_ms =
            NAN;
    digest_t digest = digest_of(&snapshot);
    assert_true(isnan(digest.work_ms) && isnan(digest.wait_ms));
    for (int i = 0; i < 3; i++) assert_false(digest.slow[i]);
    digest_free(&digest);
    synthetic_free(&snapshot);
    synthetic_make(&snapshot, 0);
    digest = digest_of(&snapshot);
    assert_int_equal(digest.live, 0);
    assert_true(isnan(digest.loss));
    digest_free(&digest);
    synthetic_free(&snapshot);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_means_are_of_the_live_members_that_reported),
        cmocka_unit_test(test_trouble_comes_first),
        cmocka_unit_test(test_who_is_slow),
        cmocka_unit_test(test_nobody_is_slow_where_nothing_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
