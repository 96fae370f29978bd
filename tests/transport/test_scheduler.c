/* SPDX-License-Identifier: Apache-2.0 */
/* Which messages are held and for how long, and the time that saves nodes in lock step. */
#include "cmocka_all.h"

#include "base/random.h"
#include "transport/tcp/scheduler.h"

#include <string.h>

#define WINDOW SGP_SCHEDULER_WINDOW
#define EVER   ((uint64_t)1 << 60)

static void see_all(sgp_scheduler_t *link, const sgp_turn_t *all, int count) {
    sgp_scheduler_look(link);
    for (int i = 0; i < count; i++) sgp_scheduler_see(link, &all[i]);
}

/* The message that began first is served, with those of its step; one without order never waits. */
static void test_first_come_first_served(void **state) {
    (void)state;
    sgp_scheduler_t link = {0};
    sgp_turn_t small = {0};
    assert_true(sgp_scheduler_may(&link, &small));
    sgp_turn_t first = sgp_scheduler_begin(&link, 8), other = sgp_scheduler_begin(&link, 7),
               same = sgp_scheduler_begin(&link, 8);
    sgp_turn_t all[] = {same, small, other, first};
    see_all(&link, all, 4);
    assert_true(sgp_scheduler_contended(&link));
    assert_true(sgp_scheduler_may(&link, &first) && sgp_scheduler_may(&link, &same));
    assert_true(sgp_scheduler_may(&link, &small));
    assert_false(sgp_scheduler_may(&link, &other));
    assert_int_equal(sgp_scheduler_turn(&link), sgp_turn_of_step(8));
    see_all(&link, all, 3); /* the first one is over, and the earliest is another step's */
    assert_true(sgp_scheduler_may(&link, &other));
    assert_false(sgp_scheduler_may(&link, &same));
    see_all(&link, all, 1);
    assert_false(sgp_scheduler_contended(&link));
    see_all(&link, all, 0);
    assert_true(sgp_scheduler_may(&link, &other));
    assert_int_equal(sgp_scheduler_turn(&link), 0);
}

/* Windows in which a link of 1 byte per nanosecond carries `first` bytes of the first step and
 * `rest` of the other; returns in how many of them the others were held. */
static int windows(sgp_scheduler_t *link, uint64_t *now, int count, uint64_t first, uint64_t rest,
                   uint64_t most_held) {
    int held = 0;
    const sgp_turn_t one = {1, 1}, two = {2, 2}, all[] = {one, two};
    see_all(link, all, 2);
    sgp_scheduler_watch(link, *now, most_held);
    for (int i = 0; i < count; i++) {
        bool may = sgp_scheduler_may(link, &two);
        held += !may;
        sgp_scheduler_moved(link, &one, first);
        if (may) sgp_scheduler_moved(link, &two, rest);
        *now += WINDOW;
        sgp_scheduler_watch(link, *now, most_held);
    }
    return held;
}

/* A link that the first message uses is kept for it; an idle one is open except for trials. */
static void test_no_idle_line(void **state) {
    (void)state;
    sgp_scheduler_t link = {0};
    uint64_t now = 1;
    assert_int_equal(windows(&link, &now, 1000, WINDOW, WINDOW, EVER), 1000);
    /* The first one stops: after one window the others are served, and lose a fiftieth of the time
     * to trials. */
    int held = windows(&link, &now, 1000, 0, WINDOW, EVER);
    assert_in_range(held, 2, 25);
    /* It goes on: from the next trial on the link is its own. */
    held = windows(&link, &now, 1000, WINDOW, 0, EVER);
    assert_in_range(held, 900, 1000);
    /* It has a tenth of the link, as of a slow sender: the others have the rest. */
    held = windows(&link, &now, 1000, WINDOW / 10, WINDOW * 9 / 10, EVER);
    assert_in_range(held, 2, 25);
}

/* No message waits longer than most_held, and the estimate of a fast link adapts to a slow one. */
static void test_no_message_waits_for_ever(void **state) {
    (void)state;
    sgp_scheduler_t link = {0};
    uint64_t now = 1;
    int held = windows(&link, &now, 1000, WINDOW, WINDOW, 9 * WINDOW);
    assert_in_range(held, 800, 950);
    sgp_scheduler_rest(&link);
    held = windows(&link, &now, 1000, WINDOW / 100, 0, EVER);
    assert_in_range(held, 500, 999);
}

/* ---- nodes in lock step ---- */

/* Links share fairly among those that they serve, as TCP does. Time goes in milliseconds. */
enum { NODES = 8, PUSH = 200, STEPS = 100, FLOWS = 8 * NODES };

typedef struct flow {
    int src, dst, step;
    double left; /* ms alone on both links */
    sgp_turn_t out, in;
} flow_t;

typedef struct world {
    sgp_scheduler_t out[NODES], in[NODES];
    flow_t flows[FLOWS];
    int count, local;
    double spread; /* of the lengths of local steps, relative */
    bool takes_turns, overlaps;
    int step[NODES], arrived[NODES][STEPS]; /* arrived: of the messages of a step, 0 or 1 */
    double ready[NODES];                    /* when the local step is done; then it pushes */
    bool pushed[NODES];
    sgp_random_t random;
} world_t;

static void begin_local(world_t *world, int rank, double now) {
    double factor = 1 + world->spread * (sgp_random_double(&world->random) - 0.5);
    world->ready[rank] = now + world->local * factor;
}

static void begin_step(world_t *world, int rank, double now) {
    world->pushed[rank] = false;
    if (!world->overlaps) begin_local(world, rank, now);
}

static void push(world_t *world, int src, double now) {
    int step = world->step[src], dst = (src + (1 << step % 3)) % NODES;
    assert_true(world->count < FLOWS);
    world->flows[world->count++] =
        (flow_t){.src = src,
                 .dst = dst,
                 .step = step,
                 .left = PUSH,
                 .out = sgp_scheduler_begin(&world->out[src], (uint64_t)step),
                 .in = sgp_scheduler_begin(&world->in[dst], (uint64_t)step)};
    world->pushed[src] = true;
    if (world->overlaps) begin_local(world, src, now);
}

static void take_turns(world_t *world, int rank, double now) {
    sgp_scheduler_t *out = &world->out[rank], *in = &world->in[rank];
    sgp_scheduler_look(out);
    sgp_scheduler_look(in);
    for (int i = 0; i < world->count; i++) {
        if (world->flows[i].src == rank) sgp_scheduler_see(out, &world->flows[i].out);
        if (world->flows[i].dst == rank) sgp_scheduler_see(in, &world->flows[i].in);
    }
    uint64_t time = 1 + (uint64_t)(now * 1e6);
    if (sgp_scheduler_contended(out)) sgp_scheduler_watch(out, time, EVER);
    else sgp_scheduler_rest(out);
    if (sgp_scheduler_contended(in)) sgp_scheduler_watch(in, time, EVER);
    else sgp_scheduler_rest(in);
}

static bool flows(const world_t *world, const flow_t *flow) {
    return !world->takes_turns || (sgp_scheduler_may(&world->out[flow->src], &flow->out) &&
                                   sgp_scheduler_may(&world->in[flow->dst], &flow->in));
}

static void move(world_t *world) {
    int outs[NODES] = {0}, ins[NODES] = {0};
    for (int i = 0; i < world->count; i++) {
        const flow_t *flow = &world->flows[i];
        if (!flows(world, flow)) continue;
        outs[flow->src]++;
        ins[flow->dst]++;
    }
    for (int i = 0; i < world->count; i++) {
        flow_t *flow = &world->flows[i];
        if (!flows(world, flow)) continue;
        double part = 1.0 / (outs[flow->src] > ins[flow->dst] ? outs[flow->src] : ins[flow->dst]);
        flow->left -= part;
        sgp_scheduler_moved(&world->out[flow->src], &flow->out, (uint64_t)(part * 1e6));
        sgp_scheduler_moved(&world->in[flow->dst], &flow->in, (uint64_t)(part * 1e6));
    }
    for (int i = 0; i < world->count;) {
        flow_t *flow = &world->flows[i];
        if (flow->left > 0) {
            i++;
            continue;
        }
        world->arrived[flow->dst][flow->step] = 1;
        *flow = world->flows[--world->count];
    }
}

/* Milliseconds of a step. overlaps: the local step goes on while its messages are under way. */
static double lock_step(bool takes_turns, bool overlaps, int local, double spread) {
    static world_t world;
    memset(&world, 0, sizeof world);
    world.takes_turns = takes_turns;
    world.overlaps = overlaps;
    world.local = local;
    world.spread = spread;
    sgp_random_init(&world.random, 1, 0);
    for (int r = 0; r < NODES; r++) begin_local(&world, r, 0);
    double now = 0;
    for (; world.step[0] < STEPS; now++) {
        assert_true(now < 10.0 * PUSH * STEPS);
        for (int r = 0; r < NODES; r++) {
            if (world.step[r] == STEPS) continue;
            if (!world.pushed[r] && world.ready[r] <= now) push(&world, r, now);
            if (!world.pushed[r] || !world.arrived[r][world.step[r]]) continue;
            world.step[r]++;
            begin_step(&world, r, now);
        }
        for (int r = 0; r < NODES; r++) take_turns(&world, r, now);
        move(&world);
    }
    return now / STEPS;
}

/* A model of the exponential graph whose nodes' local steps differ by some milliseconds. */
static void test_lock_step(void **state) {
    (void)state;
    enum { LOCAL = 10 };
    double least = PUSH + LOCAL, fair = lock_step(false, false, LOCAL, 1);
    double turns = lock_step(true, false, LOCAL, 1);
    print_message("a step takes %.0f ms at least, %.0f with links that are shared, %.0f in turns\n",
                  least, fair, turns);
    assert_true(turns < 1.05 * least);
    assert_true(fair > 1.2 * turns);
}

/* The local step takes a little less than the push. */
static void test_overlap(void **state) {
    (void)state;
    double fair = lock_step(false, true, PUSH * 7 / 8, 0.5),
           turns = lock_step(true, true, PUSH * 7 / 8, 0.5);
    print_message("with overlap a step takes %d ms at least, %.0f with links that are shared, %.0f "
                  "in turns\n",
                  PUSH, fair, turns);
    assert_true(turns < 1.05 * PUSH);
    assert_true(fair > 1.1 * turns);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_no_idle_line),
        cmocka_unit_test(test_no_message_waits_for_ever),
        cmocka_unit_test(test_lock_step),
        cmocka_unit_test(test_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
