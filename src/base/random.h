/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers whose sequence is the same on every machine: xoshiro256** (Blackman, Vigna 2018),
 * seeded through splitmix64. Not for secrets. Not thread-safe: one generator per user. */
#ifndef SGP_BASE_RANDOM_H
#define SGP_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct sgp_random {
    uint64_t state[4];
} sgp_random_t;

/* Streams with different `stream` are independent for one seed (a node's rank, an epoch, a layer).
 */
void sgp_random_init(sgp_random_t *random, uint64_t seed, uint64_t stream);

uint64_t sgp_random_u64(sgp_random_t *random);

/* Uniform in [0, bound), without bias; bound > 0. */
uint64_t sgp_random_below(sgp_random_t *random, uint64_t bound);

/* Uniform in [0, 1), 53 bits. */
double sgp_random_double(sgp_random_t *random);

/* Standard normal (Box and Muller, one value a call). */
double sgp_random_normal(sgp_random_t *random);

/* Shuffles in place (Fisher and Yates). */
void sgp_random_shuffle(sgp_random_t *random, uint32_t *values /* (count) */, size_t count);

/* The same order for the same generator. */
void sgp_random_shuffle_u64(sgp_random_t *random, uint64_t *values /* (count) */, size_t count);

#endif
