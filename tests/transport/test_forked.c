/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that fork, without exec: a child that outlives its node does not hide the node's death, and
 * no call of a child disturbs its node. Over shared memory, over TCP, and over both. */
#include <stdbool.h>

static bool over_tcp;
static int machines;

#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .shm = !over_tcp, .tcp = over_tcp, .machines = machines, .loopback = {                     \
            .size = (ranks),                                                                       \
            .chunk_bytes = 256                                                                     \
        }                                                                                          \
    }
#include "transport/conformance.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

/* So long that no heartbeat notices a death within FAR. */
enum { PEER_TIMEOUT = 3600000 };

enum { RANKS = 3 };

/* What the processes of one run share. */
typedef struct run {
    char directory[32];
    int listeners[RANKS];
    sgp_address_t addresses[RANKS];
    int die[2];   /* tells the node to die */
    int ask[2];   /* asks the grandchild whether it is alive; it ends when the test closes this */
    int alive[2]; /* the grandchild answers, once unasked */
} run_t;

static sgp_transport_t *connect_run(run_t *run, int rank) {
    ranks_setup_t setup = SETUP(RANKS);
    setup.peer_timeout_ms = PEER_TIMEOUT;
    ranks_thread_t thread = {.setup = &setup,
                             .directory = run->directory,
                             .addresses = run->addresses,
                             .listeners = run->listeners,
                             .rank = rank};
    for (int r = 0; over_tcp && r < RANKS; r++)
        if (r != rank) close(run->listeners[r]);
    return ranks_connect(&thread);
}

/* Only says that it is alive, until the test ends. */
static void outlive(const run_t *run) {
    char byte = 0;
    do
        if (write(run->alive[1], &byte, 1) != 1) break;
    while (read(run->ask[0], &byte, 1) == 1);
    _exit(0);
}

static void await_answer(const run_t *run) {
    char byte;
    assert_int_equal(read(run->alive[0], &byte, 1), 1);
}

/* A node that says a word to rank 0; then the one that is to die forks a child and is killed. */
static void be_node(run_t *run, int rank, bool dies) {
    char byte;
    close(run->ask[1]);
    close(run->die[1]);
    sgp_transport_t *transport = connect_run(run, rank);
    sgp_destination_t to = {0, 1};
    if (!transport || sgp_transport_prepare(transport, 64, 1) != SGP_OK) _exit(1);
    if (!send_vector(transport, &to, 1, 0, 16)) _exit(2);
    if (dies) {
        if (fork() == 0) outlive(run);
        if (read(run->die[0], &byte, 1) == 1) raise(SIGKILL);
        _exit(3);
    }
    struct pollfd end = {.fd = run->die[0]};
    poll(&end, 1, -1); /* until the test closes it, or ends */
    _exit(0);
}

static void start_run(run_t *run, pid_t *children, int dying) {
    ranks_setup_t setup = SETUP(RANKS);
    strcpy(run->directory, "/tmp/sgp-test-XXXXXX");
    assert_non_null(mkdtemp(run->directory));
    assert_int_equal(pipe(run->die) | pipe(run->ask) | pipe(run->alive), 0);
    ranks_listen(&setup, run->listeners, run->addresses);
    for (int r = 1; r < RANKS; r++) {
        children[r] = fork();
        assert_true(children[r] >= 0);
        if (children[r] == 0) be_node(run, r, r == dying);
    }
}

static void end_run(run_t *run, pid_t *children, int dying) {
    close(run->die[1]);
    close(run->ask[1]);
    for (int r = 1; r < RANKS; r++)
        if (r != dying) assert_int_equal(waitpid(children[r], NULL, 0), children[r]);
    const int ends[] = {run->die[0], run->ask[0], run->alive[0], run->alive[1]};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) close(ends[i]);
    assert_int_equal(rmdir(run->directory), 0);
}

/* Rank 0 learns of the death of rank `dying` while the child of that rank is alive. cause: NONE for
 * any. */
static void see_death(int dying, sgp_cause_t cause) {
    run_t run;
    pid_t children[RANKS];
    sgp_chunk_t chunk;
    atomic_store(&ranks_failures, 0);
    start_run(&run, children, dying);
    sgp_transport_t *transport = connect_run(&run, 0);
    assert_non_null(transport);
    for (int r = 1; r < RANKS; r++) {
        assert_true(receive_chunk(transport, &chunk));
        sgp_transport_release(transport, &chunk);
    }
    await_answer(&run);
    assert_int_equal(write(run.die[1], "d", 1), 1);
    assert_int_equal(waitpid(children[dying], NULL, 0), children[dying]);
    await_changes(transport, 1);
    check_first_cause(transport, dying);
    if (cause != SGP_CAUSE_NONE) CHECK(sgp_fates_of(transport->fates, dying).cause == cause);
    assert_int_equal(write(run.ask[1], "?", 1), 1);
    await_answer(&run);
    sgp_transport_destroy(transport);
    end_run(&run, children, dying);
    assert_int_equal(atomic_load(&ranks_failures), 0);
}

static void test_death_of_a_node_whose_child_lives(void **state) {
    (void)state;
    over_tcp = false, machines = 0;
    see_death(1, SGP_CAUSE_ENDED);
    over_tcp = true;
    see_death(1, SGP_CAUSE_CLOSED);
    machines = 1; /* all share memory */
    see_death(2, SGP_CAUSE_ENDED);
    machines = 2; /* ranks 0 and 2 do; rank 0 may hear of rank 2 from rank 1 first */
    see_death(1, SGP_CAUSE_CLOSED);
    see_death(2, SGP_CAUSE_NONE);
}

/* ---- calls in a child ---- */

/* All that a child may try; returns 0 if it got the errors that it should get. */
static int try_all(sgp_transport_t *transport) {
    sgp_destination_t to = {1 - transport->rank, 1};
    sgp_header_t header = {.kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .count = 16};
    sgp_send_t send;
    sgp_chunk_t chunk;
    if (sgp_transport_prepare(transport, 64, 1) != SGP_ERR_UNSUPPORTED) return 1;
    if (sgp_transport_send_begin(transport, &header, &to, 1, &send) != SGP_ERR_UNSUPPORTED)
        return 2;
    if (sgp_transport_receive(transport, &chunk) != SGP_ERR_AGAIN) return 3;
    if (sgp_transport_wait(transport, UINT64_MAX) != SGP_ERR_TIMEOUT) return 4;
    sgp_transport_lock(transport);
    sgp_transport_pause(transport, UINT64_MAX);
    sgp_transport_signal(transport);
    sgp_transport_unlock(transport);
    if (sgp_fates_of(transport->fates, to.dst).state != SGP_FATE_PRESENT) return 5;
    sgp_transport_leave(transport, sgp_transport_now(transport) + FAR);
    sgp_transport_destroy(transport);
    return 0;
}

static int exit_status(pid_t child) {
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void forks_between_messages(sgp_transport_t *transport, void *context) {
    (void)context;
    sgp_destination_t to = {1 - transport->rank, 1};
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) == SGP_OK);
    for (uint64_t step = 0; step < 3; step++) {
        CHECK(send_vector(transport, &to, 1, step, ELEMENTS));
        pid_t child = fork();
        if (child == 0) _exit(try_all(transport));
        CHECK(exit_status(child) == 0);
        receive_elements(transport, ELEMENTS);
    }
    CHECK(sgp_transport_lost_peer(transport) == -1);
    finish(transport);
}

static void test_calls_in_a_child(void **state) {
    (void)state;
    over_tcp = false, machines = 0;
    ranks_setup_t shm = SETUP(2);
    run_transports(&shm, forks_between_messages, NULL);
    over_tcp = true;
    ranks_setup_t tcp = SETUP(2);
    run_transports(&tcp, forks_between_messages, NULL);
}

/* A child that leaves its parent's group leaves nothing. */
static void child_leaves(sgp_group_t *group, void *context) {
    (void)context;
    pid_t child = fork();
    if (child == 0) {
        bool fails = sgp_group_barrier(group) != SGP_OK;
        sgp_group_leave(group);
        _exit(fails ? 0 : 1);
    }
    CHECK(exit_status(child) == 0);
    CHECK(sgp_group_barrier(group) == SGP_OK);
}

static void test_group_in_a_child(void **state) {
    (void)state;
    over_tcp = false, machines = 0;
    ranks_setup_t shm = SETUP(3);
    run_groups(&shm, child_leaves, NULL);
    over_tcp = true, machines = 2;
    ranks_setup_t both = SETUP(3);
    run_groups(&both, child_leaves, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death_of_a_node_whose_child_lives),
        cmocka_unit_test(test_calls_in_a_child),
        cmocka_unit_test(test_group_in_a_child),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
