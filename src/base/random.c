/* SPDX-License-Identifier: Apache-2.0 */
#include "base/random.h"

#include <math.h>

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

void sgp_random_init(sgp_random_t *random, uint64_t seed, uint64_t stream) {
    /* Mix seed and stream one after the other, so that (1, 2) and (2, 1) differ. */
    uint64_t state = seed;
    state = splitmix(&state) ^ stream;
    for (int i = 0; i < 4; i++) random->state[i] = splitmix(&state);
}

uint64_t sgp_random_u64(sgp_random_t *random) {
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t sgp_random_below(sgp_random_t *random, uint64_t bound) {
    uint64_t threshold =
        -bound % bound; /* 2^64 mod bound: values below it would be drawn too often */
    for (;;) {
        uint64_t value = sgp_random_u64(random);
        if (value >= threshold) return value % bound;
    }
}

double sgp_random_double(sgp_random_t *random) {
    return (double)(sgp_random_u64(random) >> 11) * 0x1p-53;
}

double sgp_random_normal(sgp_random_t *random) {
    double u = 1.0 - sgp_random_double(random); /* in (0, 1]: log is finite */
    double v = sgp_random_double(random);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

void sgp_random_shuffle(sgp_random_t *random, uint32_t *values, size_t count) {
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)sgp_random_below(random, i);
        uint32_t swap = values[i - 1];
        values[i - 1] = values[j];
        values[j] = swap;
    }
}

void sgp_random_shuffle_u64(sgp_random_t *random, uint64_t *values, size_t count) {
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)sgp_random_below(random, i);
        uint64_t swap = values[i - 1];
        values[i - 1] = values[j];
        values[j] = swap;
    }
}
