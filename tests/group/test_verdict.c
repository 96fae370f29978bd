/* SPDX-License-Identifier: Apache-2.0 */
/* What is concluded about a member that is not heard: never that it is dead while one that is asked hears it, and always
 * something in bounded time. */
#include "cmocka_all.h"

#include "base/random.h"
#include "group/verdict.h"

#include <string.h>

enum { LIMIT = 1000, PATIENCE = 50, SEATS = 6 };

typedef struct others {
    bool can[SEATS];
} others_t;

static bool can_answer(void *context, int seat) {
    return ((const others_t *)context)->can[seat];
}

static sgp_conclusion_t conclude(sgp_verdict_t *verdict, uint64_t now, others_t *others,
                                 uint64_t *next) {
    return sgp_verdict_conclude(verdict, now, LIMIT, PATIENCE, can_answer, others, next);
}

static void test_one_agrees(void **state) {
    (void)state;
    others_t others = {{true, true, true, true, true, true}};
    sgp_verdict_t verdict = {0};
    uint64_t next;
    assert_int_equal(conclude(&verdict, 5000, &others, &next), SGP_CONCLUSION_NONE);
    assert_true(next == UINT64_MAX); /* it is heard */
    sgp_verdict_begin(&verdict, 100);
    assert_int_equal(conclude(&verdict, 1099, &others, &next), SGP_CONCLUSION_NONE);
    assert_int_equal(next, 1100);
    assert_int_equal(conclude(&verdict, 1100, &others, &next), SGP_CONCLUSION_ASK);
    sgp_verdict_ask(&verdict, 1100, (int[]){2, 3}, 2);
    sgp_verdict_answer(&verdict, 2, false);
    assert_int_equal(conclude(&verdict, 1110, &others, &next), SGP_CONCLUSION_NONE);
    assert_int_equal(next, 1150); /* the other one may still hear it */
    assert_int_equal(conclude(&verdict, 1150, &others, &next), SGP_CONCLUSION_DEAD);
}

static void test_one_hears_it(void **state) {
    (void)state;
    others_t others = {{true, true, true, true, true, true}};
    sgp_verdict_t verdict = {0};
    uint64_t next;
    sgp_verdict_begin(&verdict, 100);
    sgp_verdict_ask(&verdict, 1100, (int[]){2, 3, 4}, 3);
    sgp_verdict_answer(&verdict, 2, false);
    sgp_verdict_answer(&verdict, 5, true); /* was not asked */
    assert_false(verdict.contradicted);
    sgp_verdict_answer(&verdict, 4, true);
    assert_true(verdict.contradicted);
    assert_int_equal(conclude(&verdict, 1110, &others, &next), SGP_CONCLUSION_NONE);
    assert_int_equal(next, 1110 + LIMIT);
    assert_int_equal(conclude(&verdict, 1110 + LIMIT, &others, &next), SGP_CONCLUSION_ASK);
    sgp_verdict_end(&verdict);
    assert_false(verdict.silent || verdict.contradicted);
}

/* A witness that is gone does not count as one that agrees. */
static void test_no_witness(void **state) {
    (void)state;
    others_t others = {{false}};
    sgp_verdict_t verdict = {0};
    uint64_t next;
    sgp_verdict_begin(&verdict, 0);
    sgp_verdict_ask(&verdict, 1100, (int[]){2}, 1);
    assert_int_equal(conclude(&verdict, 1101, &others, &next), SGP_CONCLUSION_ASK);
    sgp_verdict_ask(&verdict, 1101, NULL, 0); /* nobody is left: this node decides alone */
    assert_int_equal(conclude(&verdict, 1101, &others, &next), SGP_CONCLUSION_DEAD);
}

/* Whatever is answered when, and whoever goes: DEAD only without a voice against it, and a time to go on with. */
static void test_random(void **state) {
    (void)state;
    sgp_random_t random;
    sgp_random_init(&random, 3, 0);
    for (int trial = 0; trial < 2000; trial++) {
        others_t others = {{true, true, true, true, true, true}};
        sgp_verdict_t verdict = {0};
        uint64_t now = 1 + sgp_random_below(&random, 100), next = 0;
        bool heard = false;
        sgp_verdict_begin(&verdict, now);
        for (int event = 0; event < 60; event++) {
            sgp_conclusion_t conclusion = conclude(&verdict, now, &others, &next);
            if (conclusion == SGP_CONCLUSION_ASK) {
                int seats[SGP_WITNESSES], count = 0;
                for (int s = 0; s < SEATS && count < SGP_WITNESSES; s++)
                    if (others.can[s]) seats[count++] = s;
                sgp_verdict_ask(&verdict, now, seats, count);
                heard = false;
                continue;
            }
            if (conclusion == SGP_CONCLUSION_DEAD) {
                assert_false(heard);
                break;
            }
            assert_true(next > now && next < UINT64_MAX);
            int seat = (int)sgp_random_below(&random, SEATS);
            if (sgp_random_below(&random, 8) == 0) others.can[seat] = false;
            bool hears = sgp_random_below(&random, 4) == 0;
            for (int i = 0; hears && i < SGP_WITNESSES; i++)
                heard |= verdict.asked && verdict.witnesses[i].seat == seat;
            sgp_verdict_answer(&verdict, seat, hears);
            now += sgp_random_below(&random, 2) ? 1 : next - now;
        }
    }
}

static void test_messages(void **state) {
    (void)state;
    sgp_heard_message_t message,
        sent[] = {{.seat = 5, .incarnation = 7},
                  {.answer = true, .seat = 0},
                  {.answer = true, .hears = true, .seat = 3, .incarnation = UINT32_MAX}};
    unsigned char bytes[SGP_HEARD_BYTES];
    for (size_t i = 0; i < sizeof sent / sizeof *sent; i++) {
        sgp_heard_encode(&sent[i], bytes);
        assert_true(sgp_heard_decode(bytes, sizeof bytes, SEATS, &message));
        assert_int_equal(message.answer, sent[i].answer);
        assert_int_equal(message.hears, sent[i].hears);
        assert_int_equal(message.seat, sent[i].seat);
        assert_int_equal(message.incarnation, sent[i].incarnation);
        assert_false(sgp_heard_decode(bytes, sizeof bytes - 1, SEATS, &message));
    }
    sgp_heard_encode(&sent[0], bytes);
    assert_false(sgp_heard_decode(bytes, sizeof bytes, 5, &message)); /* no such seat */
    bytes[1] = 1;                                                     /* a question that hears */
    assert_false(sgp_heard_decode(bytes, sizeof bytes, SEATS, &message));
    bytes[0] = 3;
    assert_false(sgp_heard_decode(bytes, sizeof bytes, SEATS, &message));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_agrees), cmocka_unit_test(test_one_hears_it),
        cmocka_unit_test(test_no_witness), cmocka_unit_test(test_random),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
