/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interrupt.h"

#include "cmocka_all.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leaves_the_stack_alone),
        cmocka_unit_test(test_keeps_the_first_signal),
        cmocka_unit_test(test_blocks_in_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
