/* SPDX-License-Identifier: Apache-2.0 */
#include "ranks.h"

#include "transport/inbox.h"

#include <string.h>

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
        *(float *)sgp_inbox_send_next(inbox, &send) = 3;
        sgp_inbox_send_commit(inbox, &send);
    } else {
        sgp_inbox_key_t other = {.channel = 1, .kind = SGP_KIND_PUSH, .src = 1, .step = 4};
        uint64_t since = sgp_inbox_taken_in(inbox);
        CHECK(sgp_transport_wait(transport, far) == SGP_OK);
        CHECK(!sgp_inbox_find(inbox, &other));
        /* The find has taken it in. A caller that needs it must not sleep now, as nothing else will arrive. The deadline
         * has passed, so a wait that sleeps returns an error. */
        CHECK(sgp_inbox_wait(inbox, since, now, "nothing") == SGP_OK);
        since = sgp_inbox_taken_in(inbox);
        sgp_status_t status = SGP_OK; /* that the other one leaves can end a wait early */
        for (int i = 0; i < 100 && status == SGP_OK; i++)
            status = sgp_inbox_wait(inbox, since, now, "nothing");
        CHECK(status == SGP_ERR_TIMEOUT);
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

/* ---- refused chunks ---- */

static void send_one(sgp_inbox_t *inbox, uint32_t channel, uint64_t step, float value) {
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = channel,
                           .step = step,
                           .count = 1};
    sgp_destination_t to = {.dst = 1 - sgp_inbox_transport(inbox)->rank, .weight = 1};
    sgp_send_t send;
    uint64_t far = sgp_transport_now(sgp_inbox_transport(inbox)) + (uint64_t)60 * 1000000000u;
    CHECK(sgp_inbox_send_begin(inbox, &header, &to, 1, far, &send) == SGP_OK);
    *(float *)sgp_inbox_send_next(inbox, &send) = value;
    sgp_inbox_send_commit(inbox, &send);
}

enum { KNOWN = 5, GONE = 3, REFUSED = 4 };

#define FAR_STEP (UINT64_C(1) << 32)

/* Rank 1 sends legal chunks, however far ahead, and illegal ones among them. */
static void send_all(sgp_inbox_t *inbox) {
    send_one(inbox, KNOWN, 1, 1);
    send_one(inbox, KNOWN, 1, 2); /* it is there already */
    send_one(inbox, GONE, 1, 3);
    send_one(inbox, KNOWN + 65537, 1, 4);
    send_one(inbox, KNOWN, FAR_STEP + 1, 5);
    send_one(inbox, KNOWN + 65536, 1, 6);
    send_one(inbox, KNOWN, FAR_STEP, 7);
}

static void check_found(sgp_inbox_t *inbox, uint32_t channel, uint64_t step, float value) {
    sgp_inbox_key_t key = {.channel = channel, .kind = SGP_KIND_PUSH, .src = 1, .step = step};
    sgp_chunk_t *chunk = sgp_inbox_find(inbox, &key);
    CHECK((value != 0) == (chunk != NULL));
    if (!chunk) return;
    CHECK(*(const float *)chunk->payload == value);
    sgp_inbox_release(inbox, chunk);
}

static void take_in(sgp_inbox_t *inbox, uint64_t chunks, uint64_t deadline) {
    for (uint64_t since; (since = sgp_inbox_taken_in(inbox)) < chunks;) {
        CHECK(sgp_inbox_wait(inbox, since, deadline, "what the other one sends") == SGP_OK);
        sgp_inbox_collect(inbox);
    }
}

static void refuse_some(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_inbox_t *inbox = NULL;
    uint64_t far = sgp_transport_now(transport) + (uint64_t)60 * 1000000000u;
    CHECK(sgp_inbox_create(transport, &inbox) == SGP_OK);
    CHECK(sgp_transport_prepare(transport, sizeof(float), 8) == SGP_OK);
    sgp_inbox_open_channel(inbox, KNOWN);
    sgp_inbox_drop_channel(inbox, GONE);
    if (transport->rank == 1) {
        take_in(inbox, 1, far); /* rank 0 has come so far */
        send_all(inbox);
    } else {
        send_one(inbox, KNOWN, 0, 0);
        take_in(inbox, 3, far);
        CHECK(transport->counters.refused == REFUSED);
        check_found(inbox, KNOWN, 1, 1);
        check_found(inbox, KNOWN, 1, 0);
        check_found(inbox, KNOWN + 65536, 1, 6);
        check_found(inbox, KNOWN, FAR_STEP, 7);
    }
    sgp_inbox_destroy(inbox);
    sgp_transport_leave(transport, far);
    sgp_transport_destroy(transport);
}

static void test_what_nobody_asks_for_is_refused(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++) {
        ranks_setup_t setup = {.shm = shm, .loopback = {.size = 2}};
        sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
        run_transports(&setup, refuse_some, NULL);
        assert_non_null(strstr(ranks_last_error, "refused a chunk from node 1"));
        sgp_log_set(NULL, NULL, 0);
    }
}

/* ---- damaged blocks ---- */

/* The codes of 3 numbers, and their scale. */
static void send_block(sgp_inbox_t *inbox, sgp_encoding_t encoding, uint64_t step, uint32_t scale,
                       unsigned char code) {
    sgp_header_t header = {
        .kind = SGP_KIND_PUSH, .encoding = encoding, .channel = KNOWN, .step = step, .count = 3};
    sgp_destination_t to = {.dst = 0, .weight = 1};
    sgp_send_t send;
    uint64_t far = sgp_transport_now(sgp_inbox_transport(inbox)) + (uint64_t)60 * 1000000000u;
    CHECK(sgp_inbox_send_begin(inbox, &header, &to, 1, far, &send) == SGP_OK);
    unsigned char *place = sgp_inbox_send_next(inbox, &send);
    memset(place, 0, 7);
    memcpy(place, &scale, sizeof scale);
    place[5] = code;
    sgp_inbox_send_commit(inbox, &send);
}

/* Bytes that no sender can have encoded, among good ones. */
static void refuse_damaged(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_inbox_t *inbox = NULL;
    uint64_t far = sgp_transport_now(transport) + (uint64_t)60 * 1000000000u;
    CHECK(sgp_inbox_create(transport, &inbox) == SGP_OK);
    CHECK(sgp_transport_prepare(transport, 64, 8) == SGP_OK);
    sgp_inbox_open_channel(inbox, KNOWN);
    if (transport->rank == 1) {
        send_block(inbox, SGP_ENCODING_INT8, 0, 0x3f800000, 0x81);
        send_block(inbox, SGP_ENCODING_INT8, 1, 0x3f800000, 0x80);
        send_block(inbox, SGP_ENCODING_INT8, 2, 0x7f800000, 1);
        send_block(inbox, SGP_ENCODING_INT8, 3, 0xbf800000, 1);
        send_block(inbox, SGP_ENCODING_INT4, 4, 0x3f800000, 0x70);
        send_block(inbox, SGP_ENCODING_INT4, 5, 0x3f800000, 0x08);
        send_block(inbox, SGP_ENCODING_INT4, 6, 0x7fc00000, 0);
        send_block(inbox, SGP_ENCODING_INT8, 7, 0, 0);
    } else {
        take_in(inbox, 2, far);
        sgp_inbox_collect(inbox);
        sgp_inbox_key_t key = {.channel = KNOWN, .kind = SGP_KIND_PUSH, .src = 1, .step = 7};
        while (!sgp_inbox_find(inbox, &key)) CHECK(sgp_transport_wait(transport, far) == SGP_OK);
        CHECK(transport->counters.refused == 6);
        for (key.step = 0; key.step < 8; key.step++) {
            sgp_chunk_t *chunk = sgp_inbox_find(inbox, &key);
            CHECK((chunk != NULL) == (key.step % 7 == 0));
            if (chunk) sgp_inbox_release(inbox, chunk);
        }
    }
    sgp_inbox_destroy(inbox);
    sgp_transport_leave(transport, far);
    sgp_transport_destroy(transport);
}

static void test_damaged_blocks_are_refused(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        ranks_setup_t setup = {.shm = way == 1, .tcp = way == 2, .loopback = {.size = 2}};
        sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
        run_transports(&setup, refuse_damaged, NULL);
        assert_non_null(strstr(ranks_last_error, "damaged"));
        sgp_log_set(NULL, NULL, 0);
    }
}

/* ---- walking ---- */

enum { EACH = 4, LINE = 64 / sizeof(float) };

static sgp_send_t begin_message(sgp_inbox_t *inbox, const sgp_destination_t *to, uint64_t step) {
    sgp_header_t header = {.kind = SGP_KIND_GATHER,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = 1,
                           .step = step,
                           .count = EACH * LINE};
    sgp_send_t send;
    CHECK(sgp_inbox_send_begin(inbox, &header, to, 1, UINT64_MAX, &send) == SGP_OK);
    return send;
}

static void send_line(sgp_inbox_t *inbox, sgp_send_t *send, float number) {
    float *place = sgp_inbox_send_next(inbox, send);
    for (int i = 0; i < LINE; i++) place[i] = number;
    sgp_inbox_send_commit(inbox, send);
}

/* Rank 0 walks over the arrived chunks of step 5, in the order of each sender, and takes every second one out. */
static void walk_over(sgp_inbox_t *inbox, int total) {
    int seen = 0, left = 0;
    float last[8] = {0};
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

/* All others send rank 0 chunks of steps 5 and 69, which share a queue. */
static void walk(sgp_transport_t *transport, void *context) {
    (void)context;
    int total = 2 * EACH * (transport->size - 1);
    sgp_destination_t to = {.dst = 0, .weight = 1};
    sgp_inbox_t *inbox = NULL;
    CHECK(sgp_inbox_create(transport, &inbox) == SGP_OK);
    CHECK(sgp_transport_prepare(transport, EACH * LINE * sizeof(float), 2) == SGP_OK);
    sgp_inbox_open_channel(inbox, 1);
    if (transport->rank > 0) {
        sgp_send_t late = begin_message(inbox, &to, 69), early = begin_message(inbox, &to, 5);
        for (int i = 0; i < EACH; i++) {
            send_line(inbox, &late, (float)i + 0.5f);
            send_line(inbox, &early, (float)i + 1);
        }
    } else {
        while (sgp_inbox_collect(inbox), sgp_inbox_taken_in(inbox) < (uint64_t)total)
            CHECK(sgp_transport_wait(transport, UINT64_MAX) == SGP_OK);
        walk_over(inbox, total);
    }
    sgp_inbox_destroy(inbox);
    sgp_transport_leave(transport, sgp_transport_now(transport) + (uint64_t)60 * 1000000000u);
    sgp_transport_destroy(transport);
}

static void test_walk(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++) {
        ranks_setup_t setup = {.shm = shm, .loopback = {.size = 3, .chunk_bytes = 64}};
        run_transports(&setup, walk, NULL);
    }
}

/* ---- losses ---- */

/* Rank 1 dies, and no call of rank 0 fails for that: each loss ends one wait early, and a message to the dead can be
 * sent. */
static void outlive(sgp_transport_t *transport, void *context) {
    sgp_inbox_t *inbox = NULL;
    sgp_header_t header = {
        .kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .channel = 1, .count = 1};
    sgp_destination_t to = {.dst = 1, .weight = 1};
    sgp_send_t send;
    (void)context;
    transport->elastic = true;
    if (transport->rank == 1) {
        sgp_transport_destroy(transport);
        return;
    }
    CHECK(sgp_inbox_create(transport, &inbox) == SGP_OK);
    CHECK(sgp_transport_prepare(transport, sizeof(float), 1) == SGP_OK);
    uint64_t now = sgp_transport_now(transport), far = now + (uint64_t)60 * 1000000000u;
    while (!sgp_fates_events(transport->fates))
        CHECK(sgp_inbox_wait_for(inbox, 1, 0, far, "message") == SGP_OK);
    for (int i = 0; i < 100; i++) {
        CHECK(sgp_inbox_send_begin(inbox, &header, &to, 1, far, &send) == SGP_OK);
        *(float *)sgp_inbox_send_next(inbox, &send) = 3;
        sgp_inbox_send_commit(inbox, &send);
    }
    sgp_status_t status;
    do status = sgp_inbox_wait_for(inbox, 1, 0, sgp_transport_now(transport), "message");
    while (status == SGP_OK); /* the event, if the wait above had not begun by then */
    CHECK(status == SGP_ERR_TIMEOUT);
    CHECK(sgp_inbox_wait(inbox, 0, sgp_transport_now(transport), "one") == SGP_ERR_TIMEOUT);
    sgp_inbox_destroy(inbox);
    sgp_transport_leave(transport, far);
    sgp_transport_destroy(transport);
}

static void test_elastic(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++) {
        ranks_setup_t setup = {.shm = shm, .loopback = {.size = 2}};
        run_transports(&setup, outlive, NULL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_look_took_in_is_not_slept_over),
        cmocka_unit_test(test_what_nobody_asks_for_is_refused),
        cmocka_unit_test(test_damaged_blocks_are_refused),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_elastic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
