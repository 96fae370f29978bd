/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that join while the others train, over loopback in virtual time. A founder invites them: it does what a sponsor does
 * that was called, and starts their threads. */
#include "mixing/trial.h"

#include "group/agree_call.h"
#include "group/newcomers.h"

enum { SEATS = 8, COUNT = 40, LONGEST = 280 };

typedef struct guest {
    int seat, invited_in; /* by `sponsor`, before that step */
    int sponsor;
    uint32_t incarnation;
    /* Results. */
    uint64_t admitted, first; /* K, and its first step */
    float z[COUNT];           /* with which it begins */
    pthread_t thread;
    bool started;
    sgp_newcomer_t as;
    unsigned char view[4096];
    struct party *party;
} guest_t;

typedef struct party {
    bool may_fail[SEATS]; /* it is killed */
    sgp_mixer_options_t options;
    int founders, steps;
    float rate;
    uint64_t compute;
    bool alike; /* all begin with the same z */
    int average_every;
    guest_t guests[4];
    int guest_count;
    sgp_loopback_t *hub;
    /* Results. */
    float before[SEATS][LONGEST][COUNT]; /* z of each node before each step */
    float average[SEATS][COUNT];
    float last[SEATS][COUNT];
    sgp_mixer_consensus_t consensus[SEATS];
    sgp_mixer_statistics_t statistics[SEATS];
    int made[SEATS];
} party_t;

/* ---- what all nodes do ---- */

static void train(party_t *party, sgp_group_t *group, sgp_mixer_t *mixer, int from,
                  void (*between)(party_t *party, sgp_group_t *group, int step)) {
    int rank = sgp_group_rank(group);
    float gradient[COUNT], average[COUNT];
    sgp_optimizer_t *optimizer = NULL;
    CHECK(sgp_optimizer_create(&(sgp_optimizer_options_t){.count = COUNT}, &optimizer) == SGP_OK);
    for (int step = from; step < party->steps; step++) {
        float *z = sgp_mixer_parameters(mixer);
        if (between) between(party, group, step);
        memcpy(party->before[rank][step], z, sizeof gradient);
        for (int i = 0; i < COUNT; i++) gradient[i] = z[i] - target_of(rank) + (float)i;
        compute(mixer->transport, party->compute);
        if (sgp_mixer_step(mixer, optimizer, gradient, party->rate) != SGP_OK) {
            CHECK(party->may_fail[rank]);
            if (!party->may_fail[rank])
                fprintf(stderr, "node %d step %d t=%g: %s\n", rank, step,
                        (double)sgp_transport_now(mixer->transport) / 1e6, sgp_last_error());
            break;
        }
        party->made[rank]++;
        if (party->average_every && (step + 1) % party->average_every == 0)
            CHECK(sgp_mixer_average(mixer, average, NULL) == SGP_OK || party->may_fail[rank]);
    }
    sgp_mixer_statistics(mixer, &party->statistics[rank]);
    CHECK(sgp_mixer_average(mixer, party->average[rank], &party->consensus[rank]) == SGP_OK ||
          party->may_fail[rank]);
    /* An average adds each node's own rounding errors to its z. */
    bool outer = mixer->outer_kind == SGP_OUTER_BY_MEAN;
    memcpy(party->last[rank], outer ? mixer->outer_anchor : mixer->z, sizeof gradient);
    sgp_optimizer_destroy(optimizer);
}

/* ---- newcomers ---- */

static void *guest_main(void *argument) {
    guest_t *guest = argument;
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    sgp_log_set_rank(guest->seat);
    CHECK(sgp_newcomer_found(&guest->as, &group) == SGP_OK);
    if (group)
        CHECK(sgp_mixer_create(group, &guest->party->options, NULL, &mixer) == SGP_OK ||
              guest->party->may_fail[guest->seat]);
    if (mixer) {
        guest->first = sgp_group_first_step(group);
        memcpy(guest->z, sgp_mixer_parameters(mixer), sizeof guest->z);
        CHECK(mixer->w == 1 && mixer->step == guest->first);
        train(guest->party, group, mixer, (int)guest->first, NULL);
    }
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    return NULL;
}

static void invite(party_t *party, sgp_group_t *group, guest_t *guest) {
    sgp_sponsor_owner_t owner = sgp_newcomers_owner(group);
    sgp_sponsored_t is = {.candidate = 77 + (uint64_t)guest->seat,
                          .seat = guest->seat,
                          .incarnation = guest->incarnation};
    sgp_sponsor_offer_t offer;
    char why[SGP_ENTER_REASON];
    bool again;
    guest->party = party;
    CHECK(owner.offer(owner.context, &is, &offer, why));
    CHECK(offer.view_bytes <= sizeof guest->view);
    memcpy(guest->view, offer.view, offer.view_bytes);
    CHECK(owner.admit(owner.context, &is, &guest->admitted, &again, why));
    guest->as = (sgp_newcomer_t){.id = is.candidate,
                                 .step = guest->admitted,
                                 .view = guest->view,
                                 .view_bytes = offer.view_bytes,
                                 .timeout_ms = 60000};
    CHECK(sgp_loopback_join(party->hub, guest->seat, &guest->as.transport) == SGP_OK);
    CHECK(pthread_create(&guest->thread, NULL, guest_main, guest) == 0);
    guest->started = true;
}

static void invite_all(party_t *party, sgp_group_t *group, int step) {
    for (int g = 0; g < party->guest_count; g++) {
        guest_t *guest = &party->guests[g];
        if (guest->sponsor == sgp_group_rank(group) && guest->invited_in == step)
            invite(party, group, guest);
    }
}

/* ---- founders ---- */

static void *founder_main(void *argument) {
    ranks_thread_t *thread = argument;
    party_t *party = thread->context;
    sgp_group_t *group = NULL;
    sgp_mixer_t *mixer = NULL;
    float initial[COUNT];
    sgp_transport_t *transport = sgp_loopback_transport(party->hub, thread->rank);
    sgp_log_set_rank(thread->rank);
    transport->elastic = true;
    for (int i = 0; i < COUNT; i++)
        initial[i] = (float)i + (party->alike ? 0 : (float)thread->rank);
    CHECK(sgp_group_found(transport, 60000, &group) == SGP_OK);
    CHECK(sgp_newcomers_accept(group, &(sgp_newcomers_t){.blob = "blob", .blob_bytes = 4}, false) ==
          SGP_OK);
    CHECK(sgp_mixer_create(group, &party->options, initial, &mixer) == SGP_OK);
    if (mixer) train(party, group, mixer, 0, invite_all);
    sgp_mixer_destroy(mixer);
    sgp_group_leave(group);
    return NULL;
}

static void celebrate(party_t *party, const ranks_setup_t *given) {
    sgp_loopback_options_t loopback = given->loopback;
    ranks_thread_t arguments[SEATS];
    pthread_t threads[SEATS];
    loopback.size = party->founders;
    loopback.seats = SEATS;
    party->options.count = COUNT;
    atomic_store(&ranks_failures, 0);
    assert_int_equal(sgp_loopback_create(&loopback, &party->hub), SGP_OK);
    for (int r = 0; r < party->founders; r++) {
        arguments[r] = (ranks_thread_t){.rank = r, .context = party};
        assert_int_equal(pthread_create(&threads[r], NULL, founder_main, &arguments[r]), 0);
    }
    for (int r = 0; r < party->founders; r++) pthread_join(threads[r], NULL);
    for (int g = 0; g < party->guest_count; g++)
        if (party->guests[g].started) pthread_join(party->guests[g].thread, NULL);
    sgp_loopback_destroy(party->hub);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

static party_t *party_of(sgp_mixer_options_t options, int founders, int steps) {
    static party_t party;
    memset(&party, 0, sizeof party);
    party = (party_t){.options = options,
                      .founders = founders,
                      .steps = steps,
                      .rate = 0.05f,
                      .compute = 5 * MILLISECOND};
    return &party;
}

static int length_of_round(const party_t *party) {
    return party->options.local_steps > 0 ? party->options.local_steps : 1;
}

/* It begins with what a member had before that step, bit for bit, and within 24 rounds. */
static void began_with_a_member(const party_t *party, const guest_t *guest) {
    bool found = false;
    assert_true(guest->started && guest->first >= guest->admitted);
    assert_true(guest->first <= (uint64_t)(guest->invited_in + 25 * length_of_round(party)));
    for (int r = 0; r < SEATS; r++)
        if (r != guest->seat)
            found |= memcmp(party->before[r][guest->first], guest->z, sizeof guest->z) == 0;
    assert_true(found);
}

static void all_took_part(const party_t *party) {
    int nodes = party->founders + party->guest_count;
    for (int r = 0; r < nodes; r++) {
        if (fabs(party->consensus[r].w_total - nodes) > 1e-9)
            fail_msg("node %d: W is %.17g of %d", r, party->consensus[r].w_total, nodes);
        assert_memory_equal(party->average[r], party->average[0], sizeof party->average[r]);
    }
}

static void test_lock_step(void **state) {
    (void)state;
    party_t *party = party_of((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP}, 2, 60);
    ranks_setup_t setup = delays(2, 3, 2 * MILLISECOND);
    party->guests[0] = (guest_t){.seat = 2, .invited_in = 6};
    party->guest_count = 1;
    celebrate(party, &setup);
    began_with_a_member(party, &party->guests[0]);
    all_took_part(party);
    assert_int_equal(party->guests[0].first, party->guests[0].admitted);
    assert_int_equal(party->made[2], 60 - (int)party->guests[0].first);
}

/* Three newcomers of different sponsors, some of them at the same time, with exact averages in between. */
static party_t *several(sgp_mixer_options_t options, uint64_t seed) {
    party_t *party = party_of(options, 3, 0);
    ranks_setup_t setup = delays(3, seed, 2 * MILLISECOND);
    int round = length_of_round(party);
    party->steps = 90 * round;
    party->average_every = 20;
    party->guests[0] = (guest_t){.seat = 3, .invited_in = 6 * round, .sponsor = 0};
    party->guests[1] = (guest_t){.seat = 4, .invited_in = 6 * round, .sponsor = 1};
    party->guests[2] = (guest_t){.seat = 5, .invited_in = 29 * round, .sponsor = 2};
    party->guest_count = 3;
    celebrate(party, &setup);
    return party;
}

static void check_several(sgp_mixer_options_t options) {
    for (uint64_t seed = 1; seed <= 3; seed++) {
        party_t *party = several(options, seed);
        for (int g = 0; g < 3; g++) began_with_a_member(party, &party->guests[g]);
        all_took_part(party);
    }
}

static void test_several(void **state) {
    (void)state;
    check_several((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP});
    check_several((sgp_mixer_options_t){
        .algorithm = SGP_ALGORITHM_SGP, .encoding = SGP_ENCODING_BFLOAT16, .graph = {.peers = 2}});
    check_several((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_DPSGD});
    check_several((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP, .local_steps = 3});
    check_several((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP, .rounds = 3});
    check_several((sgp_mixer_options_t){
        .algorithm = SGP_ALGORITHM_DPSGD, .rounds = SGP_ROUNDS_AUTO, .local_steps = 2});
}

static void test_overlap(void **state) {
    (void)state;
    check_several((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_OSGP});
    check_several((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP, .overlap = 3});
}

/* Nodes may be any number of steps apart between two averages. */
static void test_without_waiting(void **state) {
    (void)state;
    check_several(
        (sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP, .overlap = SGP_OVERLAP_ASYNC});
    check_several((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_OSGP,
                                        .overlap = SGP_OVERLAP_ASYNC,
                                        .encoding = SGP_ENCODING_BFLOAT16,
                                        .graph = {.peers = 2},
                                        .local_steps = 2});
}

static void test_outer_updates(void **state) {
    (void)state;
    check_several((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP,
                                        .local_steps = 2,
                                        .outer_lr = 0.7f,
                                        .outer_momentum = 0.8f});
    check_several((sgp_mixer_options_t){
        .algorithm = SGP_ALGORITHM_SGP, .slow_momentum = 0.5f, .slow_every = 5});
}

/* All nodes make the same step, a newcomer from its first one on; with local steps they meet in each exchange. */
static void check_allreduce(sgp_mixer_options_t options) {
    options.algorithm = SGP_ALGORITHM_ALLREDUCE;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        party_t *party = several(options, seed);
        for (int g = 0; g < 3; g++) began_with_a_member(party, &party->guests[g]);
        all_took_part(party);
        for (int r = 1; r < 6; r++)
            assert_memory_equal(party->last[r], party->last[0], sizeof party->last[r]);
    }
}

/* A newcomer's outer vectors are those of a member, or the nodes would not end alike. */
static void check_outer_steps(sgp_mixer_options_t options) {
    options.local_steps = 3;
    options.outer_lr = 0.7f;
    options.outer_momentum = 0.8f;
    check_allreduce(options);
}

static void test_allreduce(void **state) {
    (void)state;
    check_allreduce((sgp_mixer_options_t){.encoding = SGP_ENCODING_FLOAT32});
    check_allreduce((sgp_mixer_options_t){.encoding = SGP_ENCODING_BFLOAT16});
    check_allreduce((sgp_mixer_options_t){.local_steps = 3});
    check_outer_steps((sgp_mixer_options_t){.encoding = SGP_ENCODING_FLOAT32});
    check_outer_steps((sgp_mixer_options_t){.encoding = SGP_ENCODING_INT4});
}

/* Without gradients nodes that are alike stay so, whoever joins. */
static void test_alike(void **state) {
    (void)state;
    for (int overlap = 0; overlap <= 1; overlap++) {
        party_t *party = party_of(
            (sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP, .overlap = overlap}, 3, 60);
        ranks_setup_t setup = delays(3, 5, 2 * MILLISECOND);
        party->alike = true;
        party->rate = 0;
        party->guests[0] = (guest_t){.seat = 3, .invited_in = 6};
        party->guest_count = 1;
        celebrate(party, &setup);
        all_took_part(party);
        for (int r = 0; r < 4; r++)
            for (int i = 0; i < COUNT; i++)
                assert_true(fabsf(party->last[r][i] - (float)i) <= 1e-5f * (float)i);
    }
}

/* A node dies at any time while another joins: a founder, which may be the sponsor or the one that is asked, or the newcomer
 * itself. All others go on. */
static void dies(sgp_algorithm_t algorithm, int seat, uint64_t at_ms, int average_every) {
    party_t *party = party_of((sgp_mixer_options_t){.algorithm = algorithm}, 3, 70);
    ranks_setup_t setup = delays(3, at_ms, 2 * MILLISECOND);
    sgp_loopback_fault_t kill = {
        .kind = SGP_FAULT_KILL, .seat = seat, .from_ns = at_ms * MILLISECOND};
    setup.loopback.faults = &kill;
    setup.loopback.fault_count = 1;
    party->average_every = average_every;
    party->may_fail[seat] = true;
    party->guests[0] = (guest_t){.seat = 3, .invited_in = 6};
    party->guest_count = 1;
    celebrate(party, &setup);
    bool came = party->guests[0].started;
    int nodes = 3 + came - 1;
    for (int r = 0; r < 3 + came; r++) {
        if (r == seat) continue;
        if (fabs(party->consensus[r].w_total - nodes) > 1e-9)
            fail_msg("%d dies at %d ms: node %d: W is %.17g of %d", seat, (int)at_ms, r,
                     party->consensus[r].w_total, nodes);
    }
}

static void test_deaths(void **state) {
    (void)state;
    for (int seat = 0; seat < 4; seat++) {
        for (uint64_t at_ms = 50; at_ms < 260; at_ms += 13)
            dies(SGP_ALGORITHM_SGP, seat, at_ms, at_ms % 2 ? 7 : 0);
        for (uint64_t at_ms = 125; at_ms < 150; at_ms += 5)
            dies(SGP_ALGORITHM_ALLREDUCE, seat, at_ms, at_ms % 2 ? 7 : 0);
    }
}

/* A newcomer and a founder lose each other before the newcomer's first step, while others hear both. It knows of that when it
 * has begun: in the call at the end it gives way, as the one with the higher seat, and the others come to their result. */
static void test_unheard_before_its_first_step(void **state) {
    (void)state;
    for (int founder = 0; founder < 3; founder++) {
        party_t *party = party_of((sgp_mixer_options_t){.algorithm = SGP_ALGORITHM_SGP}, 3, 40);
        ranks_setup_t setup = delays(3, 7, 2 * MILLISECOND);
        sgp_loopback_fault_t cut = {.kind = SGP_FAULT_CUT_BOTH,
                                    .seat = founder,
                                    .other = 3,
                                    .from_ns = 300 * MILLISECOND,
                                    .length_ns = SGP_FOR_GOOD};
        setup.loopback.faults = &cut;
        setup.loopback.fault_count = 1;
        party->compute = 100 * MILLISECOND;
        party->may_fail[3] = true;
        party->guests[0] = (guest_t){.seat = 3, .invited_in = 2};
        party->guest_count = 1;
        celebrate(party, &setup);
        assert_true(party->guests[0].first > 0 && party->made[3] > 0);
        for (int r = 0; r < 3; r++) assert_float_equal(party->consensus[r].w_total, 3, 1e-9);
        assert_float_equal(party->consensus[3].w_total, 0, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lock_step),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_without_waiting),
        cmocka_unit_test(test_outer_updates),
        cmocka_unit_test(test_allreduce),
        cmocka_unit_test(test_alike),
        cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_unheard_before_its_first_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
