/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/header.h"

#include "base/bytes.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

/* Byte offsets of the fields. The checksum covers all bytes before it. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_KIND = 6,
    AT_ENCODING = 7,
    AT_SRC = 8,
    AT_INCARNATION = 12,
    AT_RUN = 16,
    AT_STEP = 24,
    AT_ID = 32,
    AT_WEIGHT = 40,
    AT_COUNT = 48,
    AT_OFFSET = 56,
    AT_ELEMENTS = 64,
    AT_CHANNEL = 68,
    AT_PAYLOAD_HASH = 72,
    AT_VIEW = 80,
    AT_CODEC = 88, /* this one and those up to the tag are sent as zeros */
    AT_ROUND = 96,
    AT_RESERVED = 100,
    AT_TAG = 104,
    AT_CHECKSUM = 120,
};

_Static_assert(AT_CHECKSUM + 8 == SGP_HEADER_BYTES, "the checksum ends the header");

#define MAGIC 0x50475331u /* "1SGP" */

void sgp_header_encode(const sgp_header_t *header, unsigned char bytes[SGP_HEADER_BYTES]) {
    uint64_t weight;
    memcpy(&weight, &header->weight, sizeof weight);
    sgp_bytes_put(bytes + AT_MAGIC, MAGIC, 4);
    sgp_bytes_put(bytes + AT_VERSION, SGP_HEADER_VERSION, 2);
    sgp_bytes_put(bytes + AT_KIND, (uint64_t)header->kind, 1);
    sgp_bytes_put(bytes + AT_ENCODING, (uint64_t)header->encoding, 1);
    sgp_bytes_put(bytes + AT_SRC, (uint32_t)header->src, 4);
    sgp_bytes_put(bytes + AT_INCARNATION, header->incarnation, 4);
    sgp_bytes_put(bytes + AT_RUN, header->run, 8);
    sgp_bytes_put(bytes + AT_STEP, header->step, 8);
    sgp_bytes_put(bytes + AT_ID, header->id, 8);
    sgp_bytes_put(bytes + AT_WEIGHT, weight, 8);
    sgp_bytes_put(bytes + AT_COUNT, header->count, 8);
    sgp_bytes_put(bytes + AT_OFFSET, header->offset, 8);
    sgp_bytes_put(bytes + AT_ELEMENTS, header->elements, 4);
    sgp_bytes_put(bytes + AT_CHANNEL, header->channel, 4);
    sgp_bytes_put(bytes + AT_PAYLOAD_HASH, header->payload_hash, 8);
    sgp_bytes_put(bytes + AT_VIEW, header->view, 8);
    memset(bytes + AT_CODEC, 0, AT_CHECKSUM - AT_CODEC);
    sgp_bytes_put(bytes + AT_CHECKSUM, XXH3_64bits(bytes, AT_CHECKSUM), 8);
}

/* NULL: all fields that have to be 0 are. */
static const char *used_too_early(const unsigned char *bytes) {
    if (sgp_bytes_get(bytes + AT_CODEC, 8)) return "unknown parameters of the codec";
    if (sgp_bytes_get(bytes + AT_ROUND, 4)) return "unknown round of an exchange";
    if (sgp_bytes_get(bytes + AT_RESERVED, 4)) return "a reserved field is not 0";
    if (sgp_bytes_get(bytes + AT_TAG, 8) || sgp_bytes_get(bytes + AT_TAG + 8, 8))
        return "unknown authentication tag";
    return NULL;
}

static sgp_status_t check(const unsigned char *bytes, const sgp_header_t *header,
                          const char **reason) {
    uint64_t kind = sgp_bytes_get(bytes + AT_KIND, 1),
             encoding = sgp_bytes_get(bytes + AT_ENCODING, 1);
    if (kind < SGP_KIND_CONTROL || kind > SGP_KIND_LAST)
        return *reason = "unknown kind", SGP_ERR_FORMAT;
    if (encoding > SGP_ENCODING_LAST) return *reason = "unknown encoding", SGP_ERR_FORMAT;
    const char *early = used_too_early(bytes);
    if (early) return *reason = early, SGP_ERR_FORMAT;
    if (header->offset > header->count || header->elements > header->count - header->offset)
        return *reason = "chunk outside its message", SGP_ERR_FORMAT;
    if (!isfinite(header->weight) || header->weight <= 0)
        return *reason = "weight not finite or not above zero", SGP_ERR_REFUSED;
    return SGP_OK;
}

sgp_status_t sgp_header_decode(const unsigned char bytes[SGP_HEADER_BYTES], sgp_header_t *header,
                               const char **reason) {
    if (sgp_bytes_get(bytes + AT_MAGIC, 4) != MAGIC)
        return *reason = "not our magic number", SGP_ERR_FORMAT;
    if (sgp_bytes_get(bytes + AT_VERSION, 2) != SGP_HEADER_VERSION)
        return *reason = "another version of the message format", SGP_ERR_FORMAT;
    if (sgp_bytes_get(bytes + AT_CHECKSUM, 8) != XXH3_64bits(bytes, AT_CHECKSUM))
        return *reason = "checksum does not match", SGP_ERR_FORMAT;
    sgp_header_t read = {
        .kind = (sgp_kind_t)sgp_bytes_get(bytes + AT_KIND, 1),
        .encoding = (sgp_encoding_t)sgp_bytes_get(bytes + AT_ENCODING, 1),
        .src = (int)(int32_t)sgp_bytes_get(bytes + AT_SRC, 4),
        .incarnation = (uint32_t)sgp_bytes_get(bytes + AT_INCARNATION, 4),
        .run = sgp_bytes_get(bytes + AT_RUN, 8),
        .channel = (uint32_t)sgp_bytes_get(bytes + AT_CHANNEL, 4),
        .step = sgp_bytes_get(bytes + AT_STEP, 8),
        .id = sgp_bytes_get(bytes + AT_ID, 8),
        .count = sgp_bytes_get(bytes + AT_COUNT, 8),
        .offset = sgp_bytes_get(bytes + AT_OFFSET, 8),
        .elements = (uint32_t)sgp_bytes_get(bytes + AT_ELEMENTS, 4),
        .payload_hash = sgp_bytes_get(bytes + AT_PAYLOAD_HASH, 8),
        .view = sgp_bytes_get(bytes + AT_VIEW, 8),
    };
    uint64_t weight = sgp_bytes_get(bytes + AT_WEIGHT, 8);
    memcpy(&read.weight, &weight, sizeof weight);
    sgp_status_t status = check(bytes, &read, reason);
    if (status == SGP_OK) *header = read;
    return status;
}
