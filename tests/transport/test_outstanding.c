/* SPDX-License-Identifier: Apache-2.0 */
/* The books of messages that a destination has not released, and the count of own slots: both against a plain list, under
 * random commits, releases, deaths and departures. */
#include "ranks.h"

#include "base/random.h"
#include "transport/outstanding.h"
#include "transport/slots/own_slots.h"

#include <string.h>

enum { SIZE = 5, MESSAGES = 60, MOST_CHUNKS = 4 };

/* A message of the model. */
typedef struct model {
    sgp_send_t send;
    sgp_destination_t to[SIZE];
    uint32_t records[SIZE];   /* of each destination */
    uint64_t committed;       /* chunks */
    uint64_t released[SIZE];  /* chunks, by destination */
    bool whole_in_time[SIZE]; /* released before the destination went */
    bool returned[SIZE];
    bool abandoned;
} model_t;

typedef struct scene {
    sgp_random_t random;
    sgp_loopback_t *hub;
    sgp_transport_t *transport; /* whose op take_back is not used */
    model_t models[MESSAGES];
    int count;
    bool gone[SIZE];
    uint64_t chunks;
} scene_t;

static uint64_t draw(scene_t *scene, uint64_t below) {
    return sgp_random_below(&scene->random, below);
}

static void begin(scene_t *scene) {
    if (scene->count == MESSAGES) return;
    model_t *model = &scene->models[scene->count++];
    int destinations = 1 + (int)draw(scene, SIZE - 1), first = (int)draw(scene, SIZE);
    for (int i = 0; i < destinations; i++)
        model->to[i] = (sgp_destination_t){(first + i) % SIZE, 1.0 / (double)scene->count};
    sgp_header_t header = {.kind = SGP_KIND_PUSH,
                           .encoding = SGP_ENCODING_FLOAT32,
                           .channel = 1 + (uint32_t)draw(scene, 2),
                           .step = (uint64_t)scene->count,
                           .count = (1 + draw(scene, MOST_CHUNKS)) * 16};
    sgp_send_init(scene->transport, &header, model->to, destinations, &model->send);
    assert_int_equal(sgp_outstanding_begin(scene->transport, &model->send), SGP_OK);
    uint32_t record = model->send.records;
    for (int i = 0; i < destinations; i++) {
        assert_true(record > 0);
        model->records[i] = record;
        record = sgp_outstanding_next(scene->transport, record);
    }
    assert_int_equal(record, 0);
}

static model_t *any_model(scene_t *scene) {
    return scene->count ? &scene->models[draw(scene, (uint64_t)scene->count)] : NULL;
}

static void commit(scene_t *scene, model_t *model) {
    if (!model || model->abandoned || !model->send.left) return;
    sgp_outstanding_committed(scene->transport, &model->send);
    sgp_send_committed(&model->send);
    model->committed++;
}

static void release(scene_t *scene, model_t *model) {
    if (!model) return;
    int i = (int)draw(scene, (uint64_t)model->send.destinations), dst = model->to[i].dst;
    if (model->released[i] == model->committed) return;
    model->released[i]++;
    sgp_outstanding_released(scene->transport, model->records[i], dst);
    bool whole = !model->send.left && model->released[i] == model->committed;
    if (whole && !scene->gone[dst]) model->whole_in_time[i] = true;
}

static void abandon(scene_t *scene, model_t *model) {
    if (!model || model->abandoned || !model->send.left) return;
    sgp_outstanding_abandoned(scene->transport, &model->send);
    model->abandoned = true;
}

static void lose(scene_t *scene) {
    int rank = (int)draw(scene, SIZE);
    scene->gone[rank] = true;
    sgp_outstanding_gone(scene->transport, rank);
}

static bool is_due(const scene_t *scene, const model_t *model, int i) {
    return scene->gone[model->to[i].dst] && !model->whole_in_time[i] && !model->send.left &&
           !model->abandoned && !model->returned[i];
}

/* Takes back all of a channel, which is due exactly. */
static void take_back(scene_t *scene, uint32_t channel) {
    sgp_returned_t returned;
    while (sgp_outstanding_take_back(scene->transport, channel, &returned)) {
        model_t *model = &scene->models[returned.step - 1];
        int i = 0;
        while (model->to[i].dst != returned.dst) i++;
        assert_true(i < model->send.destinations && is_due(scene, model, i));
        assert_true(model->send.header.channel == channel && model->send.header.id == returned.id);
        assert_true(returned.weight == model->to[i].weight);
        model->returned[i] = true;
    }
    for (int m = 0; m < scene->count; m++)
        for (int i = 0; i < scene->models[m].send.destinations; i++)
            assert_false(scene->models[m].send.header.channel == channel &&
                         is_due(scene, &scene->models[m], i));
}

static void play(scene_t *scene) {
    for (int move = 0; move < 2000; move++) {
        uint64_t what = draw(scene, 100);
        if (what < 10) begin(scene);
        else if (what < 50) commit(scene, any_model(scene));
        else if (what < 90) release(scene, any_model(scene));
        else if (what < 92) abandon(scene, any_model(scene));
        else if (what < 98) take_back(scene, 1 + (uint32_t)draw(scene, 2));
        else if (move > 300 && draw(scene, 8) == 0) lose(scene);
    }
    for (int r = 0; r < SIZE; r++) sgp_outstanding_gone(scene->transport, r);
    memset(scene->gone, true, sizeof scene->gone);
    for (int m = 0; m < scene->count; m++)
        while (scene->models[m].send.left && !scene->models[m].abandoned)
            commit(scene, &scene->models[m]);
    take_back(scene, 1);
    take_back(scene, 2);
    assert_int_equal(sgp_outstanding_count(scene->transport), 0);
}

static void test_against_a_list(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        scene_t *scene = calloc(1, sizeof *scene);
        sgp_loopback_options_t options = {.size = SIZE, .chunk_bytes = 64};
        assert_int_equal(sgp_loopback_create(&options, &scene->hub), SGP_OK);
        scene->transport = sgp_loopback_transport(scene->hub, 0);
        scene->transport->elastic = true;
        sgp_random_init(&scene->random, seed, 0);
        play(scene);
        sgp_loopback_destroy(scene->hub);
        free(scene);
    }
}

/* ---- own slots ---- */

enum { RANKS = 40, SLOTS = 300 }; /* more ranks than bits in a word */

static void give_back(sgp_region_t *region, int rank, uint32_t slot) {
    sgp_region_give_back(region, rank, slot, 0);
}

/* Each slot is free once all its receivers have given it back or were forgotten, and not before; whatever a forgotten one
 * or a wrong one gives back changes nothing. */
static void test_own_slots(void **state) {
    (void)state;
    static bool holds[SLOTS][RANKS];
    sgp_random_t random;
    sgp_region_t region = {.file = -1};
    sgp_own_slots_t own;
    sgp_loopback_t *hub = NULL;
    bool forgotten[RANKS] = {false};
    uint32_t held[SLOTS];
    sgp_random_init(&random, 7, 0);
    memset(holds, 0, sizeof holds);
    assert_int_equal(sgp_loopback_create(&(sgp_loopback_options_t){.size = RANKS}, &hub), SGP_OK);
    sgp_transport_t *transport = sgp_loopback_transport(hub, 0);
    assert_int_equal(sgp_region_create(RANKS, 64, &region), SGP_OK);
    assert_true(sgp_own_slots_init(&own, RANKS));
    for (int round = 0; round < 100; round++) {
        uint32_t count = 1 + (uint32_t)sgp_random_below(&random, SLOTS);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t slot = held[i] = sgp_own_slots_take(&own);
            assert_true(slot < SLOTS);
            for (int r = 0; r < RANKS; r++) assert_false(holds[slot][r]);
            sgp_own_slots_seal(&own, slot, RANKS + 1);
            for (int r = 0; r < RANKS; r++) {
                holds[slot][r] = !forgotten[r] && sgp_random_below(&random, 3) == 0;
                if (holds[slot][r]) sgp_own_slots_hold(&own, slot, r);
                else sgp_own_slots_drop(&own, slot);
            }
            sgp_own_slots_drop(&own, slot);
        }
        int victim = (int)sgp_random_below(&random, RANKS);
        for (uint32_t i = 0; i < count; i++)
            for (int r = 0; r < RANKS; r++) {
                bool late = r == victim && sgp_random_below(&random, 2);
                if (!holds[held[i]][r] || late) continue;
                holds[held[i]][r] = false;
                give_back(&region, r, held[i]);
            }
        sgp_own_slots_collect(&own, &region, transport);
        assert_false(sgp_own_slots_returned(&own, &region));
        if (round % 10 == 0) {
            forgotten[victim] = true;
            sgp_own_slots_forget(&own, victim);
        }
        for (uint32_t i = 0; i < count;
             i++) { /* the late ones; those of the forgotten count no more */
            if (!holds[held[i]][victim]) continue;
            holds[held[i]][victim] = false;
            give_back(&region, victim, held[i]);
            if (forgotten[victim]) give_back(&region, victim, held[i]);
        }
        give_back(&region, (victim + 1) % RANKS, SGP_REGION_FIRST - 1); /* never used */
        sgp_own_slots_collect(&own, &region, transport);
        assert_int_equal(own.created - own.free_count, 0);
    }
    sgp_own_slots_fini(&own);
    sgp_region_unmap(&region);
    sgp_loopback_destroy(hub);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_list),
        cmocka_unit_test(test_own_slots),
    };
    return cmocka_run_group_tests_name("outstanding", tests, NULL, NULL);
}
