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

typedef struct store {
    sgp_random_t random;
    sgp_loopback_t *hub;
    sgp_transport_t *transport;
    sgp_region_t region;
    sgp_own_slots_t own;
    bool holds[SLOTS][RANKS];
    bool forgotten[RANKS];
    uint32_t taken[SLOTS]; /* (count) */
    uint32_t count;
} store_t;

static store_t *store_create(void) {
    store_t *store = calloc(1, sizeof *store);
    store->region.file = -1;
    sgp_random_init(&store->random, 7, 0);
    sgp_loopback_options_t options = {.size = RANKS};
    assert_int_equal(sgp_loopback_create(&options, &store->hub), SGP_OK);
    store->transport = sgp_loopback_transport(store->hub, 0);
    assert_int_equal(sgp_region_create(RANKS, 64, &store->region), SGP_OK);
    assert_true(sgp_own_slots_init(&store->own, RANKS));
    return store;
}

static void store_destroy(store_t *store) {
    sgp_own_slots_fini(&store->own);
    sgp_region_unmap(&store->region);
    sgp_loopback_destroy(store->hub);
    free(store);
}

/* Seals a slot for some ranks; those that are forgotten are told nothing. */
static void post_slot(store_t *store, uint32_t slot) {
    sgp_own_slots_seal(&store->own, slot, RANKS + 1);
    for (int r = 0; r < RANKS; r++) {
        assert_false(store->holds[slot][r]); /* it was free */
        bool told = !store->forgotten[r] && sgp_random_below(&store->random, 3) == 0;
        store->holds[slot][r] = told;
        if (told) sgp_own_slots_hold(&store->own, slot, r);
        else sgp_own_slots_drop(&store->own, slot);
    }
    sgp_own_slots_drop(&store->own, slot);
}

static void give_back(store_t *store, int rank, uint32_t slot) {
    store->holds[slot][rank] = false;
    sgp_region_give_back(&store->region, rank, slot, 0);
}

/* All ranks give all slots back, but one keeps half of its own. */
static void give_back_all_but(store_t *store, int late) {
    for (uint32_t i = 0; i < store->count; i++)
        for (int r = 0; r < RANKS; r++) {
            bool keeps = r == late && sgp_random_below(&store->random, 2);
            if (store->holds[store->taken[i]][r] && !keeps) give_back(store, r, store->taken[i]);
        }
}

/* It gives back the rest; twice, if it was forgotten. */
static void give_back_late(store_t *store, int rank) {
    for (uint32_t i = 0; i < store->count; i++) {
        if (!store->holds[store->taken[i]][rank]) continue;
        give_back(store, rank, store->taken[i]);
        if (store->forgotten[rank]) give_back(store, rank, store->taken[i]);
    }
}

/* Each slot is free once all its receivers have given it back or were forgotten, and not before; whatever a forgotten one
 * gives back afterwards, and a slot that was never used, changes nothing. */
static void test_own_slots(void **state) {
    (void)state;
    store_t *store = store_create();
    sgp_own_slots_t *own = &store->own;
    for (int round = 0; round < 100; round++) {
        int late = (int)sgp_random_below(&store->random, RANKS);
        store->count = 1 + (uint32_t)sgp_random_below(&store->random, SLOTS);
        for (uint32_t i = 0; i < store->count; i++) {
            store->taken[i] = sgp_own_slots_take(own);
            assert_true(store->taken[i] < SLOTS);
            post_slot(store, store->taken[i]);
        }
        give_back_all_but(store, late);
        sgp_own_slots_collect(own, &store->region, store->transport);
        assert_false(sgp_own_slots_returned(own, &store->region));
        if (round % 10 == 0) {
            store->forgotten[late] = true;
            sgp_own_slots_forget(own, late);
            assert_int_equal(own->created - own->free_count, 0);
        }
        give_back_late(store, late);
        sgp_region_give_back(&store->region, (late + 1) % RANKS, SGP_REGION_FIRST - 1, 0);
        sgp_own_slots_collect(own, &store->region, store->transport);
        assert_int_equal(own->created - own->free_count, 0);
    }
    store_destroy(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_list),
        cmocka_unit_test(test_own_slots),
    };
    return cmocka_run_group_tests_name("outstanding", tests, NULL, NULL);
}
