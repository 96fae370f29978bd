/* SPDX-License-Identifier: Apache-2.0 */
#include "base/encoded.h"

static size_t block_bytes(sgp_encoding_t encoding, size_t count) {
    size_t bits = (size_t)sgp_encoding_modulo_bits(encoding);
    if (bits > 0) return SGP_MODULO_HEAD_BYTES + SGP_BLOCK / 8 * bits;
    return SGP_SCALE_BYTES + (encoding == SGP_ENCODING_INT4 ? (count + 1) / 2 : count);
}

size_t sgp_encoding_bytes(sgp_encoding_t encoding, size_t count) {
    if (!sgp_encoding_has_blocks(encoding)) return count * sgp_encoding_room(encoding);
    size_t rest = count % SGP_BLOCK;
    size_t whole = count / SGP_BLOCK * block_bytes(encoding, SGP_BLOCK);
    return rest ? whole + block_bytes(encoding, rest) : whole;
}

size_t sgp_encoding_room(sgp_encoding_t encoding) {
    switch (encoding) {
    case SGP_ENCODING_BYTES:
        return 1;
    case SGP_ENCODING_BFLOAT16:
    case SGP_ENCODING_FLOAT16:
        return sizeof(uint16_t);
    default:
        return sizeof(float);
    }
}

size_t sgp_encoding_fit(sgp_encoding_t encoding, size_t chunk_bytes) {
    size_t most = chunk_bytes / sgp_encoding_room(encoding);
    if (!sgp_encoding_has_blocks(encoding) || most < SGP_BLOCK) return most;
    return most / SGP_BLOCK * SGP_BLOCK;
}

uint64_t sgp_encoding_message(sgp_encoding_t encoding, size_t chunk_bytes, uint64_t count) {
    size_t most = sgp_encoding_fit(encoding, chunk_bytes), rest = (size_t)(count % most);
    return count / most * sgp_encoding_bytes(encoding, most) + sgp_encoding_bytes(encoding, rest);
}
