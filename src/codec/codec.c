/* SPDX-License-Identifier: Apache-2.0 */
/* The table of encodings. */
#include "codec/codec_internal.h"

#include "base/logging.h"

#include <assert.h>
#include <string.h>

/* X(encoding, name, codec): the only list of encodings. codec NULL: numbers travel as they are, or
 * modulo.h has the functions. */
#define ENCODINGS(X)                                                                               \
    X(SGP_ENCODING_FLOAT32, "float32", NULL)                                                       \
    X(SGP_ENCODING_BFLOAT16, "bfloat16", &sgp_codec_bfloat16)                                      \
    X(SGP_ENCODING_FLOAT16, "float16", &sgp_codec_float16)                                         \
    X(SGP_ENCODING_INT8, "int8", &sgp_codec_int8)                                                  \
    X(SGP_ENCODING_INT4, "int4", &sgp_codec_int4)                                                  \
    X(SGP_ENCODING_INT8M, "int8m", NULL)                                                           \
    X(SGP_ENCODING_INT6, "int6", NULL)                                                             \
    X(SGP_ENCODING_INT5, "int5", NULL)

#define ROW(encoding, name, codec)  [encoding] = {name, codec},
#define NAME(encoding, name, codec) ", " name

static const struct {
    const char *name;
    const sgp_codec_t *codec;
} encodings[] = {ENCODINGS(ROW)};

enum { SLOTS = sizeof encodings / sizeof *encodings }; /* SGP_ENCODING_DEFAULT has no name */

const char *sgp_encoding_names(void) {
    return &(ENCODINGS(NAME))[2];
}

const char *sgp_encoding_name(sgp_encoding_t encoding) {
    if (encoding == SGP_ENCODING_DEFAULT) encoding = SGP_ENCODING_FLOAT32;
    if (encoding == SGP_ENCODING_INT4M) encoding = SGP_ENCODING_INT4;
    size_t at = (size_t)encoding;
    return at < SLOTS && encodings[at].name ? encodings[at].name : "unknown";
}

sgp_status_t sgp_encoding_parse(const char *name, sgp_encoding_t *encoding) {
    const sgp_log_sink_t *before = sgp_api_begin(NULL);
    for (size_t i = 0; i < SLOTS; i++)
        if (encodings[i].name && !strcmp(encodings[i].name, name)) {
            *encoding = (sgp_encoding_t)i;
            return sgp_api_end(before, SGP_OK);
        }
    return sgp_api_end(before, SGP_ERR_NOT_FOUND);
}

const sgp_codec_t *sgp_codec_of(sgp_encoding_t encoding) {
    assert(sgp_encoding_is_lossy(encoding) && !sgp_encoding_modulo_bits(encoding));
    return encodings[encoding].codec;
}

void sgp_encode(sgp_encoding_t encoding, size_t count, void *s, const float *x) {
    sgp_codec_of(encoding)->encode(count, s, x);
}

void sgp_decode(sgp_encoding_t encoding, size_t count, float *x, const void *s) {
    sgp_codec_of(encoding)->decode(count, x, s);
}
