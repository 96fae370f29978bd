/* SPDX-License-Identifier: Apache-2.0 */
/* A directory is locked by one token at a time, and a dead process holds nothing. */
#include "data/support.h"

#include "files/directory_lock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ONE   "11111111111111111111111111111111"
#define OTHER "22222222222222222222222222222222"

/* For the flock below, which replaces the C library's: the errno of a file system without locks, or
 * 0. */
static int no_locks;

int flock(int file, int operation) {
    errno = no_locks;
    return no_locks ? -1 : (int)syscall(SYS_flock, file, operation);
}

static int set_up(void **state) {
    *state = calloc(1, 64);
    make_directory(*state);
    return 0;
}

static int tear_down(void **state) {
    remove_directory(*state);
    free(*state);
    return 0;
}

static void assert_empty(const char *directory) {
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(mkdir(directory, 0700), 0);
}

static void processes_with_a_token_share_it(void **state) {
    directory_lock_t first, second, other;
    char host[DIRECTORY_LOCK_HOST] = "";
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    assert_int_equal(directory_lock_take(*state, ONE, &first), DIRECTORY_LOCK_FIRST);
    assert_int_equal(directory_lock_take(*state, ONE, &second), DIRECTORY_LOCK_SHARED);
    assert_int_equal(directory_lock_take(*state, OTHER, &other), DIRECTORY_LOCK_BUSY);
    assert_int_equal(other.pid, getpid());
    assert_string_equal(other.host, host);
    directory_lock_release(&first);
    directory_lock_release(&other);
    assert_int_equal(directory_lock_take(*state, OTHER, &other),
                     DIRECTORY_LOCK_BUSY); /* of the second */
    directory_lock_release(&second);
    assert_empty(*state);
    assert_int_equal(directory_lock_take(*state, OTHER, &other), DIRECTORY_LOCK_FIRST);
    directory_lock_release(&other);
    directory_lock_release(&other);
    assert_empty(*state);
}

static void a_killed_process_holds_nothing(void **state) {
    int ends[2];
    char byte;
    directory_lock_t lock;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        byte = (char)directory_lock_take(*state, ONE, &lock);
        if (write(ends[1], &byte, 1) == 1) pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, DIRECTORY_LOCK_FIRST);
    assert_int_equal(directory_lock_take(*state, OTHER, &lock), DIRECTORY_LOCK_BUSY);
    assert_int_equal(lock.pid, child);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(directory_lock_take(*state, OTHER, &lock), DIRECTORY_LOCK_FIRST);
    directory_lock_release(&lock);
    assert_empty(*state);
    close(ends[0]);
    close(ends[1]);
}

static void another_file_is_left_alone(void **state) {
    char path[96];
    size_t size;
    directory_lock_t lock;
    snprintf(path, sizeof path, "%s/" DIRECTORY_LOCK_FILE, (char *)*state);
    write_file(path, "mine", 4);
    assert_int_equal(directory_lock_take(*state, ONE, &lock), DIRECTORY_LOCK_FAILED);
    char *text = read_whole(path, &size);
    assert_int_equal(size, 4);
    assert_memory_equal(text, "mine", 4);
    free(text);
}

static void failures_are_told_apart(void **state) {
    static const int errors[] = {ENOLCK, EOPNOTSUPP};
    directory_lock_t lock;
    assert_int_equal(directory_lock_take("/nowhere/at/all", ONE, &lock), DIRECTORY_LOCK_FAILED);
    assert_int_equal(errno, ENOENT);
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        no_locks = errors[i];
        assert_int_equal(directory_lock_take(*state, ONE, &lock), DIRECTORY_LOCK_UNSUPPORTED);
        directory_lock_release(&lock);
        no_locks = 0;
    }
}

/* ---- many at once ---- */

enum { THREADS = 6, TIMES = 60 };

typedef struct rival {
    const char *directory;
    char token[DIRECTORY_LOCK_TOKEN];
    pthread_t thread;
    atomic_int *inside, *most, *won;
} rival_t;

static void *compete(void *argument) {
    rival_t *rival = argument;
    for (int i = 0; i < TIMES; i++) {
        directory_lock_t lock;
        if (directory_lock_take(rival->directory, rival->token, &lock) != DIRECTORY_LOCK_FIRST)
            continue;
        int inside = atomic_fetch_add(rival->inside, 1) + 1;
        if (inside > atomic_load(rival->most)) atomic_store(rival->most, inside);
        sched_yield();
        atomic_fetch_sub(rival->inside, 1);
        atomic_fetch_add(rival->won, 1);
        directory_lock_release(&lock);
    }
    return NULL;
}

static void never_two_at_once(void **state) {
    atomic_int inside = 0, most = 0, won = 0;
    rival_t rivals[THREADS];
    for (int i = 0; i < THREADS; i++) {
        rivals[i] = (rival_t){.directory = *state, .inside = &inside, .most = &most, .won = &won};
        memset(rivals[i].token, 'a' + i, DIRECTORY_LOCK_TOKEN - 1);
        assert_int_equal(pthread_create(&rivals[i].thread, NULL, compete, &rivals[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(rivals[i].thread, NULL);
    assert_int_equal(most, 1);
    assert_true(won > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(processes_with_a_token_share_it),
        TEST(a_killed_process_holds_nothing),
        TEST(another_file_is_left_alone),
        TEST(failures_are_told_apart),
        TEST(never_two_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
