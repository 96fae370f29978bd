/* SPDX-License-Identifier: Apache-2.0 */
/* The owner of a channel is told of its chunks, and they are found in the order of steps and senders. */
#include "ranks.h"

#include "base/constants.h"
#include "transport/inbox.h"

enum { CHANNEL = 3 };

static void send_one(sgp_inbox_t *inbox, uint32_t channel, sgp_kind_t kind, uint64_t step) {
    sgp_header_t header = {
        .kind = kind, .encoding = SGP_ENCODING_BYTES, .channel = channel, .step = step, .count = 1};
    sgp_destination_t to = {.dst = 0, .weight = 1};
    uint64_t far = sgp_transport_now(sgp_inbox_transport(inbox)) + 60 * SGP_SECOND;
    sgp_send_t send;
    CHECK(sgp_inbox_send_begin(inbox, &header, &to, 1, far, &send) == SGP_OK);
    *(char *)sgp_inbox_send_next(inbox, &send) = 1;
    sgp_inbox_send_commit(inbox, &send);
}

static bool count(void *context) {
    return ++*(int *)context < 3; /* it is asked for three times */
}

static void check_order(sgp_inbox_t *inbox) {
    static const uint64_t steps[] = {2, 2, 5, 9};
    static const int sources[] = {1, 2, 2, 1};
    sgp_inbox_key_t from = {.channel = CHANNEL, .kind = SGP_KIND_PUSH};
    for (int i = 0; i < 4; i++) {
        const sgp_chunk_t *at = sgp_inbox_lowest(inbox, &from, UINT64_MAX);
        CHECK(at && at->header.step == steps[i] && at->header.src == sources[i]);
        from.step = steps[i];
        from.src = sources[i] + 1;
    }
    CHECK(!sgp_inbox_lowest(inbox, &from, UINT64_MAX));
    from = (sgp_inbox_key_t){.channel = CHANNEL, .kind = SGP_KIND_PUSH, .step = 3};
    CHECK(!sgp_inbox_lowest(inbox, &from, 5));
    CHECK(sgp_inbox_lowest(inbox, &from, 6));
}

static void receive(sgp_inbox_t *inbox) {
    int served = 0;
    sgp_inbox_owner_t owner = {.channel = CHANNEL, .late = 3, .serve = count, .context = &served};
    while (sgp_inbox_taken_in(inbox) < 6) {
        uint64_t since = sgp_inbox_taken_in(inbox), now;
        now = sgp_transport_now(sgp_inbox_transport(inbox));
        CHECK(sgp_inbox_doze(inbox, since, now + SGP_MILLISECOND, "chunks") == SGP_OK);
        sgp_inbox_collect(inbox);
    }
    sgp_inbox_attach(inbox, &owner);
    CHECK(owner.lowest == 2 && owner.highest == 9);
    CHECK(owner.due); /* for the question, and for steps before 3 */
    for (int i = 0; i < 5; i++) CHECK(sgp_inbox_look(inbox, false) == SGP_OK);
    CHECK(served == 3);
    check_order(inbox);
    sgp_inbox_detach(inbox, &owner);
    sgp_inbox_detach(inbox, &owner);
    CHECK(sgp_inbox_look(inbox, false) == SGP_OK && served == 3);
}

static void body(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_inbox_t *inbox = NULL;
    CHECK(sgp_inbox_create(transport, &inbox) == SGP_OK);
    if (transport->rank == 0) receive(inbox);
    if (transport->rank == 1) {
        send_one(inbox, CHANNEL, SGP_KIND_PUSH, 9);
        send_one(inbox, CHANNEL, SGP_KIND_PUSH, 2);
        send_one(inbox, CHANNEL, SGP_KIND_WAIT, 1);
    } else if (transport->rank == 2) {
        send_one(inbox, CHANNEL, SGP_KIND_PUSH, 5);
        send_one(inbox, CHANNEL, SGP_KIND_PUSH, 2);
        send_one(inbox, CHANNEL + 1, SGP_KIND_PUSH, 1);
    }
    sgp_inbox_destroy(inbox);
    sgp_transport_leave(transport, sgp_transport_now(transport) + SGP_SECOND);
    sgp_transport_destroy(transport);
}

static void test_owner(void **state) {
    (void)state;
    ranks_setup_t setup = {.loopback = {.size = 3, .virtual_time = true, .delay_max_ns = 1000}};
    run_transports(&setup, body, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_owner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
