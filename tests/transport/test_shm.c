/* SPDX-License-Identifier: Apache-2.0 */
/* The contract over shared memory, with ranks as threads; then with processes: death and idle
 * waiting. */
#define SETUP(ranks)                                                                               \
    {                                                                                              \
        .shm = true, .loopback = {.size = (ranks), .chunk_bytes = 256 }                            \
    }
#include "transport/conformance.h"
#include "transport/slots/slots.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static int peer_timeout_ms;
static sgp_patience_t patience; /* 0: the default */

static sgp_status_t connect_process(const char *directory, int rank, int size,
                                    sgp_transport_t **transport) {
    sgp_shm_options_t options = {.rank = rank,
                                 .size = size,
                                 .rendezvous = directory,
                                 .chunk_bytes = CHUNK,
                                 .timeout_ms = 20000,
                                 .peer_timeout_ms = peer_timeout_ms,
                                 .patience = patience};
    return sgp_shm_connect(&options, transport);
}

/* Runs child in processes 1 to size - 1, which exit with what it returns. */
static void start(int size, const char *directory, int (*child)(sgp_transport_t *transport),
                  pid_t *children) {
    for (int r = 1; r < size; r++) {
        children[r] = fork();
        assert_true(children[r] >= 0);
        if (children[r] > 0) continue;
        sgp_transport_t *transport = NULL;
        if (connect_process(directory, r, size, &transport) != SGP_OK) _exit(100);
        _exit(child(transport));
    }
}

static int exit_status(pid_t child) {
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int is_killed(sgp_transport_t *transport) {
    sgp_destination_t to = {0, 1};
    if (sgp_transport_prepare(transport, ELEMENTS * sizeof(float), 1) != SGP_OK) return 101;
    if (!send_vector(transport, &to, 1, 0, ELEMENTS)) return 102;
    raise(SIGKILL);
    return 0;
}

/* Chunks that a rank posted before it was killed are still received; then its death is reported. */
static void test_killed_peer(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    pid_t children[2];
    assert_non_null(mkdtemp(directory));
    start(2, directory, is_killed, children);
    sgp_transport_t *transport = NULL;
    assert_int_equal(connect_process(directory, 0, 2, &transport), SGP_OK);
    assert_int_equal(exit_status(children[1]), 128 + SIGKILL);
    sgp_chunk_t chunk;
    size_t received = 0;
    sgp_status_t status;
    uint64_t start_time = sgp_transport_now(transport);
    while ((status = sgp_transport_wait(transport, start_time + FAR)) == SGP_OK)
        while (sgp_transport_receive(transport, &chunk) == SGP_OK) {
            check_payload(&chunk);
            received += chunk.header.elements;
            sgp_transport_release(transport, &chunk);
        }
    assert_int_equal(status, SGP_ERR_PEER_LOST);
    assert_int_equal(sgp_transport_lost_peer(transport), 1);
    assert_int_equal(received, ELEMENTS);
    sgp_destination_t to = {1, 1};
    sgp_send_t send;
    sgp_header_t header = {.kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .count = 16};
    assert_int_equal(sgp_transport_prepare(transport, 64, 1), SGP_OK);
    assert_int_equal(sgp_transport_send_begin(transport, &header, &to, 1, &send),
                     SGP_ERR_PEER_LOST);
    sgp_transport_destroy(transport);
    assert_int_equal(rmdir(directory), 0); /* nothing is left in it */
}

/* Sends one message, and then does nothing. */
static int only_lives(sgp_transport_t *transport) {
    sgp_destination_t to = {0, 1};
    if (sgp_transport_prepare(transport, 64, 1) != SGP_OK) return 101;
    while (send_vector(transport, &to, 1, 0, 16)) pause();
    return 102;
}

static void receive_one_from_each(sgp_transport_t *transport) {
    sgp_chunk_t chunk;
    for (int r = 1; r < transport->size && receive_chunk(transport, &chunk); r++)
        sgp_transport_release(transport, &chunk);
}

/* A process that does not run is lost after the time limit, and a process that has ended at once,
 * whatever the others do: here rank 0 does not even wait. `number`: the signal that does it. */
static void lose_without_waiting(int number, sgp_cause_t cause) {
    char directory[] = "/tmp/sgp-test-XXXXXX", why[128];
    pid_t children[3];
    assert_non_null(mkdtemp(directory));
    peer_timeout_ms = 2000;
    start(3, directory, only_lives, children);
    sgp_transport_t *transport = NULL;
    assert_int_equal(connect_process(directory, 0, 3, &transport), SGP_OK);
    receive_one_from_each(transport);
    uint64_t start_time = sgp_transport_now(transport);
    kill(children[2], number);
    await_changes(transport, 1);
    uint64_t passed = sgp_transport_now(transport) - start_time;
    check_first_cause(transport, 2);
    assert_int_equal(sgp_fates_of(transport->fates, 2).cause, cause);
    assert_int_equal(sgp_fates_of(transport->fates, 1).state, SGP_FATE_PRESENT);
    if (cause == SGP_CAUSE_SILENT) {
        assert_true(passed >= 2000000000u);
        assert_non_null(strstr(sgp_fates_why(transport->fates, 2, why, sizeof why),
                               "it has been silent for 2."));
    }
    sgp_transport_destroy(transport);
    for (int r = 1; r < 3; r++) {
        kill(children[r], SIGKILL);
        exit_status(children[r]);
    }
    peer_timeout_ms = 0;
    assert_int_equal(atomic_load(&ranks_failures), 0);
    assert_int_equal(rmdir(directory), 0);
}

static void test_losses_without_waiting(void **state) {
    (void)state;
    atomic_store(&ranks_failures, 0);
    lose_without_waiting(SIGSTOP, SGP_CAUSE_SILENT);
    lose_without_waiting(SIGKILL, SGP_CAUSE_ENDED);
}

/* ---- silence in an elastic group ---- */

static void await_silence(sgp_transport_t *transport, int rank, unsigned reasons) {
    uint64_t end = sgp_transport_now(transport) + FAR;
    while (sgp_fates_silence(transport->fates, rank) != reasons &&
           sgp_transport_now(transport) < end)
        CHECK(sgp_transport_wait(transport, end) != SGP_ERR_PEER_LOST);
    CHECK(sgp_fates_silence(transport->fates, rank) == reasons);
}

/* Takes steps of a millisecond, and then one that does not end. */
static int hangs_in_a_step(sgp_transport_t *transport) {
    struct timespec step = {.tv_nsec = 1000000};
    transport->elastic = true;
    for (uint64_t i = 1; i <= 2 * SGP_PACE_FIRST; i++) {
        sgp_transport_at(transport, i);
        nanosleep(&step, NULL);
    }
    while (pause() < 0) {
    }
    return 0;
}

/* The same, but it waits for a message of the next step. */
static int waits_in_a_step(sgp_transport_t *transport) {
    transport->elastic = true;
    transport->digest = 77;
    for (uint64_t i = 1; i <= 2 * SGP_PACE_FIRST; i++) sgp_transport_at(transport, i);
    for (;;)
        if (sgp_transport_wait(transport, UINT64_MAX) == SGP_ERR_PEER_LOST) return 0;
}

static int watched(sgp_transport_t *transport) {
    return transport->rank == 1 ? hangs_in_a_step(transport) : waits_in_a_step(transport);
}

/* Rank 1 hangs while its heartbeat goes on, rank 2 waits; then rank 2 is stopped, and goes on. */
static void test_silence(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    pid_t children[3];
    assert_non_null(mkdtemp(directory));
    atomic_store(&ranks_failures, 0);
    patience = (sgp_patience_t){.suspect_ms = 200, .stall_ms = 200};
    start(3, directory, watched, children);
    sgp_transport_t *transport = NULL;
    assert_int_equal(connect_process(directory, 0, 3, &transport), SGP_OK);
    transport->elastic = true;
    await_silence(transport, 1, SGP_SILENCE_HUNG);
    assert_int_equal(sgp_fates_silence(transport->fates, 2), 0);
    assert_int_equal(sgp_fates_pulse(transport->fates, 1).step, 2 * SGP_PACE_FIRST);
    assert_int_equal(sgp_fates_pulse(transport->fates, 2).step, 2 * SGP_PACE_FIRST);
    assert_int_equal(sgp_fates_pulse(transport->fates, 2).digest, 77);
    kill(children[2], SIGSTOP);
    await_silence(transport, 2, SGP_SILENCE_UNHEARD);
    assert_true(sgp_transport_silence(transport, 2) > 200000000);
    kill(children[2], SIGCONT);
    await_silence(transport, 2, 0);
    assert_int_equal(sgp_fates_silence(transport->fates, 1), SGP_SILENCE_HUNG);
    assert_int_equal(sgp_fates_absences(transport->fates), 0);
    sgp_transport_destroy(transport);
    for (int r = 1; r < 3; r++) {
        kill(children[r], SIGKILL);
        exit_status(children[r]);
    }
    patience = (sgp_patience_t){0};
    assert_int_equal(atomic_load(&ranks_failures), 0);
    assert_int_equal(rmdir(directory), 0);
}

static int tells_absence(sgp_transport_t *transport) {
    transport->elastic = true;
    transport->digest = 77;
    while (!sgp_fates_absences(transport->fates))
        if (sgp_transport_wait(transport, UINT64_MAX) == SGP_ERR_PEER_LOST) return 101;
    sgp_transport_leave(transport, 0);
    return 100;
}

/* Sleeps until a heartbeat of the rank has brought this digest: it is elastic by then. */
static void await_digest(sgp_transport_t *transport, int rank, uint64_t digest) {
    uint64_t end = sgp_transport_now(transport) + FAR;
    sgp_transport_lock(transport);
    for (uint64_t now; sgp_fates_pulse(transport->fates, rank).digest != digest;) {
        now = sgp_transport_now(transport);
        if (now >= end) break;
        sgp_transport_pause(transport, now + 1000000);
    }
    sgp_transport_unlock(transport);
    assert_int_equal(sgp_fates_pulse(transport->fates, rank).digest, digest);
}

/* A rank that was stopped knows it when it goes on. */
static void test_absence(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    pid_t children[2];
    assert_non_null(mkdtemp(directory));
    patience = (sgp_patience_t){.suspect_ms = 100};
    start(2, directory, tells_absence, children);
    sgp_transport_t *transport = NULL;
    assert_int_equal(connect_process(directory, 0, 2, &transport), SGP_OK);
    transport->elastic = true;
    await_digest(transport, 1, 77);
    kill(children[1], SIGSTOP);
    await_silence(transport, 1, SGP_SILENCE_UNHEARD);
    kill(children[1], SIGCONT);
    await_changes(transport, 1);
    assert_int_equal(exit_status(children[1]), 100);
    assert_int_equal(sgp_fates_of(transport->fates, 1).state, SGP_FATE_LEFT);
    sgp_transport_destroy(transport);
    patience = (sgp_patience_t){0};
    assert_int_equal(rmdir(directory), 0);
}

/* The signals that each thread of this process but the first blocks; returns the number of
 * threads. */
static int blocked_by_others(uint64_t *blocked) {
    char path[64], line[256];
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    int count = 0;
    *blocked = UINT64_MAX;
    for (struct dirent *task; (task = readdir(tasks));) {
        int thread = atoi(task->d_name);
        if (thread == 0 || thread == (int)getpid()) continue;
        snprintf(path, sizeof path, "/proc/self/task/%d/status", thread);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        for (unsigned long long mask; fgets(line, sizeof line, file);)
            if (sscanf(line, "SigBlk: %llx", &mask) == 1) *blocked &= mask;
        fclose(file);
        count++;
    }
    closedir(tasks);
    return count;
}

/* The transport's own thread blocks the program's signals. */
static void test_its_thread_gets_no_signals(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    pid_t children[2];
    assert_non_null(mkdtemp(directory));
    start(2, directory, only_lives, children);
    sgp_transport_t *transport = NULL;
    uint64_t blocked, wanted = 0;
    int before = blocked_by_others(&blocked);
    assert_int_equal(connect_process(directory, 0, 2, &transport), SGP_OK);
    receive_one_from_each(transport);
    assert_int_equal(blocked_by_others(&blocked), before + 1);
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGALRM, SIGUSR1, SIGPROF};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        wanted |= (uint64_t)1 << (signals[i] - 1);
    assert_true((blocked & wanted) == wanted);
    sgp_transport_destroy(transport);
    kill(children[1], SIGKILL);
    exit_status(children[1]);
    assert_int_equal(blocked_by_others(&blocked), before);
    assert_int_equal(rmdir(directory), 0);
}

/* CPU time of a rank that waits, in microseconds for a wait of 400 ms. */
static long idle_cost(sgp_transport_t *transport) {
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    sgp_transport_wait(transport, sgp_transport_now(transport) + 400000000);
    getrusage(RUSAGE_SELF, &after);
    return (after.ru_utime.tv_sec - before.ru_utime.tv_sec +
            (after.ru_stime.tv_sec - before.ru_stime.tv_sec)) *
               1000000L +
           after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
           before.ru_stime.tv_usec;
}

static int waits_idle(sgp_transport_t *transport) {
    long cost = idle_cost(transport);
    sgp_transport_leave(transport, 0);
    sgp_transport_destroy(transport);
    return cost < 40000 ? 0 : 103; /* a spinning rank would take all of the 400,000 that it gets */
}

static void test_waiting_sleeps(void **state) {
    (void)state;
    enum { RANKS = 8 };
    char directory[] = "/tmp/sgp-test-XXXXXX";
    pid_t children[RANKS];
    assert_non_null(mkdtemp(directory));
    start(RANKS, directory, waits_idle, children);
    sgp_transport_t *transport = NULL;
    assert_int_equal(connect_process(directory, 0, RANKS, &transport), SGP_OK);
    assert_int_equal(waits_idle(transport), 0);
    for (int r = 1; r < RANKS; r++) assert_int_equal(exit_status(children[r]), 0);
    assert_int_equal(rmdir(directory), 0);
}

/* A node that does not come is named in the error. */
static void test_nobody_comes(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    sgp_log_set(ranks_keep_log, NULL, SGP_LOG_WARNING);
    sgp_shm_options_t options = {
        .rank = 1, .size = 3, .rendezvous = directory, .chunk_bytes = CHUNK, .timeout_ms = 50};
    sgp_transport_t *transport = NULL;
    assert_int_equal(sgp_shm_connect(&options, &transport), SGP_ERR_TIMEOUT);
    assert_string_equal(ranks_last_error, "node 0 of 3 did not come within 50 ms");
    options.rank = 3;
    assert_int_equal(sgp_shm_connect(&options, &transport), SGP_ERR_INVALID);
    options = (sgp_shm_options_t){
        .rank = 0, .size = 2, .rendezvous = "/nowhere/at/all", .timeout_ms = 50};
    assert_int_equal(sgp_shm_connect(&options, &transport), SGP_ERR_INVALID);
    assert_null(transport);
    sgp_log_set(NULL, NULL, 0);
    assert_int_equal(rmdir(directory), 0);
}

static int other_size(sgp_transport_t *transport) {
    (void)transport;
    return 0;
}

static void test_sizes_differ(void **state) {
    (void)state;
    char directory[] = "/tmp/sgp-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    pid_t children[3];
    start(2, directory, other_size, children);
    sgp_transport_t *transport = NULL;
    sgp_status_t status = connect_process(directory, 0, 3, &transport);
    assert_int_equal(status, SGP_ERR_MISMATCH);
    assert_int_not_equal(exit_status(children[1]), 0);
    assert_int_equal(rmdir(directory), 0);
}

/* A push of many chunks with keep_close after each, to a receiver that receives none before its
 * end. */
typedef struct push {
    bool receiver_attends;
    int messages; /* the last of them with keep_close */
    pthread_barrier_t before, after;
    bool paused, impatient; /* what the sender saw */
    bool paused_at_once;    /* after the first chunk */
} push_t;

static void push_one(sgp_transport_t *transport, push_t *push, bool keep_close) {
    sgp_destination_t to = {1, 1};
    sgp_send_t send;
    sgp_header_t header = {
        .kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .count = ELEMENTS};
    CHECK(sgp_transport_send_begin(transport, &header, &to, 1, &send) == SGP_OK);
    for (float *place; (place = sgp_transport_send_next(transport, &send));) {
        for (size_t i = 0; i < send.header.elements; i++)
            place[i] = value_of(0, 0, (size_t)send.header.offset + i);
        sgp_transport_send_commit(transport, &send);
        if (!keep_close) continue;
        CHECK(!sgp_transport_keep_close(transport, &send)); /* nothing arrives here */
        push->paused |= send.impatient || send.paused_since != 0;
        push->impatient |= send.impatient;
        if (send.header.offset == 0) push->paused_at_once = push->paused;
    }
}

static void push_and_keep_close(sgp_transport_t *transport, push_t *push) {
    CHECK(sgp_transport_prepare(transport, ELEMENTS * sizeof(float), (unsigned)push->messages) ==
          SGP_OK);
    for (int i = 1; i <= push->messages; i++) push_one(transport, push, i == push->messages);
}

static void push_to_idle(sgp_transport_t *transport, void *context) {
    push_t *push = context;
    if (transport->rank == 1) sgp_transport_attend(transport, push->receiver_attends);
    pthread_barrier_wait(&push->before);
    if (transport->rank == 0) push_and_keep_close(transport, push);
    pthread_barrier_wait(&push->after);
    sgp_chunk_t chunk;
    size_t all = ELEMENTS * (size_t)push->messages;
    for (size_t left = transport->rank == 1 ? all : 0; left > 0;) {
        if (!receive_chunk(transport, &chunk)) break;
        check_payload(&chunk);
        left -= chunk.header.elements;
        sgp_transport_release(transport, &chunk);
    }
    finish(transport);
}

static push_t run_push(bool receiver_attends, int messages) {
    push_t push = {.receiver_attends = receiver_attends, .messages = messages};
    pthread_barrier_init(&push.before, NULL, 2);
    pthread_barrier_init(&push.after, NULL, 2);
    ranks_setup_t setup = SETUP(2);
    run_transports(&setup, push_to_idle, &push);
    pthread_barrier_destroy(&push.before);
    pthread_barrier_destroy(&push.after);
    return push;
}

/* A sender does not wait for a receiver that is busy elsewhere, and for an idle one only a
 * moment. */
static void test_keep_close_waits_for_a_moment_at_most(void **state) {
    (void)state;
    push_t busy = run_push(false, 1), idle = run_push(true, 1);
    assert_false(busy.paused);
    assert_true(idle.paused && idle.impatient);
}

/* A message that the receiver keeps, as it does until the mixer of that message steps, delays no later one. */
static void test_keep_close_counts_its_own_message(void **state) {
    (void)state;
    push_t second = run_push(true, 2);
    assert_false(second.paused_at_once);
    assert_true(second.paused);
}

/* Rank 1 is given up by rank 0 while it lives and holds chunks: their slots serve rank 2, and what rank 1 gives back
 * afterwards frees none of those. */
static void given_up_and_alive(sgp_transport_t *transport, void *context) {
    pthread_barrier_t *step = context;
    sgp_destination_t to[2] = {{1, 0.25}, {2, 0.5}};
    sgp_chunk_t held[CHUNKS_OF_VECTOR];
    sgp_send_t send;
    be_elastic(transport, 1);
    if (transport->rank == 0) CHECK(send_vector(transport, to, 2, 0, ELEMENTS));
    if (transport->rank == 1)
        for (int i = 0; i < CHUNKS_OF_VECTOR; i++) CHECK(receive_chunk(transport, &held[i]));
    if (transport->rank == 2) take_some(transport, CHUNKS_OF_VECTOR, CHUNKS_OF_VECTOR);
    pthread_barrier_wait(step);
    if (transport->rank == 0) {
        sgp_slots_note(transport, 1, sgp_fate_lost(SGP_CAUSE_SILENT), NULL);
        expect_back(transport, 0, 0.25);
        CHECK(send_vector(transport, &to[1], 1, 1, ELEMENTS));
    }
    if (transport->rank == 2)
        for (int i = 0; i < CHUNKS_OF_VECTOR; i++) CHECK(receive_chunk(transport, &held[i]));
    pthread_barrier_wait(step);
    for (int i = 0; i < CHUNKS_OF_VECTOR && transport->rank == 1; i++)
        sgp_transport_release(transport, &held[i]);
    pthread_barrier_wait(step);
    sgp_header_t header = {
        .kind = SGP_KIND_PUSH, .encoding = SGP_ENCODING_FLOAT32, .count = ELEMENTS};
    if (transport->rank == 0)
        CHECK(sgp_transport_send_begin(transport, &header, &to[1], 1, &send) == SGP_ERR_AGAIN);
    pthread_barrier_wait(step);
    for (int i = 0; i < CHUNKS_OF_VECTOR && transport->rank == 2; i++) {
        check_payload(&held[i]);
        sgp_transport_release(transport, &held[i]);
    }
    if (transport->rank == 0) await_releases(transport);
    pthread_barrier_wait(step); /* none leaves before */
    finish(transport);
}

static void test_given_up_and_alive(void **state) {
    (void)state;
    pthread_barrier_t step;
    pthread_barrier_init(&step, NULL, 3);
    ranks_setup_t setup = SETUP(3);
    run_transports(&setup, given_up_and_alive, &step);
    pthread_barrier_destroy(&step);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_up_and_alive),
        cmocka_unit_test(test_killed_peer),
        cmocka_unit_test(test_losses_without_waiting),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_absence),
        cmocka_unit_test(test_struck_off),
        cmocka_unit_test(test_its_thread_gets_no_signals),
        cmocka_unit_test(test_waiting_sleeps),
        cmocka_unit_test(test_nobody_comes),
        cmocka_unit_test(test_keep_close_counts_its_own_message),
        cmocka_unit_test(test_sizes_differ),
        cmocka_unit_test(test_keep_close_waits_for_a_moment_at_most),
        cmocka_unit_test(test_too_much_room),
        cmocka_unit_test(test_many_chunks),
    };
    return run_conformance() + cmocka_run_group_tests_name("shm", tests, NULL, NULL);
}
