/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk in a modulo code as it arrives: switches, the bits, the number of elements, some of the receiver's numbers, then
 * the chunk. Every set of instructions gives the same verdict and the same numbers; a refused block changes nothing, and
 * the numbers of an accepted one lie within half a circle of the receiver's. */
#include "fuzz.h"

#include "codec/modulo.h"
#include "codec/modulo_kernels.h"

#include <math.h>

enum { BLOCKS = 3, MOST = BLOCKS * SGP_MODULO_BLOCK, OWN = 8 };

typedef struct chunk {
    int bits;
    size_t count, bytes;
    unsigned char *s; /* exactly `bytes`, so that sanitizers see a read beyond them */
    float z[MOST];
} chunk_t;

typedef struct result {
    size_t bad;
    unsigned char refused[1];
    float y[MOST], z[MOST], r[BLOCKS];
    bool valid;
} result_t;

static size_t length_of(const chunk_t *chunk, size_t block) {
    size_t left = chunk->count - block * SGP_MODULO_BLOCK;
    return left < SGP_MODULO_BLOCK ? left : SGP_MODULO_BLOCK;
}

/* Sets the check of each block to what its codes mean at the receiver. */
static void repair(chunk_t *chunk) {
    size_t size = sgp_modulo_block_bytes(chunk->bits);
    for (size_t b = 0; b < sgp_modulo_blocks(chunk->count); b++) {
        float own[SGP_MODULO_BLOCK] = {0}, y[SGP_MODULO_BLOCK];
        unsigned char *block = chunk->s + b * size;
        uint32_t bits = (uint32_t)block[4] << 23, inverse = (254u - block[4]) << 23, largest;
        modulo_scale_t scale;
        if (block[4] < 3 || block[4] > 230) continue;
        memcpy(&scale.delta, &bits, sizeof bits);
        memcpy(&scale.inverse, &inverse, sizeof inverse);
        memcpy(own, chunk->z + b * SGP_MODULO_BLOCK, length_of(chunk, b) * sizeof *own);
        uint32_t check =
            sgp_modulo_plain.decode(chunk->bits, y, own, block + MODULO_AT_CODES, scale, &largest);
        for (int i = 0; i < 4; i++) block[i] = (unsigned char)(check >> (8 * i));
    }
}

static void decode(const chunk_t *chunk, sgp_modulo_cpu_t cpu, result_t *result) {
    FUZZ_CHECK(sgp_modulo_use(cpu));
    memset(result, 0, sizeof *result);
    memcpy(result->z, chunk->z, sizeof result->z);
    result->valid = sgp_modulo_valid(chunk->bits, chunk->count, chunk->s, chunk->bytes);
    result->bad = sgp_modulo_decode(chunk->bits, chunk->count, result->y, chunk->z, chunk->s,
                                    result->refused);
    unsigned char refused[1];
    size_t bad = sgp_modulo_absorb(chunk->bits, chunk->count, result->z, result->r, chunk->s, 0.5f,
                                   refused, NULL);
    FUZZ_CHECK(bad == result->bad);
    if (chunk->count) FUZZ_CHECK(refused[0] == result->refused[0]);
}

static void check_block(const chunk_t *chunk, const result_t *result, size_t b) {
    int exponent = chunk->s[b * sgp_modulo_block_bytes(chunk->bits) + 4] - 127;
    bool refused = sgp_modulo_in_set(result->refused, b);
    if (!result->valid) FUZZ_CHECK(refused || (exponent >= -124 && exponent <= 103));
    for (size_t i = b * SGP_MODULO_BLOCK; i < b * SGP_MODULO_BLOCK + length_of(chunk, b); i++) {
        if (refused) {
            FUZZ_CHECK(memcmp(&result->z[i], &chunk->z[i], sizeof(float)) == 0);
            FUZZ_CHECK(result->y[i] == 0 && result->r[b] == 0);
            continue;
        }
        double steps = ldexp((double)result->y[i], -exponent);
        double away = fabs(steps - ldexp((double)chunk->z[i], -exponent));
        FUZZ_CHECK(steps == rint(steps) && away <= (1 << (chunk->bits - 1)) + 0.5);
        FUZZ_CHECK(isfinite(result->z[i]) && isfinite(result->r[b]));
    }
}

static void check(const chunk_t *chunk) {
    static result_t plain, other;
    decode(chunk, SGP_MODULO_PLAIN, &plain);
    for (sgp_modulo_cpu_t cpu = SGP_MODULO_FOUR; cpu <= SGP_MODULO_AVX512; cpu++) {
        if (!sgp_modulo_use(cpu)) continue;
        decode(chunk, cpu, &other);
        FUZZ_CHECK(memcmp(&plain, &other, sizeof plain) == 0);
    }
    for (size_t b = 0; b < sgp_modulo_blocks(chunk->count); b++) check_block(chunk, &plain, b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int widths[] = {8, 6, 5, 4};
    fuzz_input_t input = {data, size};
    unsigned switches = fuzz_byte(&input);
    chunk_t chunk = {.bits = widths[fuzz_byte(&input) % 4]};
    float own[OWN] = {0};
    chunk.count = (fuzz_byte(&input) | fuzz_byte(&input) << 8) % (MOST + 1);
    fuzz_take(&input, own, sizeof own);
    for (size_t i = 0; i < MOST; i++) chunk.z[i] = own[i % OWN];
    chunk.bytes = input.left;
    chunk.s = malloc(chunk.bytes ? chunk.bytes : 1);
    if (!chunk.s) return 0;
    if (chunk.bytes) memcpy(chunk.s, input.bytes, chunk.bytes);
    if (chunk.bytes != sgp_modulo_bytes(chunk.bits, chunk.count)) {
        FUZZ_CHECK(!sgp_modulo_valid(chunk.bits, chunk.count, chunk.s, chunk.bytes));
    } else {
        if (switches & FUZZ_REPAIR) repair(&chunk);
        check(&chunk);
    }
    free(chunk.s);
    return 0;
}
