/* SPDX-License-Identifier: Apache-2.0 */
/* The speed of the encodings: `encodings [NUMBERS]` (25,000,000; 16,384 stay in the cache). Prints,
 * for each pass and encoding, the GB/s that it reads and writes, by CPU time: median and best of 21
 * interleaved rounds, and its time in times of a memcpy of the float32 vector, by the medians. */
#include "codec/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 21

typedef struct work {
    size_t count;
    float *x, *y; /* (count) */
    void *s, *t;  /* (count) encoded */
    sgp_encoding_t encoding;
} work_t;

static void copy(work_t *w) {
    memcpy(w->y, w->x, w->count * sizeof *w->x);
}
static void encode(work_t *w) {
    sgp_encode(w->encoding, w->count, w->s, w->x);
}
static void decode(work_t *w) {
    sgp_decode(w->encoding, w->count, w->y, w->s);
}
static void keep(work_t *w) {
    sgp_encode_keep(w->encoding, w->count, w->s, w->x, 1, 1);
}
static void absorb(work_t *w) {
    sgp_decode_absorb(w->encoding, w->count, w->y, w->s, 0.5f);
}
static void feedback(work_t *w) {
    sgp_encode_feedback(w->encoding, w->count, w->s, w->x, w->y);
}
static void look(work_t *w) {
    if (!sgp_encoded_valid(w->encoding, w->count, w->s)) exit(1);
}
static void average_pair(work_t *w) {
    sgp_encode_pair(w->encoding, w->count, w->x, w->s, w->t);
}

static const struct {
    const char *name;
    void (*pass)(work_t *w);
    int bytes; /* of float32 read and written, for each number; and of encoded ones, in numbers: */
    int encoded;
} passes[] = {
    {"memcpy", copy, 8, 0},
    {"encode", encode, 4, 1},
    {"decode", decode, 4, 1},
    {"encode, keep the rounding error", keep, 8, 1},
    {"decode and absorb", absorb, 8, 1},
    {"encode with error feedback", feedback, 12, 1},
    {"average with a partner", average_pair, 8, 2},
    {"look for damage", look, 0, 1},
};

enum { PASSES = sizeof passes / sizeof *passes };

/* CPU time of this process: nothing here waits, and other processes may use the machine. */
static double seconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* That a pass reads and writes. */
static double bytes_of(int p, const work_t *w) {
    return (double)passes[p].bytes * (double)w->count +
           (double)passes[p].encoded * (double)sgp_encoding_bytes(w->encoding, w->count);
}

/* GB/s; short vectors are passed over repeatedly. */
static double rate(int p, work_t *w) {
    size_t times = 1 + 8000000 / w->count;
    double start = seconds();
    for (size_t i = 0; i < times; i++) {
        passes[p].pass(w);
        __asm__ volatile("" : : : "memory");
    }
    return bytes_of(p, w) * (double)times / (seconds() - start) * 1e-9;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(work_t *w) {
    double rates[PASSES][ROUNDS];
    for (int round = -1; round < ROUNDS; round++) /* the first touches the pages */
        for (int p = 0; p < PASSES; p++) {
            for (size_t i = 0; i < w->count && p == 1; i++) w->x[i] = (float)(i % 1009) * 1e-3f;
            double found = rate(p, w);
            if (round >= 0) rates[p][round] = found;
        }
    for (int p = 0; p < PASSES; p++) {
        qsort(rates[p], ROUNDS, sizeof(double), ascending);
        double median = rates[p][ROUNDS / 2], memcpys = rates[0][ROUNDS / 2] / passes[0].bytes;
        printf("%-10s %-32s %8.1f %8.1f %8.2f\n", sgp_encoding_name(w->encoding), passes[p].name,
               median, rates[p][ROUNDS - 1], bytes_of(p, w) / (double)w->count / median * memcpys);
    }
}

int main(int argc, char **argv) {
    work_t w = {.count = argc > 1 ? strtoull(argv[1], NULL, 10) : 25000000};
    if (w.count == 0 || w.count % 64) {
        fprintf(stderr, "usage: %s [NUMBERS], a multiple of 64\n", argv[0]);
        return 2;
    }
    w.x = aligned_alloc(64, w.count * sizeof *w.x);
    w.y = aligned_alloc(64, w.count * sizeof *w.y);
    w.s = aligned_alloc(64, w.count * sizeof(uint16_t));
    w.t = aligned_alloc(64, w.count * sizeof(uint16_t));
    if (!w.x || !w.y || !w.s || !w.t) return 1;
    memset(w.y, 0, w.count * sizeof *w.y);
    for (w.encoding = SGP_ENCODING_BFLOAT16; w.encoding <= SGP_ENCODING_LAST; w.encoding++)
        measure(&w);
    free(w.x);
    free(w.y);
    free(w.s);
    free(w.t);
    return 0;
}
