/* SPDX-License-Identifier: Apache-2.0 */
/* The service of an inbox: it answers messages of one kind while its node waits for another. */
#include "ranks.h"

#include "base/constants.h"
#include "transport/inbox.h"

static void send_one(sgp_inbox_t *inbox, sgp_kind_t kind, uint64_t step) {
    sgp_transport_t *transport = sgp_inbox_transport(inbox);
    sgp_header_t header = {.kind = kind, .encoding = SGP_ENCODING_BYTES, .step = step, .count = 1};
    sgp_destination_t to = {.dst = 1 - transport->rank, .weight = 1};
    uint64_t far = sgp_transport_now(transport) + 60 * SGP_SECOND;
    sgp_send_t send;
    CHECK(sgp_inbox_send_begin(inbox, &header, &to, 1, far, &send) == SGP_OK);
    *(char *)sgp_inbox_send_next(inbox, &send) = 1;
    sgp_inbox_send_commit(inbox, &send);
}

enum { QUESTIONS = 3 };

typedef struct answerer {
    sgp_inbox_t *inbox;
    int answered;
} answerer_t;

static bool answer(void *context) {
    answerer_t *answerer = context;
    sgp_inbox_key_t key = {
        .kind = SGP_KIND_AGREE, .src = 1, .step = (uint64_t)answerer->answered + 1};
    sgp_chunk_t *chunk = sgp_inbox_find(answerer->inbox, &key);
    if (!chunk) return false;
    sgp_inbox_release(answerer->inbox, chunk);
    send_one(answerer->inbox, SGP_KIND_AGREE, (uint64_t)++answerer->answered);
    return false;
}

static bool count_down(void *context) {
    int *left = context;
    return --*left > 0;
}

static void wait_for(sgp_inbox_t *inbox, sgp_kind_t kind, uint64_t step) {
    sgp_transport_t *transport = sgp_inbox_transport(inbox);
    sgp_inbox_key_t key = {.kind = kind, .src = 1 - transport->rank, .step = step};
    uint64_t far = sgp_transport_now(transport) + 60 * SGP_SECOND;
    for (;;) {
        uint64_t since = sgp_inbox_taken_in(inbox);
        sgp_chunk_t *chunk = sgp_inbox_find(inbox, &key);
        if (chunk) {
            sgp_inbox_release(inbox, chunk);
            return;
        }
        sgp_status_t status = sgp_inbox_wait(inbox, since, far, "a chunk");
        CHECK(status == SGP_OK);
        if (status != SGP_OK) return;
    }
}

/* Rank 1 sends the push for which rank 0 waits only after its questions are answered. */
static void ask_and_push(sgp_transport_t *transport, void *context) {
    (void)context;
    answerer_t answerer = {.inbox = NULL};
    CHECK(sgp_inbox_create(transport, &answerer.inbox) == SGP_OK);
    CHECK(sgp_transport_prepare(transport, sizeof(float), QUESTIONS + 1) == SGP_OK);
    if (transport->rank == 0) {
        sgp_inbox_set_service(answerer.inbox, SGP_KIND_AGREE, answer, &answerer);
        wait_for(answerer.inbox, SGP_KIND_PUSH, 1);
        CHECK(answerer.answered == QUESTIONS);
    }
    for (uint64_t q = 1; q <= QUESTIONS && transport->rank == 1; q++) {
        send_one(answerer.inbox, SGP_KIND_AGREE, q);
        wait_for(answerer.inbox, SGP_KIND_AGREE, q);
    }
    if (transport->rank == 1) send_one(answerer.inbox, SGP_KIND_PUSH, 1);
    sgp_inbox_destroy(answerer.inbox);
    sgp_transport_leave(transport, sgp_transport_now(transport) + 60 * SGP_SECOND);
    sgp_transport_destroy(transport);
}

static void test_service(void **state) {
    (void)state;
    for (int shm = 0; shm < 2; shm++) {
        ranks_setup_t setup = {.shm = shm, .loopback = {.size = 2}};
        run_transports(&setup, ask_and_push, NULL);
    }
}

/* It is called until it has no work left, and then no more. */
static void look_often(sgp_transport_t *transport, void *context) {
    (void)context;
    int left = 3;
    sgp_inbox_t *inbox = NULL;
    CHECK(sgp_inbox_create(transport, &inbox) == SGP_OK);
    sgp_inbox_set_service(inbox, SGP_KIND_AGREE, count_down, &left);
    for (int i = 0; i < 6; i++) CHECK(sgp_inbox_look(inbox, false) == SGP_OK);
    CHECK(left == 0);
    sgp_inbox_destroy(inbox);
    sgp_transport_destroy(transport);
}

static void test_service_with_work_left(void **state) {
    (void)state;
    run_transports(&(ranks_setup_t){.loopback = {.size = 1}}, look_often, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service),
        cmocka_unit_test(test_service_with_work_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
