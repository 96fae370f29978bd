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

static bool send_number(sgp_inbox_t *inbox, uint64_t step, float number) {
    sgp_transport_t *transport = sgp_inbox_transport(inbox);
    sgp_header_t header = {.kind = SGP_KIND_GATHER,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = 1,
                           .step = step,
                           .count = 1};
    sgp_destination_t to = {.dst = 0, .weight = 1};
    sgp_send_t send;
    if (sgp_inbox_send_begin(inbox, &header, &to, 1, UINT64_MAX, &send) != SGP_OK) return false;
    *(float *)sgp_transport_send_next(transport, &send) = number;
    sgp_transport_send_commit(transport, &send);
    return true;
}

/* All others send rank 0 chunks of steps 5 and 69, which share a queue; it walks over those of step 5, and takes every
 * second one out. */
static void walk(sgp_transport_t *transport, void *context) {
    (void)context;
    enum { EACH = 4 };
    int total = 2 * EACH * (transport->size - 1), seen = 0, left = 0;
    sgp_inbox_t *inbox = NULL;
    CHECK(sgp_inbox_create(transport, &inbox) == SGP_OK);
    CHECK(sgp_transport_prepare(transport, sizeof(float), 2 * EACH) == SGP_OK);
    for (int i = 0; i < 2 * EACH && transport->rank > 0; i++)
        CHECK(send_number(inbox, i % 2 ? 5 : 69, (float)i));
    if (transport->rank == 0) {
        float last[8] = {0};
        while (sgp_inbox_collect(inbox), sgp_inbox_taken_in(inbox) < (uint64_t)total)
            CHECK(sgp_transport_wait(transport, UINT64_MAX) == SGP_OK);
        sgp_inbox_key_t key = {.channel = 1, .kind = SGP_KIND_GATHER, .step = 5};
        for (sgp_chunk_t *next, *chunk = sgp_inbox_next(inbox, &key, NULL); chunk; chunk = next) {
            float number = *(const float *)chunk->payload;
            CHECK(chunk->header.step == 5 && number > last[chunk->header.src]);
            last[chunk->header.src] = number;
            next = sgp_inbox_next(inbox, &key, chunk);
            if (seen++ % 2) sgp_inbox_release(inbox, chunk);
        }
        for (sgp_chunk_t *at = NULL; (at = sgp_inbox_next(inbox, &key, at));) left++;
        CHECK(seen == total / 2 && left == total / 4);
        key.kind = SGP_KIND_REDUCE;
        CHECK(!sgp_inbox_next(inbox, &key, NULL));
    }
    sgp_inbox_destroy(inbox);
    sgp_transport_leave(transport, sgp_transport_now(transport) + (uint64_t)60 * 1000000000u);
    sgp_transport_destroy(transport);
}

static void test_walk(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++) {
        ranks_setup_t setup = {.shm = shm, .loopback = {.size = 3}};
        run_transports(&setup, walk, NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_look_took_in_is_not_slept_over),
        cmocka_unit_test(test_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
