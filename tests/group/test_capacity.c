/* SPDX-License-Identifier: Apache-2.0 */
/* Groups that keep room for nodes that join later (sgp_group_options_t.capacity), made by sgp_group_join. */
#include "ranks.h"
#include "transport/vectors.h"

#include "group/group_internal.h"
#include "group/join/candidate.h"
#include "group/join/sponsor.h"

typedef struct node {
    sgp_group_options_t options;
    sgp_group_t *group;
    sgp_status_t status;
    pthread_t thread;
} node_t;

static void *node_main(void *argument) {
    node_t *node = argument;
    node->status = sgp_group_join(&node->options, &node->group);
    return NULL;
}

/* SIZE nodes, each a thread; a group of one needs no place to meet. */
static void meet(node_t *nodes, int size, const char *transport, const char *directory) {
    for (int r = 0; r < size; r++) {
        nodes[r] = (node_t){.options = {.rank = r,
                                        .size = size,
                                        .rendezvous = size > 1 ? directory : NULL,
                                        .interface = "127.0.0.1",
                                        .transport = transport,
                                        .elastic = 1,
                                        .capacity = (uint64_t)size + 2}};
        assert_int_equal(pthread_create(&nodes[r].thread, NULL, node_main, &nodes[r]), 0);
    }
    for (int r = 0; r < size; r++) {
        pthread_join(nodes[r].thread, NULL);
        assert_int_equal(nodes[r].status, SGP_OK);
        assert_int_equal(sgp_group_size(nodes[r].group), size);
        assert_int_equal(sgp_group_transport(nodes[r].group)->capacity, size + 2);
    }
}

typedef struct party {
    node_t *nodes;
    int size;
    atomic_bool admitted;
} party_t;

static bool on_offer(void *context, const sgp_sponsored_t *candidate, sgp_sponsor_offer_t *offer,
                     char *why) {
    (void)context, (void)candidate, (void)offer, (void)why;
    return true;
}

static bool on_admit(void *context, const sgp_sponsored_t *candidate, uint64_t *step, bool *again,
                     char *why) {
    party_t *party = context;
    (void)again, (void)why;
    for (int r = 0; r < party->size; r++)
        CHECK(sgp_card_open(sgp_group_transport(party->nodes[r].group), candidate->seat,
                            candidate->incarnation, candidate->card, SGP_CARD_BYTES) == SGP_OK);
    *step = 16;
    return true;
}

typedef struct guest {
    char contact[SGP_ADDRESS_TEXT];
    sgp_transport_t *transport;
    atomic_bool done;
} guest_t;

static void *guest_main(void *argument) {
    guest_t *guest = argument;
    sgp_candidate_t *candidate = NULL;
    uint64_t step = 0;
    sgp_candidate_options_t options = {
        .contacts = guest->contact, .interface = "127.0.0.1", .seat = -1, .timeout_ms = 60000};
    CHECK(sgp_candidate_call(&options, &candidate) == SGP_OK);
    if (candidate) CHECK(sgp_candidate_connect(candidate, &guest->transport) == SGP_OK);
    if (candidate) CHECK(sgp_candidate_ready(candidate, 60000, &step) == SGP_OK);
    CHECK(step == 16);
    sgp_candidate_destroy(candidate);
    atomic_store(&guest->done, true);
    return NULL;
}

/* The last node is the sponsor. */
static void join_and_exchange(node_t *nodes, int size) {
    party_t party = {.nodes = nodes, .size = size};
    sgp_transport_t *last = sgp_group_transport(nodes[size - 1].group);
    sgp_sponsor_options_t options = {
        .transport = last, .owner = {.offer = on_offer, .admit = on_admit, .context = &party}};
    sgp_sponsor_t *sponsor = NULL;
    guest_t guest = {.transport = NULL};
    sgp_address_t at;
    pthread_t thread;
    assert_true(sgp_transport_address_of(last, last->rank, &at));
    sgp_address_text(&at, guest.contact);
    assert_int_equal(sgp_sponsor_create(&options, &sponsor), SGP_OK);
    assert_int_equal(pthread_create(&thread, NULL, guest_main, &guest), 0);
    while (!atomic_load(&guest.done)) {
        sgp_sponsor_serve(sponsor);
        sgp_transport_wait(last, sgp_transport_now(last) + 3000000);
    }
    pthread_join(thread, NULL);
    assert_int_equal(guest.transport->rank, size);
    CHECK(sgp_transport_prepare(guest.transport, 1000, 4) == SGP_OK);
    for (int r = 0; r < size; r++) {
        sgp_transport_t *member = sgp_group_transport(nodes[r].group);
        sgp_destination_t to = {member->rank, 0.5}, back = {guest.transport->rank, 0.5};
        sgp_chunk_t chunk;
        CHECK(send_vector(guest.transport, &to, 1, 7, 50));
        if (receive_chunk(member, &chunk)) {
            CHECK(chunk.header.src == size);
            sgp_transport_release(member, &chunk);
        }
        CHECK(send_vector(member, &back, 1, 7, 50));
        if (receive_chunk(guest.transport, &chunk)) {
            CHECK(chunk.header.src == r);
            sgp_transport_release(guest.transport, &chunk);
        }
    }
    sgp_sponsor_destroy(sponsor);
    sgp_transport_leave(guest.transport, sgp_transport_now(last) + FAR);
    sgp_transport_destroy(guest.transport);
}

/* Nodes that share memory among themselves are reached over tcp by those that come later. */
static void test_groups_with_room(void **state) {
    static const char *const transports[] = {"auto", "tcp"};
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int size = 1; size <= 3; size++) {
            char directory[] = "/tmp/sgp-test-XXXXXX";
            node_t nodes[3];
            atomic_store(&ranks_failures, 0);
            assert_non_null(mkdtemp(directory));
            meet(nodes, size, transports[i], directory);
            join_and_exchange(nodes, size);
            for (int r = 0; r < size; r++) sgp_group_abort(nodes[r].group);
            rmdir(directory);
            assert_int_equal(atomic_load(&ranks_failures), 0);
        }
}

static void refuses(sgp_group_options_t options, sgp_status_t status, const char *why) {
    sgp_group_t *group = NULL;
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_ERROR);
    assert_int_equal(sgp_group_join(&options, &group), status);
    assert_non_null(strstr(ranks_last_error, why));
    sgp_log_set(NULL, NULL, 0);
}

static void test_mistakes(void **state) {
    (void)state;
    refuses((sgp_group_options_t){.size = 1, .capacity = 2}, SGP_ERR_INVALID,
            "nodes can join later only if the group is elastic");
    refuses((sgp_group_options_t){.size = 1, .capacity = 2, .elastic = 1, .transport = "shm"},
            SGP_ERR_UNSUPPORTED, "the transport must be auto or tcp, not shm");
    refuses(
        (sgp_group_options_t){
            .size = 4, .rank = 1, .rendezvous = "/tmp", .capacity = 3, .elastic = 1},
        SGP_ERR_INVALID, "a capacity of 3 for 4 nodes");
    refuses((sgp_group_options_t){.size = 1, .capacity = 65537, .elastic = 1}, SGP_ERR_INVALID,
            "must be at most 65536");
}

/* A capacity that is the size changes nothing: nobody can call. */
static void test_no_room(void **state) {
    (void)state;
    sgp_group_t *group = NULL;
    sgp_group_options_t options = {.size = 1, .capacity = 1, .elastic = 1};
    assert_int_equal(sgp_group_join(&options, &group), SGP_OK);
    assert_false(sgp_transport_can_admit(sgp_group_transport(group)));
    sgp_group_leave(group);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_with_room),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
