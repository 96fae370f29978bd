/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interrupt.h"

#include "cmocka_all.h"

#include <sys/wait.h>
#include <unistd.h>

enum {
    PAINTED = 65536, /* bytes below the stack pointer */
    USED = 1024,     /* of them, what raise itself may use */
    PAINT = 0xa5
};

static uintptr_t lowest;

/* Leaves paint on the stack below the caller. */
static __attribute__((noinline)) void paint(void) {
    volatile unsigned char area[PAINTED];
    for (int i = 0; i < PAINTED; i++) area[i] = PAINT;
    __asm__("" : "=r"(lowest) : "0"(area)); /* an address that outlives the area, on purpose */
}

/* Generated code that is interrupted finds its data below the stack pointer unharmed. */
static void test_leaves_the_stack_alone(void **state) {
    (void)state;
    interrupt_catch();
    raise(0); /* the dynamic linker finds it now, which takes more of the stack */
    paint();
    raise(SIGTERM);
    int changed = 0;
    for (int i = 0; i < PAINTED - USED; i++)
        changed += ((volatile unsigned char *)lowest)[i] != PAINT;
    assert_int_equal(changed, 0);
    assert_int_equal(interrupt_signal, SIGTERM);
}

static void test_keeps_the_first_signal(void **state) {
    (void)state;
    raise(SIGHUP);
    assert_int_equal(interrupt_signal, SIGTERM);
}

static void test_blocks_in_other_threads(void **state) {
    (void)state;
    sigset_t before, during, after;
    interrupt_block(&before);
    pthread_sigmask(SIG_BLOCK, NULL, &during);
    interrupt_unblock(&before);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (int i = 0; i < 3; i++) {
        assert_true(sigismember(&during, numbers[i]));
        assert_false(sigismember(&after, numbers[i]));
    }
}

/* The test is not the launcher: it asks for leaving. A launcher's signal ends the run. */
static void test_leaves(void **state) {
    (void)state;
    interrupt_signal = 0;
    interrupt_may_leave(getppid());
    raise(SIGUSR1);
    assert_int_equal(interrupt_leave, SIGUSR1);
    raise(SIGTERM);
    assert_int_equal(interrupt_leave, SIGUSR1);
    assert_int_equal(interrupt_signal, 0);
    interrupt_may_leave(getpid());
    raise(SIGTERM);
    assert_int_equal(interrupt_signal, SIGTERM);
}

/* The signal that ended a child after it has been raised so often. */
static int end_of_child(int times) {
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < times; i++) raise(SIGTERM);
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_a_second_one_ends_it(void **state) {
    (void)state;
    interrupt_may_leave(0);
    assert_int_equal(end_of_child(1), SIGTERM); /* one came in the test before */
    interrupt_may_leave(getpid());
    assert_int_equal(end_of_child(1), SIGTERM); /* in the child this process is not the sender */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves_the_stack_alone),
        cmocka_unit_test(test_keeps_the_first_signal),
        cmocka_unit_test(test_blocks_in_other_threads),
        cmocka_unit_test(test_leaves),
        cmocka_unit_test(test_a_second_one_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
