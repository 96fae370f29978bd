/* SPDX-License-Identifier: Apache-2.0 */
/* The inputs of the target codec: blocks as a sender encodes them, and with one byte or scale that it cannot have written. */
#include "make_corpus.h"

#include "codec/codec.h"

enum { INT4 = 0x02, MOST = 3 * SGP_BLOCK };

static bytes_t encoded(bool int4, size_t count) {
    float x[MOST];
    bytes_t bytes = {0};
    sgp_encoding_t encoding = int4 ? SGP_ENCODING_INT4 : SGP_ENCODING_INT8;
    for (size_t i = 0; i < count; i++) x[i] = (float)((int)(i * 37 % 101) - 50) * 0.25f;
    corpus_add_byte(&bytes, int4 ? INT4 : 0);
    corpus_add_byte(&bytes, count & 255);
    corpus_add_byte(&bytes, (unsigned)(count >> 8));
    sgp_encode(encoding, count, bytes.at + bytes.count, x);
    bytes.count += sgp_encoding_bytes(encoding, count);
    return bytes;
}

static void with_scale(const char *name, bool int4, float scale) {
    bytes_t bytes = encoded(int4, 20);
    memcpy(bytes.at + 3, &scale, sizeof scale);
    corpus_write("codec", name, &bytes);
}

static void with_code(const char *name, bool int4, size_t at, unsigned code) {
    bytes_t bytes = encoded(int4, SGP_BLOCK + 5);
    bytes.at[3 + at] = (unsigned char)code;
    corpus_write("codec", name, &bytes);
}

static void good(const char *name, bool int4, size_t count) {
    bytes_t bytes = encoded(int4, count);
    corpus_write("codec", name, &bytes);
}

void corpus_make_blocks(void) {
    good("int8", false, MOST);
    good("int8-short", false, 3);
    good("int8-nothing", false, 0);
    good("int4", true, MOST);
    good("int4-odd", true, SGP_BLOCK + 3);
    with_scale("int8-negative", false, -1);
    with_scale("int8-infinite", false, 1.0f / 0.0f);
    with_scale("int8-too-large", false, 3e38f);
    with_scale("int8-denormal", false, 0x1p-149f);
    with_scale("int4-largest", true, 0x1.249248p+125f);
    with_scale("int4-too-large", true, 0x1.24924ap+125f);
    with_code("int8-code", false, SGP_BLOCK + 8, 0x80);
    with_code("int4-lower", true, 4, 0x08);
    with_code("int4-upper", true, 4, 0x80);
    with_code("int4-no-number", true, SGP_BLOCK / 2 + 4 + 4 + 2, 0x10);
}
