/* SPDX-License-Identifier: Apache-2.0 */
/* The speed of the modulo codes: `modulo [NUMBERS]` (25,000,000; 16,384 stay in the cache). Prints for each number of
 * bits, each pass and each set of instructions the nanoseconds per thousand numbers, and the time over that of a memcpy of
 * the float32 vector, by CPU time: medians of interleaved rounds, and of the ratios within a round. */
#include "codec/modulo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 15

typedef struct work {
    sgp_modulo_t code;
    size_t count;
    float *x, *y, *r; /* (count), (count), (blocks) */
    unsigned char *s, *refused;
} work_t;

static void copy(work_t *w) {
    memcpy(w->y, w->x, w->count * sizeof *w->x);
}
static void encode(work_t *w) {
    sgp_modulo_encode(&w->code, w->count, w->s, w->x, w->r);
}
static void keep(work_t *w) {
    sgp_modulo_encode_keep(&w->code, w->count, w->s, w->y, w->r, 1, 1, NULL);
}
static void decode(work_t *w) {
    sgp_modulo_decode(w->code.bits, w->count, w->y, w->x, w->s, w->refused);
}
static void absorb(work_t *w) {
    sgp_modulo_absorb(w->code.bits, w->count, w->y, w->r, w->s, 0.5f, w->refused, NULL);
}

static const struct {
    const char *name;
    void (*pass)(work_t *w);
} passes[] = {
    {"memcpy", copy},
    {"encode", encode},
    {"decode and absorb", absorb}, /* y is a copy of x that is encoded */
    {"encode, keep the rounding error", keep},
    {"decode", decode},
};

enum { PASSES = sizeof passes / sizeof *passes };

/* CPU time of this process: nothing here waits, and other processes may use the machine. */
static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* For one number; short vectors are passed over repeatedly. */
static double nanoseconds(int p, work_t *w) {
    size_t times = 1 + 4000000 / w->count;
    double start = seconds();
    for (size_t i = 0; i < times; i++) {
        passes[p].pass(w);
        __asm__ volatile("" : : : "memory");
    }
    return (seconds() - start) * 1e9 / ((double)w->count * (double)times);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double of[ROUNDS]) {
    qsort(of, ROUNDS, sizeof *of, ascending);
    return of[ROUNDS / 2];
}

static void measure(work_t *w, const char *cpu) {
    double times[PASSES][ROUNDS], ratios[PASSES][ROUNDS];
    for (int round = -1; round < ROUNDS; round++) /* the first touches the pages */
        for (int p = 0; p < PASSES; p++) {
            double found = nanoseconds(p, w);
            if (round < 0) continue;
            times[p][round] = found;
            ratios[p][round] = found / times[0][round];
        }
    for (int p = 0; p < PASSES; p++)
        printf("%d bits  %-7s  %-32s %8.0f %8.2f\n", w->code.bits, cpu, passes[p].name,
               1000 * median(times[p]), median(ratios[p]));
}

static void fill(work_t *w) {
    for (size_t i = 0; i < w->count; i++) w->x[i] = (float)(i % 1009) * 1e-3f - 0.3f;
    for (size_t i = 0; i < sgp_modulo_blocks(w->count); i++) w->r[i] = 1e-3f;
    memset(w->y, 0, w->count * sizeof *w->y);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        sgp_modulo_cpu_t cpu;
    } sets[] = {{"avx512", SGP_MODULO_AVX512},
                {"avx2", SGP_MODULO_AVX2},
                {"four", SGP_MODULO_FOUR},
                {"plain", SGP_MODULO_PLAIN}};
    static const int widths[] = {4, 5, 6, 8};
    work_t w = {.count = argc > 1 ? strtoull(argv[1], NULL, 10) : 25000000};
    if (w.count == 0 || w.count % 64) {
        fprintf(stderr, "usage: %s [NUMBERS], a multiple of 64\n", argv[0]);
        return 2;
    }
    w.x = aligned_alloc(64, w.count * sizeof *w.x);
    w.y = aligned_alloc(64, w.count * sizeof *w.y);
    w.r = malloc(sgp_modulo_blocks(w.count) * sizeof *w.r);
    w.s = malloc(sgp_modulo_bytes(8, w.count));
    w.refused = malloc(sgp_modulo_set_bytes(w.count));
    if (!w.x || !w.y || !w.r || !w.s || !w.refused) return 1;
    for (size_t set = 0; set < sizeof sets / sizeof *sets; set++)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
            if (!sgp_modulo_use(sets[set].cpu)) continue;
            w.code = (sgp_modulo_t){widths[i], sgp_modulo_kappa(widths[i])};
            fill(&w);
            measure(&w, sets[set].name);
        }
    free(w.x);
    free(w.y);
    free(w.r);
    free(w.s);
    free(w.refused);
    return 0;
}
