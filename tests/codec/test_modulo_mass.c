/* SPDX-License-Identifier: Apache-2.0 */
/* Push-sum by modulo codes on eight nodes in one process: the sum of x = w z changes by local steps and rounding only,
 * also where ranges are far too small, weights move, nodes start apart and every step refuses blocks, which come again in
 * float32. Nodes compute while messages are on their way, so a sender has moved when a block is refused. */
#include "codec/modulo.h"

#include "base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 8, BLOCK = SGP_MODULO_BLOCK, BLOCKS = 5, COUNT = BLOCK * (BLOCKS - 1) + 77 };
enum { STEPS = 300, ROUNDS = 3, SET = (BLOCKS + 7) / 8 };

typedef struct node {
    float z[COUNT], target[COUNT], r[BLOCKS];
    double w;
    /* The message on its way. */
    unsigned char s[BLOCKS * 261];
    int dst;
    double share;
    float reach[BLOCKS], moved[BLOCKS]; /* since it was encoded */
    float sent[COUNT];                  /* y, which only the test knows at once */
    float kept[COUNT]; /* y of the blocks that have moved too far for their codes */
    unsigned char has_kept[SET];
} node_t;

typedef struct scenario {
    sgp_modulo_t code;
    float start; /* how far nodes are apart at the start */
    bool uneven; /* out-peers at random: weights move */
} scenario_t;

typedef struct cluster {
    scenario_t of;
    node_t node[NODES];
    double made[COUNT]; /* x at the start and by local steps, over all nodes */
    sgp_random_t random;
    size_t blocks, refused, kept;
} cluster_t;

static size_t length_of(size_t block) {
    return block + 1 < BLOCKS ? BLOCK : COUNT - block * BLOCK;
}

static void begin(cluster_t *cluster) {
    sgp_random_init(&cluster->random, 5, 0);
    for (int i = 0; i < NODES; i++) {
        node_t *node = &cluster->node[i];
        node->w = 1;
        for (int k = 0; k < COUNT; k++) {
            double apart = sgp_random_normal(&cluster->random);
            node->z[k] = (float)(cos(k) + (double)cluster->of.start * apart);
            node->target[k] = (float)(sin(k) + 0.3 * sgp_random_normal(&cluster->random));
            cluster->made[k] += (double)node->z[k];
        }
        /* They know how far they are apart, or believe that they are not. */
        for (int b = 0; b < BLOCKS; b++)
            node->r[b] = cluster->of.uneven ? 0 : 6 * cluster->of.start;
    }
}

/* A sender's codes are decoded before z moves beyond their reach. */
static void keep_beyond(cluster_t *cluster, node_t *node, const float *next) {
    unsigned char beyond[SET], refused[SET];
    float y[COUNT];
    sgp_modulo_travel(COUNT, node->moved, node->z, next);
    if (sgp_modulo_beyond(BLOCKS, node->moved, node->reach, beyond) == 0) return;
    sgp_modulo_decode(cluster->of.code.bits, COUNT, y, node->z, node->s, refused);
    for (size_t b = 0; b < BLOCKS; b++) {
        if (!sgp_modulo_in_set(beyond, b) || sgp_modulo_in_set(node->has_kept, b)) continue;
        assert_false(sgp_modulo_in_set(refused, b));
        memcpy(node->kept + b * BLOCK, y + b * BLOCK, length_of(b) * sizeof *y);
        node->has_kept[b / 8] |= (unsigned char)(1 << b % 8);
        cluster->kept++;
    }
}

/* y of a block that was refused, from the codes or what was kept of them. */
static void resend(const cluster_t *cluster, const node_t *node, size_t block, float y[BLOCK]) {
    size_t bytes = sgp_modulo_block_bytes(cluster->of.code.bits), at = block * BLOCK;
    if (sgp_modulo_in_set(node->has_kept, block))
        memcpy(y, node->kept + at, length_of(block) * sizeof *y);
    else
        assert_int_equal(sgp_modulo_decode(cluster->of.code.bits, length_of(block), y, node->z + at,
                                           node->s + block * bytes, NULL),
                         0);
    assert_memory_equal(y, node->sent + at, length_of(block) * sizeof *y);
}

/* Half a local step before the exchange, half while it is on its way; a few gradients are large. */
static void local_step(cluster_t *cluster, node_t *node, int step, bool in_flight) {
    float next[COUNT], local[BLOCKS] = {0};
    double rate = 0.05 * fmin(1, (step + 1) / 30.0) * (step < 200 ? 1 : 0.1);
    for (size_t b = 0; b < BLOCKS; b++) {
        double scale = sgp_random_below(&cluster->random, 100) == 0 ? 10 : 1;
        for (size_t k = b * BLOCK; k < b * BLOCK + length_of(b); k++) {
            double noise = 0.5 * sgp_random_normal(&cluster->random);
            double d = (double)node->z[k] - (double)node->target[k] + noise;
            next[k] = node->z[k] - (float)(rate * scale * d);
            cluster->made[k] += node->w * ((double)next[k] - (double)node->z[k]);
        }
    }
    sgp_modulo_travel(COUNT, local, node->z, next);
    sgp_modulo_grow(BLOCKS, node->r, local, SGP_MODULO_GROW);
    if (in_flight) keep_beyond(cluster, node, next);
    memcpy(node->z, next, sizeof next);
}

static void push(cluster_t *cluster, int i, int round) {
    node_t *node = &cluster->node[i];
    int hop = cluster->of.uneven ? 1 + (int)sgp_random_below(&cluster->random, NODES - 1)
                                 : 1 << round % ROUNDS;
    node->dst = (i + hop) % NODES;
    node->share = node->w / 2;
    node->w -= node->share;
    memset(node->moved, 0, sizeof node->moved);
    memset(node->has_kept, 0, sizeof node->has_kept);
    sgp_modulo_forget(BLOCKS, node->r, SGP_MODULO_FORGET);
    float before[COUNT];
    memcpy(before, node->z, sizeof before);
    float part = (float)(node->share / node->w);
    assert_true(sgp_modulo_encode_keep(&cluster->of.code, COUNT, node->s, node->z, node->r, 1, part,
                                       node->reach));
    sgp_modulo_decode(cluster->of.code.bits, COUNT, node->sent, before, node->s, NULL);
}

static void absorb(cluster_t *cluster, node_t *node, const node_t *src) {
    float next[COUNT], y[BLOCK];
    unsigned char refused[SET];
    float a = (float)(src->share / (node->w + src->share));
    memcpy(next, node->z, sizeof next);
    cluster->blocks += BLOCKS;
    cluster->refused +=
        sgp_modulo_absorb(cluster->of.code.bits, COUNT, next, node->r, src->s, a, refused, NULL);
    for (size_t b = 0; b < BLOCKS; b++) {
        if (!sgp_modulo_in_set(refused, b)) continue;
        assert_memory_equal(next + b * BLOCK, node->z + b * BLOCK, length_of(b) * sizeof *next);
        resend(cluster, src, b, y);
        sgp_modulo_absorb_exact(length_of(b), next + b * BLOCK, node->r + b, y, a);
    }
    keep_beyond(cluster, node, next);
    memcpy(node->z, next, sizeof next);
    node->w += src->share;
}

static void run_step(cluster_t *cluster, int step) {
    for (int i = 0; i < NODES; i++) local_step(cluster, &cluster->node[i], step, false);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < NODES; i++) push(cluster, i, round);
        if (round == ROUNDS - 1)
            for (int i = 0; i < NODES; i++) local_step(cluster, &cluster->node[i], step, true);
        for (int i = 0; i < NODES; i++)
            for (int j = 0; j < NODES; j++)
                if (cluster->node[j].dst == i)
                    absorb(cluster, &cluster->node[i], &cluster->node[j]);
    }
}

/* The largest difference of the sum of x, and the distance of the nodes, over all coordinates. */
static void measure(const cluster_t *cluster, double *drift, double *distance) {
    double weight = 0, squares = 0;
    *drift = 0;
    for (int i = 0; i < NODES; i++) weight += cluster->node[i].w;
    assert_true(fabs(weight - NODES) < 1e-9);
    for (int k = 0; k < COUNT; k++) {
        double sum = 0;
        for (int i = 0; i < NODES; i++) sum += cluster->node[i].w * (double)cluster->node[i].z[k];
        *drift = fmax(*drift, fabs(sum - cluster->made[k]));
        for (int i = 0; i < NODES; i++)
            squares += pow((double)cluster->node[i].z[k] - cluster->made[k] / NODES, 2);
    }
    *distance = sqrt(squares / NODES / COUNT);
}

static const cluster_t *check_mass(scenario_t of) {
    static cluster_t cluster;
    double drift, distance, worst = 0;
    memset(&cluster, 0, sizeof cluster);
    cluster.of = of;
    begin(&cluster);
    for (int step = 0; step < STEPS; step++) {
        run_step(&cluster, step);
        measure(&cluster, &drift, &distance);
        worst = fmax(worst, drift);
    }
    print_message(
        "%d bits, kappa %g, %s: sum of x off by %.1e; %.0f of a million blocks refused, %.0f "
        "decoded by their sender before it moved; nodes are %.1e apart\n",
        of.code.bits, (double)of.code.kappa, of.uneven ? "uneven" : "even", worst,
        1e6 * (double)cluster.refused / (double)cluster.blocks,
        1e6 * (double)cluster.kept / (double)cluster.blocks, distance);
    /* 900 roundings of 8 nodes to 2^-25 of numbers below 4 make 4e-6 at random; a wrong number is off by a circle of M
     * steps, 0.01 and more. */
    assert_true(worst < 5e-5);
    return &cluster;
}

static const int widths[] = {8, 6, 5, 4};

static void test_mass_is_exact(void **state) {
    (void)state;
    for (int w = 0; w < 4; w++) {
        scenario_t of = {.code = {widths[w], sgp_modulo_kappa(widths[w])}, .start = 0.2f};
        const cluster_t *cluster = check_mass(of);
        assert_true(cluster->refused * 500 < cluster->blocks);
    }
}

static void test_mass_is_exact_where_ranges_are_too_small(void **state) {
    (void)state;
    for (int w = 0; w < 4; w++) {
        scenario_t of = {.code = {widths[w], 0.25f}, .start = 1, .uneven = true};
        const cluster_t *cluster = check_mass(of);
        assert_true(cluster->refused * 50 > cluster->blocks && cluster->kept > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mass_is_exact),
        cmocka_unit_test(test_mass_is_exact_where_ranges_are_too_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
