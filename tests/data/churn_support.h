/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that train in lock step while members die, leave, join and pass over steps: the samplers are real, the
 * rest is as in docs/membership.md. Each node hears each event at another time, before the step of the change,
 * and of some events first a version that other detectors have made. Steps of the world count over all epochs. */
#ifndef SGP_TESTS_DATA_CHURN_SUPPORT_H
#define SGP_TESTS_DATA_CHURN_SUPPORT_H

#include "data/support.h"

#include "base/random.h"
#include "data/sampler.h"

enum { MOST_LIVE = 9, MOST_NODES = 128, MOST_WORKERS = 2, MOST_NEWS = 8192, REPORT_ROOM = 65536 };

typedef struct node {
    uint64_t number;
    uint64_t joins; /* the step before which it starts */
    bool started, alive;
    uint64_t next;        /* the step after the last one that it took */
    uint64_t passes_till; /* passes over the steps before this */
    uint64_t passed;      /* positions of the main part passed over before `next`; it alone knows */
    uint64_t passes_now;  /* those since `next` */
    sampler_t samplers[MOST_WORKERS];
} node_t;

/* An event that a node will hear of. Its steps are the world's. */
typedef struct news {
    segments_event_t event;
    int to;
    uint64_t at; /* step */
    bool told;
} news_t;

typedef struct world {
    sgp_random_t random;
    sampler_options_t options; /* of any process; count, workers, batch, seed */
    int events_per;            /* one event in so many steps */
    uint64_t epoch, origin, step;
    bool making_up;
    node_t nodes[MOST_NODES];
    int count; /* nodes that there were */
    news_t news[MOST_NEWS];
    int news_count;
    uint8_t *taken;      /* (options.count) */
    uint64_t lost;       /* positions that were taken by one that died with them */
    uint64_t unreported; /* passed over by one that died before it could report them */
    uint64_t deaths, events;
} world_t;

static inline uint64_t below(world_t *world, uint64_t limit) {
    return sgp_random_below(&world->random, limit);
}

static inline uint64_t in_epoch(const world_t *world, uint64_t step) {
    return step > world->origin ? step - world->origin : 0;
}

static inline int count_live(const world_t *world) {
    int live = 0;
    for (int i = 0; i < world->count; i++) live += world->nodes[i].alive;
    return live;
}

static inline node_t *lowest_live(world_t *world) {
    for (int i = 0; i < world->count; i++)
        if (world->nodes[i].alive) return &world->nodes[i];
    fail_msg("nobody is left");
    return NULL;
}

static inline node_t *random_live(world_t *world) {
    int skip = (int)below(world, (uint64_t)count_live(world));
    for (int i = 0; i < world->count; i++)
        if (world->nodes[i].alive && skip-- == 0) return &world->nodes[i];
    return NULL;
}

/* ---- news ---- */

static inline void tell(world_t *world, node_t *node, const segments_event_t *event) {
    segments_event_t own = *event;
    own.first = in_epoch(world, event->first);
    own.end = in_epoch(world, event->end);
    for (int w = 0; w < world->options.workers; w++)
        assert_int_equal(
            sampler_tell(&node->samplers[w], &own, 1, in_epoch(world, world->step), NULL), SGP_OK);
}

static inline void send_to(world_t *world, int to, const segments_event_t *event, uint64_t at) {
    assert_true(world->news_count < MOST_NEWS);
    world->news[world->news_count++] = (news_t){*event, to, at, false};
}

/* To all but the one that it is about, before step `change`. */
static inline void spread(world_t *world, const segments_event_t *event, uint64_t change) {
    for (int i = 0; i < world->count; i++)
        if (world->nodes[i].alive && world->nodes[i].number != event->member)
            send_to(world, i, event, world->step + 1 + below(world, change - world->step - 1));
}

static inline void deliver(world_t *world, uint64_t until) {
    for (int i = 0; i < world->news_count; i++) {
        news_t *news = &world->news[i];
        if (news->told || news->at > until || !world->nodes[news->to].alive) continue;
        tell(world, &world->nodes[news->to], &news->event);
        news->told = true;
    }
}

/* The step of a notice that is made now. */
static inline uint64_t step_of_change(const world_t *world) {
    return (world->step + 9 + 15) / 16 * 16;
}

/* ---- what happens ---- */

static inline void notice_end(world_t *world, const node_t *node, uint64_t next) {
    uint64_t change = step_of_change(world);
    segments_event_t event = {SEGMENTS_LEAVES, .member = node->number, .first = next,
                              .end = change};
    spread(world, &event, change);
    if (below(world, 2) == 0) return;
    event.end += 16; /* another detector heard of later steps, and of one push less */
    if (event.first > 0) event.first--;
    spread(world, &event, change);
}

static inline void end_node(world_t *world, node_t *node, uint64_t next) {
    node->alive = false;
    world->unreported += node->passed;
    notice_end(world, node, next);
}

static inline void begin_join(world_t *world) {
    assert_true(world->count < MOST_NODES);
    node_t *node = &world->nodes[world->count];
    uint32_t use = 0, place = (uint32_t)below(world, 12);
    for (int i = 0; i < world->count; i++)
        if (world->nodes[i].number >> 32 == place) use++;
    *node = (node_t){.number = segments_number(place, use), .joins = step_of_change(world)};
    segments_event_t event = {SEGMENTS_JOINS, .member = node->number, .first = node->joins,
                              .candidate = 1 + use};
    spread(world, &event, node->joins);
    if (below(world, 2) == 0) { /* another sponsor gave the place to somebody else */
        event.candidate += 5;
        event.first += below(world, 2) * 16;
        spread(world, &event, node->joins);
    }
    world->count++;
}

/* From the state of another, and all that was ever told. */
static inline void start_node(world_t *world, node_t *node) {
    node_t *sponsor = random_live(world);
    for (int w = 0; w < world->options.workers; w++) {
        sampler_t *sampler = &node->samplers[w];
        sampler_options_t options = world->options;
        options.size = options.workers;
        options.rank = w;
        assert_int_equal(sampler_init(sampler, &options), SGP_OK);
        sampler_begin_epoch(sampler, world->epoch);
        size_t size = sampler_state_bytes(&sponsor->samplers[w]);
        unsigned char *bytes = malloc(size);
        assert_non_null(bytes);
        sampler_save(&sponsor->samplers[w], bytes);
        assert_int_equal(sampler_restore(sampler, bytes, size), SGP_OK);
        sampler_set_self(sampler, node->number);
        free(bytes);
    }
    node->started = node->alive = true;
    node->next = world->step;
    for (int i = 0; i < world->news_count; i++) {
        const segments_event_t *event = &world->news[i].event;
        bool old = event->kind == SEGMENTS_PASSES && event->first < world->origin;
        if (!old) tell(world, node, event);
    }
}

static inline int expected_live(const world_t *world) {
    int nodes = count_live(world);
    for (int i = 0; i < world->count; i++) nodes += !world->nodes[i].started;
    return nodes;
}

/* Positions that a process takes in this step; marks them unless taken is NULL. */
static inline uint64_t take(const world_t *world, const node_t *node, uint8_t *taken) {
    uint64_t step = in_epoch(world, world->step), total = 0;
    for (int w = 0; w < world->options.workers; w++) {
        const sampler_t *sampler = &node->samplers[w];
        cursor_part_t part = sampler_part(sampler, step);
        assert_in_range(part.count, 0, world->options.batch);
        for (int i = 0; i < part.count; i++) {
            uint64_t position = sampler_entry(sampler, step, &part, i);
            assert_true(position < world->options.count);
            if (taken) taken[position]++;
        }
        total += (uint64_t)part.count;
    }
    return total;
}

static inline void die(world_t *world, node_t *node) {
    uint64_t how = below(world, 3);
    world->deaths++;
    if (node->passes_till > world->step || how == 0) { /* before it pushed */
        end_node(world, node, node->next);
        return;
    }
    if (how == 1) take(world, node, world->taken);
    else world->lost += take(world, node, NULL); /* its push had begun, and is torn everywhere */
    end_node(world, node, world->step + 1);
}

static inline void pass_over(world_t *world, node_t *node) {
    uint64_t steps = 1 + below(world, 10);
    if (node->passes_till > world->step) return;
    node->passes_till = world->step + steps;
    segments_event_t event = {SEGMENTS_PASSES, .member = node->number, .first = world->step,
                              .end = world->step + steps};
    tell(world, node, &event);
    if (!world->making_up) return;         /* its report has it */
    for (int i = 0; i < world->count; i++) /* for the count of what was missed */
        if (world->nodes[i].alive) send_to(world, i, &event, UINT64_MAX);
}

static inline void happen(world_t *world) {
    node_t *node = random_live(world);
    uint64_t kind = below(world, 4);
    world->events++;
    if (kind == 0 && count_live(world) > 2) die(world, node);
    else if (kind == 1 && count_live(world) > 2) end_node(world, node, node->next);
    else if (kind == 2 && expected_live(world) < MOST_LIVE) begin_join(world);
    else pass_over(world, node);
}

static inline void make_step(world_t *world) {
    for (int i = 0; i < world->count; i++) {
        node_t *node = &world->nodes[i];
        if (!node->started && node->joins <= world->step) start_node(world, node);
    }
    deliver(world, world->step);
    if (world->events_per > 0 && below(world, (uint64_t)world->events_per) == 0) happen(world);
    for (int i = 0; i < world->count; i++) {
        node_t *node = &world->nodes[i];
        if (!node->alive) continue;
        if (node->passes_till > world->step) {
            if (!world->making_up) node->passes_now += take(world, node, NULL);
            continue;
        }
        take(world, node, world->taken);
        node->next = world->step + 1;
        node->passed += node->passes_now;
        node->passes_now = 0;
    }
    world->step++;
}

/* ---- epochs ---- */

static inline uint64_t steps_of_all(world_t *world) {
    uint64_t steps = sampler_steps(&lowest_live(world)->samplers[0]);
    return steps;
}

/* All have the same end at it, though some may have heard more than others. */
static inline void run_steps(world_t *world) {
    while (in_epoch(world, world->step) < steps_of_all(world)) make_step(world);
    for (int i = 0; i < world->count; i++)
        for (int w = 0; w < world->options.workers && world->nodes[i].alive; w++)
            assert_int_equal(sampler_steps(&world->nodes[i].samplers[w]),
                             in_epoch(world, world->step));
}

static inline size_t list_reports(world_t *world, sampler_report_t *reports) {
    size_t count = 0;
    for (int i = 0; i < world->count; i++)
        for (int w = 0; w < world->options.workers && world->nodes[i].alive; w++) {
            unsigned char *bytes = malloc(REPORT_ROOM);
            assert_non_null(bytes);
            reports[count].bytes = bytes;
            assert_int_equal(sampler_report(&world->nodes[i].samplers[w], bytes, REPORT_ROOM,
                                            &reports[count].size),
                             SGP_OK);
            count++;
        }
    return count;
}

/* One agree. All get the same answer. */
static inline sgp_status_t agree_once(world_t *world) {
    sampler_report_t reports[MOST_LIVE * MOST_WORKERS];
    size_t count = list_reports(world, reports);
    sgp_status_t first = SGP_OK;
    bool any = false;
    for (int i = 0; i < world->count; i++)
        for (int w = 0; w < world->options.workers && world->nodes[i].alive; w++) {
            sgp_status_t status = sampler_make_up(&world->nodes[i].samplers[w],
                                                  in_epoch(world, world->step), reports, count);
            if (!any) first = status;
            assert_int_equal(status, first);
            any = true;
        }
    for (size_t i = 0; i < count; i++) free((void *)reports[i].bytes);
    return first;
}

/* Whoever takes part in a collective has arrived at its step. */
static inline void end_passing(world_t *world) {
    for (int i = 0; i < world->count; i++) {
        node_t *node = &world->nodes[i];
        node->passed = node->passes_now = 0;
        if (node->passes_till > world->step) node->passes_till = world->step;
    }
}

/* A collective finds all deaths: somebody knows of each. */
static inline void agree(world_t *world) {
    int rounds = 0;
    for (int i = 0; i < world->news_count; i++) {
        news_t *news = &world->news[i];
        node_t *node = &world->nodes[news->to];
        if (news->told || !node->alive || news->at == UINT64_MAX) continue;
        if (node != lowest_live(world) && below(world, 2) == 0) continue;
        tell(world, node, &news->event);
        news->told = true;
    }
    while (agree_once(world) == SGP_ERR_AGAIN) assert_true(++rounds < 3);
    end_passing(world);
    world->making_up = true;
}

/* As each node counts them, once all know everything. */
static inline uint64_t count_missed(world_t *world) {
    uint64_t expected = 0, found;
    deliver(world, UINT64_MAX);
    for (int i = 0; i < world->count; i++)
        for (int w = 0; w < world->options.workers && world->nodes[i].alive; w++) {
            assert_int_equal(
                sampler_missed(&world->nodes[i].samplers[w], in_epoch(world, world->step), &found),
                SGP_OK);
            if (&world->nodes[i] == lowest_live(world)) expected = found;
            assert_int_equal(found, expected);
        }
    return expected;
}

static inline void begin_epoch(world_t *world, uint64_t epoch) {
    world->epoch = epoch;
    world->origin = world->step;
    world->making_up = false;
    world->lost = world->unreported = 0;
    end_passing(world);
    memset(world->taken, 0, world->options.count);
    for (int i = 0; i < world->count; i++)
        for (int w = 0; w < world->options.workers && world->nodes[i].alive; w++)
            sampler_begin_epoch(&world->nodes[i].samplers[w], epoch);
}

static inline world_t *make_world(const sampler_options_t *options, int nodes, uint64_t seed) {
    world_t *world = calloc(1, sizeof *world);
    assert_non_null(world);
    sgp_random_init(&world->random, seed, 1);
    world->options = *options;
    world->taken = calloc(options->count, 1);
    assert_non_null(world->taken);
    world->count = nodes;
    for (int i = 0; i < nodes; i++) {
        node_t *node = &world->nodes[i];
        node->number = segments_number((uint32_t)i, 0);
        node->started = node->alive = true;
        for (int w = 0; w < options->workers; w++) {
            sampler_options_t own = *options;
            own.rank = i * options->workers + w;
            own.size = nodes * options->workers;
            assert_int_equal(sampler_init(&node->samplers[w], &own), SGP_OK);
        }
    }
    return world;
}

static inline void destroy_world(world_t *world) {
    for (int i = 0; i < world->count; i++)
        for (int w = 0; w < world->options.workers && world->nodes[i].started; w++)
            sampler_fini(&world->nodes[i].samplers[w]);
    free(world->taken);
    free(world);
}

#endif
