/* SPDX-License-Identifier: Apache-2.0 */
/* Agree in a simulated network: every order of events among three nodes with deaths, and random ones among more. In
 * every state all nodes that have returned and are not dead have the same set and payloads; at every end each node that
 * works has returned. */
#include "agree_network.h"

#include "base/random.h"

/* ---- every order ---- */

/* States that were visited, by hash; 0: an empty place. */
typedef struct visited {
    uint64_t *places;
    size_t room, count;
} visited_t;

static bool visit(visited_t *visited, uint64_t hash) {
    size_t at = (size_t)hash & (visited->room - 1);
    hash += hash == 0;
    for (; visited->places[at]; at = (at + 1) & (visited->room - 1))
        if (visited->places[at] == hash) return false;
    visited->places[at] = hash;
    assert_true(++visited->count < visited->room / 4 * 3);
    return true;
}

typedef struct saved {
    unsigned char bytes[8192];
    size_t count;
} saved_t;

static void save_bytes(saved_t *saved, const void *bytes, size_t count) {
    assert_true(saved->count + count <= sizeof saved->bytes);
    memcpy(saved->bytes + saved->count, bytes, count);
    saved->count += count;
}

static void save(const network_t *net, saved_t *saved) {
    saved->count = 0;
    save_bytes(saved, net->node, sizeof net->node);
    for (int n = 0; n < net->nodes; n++) {
        size_t count;
        const void *state = sgp_agree_state(net->machine[n], &count);
        save_bytes(saved, state, count);
        for (int to = 0; to < net->nodes; to++) {
            const edge_t *edge = &net->edge[n][to];
            save_bytes(saved, &edge->count, sizeof edge->count);
            save_bytes(saved, edge->messages, (size_t)edge->count * sizeof *edge->messages);
        }
    }
}

static void restore_bytes(const saved_t *saved, size_t *at, void *bytes, size_t count) {
    memcpy(bytes, saved->bytes + *at, count);
    *at += count;
}

static void restore(network_t *net, const saved_t *saved) {
    size_t at = 0, count;
    restore_bytes(saved, &at, net->node, sizeof net->node);
    for (int n = 0; n < net->nodes; n++) {
        sgp_agree_state(net->machine[n], &count);
        sgp_agree_restore(net->machine[n], saved->bytes + at);
        at += count;
        for (int to = 0; to < net->nodes; to++) {
            edge_t *edge = &net->edge[n][to];
            restore_bytes(saved, &at, &edge->count, sizeof edge->count);
            restore_bytes(saved, &at, edge->messages, (size_t)edge->count * sizeof *edge->messages);
        }
    }
}

typedef struct search {
    network_t net;
    visited_t visited;
    bool leaves; /* nodes leave at the end */
    size_t ends;
} search_t;

static void explore(search_t *search, int deaths);

/* One move has been made from the state: goes on from there, and takes it back. */
static void follow(search_t *search, const saved_t *before, size_t trail, int deaths) {
    explore(search, deaths);
    restore(&search->net, before);
    search->net.trail_length = trail;
}

/* With every number of messages that still arrive, on each of its edges. */
static void explore_death(search_t *search, const saved_t *before, size_t trail, int deaths,
                          int n) {
    network_t *net = &search->net;
    int arrive[NODES] = {0}, to;
    for (;;) {
        network_die(net, n, arrive);
        follow(search, before, trail, deaths - 1);
        for (to = 0; to < net->nodes && ++arrive[to] > net->edge[n][to].count; to++) arrive[to] = 0;
        if (to == net->nodes) return;
    }
}

/* Returns the number of moves. */
static int explore_pair(search_t *search, const saved_t *before, size_t trail, int deaths, int a,
                        int b) {
    network_t *net = &search->net;
    int moves = 0;
    if (can_deliver(net, a, b)) {
        network_deliver(net, a, b);
        follow(search, before, trail, deaths);
        moves++;
    }
    if (can_learn(net, a, b)) {
        network_learn(net, a, b);
        follow(search, before, trail, deaths);
        moves++;
    }
    return moves;
}

static void explore(search_t *search, int deaths) {
    network_t *net = &search->net;
    saved_t before;
    size_t trail = net->trail_length;
    int moves = 0;
    save(net, &before);
    if (!visit(&search->visited, XXH3_64bits(before.bytes, before.count))) return;
    for (int n = 0; n < net->nodes; n++) {
        if (can_begin(net, n)) {
            network_begin(net, n);
            follow(search, &before, trail, deaths);
            moves++;
        }
        if (search->leaves && can_leave(net, n)) {
            network_leave(net, n);
            follow(search, &before, trail, deaths);
            moves++;
        }
        for (int other = 0; other < net->nodes; other++)
            moves += explore_pair(search, &before, trail, deaths, n, other);
        if (deaths && net->node[n].fate == WORKS) explore_death(search, &before, trail, deaths, n);
    }
    search->ends += moves == 0;
    if (moves == 0) network_check_end(net);
}

static void search(int nodes, int calls, int deaths, bool leaves, bool out_of_order) {
    enum { ROOM = 1 << 20 };
    search_t *search = calloc(1, sizeof *search);
    assert_non_null(search);
    search->visited = (visited_t){.places = calloc(ROOM, sizeof(uint64_t)), .room = ROOM};
    assert_non_null(search->visited.places);
    network_init(&search->net, nodes, calls);
    search->net.out_of_order = out_of_order;
    search->leaves = leaves;
    explore(search, deaths);
    print_message(
        "nodes %d, calls %d, deaths %d, leaves %d, out of order %d: %zu states, %zu ends\n", nodes,
        calls, deaths, leaves, out_of_order, search->visited.count, search->ends);
    assert_true(search->ends > 0);
    network_fini(&search->net);
    free(search->visited.places);
    free(search);
}

static void test_every_order(void **state) {
    (void)state;
    search(3, 1, 2, true, false);
    search(3, 1, 2, true, true);
    search(3, 2, 0, true, false);
    search(3, 2, 1, true, true);
    search(4, 1, 0, false, false);
}

/* ---- random orders ---- */

typedef struct move {
    void (*make)(network_t *net, int a, int b);
    int a, b;
} move_t;

enum { MOVES = NODES * (2 + 2 * NODES) };

static void begin(network_t *net, int a, int b) {
    (void)b;
    network_begin(net, a);
}

static void leave(network_t *net, int a, int b) {
    (void)b;
    network_leave(net, a);
}

static int moves_of(const network_t *net, move_t moves[MOVES]) {
    int count = 0;
    for (int a = 0; a < net->nodes; a++) {
        if (can_begin(net, a)) moves[count++] = (move_t){begin, a, 0};
        if (can_leave(net, a)) moves[count++] = (move_t){leave, a, 0};
        for (int b = 0; b < net->nodes; b++) {
            if (can_deliver(net, a, b)) moves[count++] = (move_t){network_deliver, a, b};
            if (can_learn(net, a, b)) moves[count++] = (move_t){network_learn, a, b};
        }
    }
    return count;
}

static int draw(sgp_random_t *random, int below) {
    return (int)sgp_random_below(random, (uint64_t)below);
}

static void die(network_t *net, sgp_random_t *random) {
    int arrive[NODES], victim = draw(random, net->nodes);
    if (net->node[victim].fate != WORKS) return;
    for (int to = 0; to < net->nodes; to++)
        arrive[to] = draw(random, net->edge[victim][to].count + 1);
    network_die(net, victim, arrive);
}

/* A death comes after each move with probability 1 / rarity. */
static void run_at_random(uint64_t seed) {
    static network_t net;
    move_t moves[MOVES];
    sgp_random_t random;
    sgp_random_init(&random, seed, 0);
    int nodes = 4 + draw(&random, NODES - 3), deaths = draw(&random, nodes);
    network_init(&net, nodes, 1 + draw(&random, CALLS));
    net.seed = seed;
    net.out_of_order = draw(&random, 2);
    int rarity = 2 + draw(&random, 3 * nodes * nodes);
    for (int count; (count = moves_of(&net, moves)) > 0;) {
        const move_t *move = &moves[draw(&random, count)];
        move->make(&net, move->a, move->b);
        if (deaths && draw(&random, rarity) == 0) {
            die(&net, &random);
            deaths--;
        }
    }
    network_check_end(&net);
    network_fini(&net);
}

static void test_random_orders(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20000; seed++) run_at_random(seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_order),
        cmocka_unit_test(test_random_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
