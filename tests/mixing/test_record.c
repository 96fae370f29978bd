/* SPDX-License-Identifier: Apache-2.0 */
/* The record of a node's pushes answers for each round and seat as the pushes went, as long as it remembers them. */
#include "cmocka_all.h"

#include "mixing/record.h"

enum { SIZE = 11, ROUNDS = 200 };

static bool sends(uint64_t round, int seat) {
    return seat != 3 && (round * 7 + (uint64_t)seat) % 5 == 0;
}

static bool passes_over(uint64_t round) {
    return round % 10 == 4;
}

static void push(sgp_record_t *record, uint64_t round) {
    sgp_destination_t to[SIZE];
    int count = 0;
    for (int s = 0; s < SIZE; s++)
        if (sends(round, s)) to[count++] = (sgp_destination_t){.dst = s, .weight = 0.1};
    sgp_record_push(record, round, to, count);
}

static void test_answers(void **state) {
    (void)state;
    sgp_record_t record;
    assert_true(sgp_record_init(&record, SIZE, 0));
    for (uint64_t now = 0; now < ROUNDS; now++) {
        for (int s = 0; s < SIZE; s++) {
            for (uint64_t round = 0; round < now; round++) {
                bool known = round + SGP_RECORD_ROUNDS >= now;
                if (!known && passes_over(round + SGP_RECORD_ROUNDS)) continue; /* either */
                bool sent = known && !passes_over(round) && sends(round, s);
                assert_int_equal(sgp_record_answer(&record, round, s),
                                 sent ? SGP_ANSWER_SENT : SGP_ANSWER_NOT_SENT);
            }
            assert_int_equal(sgp_record_answer(&record, now, s), SGP_ANSWER_NOT_YET);
            assert_int_equal(sgp_record_answer(&record, UINT64_MAX, s), SGP_ANSWER_NOT_YET);
        }
        if (passes_over(now)) sgp_record_pass(&record, now + 1);
        else push(&record, now);
        assert_int_equal(record.next, now + 1);
    }
    sgp_record_fini(&record);
}

/* A jump passes over more rounds than the record has entries. */
static void test_jump(void **state) {
    (void)state;
    sgp_record_t record;
    assert_true(sgp_record_init(&record, SIZE, 7));
    push(&record, 10);
    push(&record, 1000);
    for (uint64_t round = 11; round < 1000; round++)
        assert_int_equal(sgp_record_answer(&record, round, 0), SGP_ANSWER_NOT_SENT);
    assert_int_equal(sgp_record_answer(&record, 1000, 0), SGP_ANSWER_SENT);
    assert_int_equal(sgp_record_answer(&record, 1000, 3), SGP_ANSWER_NOT_SENT);
    sgp_record_fini(&record);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_jump),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
