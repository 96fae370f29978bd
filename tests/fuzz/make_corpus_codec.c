/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of fuzz_modulo. */
#include "make_corpus.h"

#include "codec/modulo.h"

#include <math.h>

enum { COUNT = 300, OWN = 8 };

/* The chunk of a sender whose numbers are `apart` from the receiver's, one of which is `own_number`; byte `damaged` of it
 * is inverted if above 0. */
static void make_modulo(const char *name, int bits, unsigned switches, float apart, size_t damaged,
                        float own_number) {
    static const unsigned selector[] = {[8] = 0, [6] = 1, [5] = 2, [4] = 3};
    float z[COUNT], own[OWN], r[2] = {0.01f, 0.02f};
    unsigned char s[2 * 261];
    size_t size = sgp_modulo_bytes(bits, COUNT);
    bytes_t bytes = {.count = 0};
    for (int i = 0; i < OWN; i++) own[i] = (float)(i - 3) * 0.1f;
    for (int i = 0; i < COUNT; i++) z[i] = own[i % OWN] + (i % 3 ? apart : -apart / 2);
    FUZZ_CHECK(sgp_modulo_encode(&(sgp_modulo_t){bits, 2}, COUNT, s, z, r));
    own[2] = own_number;
    if (damaged) s[damaged] = (unsigned char)~s[damaged];
    corpus_add_byte(&bytes, switches);
    corpus_add_byte(&bytes, selector[bits]);
    corpus_add_byte(&bytes, COUNT & 0xff);
    corpus_add_byte(&bytes, COUNT >> 8);
    corpus_add(&bytes, own, sizeof own);
    corpus_add(&bytes, s, size);
    corpus_write("modulo", name, &bytes);
}

void corpus_make_codec(void) {
    make_modulo("8-bits", 8, 0, 0.01f, 0, -0.1f);
    make_modulo("6-bits", 6, 0, 0.01f, 0, -0.1f);
    make_modulo("5-bits", 5, 0, 0.01f, 0, -0.1f);
    make_modulo("4-bits", 4, 0, 0.01f, 0, -0.1f);
    make_modulo("wraps", 4, 0, 0.1f, 0, -0.1f);
    make_modulo("wraps-repaired", 4, FUZZ_REPAIR, 0.1f, 0, -0.1f);
    make_modulo("check", 5, 0, 0.01f, 2, -0.1f);
    make_modulo("exponent", 6, FUZZ_REPAIR, 0.01f, 4, -0.1f);
    make_modulo("code-repaired", 8, FUZZ_REPAIR, 0.01f, 40, -0.1f);
    make_modulo("padding", 4, FUZZ_REPAIR, 0.01f, 133 + 132, -0.1f);
    make_modulo("no-number", 4, FUZZ_REPAIR, 0.01f, 0, NAN);
    make_modulo("large", 6, FUZZ_REPAIR, 0.01f, 0, 1e30f);
    make_modulo("padding-plane", 5, 0, 0.01f, 165 + 164, -0.1f);
}
