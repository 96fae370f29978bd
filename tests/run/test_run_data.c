/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs whose nodes are killed at any call: over the epoch no sample is used twice, and none is left out but those of the
 * batches that died with their nodes. A wrapper of sampler_batch (--wrap) notes the samples of each node and step. */
#include "run/run_fixture.h"
#include "run/nodes.h"

#include "base/random.h"
#include "data/sampler.h"
#include "run/summary.h"

enum {
    NODES = 4,
    TRAIN = 203,
    TESTS = 10,
    SIDE = 8,
    EPOCHS = 2,
    BATCH = 4,
    STEPS = 100,
    SEEDS = 34,
    BEGUN = 4,
    LOCAL = 3
};

/* What a node has trained on, in the order of its steps. */
typedef struct diary {
    sgp_transport_t *transport;
    uint64_t begins, ends; /* calls of the transport, before the first step and after the last */
    int steps;             /* of the run */
    int epochs;            /* begun */
    uint64_t made_up;      /* samples of a round of make-up steps, at most */
    int epoch[EPOCHS * STEPS];
    int count[EPOCHS * STEPS];
    uint64_t samples[EPOCHS * STEPS][BATCH];
} diary_t;

typedef struct trial {
    sgp_loopback_fault_t faults[NODES + 1];
    sgp_loopback_fault_t stall; /* besides; of length 0: none */
    uint64_t delay_ns;          /* of a message, at most; 0: 2 ms */
    int kills, passer;          /* passer: a rank; -1: none */
    diary_t diaries[NODES];
    node_t nodes[NODES];
} trial_t;

static _Thread_local diary_t *diary;

int __real_sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices);
int __wrap_sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices);

int __wrap_sampler_batch(const sampler_t *sampler, uint64_t step, uint64_t *indices) {
    int count = __real_sampler_batch(sampler, step, indices);
    if (!diary || diary->steps == EPOCHS * STEPS) return count;
    diary->epochs += step == 0;
    uint64_t returned = sampler->making_up ? position_set_total(&sampler->returned) : 0;
    if (returned > diary->made_up) diary->made_up = returned;
    int at = diary->steps++;
    if (at == BEGUN) diary->begins = sgp_loopback_calls(diary->transport);
    diary->ends = sgp_loopback_calls(diary->transport);
    diary->epoch[at] = diary->epochs - 1;
    diary->count[at] = count;
    memcpy(diary->samples[at], indices, (size_t)count * sizeof *indices);
    return count;
}

/* A node that was silent goes on with the step of the others, and passes over those between: here as if in its step PASSER. The
 * run asks before and after each step. */
enum { PASSER = 5, PASSED = 3 };
static _Thread_local bool passes;
static _Thread_local int asked;

uint64_t __real_sgp_mixer_steps(const sgp_mixer_t *mixer);
uint64_t __wrap_sgp_mixer_steps(const sgp_mixer_t *mixer);

uint64_t __wrap_sgp_mixer_steps(const sgp_mixer_t *mixer) {
    bool behind = passes && asked++ > 2 * PASSER;
    return __real_sgp_mixer_steps(mixer) + (behind ? PASSED : 0);
}

static int set_up(void **state) {
    return fixture_set_up(state, TRAIN, TESTS, SIDE);
}

/* As a launcher that knows of no node that the others have given up. Without one a node ends that has lost most of the others. */
static bool knows_better(int rank, void *user) {
    (void)rank, (void)user;
    return false;
}

static trial_t *current;

static void *train(void *argument) {
    node_t *node = argument;
    sgp_transport_t *transport = sgp_loopback_transport(node->hub, node->rank);
    diary = &current->diaries[node->rank];
    diary->transport = transport;
    passes = node->rank == current->passer;
    run_elastic(node, transport);
    return NULL;
}

static void run_trial(trial_t *trial, const train_options_t *options, const uint64_t *calls) {
    sgp_loopback_t *hub;
    sgp_loopback_options_t loopback = {.size = NODES,
                                       .virtual_time = true,
                                       .delay_min_ns = 1000,
                                       .delay_max_ns = trial->delay_ns ? trial->delay_ns : 2000000,
                                       .seed = options->seed,
                                       .faults = trial->faults};
    for (int r = 0; r < NODES; r++)
        if (calls && calls[r] > 0)
            trial->faults[loopback.fault_count++] =
                (sgp_loopback_fault_t){.kind = SGP_FAULT_KILL_AT_CALL, .seat = r, .call = calls[r]};
    trial->kills = loopback.fault_count;
    if (trial->stall.length_ns > 0) trial->faults[loopback.fault_count++] = trial->stall;
    assert_int_equal(sgp_loopback_create(&loopback, &hub), SGP_OK);
    current = trial;
    for (int r = 0; r < NODES; r++) {
        node_t *node = &trial->nodes[r];
        *node = (node_t){.options = *options, .rank = r, .hub = hub};
        node->callbacks.given_up = knows_better;
        assert_int_equal(pthread_create(&node->thread, NULL, train, node), 0);
    }
    for (int r = 0; r < NODES; r++) pthread_join(trial->nodes[r].thread, NULL);
    sgp_loopback_destroy(hub);
}

static void release(trial_t *trial) {
    for (int r = 0; r < NODES; r++) train_summary_release(&trial->nodes[r].summary);
    memset(trial, 0, sizeof *trial);
    trial->passer = -1;
}

/* The steps whose samples count as used: of a lost node those that the others know of. */
static int used_steps(const trial_t *trial, int rank, const train_summary_t *summary) {
    const diary_t *own = &trial->diaries[rank];
    for (int i = 0; i < summary->loss_count; i++) {
        const train_loss_t *loss = &summary->losses[i];
        if (loss->node != rank) continue;
        assert_true(loss->next <= (uint64_t)own->steps);
        /* Every step that it ended was pushed, and one receiver lives. A node that is killed can end its step, and begin the
         * next one, before a call tells it. */
        uint64_t unknown = 1 + (uint64_t)trial->nodes[rank].options.local_steps;
        if (trial->kills == 1) assert_true(loss->next + unknown >= (uint64_t)own->steps);
        return (int)loss->next;
    }
    return own->steps;
}

/* Each sample once in each epoch: as many as there are, and none twice. */
static void check_samples(const trial_t *trial, const train_summary_t *summary) {
    static uint8_t taken[EPOCHS][TRAIN];
    memset(taken, 0, sizeof taken);
    for (int r = 0; r < NODES; r++) {
        const diary_t *own = &trial->diaries[r];
        int used = used_steps(trial, r, summary);
        for (int k = 0; k < used; k++)
            for (int i = 0; i < own->count[k]; i++) taken[own->epoch[k]][own->samples[k][i]]++;
    }
    for (int e = 0; e < EPOCHS; e++)
        for (int i = 0; i < TRAIN; i++)
            if (taken[e][i] != 1)
                fail_msg("epoch %d: sample %d is taken %d times", e, i, taken[e][i]);
}

/* All that were not killed end in order, and know the same. */
static void check_trial(const trial_t *trial, const uint64_t *calls) {
    const train_summary_t *first = NULL;
    for (int r = 0; r < NODES; r++) {
        const node_t *node = &trial->nodes[r];
        if (calls && calls[r] > 0) continue;
        if (node->status) fail_msg("node %d: %s", r, sgp_status_name(node->status));
        if (!first) first = &node->summary;
        int passed = r == trial->passer ? PASSED : 0;
        assert_int_equal(node->summary.steps, trial->diaries[r].steps + passed);
        assert_string_equal(node->summary.parameters_hash, first->parameters_hash);
        assert_int_equal(node->summary.samples_missed, 0);
        assert_int_equal(node->summary.loss_count, first->loss_count);
    }
    check_samples(trial, first);
}

static train_options_t small_run(const fixture_t *fixture, int mixer) {
    train_options_t options = fixture_run(fixture, NODES);
    options.batch_size = BATCH;
    options.epochs = EPOCHS;
    if (mixer == 1) {
        options.algorithm = train_stages_of(SGP_ALGORITHM_OSGP);
        options.overlap = 1;
    }
    if (mixer == 2) options.local_steps = LOCAL;
    if (mixer == 3) options.overlap = SGP_OVERLAP_ASYNC;
    train_options_settle(&options);
    return options;
}

/* One to three of four nodes die, at any calls after the beginning. */
static void every_sample_is_used_once(void **state) {
    static trial_t trial;
    sgp_random_t random;
    for (int mixer = 0; mixer < 3; mixer++) {
        train_options_t options = small_run(*state, mixer);
        uint64_t begins[NODES], ends[NODES];
        release(&trial);
        run_trial(&trial, &options, NULL);
        check_trial(&trial, NULL);
        for (int r = 0; r < NODES; r++) {
            begins[r] = trial.diaries[r].begins;
            ends[r] = trial.diaries[r].ends;
        }
        for (int seed = 0; seed < SEEDS; seed++) {
            uint64_t calls[NODES] = {0};
            sgp_random_init(&random, (uint64_t)seed, (uint64_t)mixer);
            for (int kills = 1 + seed % 3; kills > 0; kills--) {
                int r = (int)sgp_random_below(&random, NODES);
                calls[r] = begins[r] + 1 + sgp_random_below(&random, ends[r] - begins[r]);
            }
            release(&trial);
            run_trial(&trial, &options, calls);
            check_trial(&trial, calls);
        }
    }
    release(&trial);
}

/* Those of a node that dies early are divided among the others soon after that: the end of the epoch's steps has to make up for a few
 * batches alone. */
static void samples_are_divided_in_mid_epoch(void **state) {
    static trial_t trial;
    for (int mixer = 0; mixer < 2; mixer++) {
        train_options_t options = small_run(*state, mixer);
        options.batch_size = 1;
        uint64_t calls[NODES] = {0};
        release(&trial);
        run_trial(&trial, &options, NULL);
        calls[mixer] = trial.diaries[mixer].begins + 2;
        release(&trial);
        run_trial(&trial, &options, calls);
        check_trial(&trial, calls);
        /* Without that 45 of its 51 would be left. The nodes agree 8 steps ahead, and may be twice as many rounds apart. */
        for (int r = 0; r < NODES; r++)
            if (r != mixer) assert_in_range(trial.diaries[r].made_up, 1, 28);
    }
    release(&trial);
}

/* While the others divide the samples of a dead node anew, one stands still, for less or longer than the others wait for it. When it is
 * back it may have passed over the end of the epoch, as far as it knows. Nobody waits for ever, and the others end alike. */
static void a_node_stands_still_meanwhile(void **state) {
    enum { DIES, STANDS, ONE, OTHER };
    static trial_t trial;
    train_options_t options = small_run(*state, 0);
    options.batch_size = 1;
    for (uint64_t seed = 1050; seed < 1062; seed++) {
        uint64_t calls[NODES] = {1806}; /* about 0.7 s from the start */
        release(&trial);
        options.seed = seed;
        trial.delay_ns = 12000000;
        trial.stall = (sgp_loopback_fault_t){.kind = SGP_FAULT_STALL,
                                             .seat = STANDS,
                                             .from_ns = 686000000,
                                             .length_ns = (seed - 1040) * 42000000};
        run_trial(&trial, &options, calls);
        assert_int_equal(trial.nodes[ONE].status, SGP_OK);
        assert_int_equal(trial.nodes[OTHER].status, SGP_OK);
        assert_string_equal(trial.nodes[ONE].summary.parameters_hash,
                            trial.nodes[OTHER].summary.parameters_hash);
        assert_int_not_equal(trial.nodes[STANDS].status, SGP_ERR_TIMEOUT);
    }
    release(&trial);
}

/* All nodes make up for them, also for those of two nodes; here without waiting, so that the others' messages fit any step. */
static void passed_steps_are_made_up(void **state) {
    static trial_t trial;
    train_options_t options = small_run(*state, 3);
    for (int rank = 0; rank < NODES; rank++) {
        release(&trial);
        trial.passer = rank;
        run_trial(&trial, &options, NULL);
        check_trial(&trial, NULL);
        /* In an epoch 13 steps of 16 samples, and one that makes up for three of a node. */
        assert_int_equal(trial.nodes[0].summary.steps, 2 * 13 + 1);
    }
    release(&trial);
}

int main(int argc, char **argv) {
    (void)argc;
    hold_openmp_to_one_thread(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_sample_is_used_once, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(samples_are_divided_in_mid_epoch, set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(a_node_stands_still_meanwhile, set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(passed_steps_are_made_up, set_up, fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
