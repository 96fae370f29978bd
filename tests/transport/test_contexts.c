/* SPDX-License-Identifier: Apache-2.0 */
/* The two contexts of a rank, with an owner that only counts. */
#include "cmocka_all.h"

#include "transport/contexts.h"

typedef struct owner {
    sgp_contexts_t contexts; /* first */
    int self;
    int sleeps, wakes[SGP_CONTEXTS];
    sgp_context_state_t slept;                 /* the state of the last sleep */
    void (*while_asleep)(struct owner *owner); /* NULL: nothing happens */
} owner_t;

static int self(const sgp_contexts_t *contexts) {
    return ((const owner_t *)contexts)->self;
}

static void sleep_here(sgp_contexts_t *contexts, int which) {
    owner_t *owner = (owner_t *)contexts;
    assert_int_equal(which, owner->self);
    assert_true(sgp_context_sleeps(&contexts->of[which]));
    owner->sleeps++;
    owner->slept = contexts->of[which].state;
    if (owner->while_asleep) owner->while_asleep(owner);
}

static void wake(sgp_contexts_t *contexts, int which) {
    ((owner_t *)contexts)->wakes[which]++;
}

static const sgp_contexts_ops_t ops = {.self = self, .sleep = sleep_here, .wake = wake};

static owner_t make_owner(void) {
    owner_t owner = {0};
    sgp_contexts_init(&owner.contexts, &ops);
    return owner;
}

static void test_states(void **state) {
    (void)state;
    owner_t owner = make_owner();
    assert_int_equal(owner.contexts.of[SGP_CONTEXT_FIRST].state, SGP_CONTEXT_WORKS);
    assert_int_equal(owner.contexts.of[SGP_CONTEXT_AGENT].state, SGP_CONTEXT_ENDED);
    sgp_contexts_sleep(&owner.contexts, SGP_CONTEXT_WAITS, 77);
    assert_int_equal(owner.slept, SGP_CONTEXT_WAITS);
    assert_int_equal(owner.contexts.of[SGP_CONTEXT_FIRST].deadline, 77);
    assert_int_equal(owner.contexts.of[SGP_CONTEXT_FIRST].state, SGP_CONTEXT_WORKS);
}

/* A signal since the last pause is not missed: the next pause does not sleep, and the one after it does. */
static void test_signal_before_pause(void **state) {
    (void)state;
    owner_t owner = make_owner();
    owner.self = SGP_CONTEXT_AGENT;
    assert_int_equal(sgp_contexts_signal(&owner.contexts), SGP_CONTEXT_AGENT);
    assert_int_equal(owner.wakes[SGP_CONTEXT_FIRST], 1);
    assert_int_equal(owner.wakes[SGP_CONTEXT_AGENT], 0);
    owner.self = SGP_CONTEXT_FIRST;
    sgp_contexts_pause(&owner.contexts, 5);
    assert_int_equal(owner.sleeps, 0);
    sgp_contexts_pause(&owner.contexts, 5);
    assert_int_equal(owner.sleeps, 1);
    assert_int_equal(owner.slept, SGP_CONTEXT_PAUSES);
}

static void arrive(owner_t *owner) {
    sgp_contexts_arrived(&owner->contexts);
}

/* An arrival wakes a context in wait, not one in pause. */
static void test_arrivals(void **state) {
    (void)state;
    owner_t owner = make_owner();
    owner.while_asleep = arrive;
    sgp_contexts_sleep(&owner.contexts, SGP_CONTEXT_PAUSES, 5);
    assert_int_equal(owner.wakes[SGP_CONTEXT_FIRST], 0);
    sgp_contexts_sleep(&owner.contexts, SGP_CONTEXT_WAITS, 5);
    assert_int_equal(owner.wakes[SGP_CONTEXT_FIRST], 1);
    assert_false(sgp_contexts_take_poke(&owner.contexts));
}

static void poke_both(owner_t *owner) {
    sgp_contexts_poke_all(&owner->contexts);
}

static void test_pokes_are_taken_once(void **state) {
    (void)state;
    owner_t owner = make_owner();
    owner.while_asleep = poke_both;
    sgp_contexts_sleep(&owner.contexts, SGP_CONTEXT_WAITS, 5);
    assert_true(sgp_contexts_take_poke(&owner.contexts));
    assert_false(sgp_contexts_take_poke(&owner.contexts));
    owner.self = SGP_CONTEXT_AGENT;
    assert_true(sgp_contexts_take_poke(&owner.contexts));
}

/* Wakes the first context twice for other reasons, then ends. */
static void end_late(owner_t *owner) {
    if (owner->sleeps < 3) {
        sgp_contexts_poke(&owner->contexts, SGP_CONTEXT_FIRST);
        return;
    }
    owner->self = SGP_CONTEXT_AGENT;
    sgp_contexts_end_agent(&owner->contexts);
    owner->self = SGP_CONTEXT_FIRST;
}

static void ignore(void *context) {
    (void)context;
}

static void test_agent(void **state) {
    (void)state;
    owner_t owner = make_owner();
    int context = 0;
    sgp_contexts_begin_agent(&owner.contexts, ignore, &context);
    assert_int_equal(owner.contexts.of[SGP_CONTEXT_AGENT].state, SGP_CONTEXT_WORKS);
    assert_ptr_equal(owner.contexts.body_context, &context);
    owner.while_asleep = end_late;
    sgp_contexts_await_agent(&owner.contexts);
    assert_int_equal(owner.sleeps, 3);
    assert_int_equal(owner.contexts.of[SGP_CONTEXT_AGENT].state, SGP_CONTEXT_ENDED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states),   cmocka_unit_test(test_signal_before_pause),
        cmocka_unit_test(test_arrivals), cmocka_unit_test(test_pokes_are_taken_once),
        cmocka_unit_test(test_agent),
    };
    return cmocka_run_group_tests_name("contexts", tests, NULL, NULL);
}
