/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger of lost ranks: what the peers are told, and the owner, and in which order. */
#include "cmocka_all.h"

#include "transport/tcp/losses.h"

#include <stdio.h>
#include <string.h>

enum { SIZE = 5 };

/* What the owner was told, "2: its process ended; ". */
typedef struct told {
    char text[512];
} told_t;

static void note(void *owner, int rank, sgp_fate_t fate, const char *why) {
    told_t *told = owner;
    size_t length = strlen(told->text);
    const char *reason = fate.state == SGP_FATE_LEFT ? "left" : sgp_cause_text(fate.cause);
    snprintf(told->text + length, sizeof told->text - length, "%d: %s; ", rank, why ? why : reason);
}

static sgp_losses_t make(void) {
    sgp_losses_t losses;
    assert_int_equal(sgp_losses_init(&losses, 0, SIZE, SIZE), SGP_OK);
    return losses;
}

static void test_a_rank_changes_once(void **state) {
    (void)state;
    sgp_losses_t losses = make();
    told_t told = {""};
    sgp_losses_lose(&losses, 2, sgp_fate_lost(SGP_CAUSE_SILENT), "silent for 3 s");
    sgp_losses_lose(&losses, 2, sgp_fate_lost(SGP_CAUSE_CLOSED), "closed");
    sgp_losses_leave(&losses, 2);
    sgp_losses_leave(&losses, 4);
    assert_int_equal(sgp_losses_state(&losses, 2), SGP_FATE_LOST);
    assert_int_equal(sgp_losses_state(&losses, 4), SGP_FATE_LEFT);
    assert_int_equal(sgp_losses_next(&losses), 2);
    assert_int_equal(sgp_losses_next(&losses), 4);
    assert_int_equal(sgp_losses_next(&losses), -1);
    sgp_losses_publish(&losses, note, &told);
    sgp_losses_publish(&losses, note, &told);
    assert_string_equal(told.text, "2: silent for 3 s; 4: left; ");
    sgp_losses_fini(&losses);
}

/* The owner learns only of changes that were acted on. */
static void test_peers_are_told_before_the_owner(void **state) {
    (void)state;
    sgp_losses_t losses = make();
    told_t told = {""};
    sgp_losses_lose(&losses, 1, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    assert_true(sgp_losses_unpublished(&losses) == 0);
    sgp_losses_publish(&losses, note, &told);
    assert_string_equal(told.text, "");
    assert_int_equal(sgp_losses_next(&losses), 1);
    sgp_losses_lose(&losses, 3, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    assert_true(sgp_losses_unpublished(&losses) > 0);
    sgp_losses_publish(&losses, note, &told);
    assert_string_equal(told.text, "1: its process ended; ");
    assert_true(sgp_losses_unpublished(&losses) == 0);
    sgp_losses_fini(&losses);
}

/* A departure alone does not wait for the peers. */
static void test_a_departure_does_not_wait(void **state) {
    (void)state;
    sgp_losses_t losses = make();
    sgp_losses_leave(&losses, 1);
    assert_int_equal(sgp_losses_next(&losses), 1);
    assert_true(sgp_losses_unpublished(&losses) == 0);
    sgp_losses_fini(&losses);
}

/* A rank that has told of another's loss, and whose connection then ends, follows that loss. */
static void test_followers(void **state) {
    (void)state;
    sgp_losses_t losses = make();
    sgp_frame_kind_t kind;
    uint32_t value;
    sgp_losses_heard(&losses, 1, "node 1", sgp_loss_pack(3, SGP_CAUSE_SILENT));
    sgp_losses_heard(&losses, 1, "node 1", 0);                                 /* no such word */
    sgp_losses_heard(&losses, 2, "node 2", sgp_loss_pack(0, SGP_CAUSE_ENDED)); /* of this rank */
    assert_int_equal(sgp_losses_state(&losses, 0), SGP_FATE_PRESENT);
    assert_int_equal(sgp_losses_next(&losses), 3);
    assert_true(sgp_losses_frame(&losses, 3, &kind, &value));
    assert_int_equal(kind, SGP_FRAME_LOST);
    assert_int_equal(value, sgp_loss_pack(3, SGP_CAUSE_SILENT));
    sgp_losses_lose(&losses, 1, sgp_fate_lost(SGP_CAUSE_CLOSED), "closed");
    sgp_losses_lose(&losses, 2, sgp_fate_lost(SGP_CAUSE_SILENT), "silent"); /* no end of it */
    assert_int_equal(losses.of[1].fate.cause, SGP_CAUSE_FOLLOWED);
    assert_int_equal(losses.of[1].fate.of, 3);
    assert_int_equal(losses.of[2].fate.cause, SGP_CAUSE_SILENT);
    assert_false(sgp_losses_frame(&losses, 1, &kind, &value));
    assert_false(sgp_losses_frame(&losses, 4, &kind, &value));
    while (sgp_losses_next(&losses) >= 0) {
    }
    told_t told = {""};
    sgp_losses_publish(&losses, note, &told);
    assert_string_equal(told.text, "3: it has been silent for too long, says node 1; "
                                   "1: it ended because another node was lost; 2: silent; ");
    sgp_losses_fini(&losses);
}

/* A rank that aborts says so itself, and follows a loss that it has told of before. */
static void test_aborts(void **state) {
    (void)state;
    sgp_losses_t losses = make();
    told_t told = {""};
    sgp_losses_heard(&losses, 1, "node 1", sgp_loss_pack(1, SGP_CAUSE_ABORTED));
    sgp_losses_lose(&losses, 1, sgp_fate_lost(SGP_CAUSE_CLOSED), "closed");
    sgp_losses_heard(&losses, 2, "node 2", sgp_loss_pack(3, SGP_CAUSE_ENDED));
    sgp_losses_heard(&losses, 2, "node 2", sgp_loss_pack(2, SGP_CAUSE_ABORTED));
    while (sgp_losses_next(&losses) >= 0) {
    }
    sgp_losses_publish(&losses, note, &told);
    assert_string_equal(told.text, "1: it aborted; 3: its process ended, says node 2; "
                                   "2: it ended because another node was lost; ");
    sgp_losses_fini(&losses);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rank_changes_once),
        cmocka_unit_test(test_peers_are_told_before_the_owner),
        cmocka_unit_test(test_a_departure_does_not_wait),
        cmocka_unit_test(test_followers),
        cmocka_unit_test(test_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
