/* SPDX-License-Identifier: Apache-2.0 */
/* The Base-(k+1) graph: the exact mean in few steps for every n, with at most k neighbours each.
 * Takezawa, Sato, Bao, Niwa, Yamada: Beyond Exponential Graph, NeurIPS 2023. With b = k + 1:
 *
 * Cube. If n = f_1 f_2 ... with each f <= b, write ranks in mixed radix f_1, f_2, ... and average
 * in step d over the ranks that differ in digit d alone. After all digits that is the exact mean.
 *
 * Simple. Any n is |V_1| + ... + |V_L| in base b: |V_l| = a_l B_l, B_l = b^(p_l), 1 <= a_l < b and
 * p_1 > ... > p_L. Each V_l is cut into a_l blocks of B_l.
 *   1. Each V_l averages over itself by its cube: as many steps as V_1 needs. All of V_l are equal.
 *   2. In turn for l = 1..L-1, each of the R nodes after V_l is paired with one node of each block of V_l
 *      (R < B_l: there are enough), by edges of weight B_l / (|V_l| + R). Let v be the value of
 *      V_l, r the mean of the nodes after it and X the mean of both, (|V_l| v + R r) / (|V_l| + R).
 *      A node with value u takes u + |V_l| / (|V_l| + R) (v - u): their mean becomes X, and equal
 *      ones stay equal. A block's sum becomes B_l v + R B_l / (|V_l| + R) (r - v) = B_l X: its mean
 *      is X, too. So V_L, equal and alone at the end, has X everywhere.
 *      Nodes of V_l without such a partner average among themselves: they are equal, so this changes
 *      nothing but the noise of gradients.
 *   3. After its turn each block averages over itself by its cube, p_l steps: exact. The last V
 *      repeats its own. Since p_1 > p_2 > ..., all are through 1 + p_1 steps after phase 1.
 *
 * Base. n = g q, g having all prime factors <= b: simple on each q ranks in a row, then the cube
 * over the g ranks that are q apart; or simple on all n if that has fewer steps. */
#include "graph/families/family.h"

enum { MOST_PARTS = 32 }; /* digits of an int */

/* V_1..V_L, in the order of their ranks. */
typedef struct parts {
    int count;              /* L */
    int first[MOST_PARTS];  /* rank */
    int copies[MOST_PARTS]; /* a_l */
    int block[MOST_PARTS];  /* B_l */
    int power[MOST_PARTS];  /* p_l */
} parts_t;

/* n is the sum of copies[l] * block[l]. */
static void split(int n, int base, parts_t *parts) {
    int power = 0, first = 0;
    int64_t block = 1;
    for (; block * base <= n; block *= base) power++;
    parts->count = 0;
    for (; first < n; block /= base, power--) {
        int copies = (int)((n - first) / block), l = parts->count;
        if (copies == 0) continue;
        parts->first[l] = first;
        parts->copies[l] = copies;
        parts->block[l] = (int)block;
        parts->power[l] = power;
        parts->count++;
        first += (int)(copies * block);
    }
}

/* The radix of a cube's digit, largest first: all its prime factors are <= base. 1 if there is no
 * such digit. *stride: distance of two ranks whose digit differs by one. */
static int radix_of(int size, int base, int digit, int *stride) {
    int radix = 1;
    *stride = 1;
    for (int d = 0; d <= digit; d++) {
        *stride *= radix;
        size /= radix;
        radix = size < base ? size : base;
        while (size % radix) radix--;
    }
    return radix;
}

static int cube_steps(int size, int base) {
    int steps = 0, stride;
    while (radix_of(size, base, steps, &stride) > 1) steps++;
    return steps;
}

/* Averages over a digit. Peers are numbered like `index`, in 0..size-1. */
static int cube_edges(int size, int base, int digit, int index, sgp_edge_t *edges) {
    int stride, radix = radix_of(size, base, digit, &stride), count = 0;
    int own = index / stride % radix;
    for (int value = 0; value < radix; value++)
        if (value != own)
            edges[count++] =
                (sgp_edge_t){.peer = index + (value - own) * stride, .weight = 1.0 / radix};
    return count;
}

static int simple_steps(int n, int base) {
    parts_t parts;
    split(n, base, &parts);
    int steps = cube_steps(parts.copies[0] * parts.block[0], base);
    return parts.count == 1 ? steps : steps + 1 + parts.power[0];
}

static void shift(sgp_edge_t *edges, int count, int64_t distance) {
    for (int e = 0; e < count; e++) edges[e].peer = (int)(edges[e].peer + distance);
}

/* A node of V_l without a partner: groups of `base` in a row, without gaps between blocks. `met`: the nodes at the
 * beginning of each block that have one. */
static int idle_edges(const parts_t *parts, int l, int met, int base, int index,
                      sgp_edge_t *edges) {
    int block = parts->block[l], idle = block - met, count = 0;
    int own = index / block * idle + index % block - met; /* number among the idle */
    int begin = own / base * base, end = begin + base, total = parts->copies[l] * idle;
    if (end > total) end = total;
    for (int number = begin; number < end; number++)
        if (number != own)
            edges[count++] = (sgp_edge_t){.peer = number / idle * block + met + number % idle,
                                          .weight = 1.0 / (end - begin)};
    return count;
}

/* Phase 2, the turn of V_l, for a node of V_l or after it. */
static int turn_edges(const parts_t *parts, int l, int n, int base, int index, sgp_edge_t *edges) {
    int first = parts->first[l], block = parts->block[l], after = parts->first[l + 1];
    double weight = (double)block / (n - first);
    if (index >= after) {
        for (int copy = 0; copy < parts->copies[l]; copy++)
            edges[copy] =
                (sgp_edge_t){.peer = first + copy * block + index - after, .weight = weight};
        return parts->copies[l];
    }
    int place = (index - first) % block;
    if (place < n - after) {
        edges[0] = (sgp_edge_t){.peer = after + place, .weight = weight};
        return 1;
    }
    int count = idle_edges(parts, l, n - after, base, index - first, edges);
    shift(edges, count, first);
    return count;
}

static int simple_edges(int n, int base, int step, int index, sgp_edge_t *edges) {
    parts_t parts;
    split(n, base, &parts);
    int l = parts.count - 1, last = l;
    while (parts.first[l] > index) l--;
    int size = parts.copies[l] * parts.block[l], offset = index - parts.first[l];
    int digits = cube_steps(size, base);
    int turn = step - cube_steps(parts.copies[0] * parts.block[0], base);
    int digit = step;
    if (turn >= 0 && last > 0) {
        if (turn < last && l >= turn) return turn_edges(&parts, turn, n, base, index, edges);
        /* The first p_l digits of a cube are those inside a block. */
        digit = l < last ? turn - l - 1 : turn - last;
        if (l < last) digits = parts.power[l];
    }
    if (digits == 0) return 0;
    int count = cube_edges(size, base, digit % digits, offset, edges);
    shift(edges, count, parts.first[l]);
    return count;
}

/* q: n without the prime factors <= base; or n, if that takes fewer steps. *steps: of simple on
 * q, before those of the cube. */
static int row_of(int n, int base, int *steps) {
    int q = n;
    for (int factor = 2; factor <= base && factor <= q; factor++)
        while (q % factor == 0) q /= factor;
    int in_rows = simple_steps(q, base), in_one = simple_steps(n, base);
    bool one = in_one < in_rows + cube_steps(n / q, base);
    *steps = one ? in_one : in_rows;
    return one ? n : q;
}

static int base_period(const sgp_graph_t *graph) {
    int base = sgp_graph_peers(graph) + 1, steps;
    int row = row_of(graph->size, base, &steps);
    return steps + cube_steps(graph->size / row, base);
}

/* The neighbours of `rank`, which are its out- and its in-edges. */
static int base_edges(const sgp_graph_t *graph, int rank, uint64_t step, int sign,
                      sgp_edge_t *edges) {
    (void)sign;
    int n = graph->size, base = sgp_graph_peers(graph) + 1, steps;
    int row = row_of(n, base, &steps), count;
    int phase = (int)(step % (uint64_t)(steps + cube_steps(n / row, base)));
    if (phase < steps) {
        count = simple_edges(row, base, phase, rank % row, edges);
        shift(edges, count, rank - rank % row);
        return count;
    }
    count = cube_edges(n / row, base, phase - steps, rank / row, edges);
    for (int e = 0; e < count; e++) edges[e].peer = edges[e].peer * row + rank % row;
    return count;
}

const sgp_family_t sgp_family_base = {
    .symmetric = true,
    .period = base_period,
    .edges = base_edges,
};
