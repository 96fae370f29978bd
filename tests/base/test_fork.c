/* SPDX-License-Identifier: Apache-2.0 */
/* What a forked child keeps of its parent. */
#include "cmocka_all.h"

#include "base/fork.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_open(int descriptor) {
    return fcntl(descriptor, F_GETFD) >= 0;
}

static void make_marked_pipe(int ends[2]) {
    sgp_fork_hold();
    assert_int_equal(pipe(ends), 0);
    sgp_fork_mark(ends[0]);
    sgp_fork_mark(ends[1]);
    sgp_fork_release();
}

/* The exit status of a child that runs look(context). */
static int in_child(int (*look)(void *context), void *context) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(look(context));
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int open_ends(void *context) {
    const int *ends = context;
    return is_open(ends[0]) + 2 * is_open(ends[1]);
}

static void test_child_closes_marked_descriptors(void **state) {
    (void)state;
    int marked[2], other[2];
    make_marked_pipe(marked);
    assert_int_equal(pipe(other), 0);
    assert_int_equal(in_child(open_ends, marked), 0);
    assert_int_equal(in_child(open_ends, other), 3);
    assert_int_equal(open_ends(marked), 3); /* in the parent */
    sgp_fork_close(marked[0]);
    sgp_fork_close(marked[1]);
    assert_int_equal(open_ends(marked), 0);
    close(other[0]);
    close(other[1]);
}

/* A number that is used again after sgp_fork_close is not marked. */
static void test_close_forgets_the_mark(void **state) {
    (void)state;
    int first[2], second[2];
    make_marked_pipe(first);
    sgp_fork_close(first[0]);
    sgp_fork_close(first[1]);
    assert_int_equal(pipe(second), 0);
    assert_int_equal(second[0], first[0]);
    assert_int_equal(in_child(open_ends, second), 3);
    close(second[0]);
    close(second[1]);
}

static void count(void *context) {
    ++*(int *)context;
}

static int value_of(void *context) {
    return *(int *)context;
}

static void test_hooks_run_in_the_child(void **state) {
    (void)state;
    int first = 0, second = 10;
    sgp_fork_hook_t hooks[3] = {0};
    sgp_fork_add_hook(&hooks[0], count, &first);
    sgp_fork_add_hook(&hooks[1], count, &second);
    assert_int_equal(in_child(value_of, &first), 1);
    assert_int_equal(in_child(value_of, &second), 11);
    sgp_fork_remove_hook(&hooks[0]);
    sgp_fork_remove_hook(&hooks[2]); /* it was not added */
    assert_int_equal(in_child(value_of, &first), 0);
    assert_int_equal(in_child(value_of, &second), 11);
    sgp_fork_remove_hook(&hooks[1]);
    assert_int_equal(first, 0);
    assert_int_equal(second, 10);
}

/* Makes marked descriptors, and closes them, until told to end. */
static void *make_and_close(void *argument) {
    atomic_bool *told = argument;
    while (!atomic_load(told)) {
        int ends[2];
        make_marked_pipe(ends);
        sgp_fork_close(ends[1]);
        sgp_fork_close(ends[0]);
    }
    return NULL;
}

/* Descriptors that are open beside those of before. */
static int count_others(void *context) {
    const bool *before = context;
    int others = 0;
    for (int descriptor = 0; descriptor < 64; descriptor++)
        others += is_open(descriptor) && !before[descriptor];
    return others;
}

/* A fork in the middle of it, by another thread: the child has none of them, and its registry
 * works. */
static void test_fork_beside_other_threads(void **state) {
    (void)state;
    bool before[64];
    for (int descriptor = 0; descriptor < 64; descriptor++)
        before[descriptor] = is_open(descriptor);
    pthread_t thread;
    atomic_bool told = false;
    assert_int_equal(pthread_create(&thread, NULL, make_and_close, &told), 0);
    for (int i = 0; i < 200; i++) assert_int_equal(in_child(count_others, before), 0);
    atomic_store(&told, true);
    pthread_join(thread, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_closes_marked_descriptors),
        cmocka_unit_test(test_close_forgets_the_mark),
        cmocka_unit_test(test_hooks_run_in_the_child),
        cmocka_unit_test(test_fork_beside_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
