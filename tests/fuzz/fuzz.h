/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the fuzz targets. A target is one file with LLVMFuzzerTestOneInput: libFuzzer drives it
 * where clang has it, and replay.c runs the corpus through it everywhere.
 *
 * The first byte of an input is a set of switches. Checksums and proofs would stop nearly all inputs
 * of a fuzzer: with the switch REPAIR the target corrects them before the parse, so that the code
 * behind them is reached. Without it they must be right. */
#ifndef SGP_TESTS_FUZZ_FUZZ_H
#define SGP_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUZZ_REPAIR 0x01

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process if a property does not hold, also where assert is off. */
#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (condition) break;                                                                      \
        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);             \
        abort();                                                                                   \
    } while (0)

typedef struct fuzz_input {
    const uint8_t *bytes;
    size_t left;
} fuzz_input_t;

/* Up to `bytes` of the rest of the input; returns how many. */
static inline size_t fuzz_take(fuzz_input_t *input, void *to, size_t bytes) {
    size_t now = bytes < input->left ? bytes : input->left;
    if (now) memcpy(to, input->bytes, now);
    input->bytes += now;
    input->left -= now;
    return now;
}

static inline unsigned fuzz_byte(fuzz_input_t *input) {
    uint8_t byte = 0;
    fuzz_take(input, &byte, 1);
    return byte;
}

/* The sizes of the pieces in which bytes arrive, from a seed; 0: all at once. */
typedef struct fuzz_pieces {
    uint32_t state;
} fuzz_pieces_t;

/* From 1 to most, which is above 0. */
static inline size_t fuzz_piece(fuzz_pieces_t *pieces, size_t most) {
    if (pieces->state == 0) return most;
    pieces->state = pieces->state * 1664525u + 1013904223u;
    size_t bits = pieces->state >> 28, size = 1 + (pieces->state >> 8) % ((size_t)1 << bits);
    if (pieces->state == 0) pieces->state = 1;
    return size < most ? size : most;
}

static inline bool fuzz_is_text(const char *text, size_t room) {
    size_t length = strnlen(text, room);
    if (length == room) return false;
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~') return false;
    return true;
}

#endif
