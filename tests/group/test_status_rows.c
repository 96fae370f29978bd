/* SPDX-License-Identifier: Apache-2.0 */
/* The table of rows: the newest row of the newest member stays, and rows get around. */
#include "cmocka_all.h"

#include "base/constants.h"
#include "base/random.h"
#include "group/status_rows.h"

enum { CAPACITY = 6, MANY = 64 };

static sgp_status_row_t row_of(int seat, uint32_t incarnation, uint32_t version, uint32_t age_ms) {
    sgp_status_row_t row;
    sgp_status_row_init(&row, seat, incarnation);
    row.version = version;
    row.age_ms = age_ms;
    row.step = version;
    return row;
}

static bool merge(sgp_status_rows_t *rows, int seat, uint32_t incarnation, uint32_t version) {
    sgp_status_row_t row = row_of(seat, incarnation, version, 0);
    return sgp_status_rows_merge(rows, &row, 0, SGP_SECOND);
}

static void test_newer_wins(void **state) {
    (void)state;
    sgp_status_rows_t rows;
    assert_int_equal(sgp_status_rows_init(&rows, CAPACITY, 2, 0), SGP_OK);
    assert_true(merge(&rows, 1, 0, 5));
    assert_false(merge(&rows, 1, 0, 5));
    assert_false(merge(&rows, 1, 0, 4));
    assert_true(merge(&rows, 1, 0, 6));
    assert_int_equal(rows.of[1].row.step, 6);
    assert_true(merge(&rows, 1, 1, 1)); /* another member of the seat */
    assert_false(merge(&rows, 1, 0, 9));
    assert_int_equal(rows.of[1].row.step, 1);
    assert_false(merge(&rows, 2, 0, 100)); /* its own row is its own */
    assert_int_equal(rows.of[2].row.version, 0);
    sgp_status_rows_fini(&rows);
}

/* An age grows where a row lies, and travels with it. */
static void test_age(void **state) {
    (void)state;
    sgp_status_rows_t rows, others;
    sgp_status_row_t row = row_of(1, 0, 1, 1500), chosen[1];
    assert_int_equal(sgp_status_rows_init(&rows, CAPACITY, 2, 0), SGP_OK);
    assert_int_equal(sgp_status_rows_init(&others, CAPACITY, 3, 0), SGP_OK);
    assert_true(sgp_status_rows_merge(&rows, &row, 0, 10 * SGP_SECOND));
    assert_int_equal(rows.of[1].time, 8500 * SGP_MILLISECOND);
    assert_int_equal(
        sgp_status_rows_choose(&rows, SGP_STATUS_AROUND, 3, 11 * SGP_SECOND, 1, chosen), 1);
    assert_int_equal(chosen[0].age_ms, 2500);
    assert_true(sgp_status_rows_merge(&others, &chosen[0], 0, 100 * SGP_SECOND));
    assert_int_equal(others.of[1].time, 97500 * SGP_MILLISECOND);
    row = row_of(1, 0, 2, UINT32_MAX); /* older than the clock */
    assert_true(sgp_status_rows_merge(&rows, &row, 0, SGP_SECOND));
    assert_int_equal(rows.of[1].time, 0);
    sgp_status_rows_fini(&rows);
    sgp_status_rows_fini(&others);
}

static void test_choice(void **state) {
    (void)state;
    sgp_status_rows_t rows;
    sgp_status_row_t chosen[SGP_STATUS_ROWS_MOST];
    assert_int_equal(sgp_status_rows_init(&rows, CAPACITY, 0, 0), SGP_OK);
    assert_int_equal(sgp_status_rows_choose(&rows, SGP_STATUS_AROUND, 1, SGP_SECOND, 3, chosen), 0);
    sgp_status_rows_renew(&rows, SGP_SECOND);
    for (int s = 1; s < CAPACITY; s++) assert_true(merge(&rows, s, 0, 1));
    assert_int_equal(sgp_status_rows_choose(&rows, SGP_STATUS_AROUND, 1, SGP_SECOND, 3, chosen), 3);
    assert_true(chosen[0].seat == 0 && chosen[1].seat == 2 && chosen[2].seat == 3);
    assert_int_equal(sgp_status_rows_choose(&rows, SGP_STATUS_AROUND, 1, SGP_SECOND, 3, chosen), 3);
    assert_true(chosen[0].seat == 0 && chosen[1].seat == 4 && chosen[2].seat == 5);
    assert_true(merge(&rows, 3, 0, 2)); /* news go first */
    assert_int_equal(sgp_status_rows_choose(&rows, SGP_STATUS_AROUND, 1, SGP_SECOND, 2, chosen), 2);
    assert_true(chosen[0].seat == 0 && chosen[1].seat == 3);
    assert_int_equal(sgp_status_rows_choose(&rows, SGP_STATUS_AROUND, 1, SGP_SECOND, 99, chosen),
                     CAPACITY - 1);
    sgp_status_rows_fini(&rows);
}

/* Nodes that send to their successor alone, one message of three rows in each round: all rows come to all, in as many rounds as
 * the rows need on a link. */
static void test_gets_around(void **state) {
    (void)state;
    static sgp_status_rows_t rows[MANY];
    sgp_status_row_t chosen[3];
    for (int r = 0; r < MANY; r++) {
        assert_int_equal(sgp_status_rows_init(&rows[r], MANY, r, 0), SGP_OK);
        sgp_status_rows_renew(&rows[r], SGP_SECOND);
    }
    int known = 0;
    for (int round = 0; round < 2 * MANY && known < MANY * MANY; round++) {
        known = 0;
        for (int r = 0; r < MANY; r++) {
            int dst = (r + 1) % MANY;
            int count =
                sgp_status_rows_choose(&rows[r], SGP_STATUS_AROUND, dst, SGP_SECOND, 3, chosen);
            for (int i = 0; i < count; i++)
                sgp_status_rows_merge(&rows[dst], &chosen[i], 0, SGP_SECOND);
        }
        for (int r = 0; r < MANY; r++)
            for (int s = 0; s < MANY; s++) known += rows[r].of[s].row.version > 0;
    }
    assert_int_equal(known, MANY * MANY);
    for (int r = 0; r < MANY; r++) sgp_status_rows_fini(&rows[r]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newer_wins),
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_gets_around),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
