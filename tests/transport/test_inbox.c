/* SPDX-License-Identifier: Apache-2.0 */
#include "ranks.h"

#include "transport/inbox.h"

/* Rank 1 sends one chunk; rank 0 looks for another one. */
static void look_for_another(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_inbox_t *inbox = NULL;
    CHECK(sgp_inbox_create(transport, &inbox) == SGP_OK);
    CHECK(sgp_transport_prepare(transport, sizeof(float), 1) == SGP_OK);
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = 1,
                           .step = 5,
                           .count = 1};
    uint64_t now = sgp_transport_now(transport), far = now + (uint64_t)60 * 1000000000u;
    if (transport->rank == 1) {
        sgp_destination_t to = {.dst = 0, .weight = 1};
        sgp_send_t send;
        CHECK(sgp_inbox_send_begin(inbox, &header, &to, 1, far, &send) == SGP_OK);
        *(float *)sgp_transport_send_next(transport, &send) = 3;
        sgp_transport_send_commit(transport, &send);
    } else {
        sgp_inbox_key_t other = {.channel = 1, .kind = SGP_KIND_PUSH, .src = 1, .step = 4};
        uint64_t since = sgp_inbox_taken_in(inbox);
        CHECK(sgp_transport_wait(transport, far) == SGP_OK);
        CHECK(!sgp_inbox_find(inbox, &other));
        /* The look has taken it in. Whoever would have had a use for it must not sleep now: nothing
         * else will come. The deadline has passed, so a wait that sleeps says so. */
        CHECK(sgp_inbox_wait(inbox, since, now, "nothing") == SGP_OK);
        since = sgp_inbox_taken_in(inbox);
        CHECK(sgp_inbox_wait(inbox, since, now, "nothing") == SGP_ERR_TIMEOUT);
        sgp_inbox_key_t key = other;
        key.step = 5;
        sgp_chunk_t *chunk = sgp_inbox_find(inbox, &key);
        CHECK(chunk && *(const float *)chunk->payload == 3);
        if (chunk) sgp_inbox_release(inbox, chunk);
    }
    sgp_inbox_destroy(inbox);
    sgp_transport_leave(transport, far);
    sgp_transport_destroy(transport);
}

static void test_what_a_look_took_in_is_not_slept_over(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++) {
        ranks_setup_t setup = {.shm = shm, .loopback = {.size = 2}};
        run_transports(&setup, look_for_another, NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_look_took_in_is_not_slept_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
